"""Bytes to frames: the text/event-stream of an answer, cut wherever the network cut it.

Lines end at LF, CR or CRLF and nowhere else: JSON may hold a raw U+2028 or U+0085, at which `str.splitlines` (and
`httpx.Response.aiter_lines`) would break a frame. Bytes are decoded per whole line, so that a chunk may end inside a
character. See: WHATWG HTML, "Interpreting an event stream".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from .errors import BadStream

LINE_COST = 64  # what an empty line in a list costs at least: a flood of them must count, too
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Limits:
    """What one stream may ask of the memory of whoever reads it. Sizes are in bytes.

    The largest frames are images: base64 of a few megabytes, whole in `output_item.done`, and all of them once more
    in the last frame. The longest streams are those of reasoning models and code interpreters: 128,000 tokens, each a
    delta in a frame of 300 bytes, then the whole text four times, are below 50 MB and 150,000 frames. With images (three
    previews, then twice) a stream may reach a few times that. Nothing sensible is above these.
    """

    line: int = 64 * 1024 * 1024
    frame: int = 64 * 1024 * 1024
    stream: int = 256 * 1024 * 1024  # without comments, which may keep a connection alive for ever
    frames: int = 1_000_000


LIMITS = Limits()


class ServerSentEvent(NamedTuple):
    """One frame. `event` is "" when the server sent none; `data` has its lines joined."""

    event: str
    data: str
    id: str = ""


class SSEDecoder:
    """Incremental and pure: `feed` bytes, get the frames that they complete; `flush` at the end of the stream."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._partial = bytearray()  # the line that has not ended
        self._after_cr = False
        self._at_start = True
        self._event = ""
        self._id = ""
        self._data: list[str] = []
        self._data_size = 0
        self._stream_size = 0
        self._frames = 0

    @property
    def held(self) -> int:
        """Bytes kept until more of them come."""
        return len(self._partial) + self._data_size

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Frames completed by these bytes. Raises BadStream when the stream goes beyond a limit."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if b"\r" in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._stream_size += len(data)
        lines = data.split(b"\n")
        rest = lines.pop()
        if len(data) + len(self._partial) > self._limits.line:
            self._check_lines(lines, rest)
        if lines and (self._partial or self._at_start):
            lines[0] = self._first(lines[0])
        frames = self._lines(lines) if lines else []
        if rest:
            self._partial += rest
        if self._stream_size > self._limits.stream:
            raise BadStream(f"a stream longer than {self._limits.stream} bytes")
        return frames

    def flush(self) -> list[ServerSentEvent]:
        """The last frame, if the stream ended without the empty line that closes it."""
        return self._lines([self._first(b""), b""])

    def _first(self, line: bytes) -> bytes:
        """A line together with what came of it before."""
        line = bytes(self._partial) + line
        self._partial.clear()
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(BOM)
        return line

    def _lines(self, lines: list[bytes]) -> list[ServerSentEvent]:
        # The inner loop of every stream: what frames usually consist of is handled here, without further calls.
        frames: list[ServerSentEvent] = []
        data = self._data
        for line in lines:
            if line.startswith(b"data: "):
                self._data_size += len(line) + LINE_COST
                if self._data_size > self._limits.frame:
                    raise self._too_large()
                data.append(str(line[6:], "utf-8", "replace"))
            elif not line:
                if data:
                    whole = data[0] if len(data) == 1 else "\n".join(data)
                    frames.append(ServerSentEvent(self._event, whole, self._id))
                    data.clear()
                    self._data_size = 0
                self._event = ""
            elif line.startswith(b"event: "):
                self._event = str(line[7:], "utf-8", "replace")
            else:
                self._field(line)
        self._frames += len(frames)
        if self._frames > self._limits.frames:
            raise BadStream(f"a stream of more than {self._limits.frames} events")
        return frames

    def _field(self, line: bytes) -> None:
        name, _, rest = line.partition(b":")
        value = str(rest.removeprefix(b" "), "utf-8", "replace")
        if not name:  # a comment
            self._stream_size -= len(line) + 1
        elif name == b"event":
            self._event = value
        elif name == b"data":
            self._data_size += len(line) + LINE_COST
            if self._data_size > self._limits.frame:
                raise self._too_large()
            self._data.append(value)
        elif name == b"id" and "\0" not in value:
            self._id = value
        # `retry` and unknown fields pass.

    def _check_lines(self, lines: list[bytes], rest: bytes) -> None:
        first, *others = (*lines, rest)
        if max(len(self._partial) + len(first), *map(len, others), 0) > self._limits.line:
            raise BadStream(f"a line of the stream longer than {self._limits.line} bytes")

    def _too_large(self) -> BadStream:
        return BadStream(f"an event of the stream larger than {self._limits.frame} bytes")
