"""Bytes to frames: the text/event-stream of an answer, cut wherever the network cut it.

Lines end at LF, CR or CRLF and nowhere else: JSON may hold a raw U+2028 or U+0085, at which `str.splitlines` (and
`httpx.Response.aiter_lines`) would break a frame. Bytes are decoded per whole line, so that a chunk may end inside a
character. See: WHATWG HTML, "Interpreting an event stream".
"""

from __future__ import annotations

from typing import NamedTuple

from .errors import BadStream

# An image comes as base64 in one frame, and again in the last one; above that nothing sensible is left.
MAX_FRAME_BYTES = 64 * 1024 * 1024
LINE_COST = 64  # what an empty line in a list costs at least: a flood of them must count, too


class ServerSentEvent(NamedTuple):
    """One frame. `event` is "" when the server sent none; `data` has its lines joined."""

    event: str
    data: str
    id: str = ""


class SSEDecoder:
    """Incremental and pure: `feed` bytes, get the frames that they complete; `flush` at the end of the stream."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        self._max = max_frame_bytes
        self._partial = bytearray()  # the line that has not ended
        self._after_cr = False
        self._at_start = True
        self._event = ""
        self._id = ""
        self._data: list[str] = []
        self._data_size = 0

    def feed(self, data: bytes) -> list[ServerSentEvent]:
        """Frames completed by these bytes. Raises BadStream when one grows beyond the limit."""
        if self._after_cr and data:
            self._after_cr = False
            data = data.removeprefix(b"\n")
        if not data:
            return []
        lines = data.splitlines(keepends=True)
        frames: list[ServerSentEvent] = []
        for line in lines:
            if line[-1] not in b"\r\n":
                self._partial += line
                self._check(len(self._partial))
                break
            self._line(self._completed(line.rstrip(b"\r\n")), frames)
        self._after_cr = data.endswith(b"\r")
        return frames

    def flush(self) -> list[ServerSentEvent]:
        """The last frame, if the stream ended without the empty line that closes it."""
        frames: list[ServerSentEvent] = []
        if self._partial:
            self._line(self._completed(b""), frames)
        self._line(b"", frames)
        return frames

    def _completed(self, tail: bytes) -> bytes:
        if not self._partial:
            return tail
        line = bytes(self._partial) + tail
        self._partial.clear()
        return line

    def _line(self, line: bytes, frames: list[ServerSentEvent]) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line:
            self._dispatch(frames)
            return
        name, _, value = line.partition(b":")
        if name == b"data":
            self._data_size += len(value) + LINE_COST
            self._check(self._data_size)
            self._data.append(value.removeprefix(b" ").decode("utf-8", "replace"))
        elif name == b"event":
            self._event = value.removeprefix(b" ").decode("utf-8", "replace")
        elif name == b"id" and b"\0" not in value:
            self._id = value.removeprefix(b" ").decode("utf-8", "replace")
        # Comments (an empty name), `retry` and unknown fields pass.

    def _dispatch(self, frames: list[ServerSentEvent]) -> None:
        if self._data:
            frames.append(ServerSentEvent(self._event, "\n".join(self._data), self._id))
            self._data.clear()
            self._data_size = 0
        self._event = ""

    def _check(self, size: int) -> None:
        if size > self._max:
            raise BadStream(f"a frame of the stream is larger than {self._max} bytes")
