"""multipart/form-data, read as it arrives: fields in memory, the file straight to disk."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path
from typing import BinaryIO

MAX_HEADER_BYTES = 16 * 1024
MAX_FIELD_BYTES = 64 * 1024


class BadForm(ValueError):
    """The body is not the form that its content type promises."""


class FormTooLarge(ValueError):
    """A file of the form is over the limit."""


@dataclass
class Upload:
    path: Path
    filename: str
    media_type: str
    size: int
    sha256: str


@dataclass
class Form:
    fields: dict[str, str] = field(default_factory=dict)
    uploads: dict[str, Upload] = field(default_factory=dict)

    def discard(self) -> None:
        for upload in self.uploads.values():
            upload.path.unlink(missing_ok=True)


async def read_form(
    chunks: AsyncIterator[bytes], content_type: str, new_path: Callable[[], Path], max_file_bytes: int
) -> Form:
    """Read a whole form. Written files belong to the caller; after an error none is left behind."""
    parser = _Parser(_boundary(content_type), new_path, max_file_bytes)
    try:
        async for chunk in chunks:
            parser.feed(chunk)
        return parser.finish()
    except (BadForm, FormTooLarge, OSError):
        parser.abandon()
        raise


def _boundary(content_type: str) -> bytes:
    message = Message()
    message["content-type"] = content_type
    boundary = message.get_param("boundary")
    if message.get_content_type() != "multipart/form-data" or not isinstance(boundary, str) or not boundary:
        raise BadForm("expected multipart/form-data with a boundary")
    return boundary.encode("latin-1", "replace")


class _Part:
    """One part of the form; a file when its header names one."""

    def __init__(self, headers: bytes, new_path: Callable[[], Path], max_file_bytes: int) -> None:
        message = _headers(headers)
        name = message.get_param("name", header="content-disposition")
        if not isinstance(name, str):
            raise BadForm("a part has no name")
        self.name = name
        self.filename = message.get_filename()
        self.media_type = message.get_content_type()
        self.max_bytes = max_file_bytes if self.filename is not None else MAX_FIELD_BYTES
        self.size = 0
        self._text = bytearray()
        self._hash = hashlib.sha256()
        self._file: BinaryIO | None = None
        if self.filename is not None:
            self._path = new_path()
            self._file = self._path.open("wb")

    def write(self, data: bytes | bytearray) -> None:
        self.size += len(data)
        if self.size > self.max_bytes:
            raise FormTooLarge(f"{self.name} is larger than {self.max_bytes} bytes")
        if self._file is None:
            self._text += data
        else:
            self._file.write(data)
            self._hash.update(data)

    def close_into(self, form: Form) -> None:
        if self._file is None:
            form.fields[self.name] = self._text.decode("utf-8", "replace")
            return
        self._file.close()
        name = self.filename or "file"
        form.uploads[self.name] = Upload(self._path, name, self.media_type, self.size, self._hash.hexdigest())

    def abandon(self) -> None:
        if self._file is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)


def _headers(raw: bytes) -> Message:
    """Read part headers. Clients send file names as raw UTF-8, which email's parser would garble."""
    message = Message()
    for line in raw.decode("utf-8", "replace").split("\r\n"):
        name, colon, value = line.partition(":")
        if colon and name.strip().lower() in ("content-disposition", "content-type"):
            message[name.strip()] = re.sub(r"[\r\n]", " ", value.strip())
    return message


class _Parser:
    """Feed bytes in any cuts. A delimiter is `CRLF--boundary`; the first one gets its CRLF lent."""

    def __init__(self, boundary: bytes, new_path: Callable[[], Path], max_file_bytes: int) -> None:
        self.form = Form()
        self._delimiter = b"\r\n--" + boundary
        self._new_path = new_path
        self._max_file_bytes = max_file_bytes
        self._buffer = bytearray(b"\r\n")
        self._part: _Part | None = None
        self._step: Callable[[], bool] = self._preamble
        self._ended = False

    def feed(self, data: bytes) -> None:
        self._buffer += data
        while self._step():
            pass

    def finish(self) -> Form:
        if not self._ended:
            raise BadForm("the form ends before its last boundary")
        return self.form

    def abandon(self) -> None:
        if self._part is not None:
            self._part.abandon()
        self.form.discard()

    def _preamble(self) -> bool:
        return self._until_delimiter(lambda data: None)

    def _body(self) -> bool:
        part = self._part
        assert part is not None
        if not self._until_delimiter(part.write):
            return False
        part.close_into(self.form)
        self._part = None
        return True

    def _until_delimiter(self, take: Callable[[bytes | bytearray], None]) -> bool:
        at = self._buffer.find(self._delimiter)
        if at >= 0:
            take(self._buffer[:at])
            del self._buffer[: at + len(self._delimiter)]
            self._step = self._after_delimiter
            return True
        safe = len(self._buffer) - len(self._delimiter) + 1
        if safe > 0:
            take(self._buffer[:safe])
            del self._buffer[:safe]
        return False

    def _after_delimiter(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] == b"--":
            self._ended = True
            self._step = self._epilogue
            return True
        line_end = self._buffer.find(b"\r\n")
        if line_end < 0 and len(self._buffer) < MAX_HEADER_BYTES:
            return False
        if line_end < 0 or self._buffer[:line_end].strip(b" \t"):
            raise BadForm("a boundary is followed by something else than a line end")
        del self._buffer[: line_end + 2]
        self._step = self._part_headers
        return True

    def _part_headers(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > MAX_HEADER_BYTES:
                raise BadForm("the headers of a part are too long")
            return False
        self._part = _Part(bytes(self._buffer[:end]), self._new_path, self._max_file_bytes)
        del self._buffer[: end + 4]
        self._step = self._body
        return True

    def _epilogue(self) -> bool:
        self._buffer.clear()
        return False
