"""Bytes to frames: the text/event-stream of an answer, cut wherever the network cut it.

Lines end at LF, CR or CRLF and nowhere else: JSON may hold a raw U+2028 or U+0085, at which `str.splitlines` (and
`httpx.Response.aiter_lines`) would break a frame. Bytes are decoded per whole line, so that a chunk may end inside a
character. See: WHATWG HTML, "Interpreting an event stream".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .errors import BadStream

LINE_COST = 64  # what an empty line in a list costs at least: a flood of them must count, too
CR = 13  # as a number: looking for a byte is cheaper than looking for bytes
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
    stream: int = 256 * 1024 * 1024  # without comments, which may come for ever
    frames: int = 1_000_000


LIMITS = Limits()


def too_much(what: str) -> BadStream:
    """The error for what goes beyond a limit; `what` says which, for the log."""
    return BadStream(
        what,
        user_message="The provider sent more than one answer can hold, and was stopped; please ask for less at once.",
        retryable=False,
    )


class ServerSentEvent(NamedTuple):
    """One frame. `event` is "" when the server sent none; `data` has its lines joined."""

    event: str
    data: str
    id: str = ""


class SSEDecoder:
    """Incremental and pure: `feed` bytes, get the frames that they complete; `flush` at the end of the stream."""

    __slots__ = (
        "_after_cr",
        "_at_start",
        "_bytes_left",
        "_data",
        "_data_size",
        "_event",
        "_event_line",
        "_event_name",
        "_frames_left",
        "_id",
        "_is_between",
        "_limits",
        "_partial",
        "_usual_size",
    )

    def __init__(self, limits: Limits = LIMITS) -> None:
        self._limits = limits
        self._bytes_left = limits.stream
        self._frames_left = limits.frames
        self._at_start = True
        self._after_cr = False
        self._partial = bytearray()  # the line that has not ended
        self._event = ""
        self._event_line, self._event_name = b"event:", ""  # the last one
        self._id = ""
        self._data: list[str] = []
        self._data_size = 0
        self._is_between = False  # frames: nothing is kept of the bytes so far
        self._usual_size = min(limits.line, limits.frame - LINE_COST)

    @property
    def held(self) -> int:
        """Bytes that are kept until more of them come."""
        return len(self._partial) + self._data_size + len(self._event) + len(self._id)

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Frames completed by these bytes. Raises BadStream when the stream goes beyond a limit."""
        if not self._is_between or CR in data or len(data) > self._usual_size:
            return self._feed(data)
        # Most chunks are one frame, named as the one before it; seeing that takes a third of the time.
        line, _, rest = data.partition(b"\n")
        if line == self._event_line:
            name = self._event_name
            line, _, rest = rest.partition(b"\n")
        else:
            name = ""
        if rest != b"\n" or line[:6] != b"data: ":
            return self._feed(data)
        self._bytes_left -= len(data)
        self._frames_left -= 1
        if self._bytes_left < 0 or self._frames_left < 0:
            raise self._too_long()
        return [tuple.__new__(ServerSentEvent, (name, line[6:].decode("utf-8", "replace"), self._id))]

    def _feed(self, data: bytes) -> list[ServerSentEvent]:
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if CR in data:
            self._after_cr = data.endswith(b"\r")
            data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines: list[bytes | bytearray] = [*data.split(b"\n")]
        rest = lines.pop()
        if len(self._partial) + len(data) > self._limits.line:
            self._check_lines(lines, rest)
        if lines and (self._partial or self._at_start):
            lines[0] = self._first(lines[0])
        frames: list[ServerSentEvent] = []
        for line in lines:
            self._line(line, frames)
        self._partial += rest
        self._is_between = not (self._partial or self._data or self._event or self._at_start or self._after_cr)
        self._count(len(data), len(frames))
        return frames

    def flush(self) -> list[ServerSentEvent]:
        """The last frame, if the stream ended without the empty line that closes it."""
        frames: list[ServerSentEvent] = []
        self._line(self._first(b""), frames)
        self._line(b"", frames)
        return frames

    def _first(self, line: bytes | bytearray) -> bytes | bytearray:
        """A line together with what came of it before."""
        whole, self._partial = self._partial, bytearray()
        whole += line
        if self._at_start:
            self._at_start = False
            whole = whole.removeprefix(BOM)
        return whole

    def _line(self, line: bytes | bytearray, frames: list[ServerSentEvent]) -> None:
        if not line:
            self._dispatch(frames)
            return
        # Read where it lies: a picture is a line of megabytes, and each copy of it delays every other stream.
        colon = line.find(b":")
        name = line[:colon] if colon >= 0 else line
        start = colon + 1 if colon >= 0 else len(line)
        value = memoryview(line)[start + line.startswith(b" ", start) :]
        if name == b"data":
            self._data_size += len(value) + LINE_COST
            if self._data_size > self._limits.frame:
                raise too_much(f"an event of the stream larger than {self._limits.frame} bytes")
            self._data.append(str(value, "utf-8", "replace"))
        elif name == b"event":
            self._event = self._event_name = str(value, "utf-8", "replace")
            self._event_line = bytes(line)
        elif name == b"id" and 0 not in value:
            self._id = str(value, "utf-8", "replace")
        elif not name:  # a comment: it keeps the connection alive, and nothing of it
            self._bytes_left += len(line) + 1
        # `retry` and unknown fields pass.

    def _dispatch(self, frames: list[ServerSentEvent]) -> None:
        if self._data:
            data = self._data[0] if len(self._data) == 1 else "\n".join(self._data)
            frames.append(ServerSentEvent(self._event, data, self._id))
            self._data.clear()
            self._data_size = 0
        elif not self._event:
            self._bytes_left += 1  # closes a comment
        self._event = ""

    def _count(self, size: int, frames: int) -> None:
        self._bytes_left -= size
        self._frames_left -= frames
        if self._bytes_left < 0 or self._frames_left < 0:
            raise self._too_long()

    def _too_long(self) -> BadStream:
        if self._bytes_left < 0:
            return too_much(f"a stream longer than {self._limits.stream} bytes")
        return too_much(f"a stream of more than {self._limits.frames} events")

    def _check_lines(self, lines: Sequence[bytes | bytearray], rest: bytes | bytearray) -> None:
        first, *others = (*lines, rest)
        if max(len(self._partial) + len(first), *map(len, others), 0) > self._limits.line:
            raise too_much(f"a line of the stream longer than {self._limits.line} bytes")
