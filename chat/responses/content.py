"""Request bodies that may hold files: sent from disk piece by piece, so that memory does not grow with them.

A `DataURL` stands in a JSON body where the wire wants a data URL; a multipart body is the form of an upload. Both know
their length before they begin, because not every server takes chunked requests.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import FileGone

# Divisible by three, so that the base64 of the pieces is the base64 of the whole; and small, since the answers of others
# wait while a piece is encoded and written.
CHUNK_BYTES = 3 * 32 * 1024


@dataclass(frozen=True)
class DataURL:
    """In a request body: `data:<media_type>;base64,<the file>`, encoded while it is sent."""

    path: Path
    media_type: str


@dataclass(frozen=True)
class FilePiece:
    """A file inside a body, raw or as base64. Its size is fixed when the body is made."""

    path: Path
    size: int
    as_base64: bool = False

    @property
    def length(self) -> int:
        return 4 * ((self.size + 2) // 3) if self.as_base64 else self.size

    async def chunks(self) -> AsyncIterator[bytes]:
        """The bytes. FileGone when it has become shorter.

        Opens the file anew for each chunk: a server may refuse a body in its middle, and then nobody closes this.
        """
        for offset in range(0, self.size, CHUNK_BYTES):
            chunk = await asyncio.to_thread(self._read, offset, min(CHUNK_BYTES, self.size - offset))
            yield base64.b64encode(chunk) if self.as_base64 else chunk

    def _read(self, offset: int, size: int) -> bytes:
        try:
            with self.path.open("rb") as file:
                file.seek(offset)
                chunk = file.read(size)
        except OSError as error:
            raise _gone(self.path, error) from error
        if len(chunk) < size:
            raise FileGone(f"{self.path.name} became shorter while it was sent")
        return chunk


def file_piece(path: Path, *, as_base64: bool = False) -> FilePiece:
    """The file as it is now. FileGone when it is not."""
    try:
        return FilePiece(path, path.stat().st_size, as_base64)
    except OSError as error:
        raise _gone(path, error) from error


def _gone(path: Path, error: OSError) -> FileGone:
    return FileGone(f"{path.name} cannot be read: {error.strerror}")


@dataclass(frozen=True)
class Body:
    """A request body that can be sent more than once."""

    content_type: str
    pieces: tuple[bytes | FilePiece, ...]

    @property
    def length(self) -> int:
        return sum(len(piece) if isinstance(piece, bytes) else piece.length for piece in self.pieces)

    def content(self) -> bytes | AsyncIterator[bytes]:
        """What httpx takes as `content`: bytes where there is no file, else a fresh iterator."""
        if all(isinstance(piece, bytes) for piece in self.pieces):
            return b"".join(piece for piece in self.pieces if isinstance(piece, bytes))
        return self._chunks()

    async def _chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            async for chunk in piece.chunks():
                yield chunk


def json_body(value: Mapping[str, Any]) -> Body:
    """The value as JSON, with the file of each DataURL in its place. TypeError for what JSON does not know, and FileGone."""
    mark = secrets.token_hex(16)
    files: list[DataURL] = []

    def stand_in(unknown: Any) -> str:
        if not isinstance(unknown, DataURL):
            raise TypeError(f"{type(unknown).__name__} is no JSON")
        files.append(unknown)
        return f"{mark}:{len(files) - 1}"

    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=stand_in)
    pieces: list[bytes | FilePiece] = []
    # Splitting by a pattern with a group gives text, number, text, number, …, text.
    for place, piece in enumerate(re.split(rf"{mark}:(\d+)", text) if files else [text]):
        if place % 2:
            file = files[int(piece)]
            pieces.append(f"data:{file.media_type};base64,".encode())
            pieces.append(file_piece(file.path, as_base64=True))
        else:
            pieces.append(piece.encode("utf-8", "replace"))
    return Body("application/json", tuple(pieces))


def multipart_body(fields: Mapping[str, str], path: Path, filename: str, media_type: str) -> Body:
    """An upload form: the fields, and the file as `file`. See: WHATWG HTML, "multipart/form-data"."""
    boundary = secrets.token_hex(16)
    head = "".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{_escaped(name)}"\r\n\r\n{value}\r\n'
        for name, value in fields.items()
    )
    head += (
        f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="{_escaped(filename)}"\r\n'
        f"Content-Type: {_escaped(media_type)}\r\n\r\n"
    )
    file = file_piece(path)
    tail = f"\r\n--{boundary}--\r\n"
    return Body(f"multipart/form-data; boundary={boundary}", (head.encode("utf-8", "replace"), file, tail.encode()))


def _escaped(value: str) -> str:
    return value.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
