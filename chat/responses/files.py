"""Files at the provider: what goes up, what is there, and what comes down.

A file belongs to the account and can stand in any question; one of a container lives only as long as that does, twenty
minutes without use. What the code interpreter made is of the second kind: fetch it at once.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import httpx

from .content import json_body, multipart_body
from .errors import BadStream, request_id_of
from .sender import Order, Sender, query_of, quoted
from .stream import pieces_of

CHUNK_BYTES = 256 * 1024


class FileOperations(Sender):
    """The operations on files and on the containers of the code interpreter. OSError is about the disk that a download goes to."""

    # Files

    async def upload_file(
        self,
        path: Path,
        filename: str,
        media_type: str,
        purpose: str | None = None,
        *,
        expires_after_seconds: int | None = None,
    ) -> dict[str, Any]:
        """The file object of a new file, whose bytes go up straight from disk. Its status may be `uploaded` still.

        It lasts for ever, or so many seconds (an hour to thirty days) after it was created.
        """
        fields = {"purpose": purpose or self.endpoint.dialect.file_purpose}
        if expires_after_seconds is not None:
            fields |= {"expires_after[anchor]": "created_at", "expires_after[seconds]": str(expires_after_seconds)}
        return await self._json("POST", "files", multipart_body(fields, path, filename, media_type))

    def files(
        self,
        *,
        purpose: str | None = None,
        order: Order | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> AsyncIterator[dict[str, Any]]:
        """All files, or those with this purpose, to the last page. `limit` is the size of a page."""
        return self._listed("files", query_of(purpose=purpose, order=order, limit=limit), after)

    async def retrieve_file(self, file_id: str) -> dict[str, Any]:
        return await self._json("GET", f"files/{quoted(file_id)}")

    async def delete_file(self, file_id: str) -> None:
        await self._call("DELETE", f"files/{quoted(file_id)}")

    async def download_file(self, file_id: str, path: Path, max_bytes: int) -> int:
        """Put the content of a file at `path` and return its size. BadStream for more than `max_bytes`."""
        return await self._download(f"files/{quoted(file_id)}/content", path, max_bytes)

    # Containers

    async def create_container(
        self,
        name: str,
        *,
        file_ids: Sequence[str] = (),
        idle_minutes: int | None = None,
        memory_limit: str | None = None,
    ) -> dict[str, Any]:
        """A new container for code, with copies of these files. It ends after so many minutes without use."""
        body: dict[str, Any] = {"name": name}
        if file_ids:
            body["file_ids"] = list(file_ids)
        if idle_minutes is not None:
            body["expires_after"] = {"anchor": "last_active_at", "minutes": idle_minutes}
        if memory_limit is not None:
            body["memory_limit"] = memory_limit
        return await self._json("POST", "containers", json_body(body))

    def containers(
        self, *, order: Order | None = None, limit: int | None = None, after: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """All containers, to the last page."""
        return self._listed("containers", query_of(order=order, limit=limit), after)

    async def retrieve_container(self, container_id: str) -> dict[str, Any]:
        return await self._json("GET", f"containers/{quoted(container_id)}")

    async def delete_container(self, container_id: str) -> None:
        await self._call("DELETE", f"containers/{quoted(container_id)}")

    # Their files

    async def upload_container_file(
        self, container_id: str, path: Path, filename: str, media_type: str
    ) -> dict[str, Any]:
        """The file object of a new file in a container, straight from disk."""
        body = multipart_body({}, path, filename, media_type)
        return await self._json("POST", f"containers/{quoted(container_id)}/files", body)

    async def copy_to_container(self, container_id: str, file_id: str) -> dict[str, Any]:
        """The file object of the copy, in a container, of a file that was uploaded."""
        return await self._json("POST", f"containers/{quoted(container_id)}/files", json_body({"file_id": file_id}))

    def container_files(
        self, container_id: str, *, order: Order | None = None, limit: int | None = None, after: str | None = None
    ) -> AsyncIterator[dict[str, Any]]:
        """All files of a container, also those that no answer cites."""
        return self._listed(f"containers/{quoted(container_id)}/files", query_of(order=order, limit=limit), after)

    async def retrieve_container_file(self, container_id: str, file_id: str) -> dict[str, Any]:
        return await self._json("GET", f"containers/{quoted(container_id)}/files/{quoted(file_id)}")

    async def delete_container_file(self, container_id: str, file_id: str) -> None:
        await self._call("DELETE", f"containers/{quoted(container_id)}/files/{quoted(file_id)}")

    async def download_container_file(self, container_id: str, file_id: str, path: Path, max_bytes: int) -> int:
        """As `download_file`. A `cfile_…` is found only here, not among the files."""
        return await self._download(
            f"containers/{quoted(container_id)}/files/{quoted(file_id)}/content", path, max_bytes
        )

    async def _download(self, url: str, path: Path, max_bytes: int) -> int:
        async with self._reply("GET", url, None, (), "*/*") as response:
            return await _save(response, path, max_bytes)


async def _save(response: httpx.Response, path: Path, max_bytes: int) -> int:
    """Write the body beside `path` and move it there when it is whole: nobody finds a half file."""
    part = path.with_name(f".{secrets.token_hex(8)}.part")
    size = 0
    try:
        with await asyncio.to_thread(part.open, "xb") as file:
            async with aclosing(pieces_of(response, CHUNK_BYTES)) as pieces:
                async for piece in pieces:
                    size += len(piece)
                    if size > max_bytes:
                        raise _too_large(response, max_bytes)
                    await asyncio.to_thread(file.write, piece)
        await asyncio.to_thread(part.replace, path)
    finally:
        await asyncio.to_thread(part.unlink, missing_ok=True)
    return size


def _too_large(response: httpx.Response, max_bytes: int) -> BadStream:
    return BadStream(
        f"a file larger than {max_bytes} bytes",
        user_message="This file is larger than this site takes from a provider.",
        retryable=False,
        request_id=request_id_of(response.headers),
    )
