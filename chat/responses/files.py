"""Files at the provider: what goes up, what is there, and what comes down."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .content import multipart_body
from .sender import Sender, quoted


class FileOperations(Sender):
    """The operations on files and on the containers of the code interpreter."""

    async def upload_file(
        self, path: Path, filename: str, media_type: str, purpose: str | None = None
    ) -> dict[str, Any]:
        """The file object of a new file, whose bytes go up straight from disk. Its status may be `uploaded` still."""
        purpose = purpose or self.endpoint.dialect.file_purpose
        return await self._json("POST", "files", multipart_body({"purpose": purpose}, path, filename, media_type))

    async def retrieve_file(self, file_id: str) -> dict[str, Any]:
        return await self._json("GET", f"files/{quoted(file_id)}")

    async def delete_file(self, file_id: str) -> None:
        await self._call("DELETE", f"files/{quoted(file_id)}")
