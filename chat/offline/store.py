"""What the engine remembers: responses in memory, files in a temporary folder, both with a ceiling."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from .wires import Json

MAX_RESPONSES = 4_000
MAX_EVENT_LOGS = 100  # logs of background streams; a response older than these can be polled, not replayed
MAX_FILES = 1_000
MAX_FILE_BYTES = 50 * 1024 * 1024
MAX_FOLDER_BYTES = 2 * 1024 * 1024 * 1024


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(16)


@dataclass(frozen=True)
class Blob:
    """Bytes that arrived in a request or an upload, on disk under their hash."""

    path: Path
    sha256: str
    size: int
    media_type: str


@dataclass
class StoredFile:
    id: str
    blob: Blob
    filename: str
    purpose: str
    created_at: int
    expires_at: int | None = None

    def payload(self) -> Json:
        return {
            "id": self.id,
            "object": "file",
            "bytes": self.blob.size,
            "created_at": self.created_at,
            "filename": self.filename,
            "purpose": self.purpose,
            "status": "processed",
            "expires_at": self.expires_at,
            "status_details": None,
        }


@dataclass(eq=False)
class Kept:
    """One response and what led to it. Holding `previous` keeps a chain whole when an ancestor is deleted."""

    payload: Json
    new_items: list[Json]
    previous: Kept | None = None
    log: EventLog | None = None
    task: asyncio.Task[None] | None = None

    @property
    def id(self) -> str:
        return str(self.payload["id"])

    def chain(self) -> Iterator[Kept]:
        """Yield the responses before and including this one, oldest first."""
        links = []
        link: Kept | None = self
        while link is not None:
            links.append(link)
            link = link.previous
        return reversed(links)


class EventLog:
    """The events of a background response, for readers that come, go and resume."""

    def __init__(self) -> None:
        self.events: list[Json] = []
        self.closed = False
        self._changed = asyncio.Event()

    def add(self, event: Json) -> None:
        self.events.append(event)
        self._wake()

    def close(self) -> None:
        self.closed = True
        self._wake()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()

    async def wait(self) -> None:
        await self._changed.wait()

    def unfinished(self) -> list[Json]:
        """The item that was being written when the response was cancelled, with its text so far."""
        item: Json | None = None
        deltas: list[str] = []
        for event in self.events:
            if event["type"] == "response.output_item.added":
                item, deltas = event["item"], []
            elif event["type"] == "response.output_item.done":
                item = None
            elif event["type"].endswith(".delta"):
                deltas.append(event["delta"])
        if item is None or item["type"] != "message":
            return []
        part = {"type": "output_text", "text": "".join(deltas), "annotations": [], "logprobs": []}
        return [{**item, "content": [part]}]


class Store:
    def __init__(self) -> None:
        self.responses: OrderedDict[str, Kept] = OrderedDict()
        self.files: OrderedDict[str, StoredFile] = OrderedDict()
        self._blobs: OrderedDict[str, Blob] = OrderedDict()
        self._folder: Path | None = None
        self._bytes = 0
        self._lock = threading.RLock()

    def keep(self, kept: Kept) -> None:
        self.responses[kept.id] = kept
        while len(self.responses) > MAX_RESPONSES:
            self.responses.popitem(last=False)
        logged = [other for other in self.responses.values() if other.log is not None and other.log.closed]
        for other in logged[:-MAX_EVENT_LOGS]:
            other.log = None

    def forget(self, response_id: str) -> Kept | None:
        return self.responses.pop(response_id, None)

    def add_file(self, prefix: str, blob: Blob, filename: str, purpose: str, lifetime: int | None) -> StoredFile:
        now = int(time.time())
        expires_at = now + lifetime if lifetime else None
        stored = StoredFile(new_id(prefix), blob, filename, purpose, now, expires_at)
        self.files[stored.id] = stored
        while len(self.files) > MAX_FILES:
            self.files.popitem(last=False)
        return stored

    def file(self, file_id: str) -> StoredFile | None:
        """Find a file that has not expired and whose bytes have not left over the ceiling."""
        stored = self.files.get(file_id)
        if stored is None:
            return None
        expired = stored.expires_at is not None and stored.expires_at <= time.time()
        if expired or not stored.blob.path.exists():
            del self.files[file_id]
            return None
        return stored

    @property
    def folder(self) -> Path:
        """A private folder, made when the first file comes and removed with this store.

        Made again if a cleaner of temporary folders took it: an engine runs for weeks.
        """
        with self._lock:
            if self._folder is not None and self._folder.is_dir():
                return self._folder
            self._blobs.clear()
            self._bytes = 0
            self._folder = Path(tempfile.mkdtemp(prefix="embedded-engine-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
            return self._folder

    def scratch(self) -> Path:
        """Name a new file in the folder, to be written and then given to `adopt`."""
        return self.folder / new_id("part-")

    def put(self, data: bytes, media_type: str) -> Blob:
        path = self.scratch()
        path.write_bytes(data)
        return self.adopt(path, hashlib.sha256(data).hexdigest(), len(data), media_type)

    def adopt(self, path: Path, sha256: str, size: int, media_type: str) -> Blob:
        """Take a written file in under its hash. The same bytes are kept once; the oldest leave over the ceiling."""
        with self._lock:  # large request bodies are taken in by threads
            known = self._blobs.get(sha256)
            if known is not None:
                path.unlink()
                self._blobs.move_to_end(sha256)
                return Blob(known.path, sha256, size, media_type)
            blob = Blob(path.rename(self.folder / sha256), sha256, size, media_type)
            self._blobs[sha256] = blob
            self._bytes += size
            while self._bytes > MAX_FOLDER_BYTES and len(self._blobs) > 1:
                _, oldest = self._blobs.popitem(last=False)
                oldest.path.unlink(missing_ok=True)
                self._bytes -= oldest.size
            return blob
