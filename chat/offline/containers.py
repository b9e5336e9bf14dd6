"""Containers of the code interpreter: named shelves of files that are cleared when nobody uses them.

Nothing runs in them. `recipes` reads what lies there and puts results beside it, as code would.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from .store import Blob, Store, StoredFile, new_id
from .wires import Json, WireError, bad_value, unknown_file

FOLDER = "/mnt/data/"
IDLE_MINUTES = 20
MAX_CONTAINERS = 500
MAX_FILES = 200  # in one container


@dataclass(frozen=True)
class ContainerFile:
    id: str
    container_id: str
    blob: Blob
    path: str
    source: str
    """`user` for what was given, `assistant` for what was made."""
    created_at: int

    @property
    def name(self) -> str:
        return self.path.removeprefix(FOLDER)

    def payload(self) -> Json:
        return {
            "id": self.id,
            "object": "container.file",
            "container_id": self.container_id,
            "path": self.path,
            "bytes": self.blob.size,
            "created_at": self.created_at,
            "source": self.source,
        }


@dataclass
class Container:
    id: str
    name: str
    minutes: int
    memory_limit: str
    created_at: int
    last_active_at: float
    files: OrderedDict[str, ContainerFile] = field(default_factory=OrderedDict)

    def named(self, name: str) -> ContainerFile | None:
        return next((file for file in self.files.values() if file.name == name), None)


class Containers:
    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock
        self._all: OrderedDict[str, Container] = OrderedDict()
        self._lock = threading.RLock()  # answers are worked out in threads

    def create(
        self, name: str, minutes: int = IDLE_MINUTES, memory_limit: str = "1g", file_ids: Iterable[str] = ()
    ) -> Container:
        """Make a container with uploaded files in it. Raises WireError."""
        uploads = [self._upload(file_id) for file_id in file_ids]
        now = self._clock()
        with self._lock:
            container = Container(new_id("cntr_"), name, minutes, memory_limit, int(now), now)
            self._all[container.id] = container
            while len(self._all) > MAX_CONTAINERS:
                self._all.popitem(last=False)
            for upload in uploads:
                self.put(container, upload.blob, upload.filename, "user")
            return container

    def get(self, container_id: str) -> Container:
        """Find a container, expired or not; raises WireError. What was idle for too long has lost its files."""
        with self._lock:
            container = self._all.get(container_id)
            if container is None:
                raise WireError(404, f"Container with id '{container_id}' not found.")
            if self.has_expired(container):
                container.files.clear()
            return container

    def use(self, container_id: str) -> Container:
        """Find a container to work in, which keeps it alive. Raises WireError."""
        container = self.get(container_id)
        if self.has_expired(container):
            raise WireError(400, "Container is expired.", code="container_expired")
        container.last_active_at = self._clock()
        return container

    def has_expired(self, container: Container) -> bool:
        return self._clock() - container.last_active_at >= container.minutes * 60

    def is_alive(self, container_id: str | None) -> bool:
        container = self._all.get(container_id or "")
        return container is not None and not self.has_expired(container)

    def delete(self, container_id: str) -> None:
        self.get(container_id)
        with self._lock:
            self._all.pop(container_id, None)

    def listed(self) -> list[Container]:
        return [self.get(container_id) for container_id in list(self._all)]

    def payload(self, container: Container) -> Json:
        return {
            "id": container.id,
            "object": "container",
            "name": container.name,
            "status": "expired" if self.has_expired(container) else "running",
            "created_at": container.created_at,
            "last_active_at": int(container.last_active_at),
            "expires_after": {"anchor": "last_active_at", "minutes": container.minutes},
            "memory_limit": container.memory_limit,
        }

    # Files

    def put(self, container: Container, blob: Blob, name: str, source: str) -> ContainerFile:
        """Lay a file into the container; one of the same name is replaced."""
        name = re.sub(r"[^\w.() -]", "_", name.replace("\\", "/").rpartition("/")[2]).strip(". ") or "file"
        with self._lock:
            known = container.named(name)
            if known is not None:
                del container.files[known.id]
            file = ContainerFile(new_id("cfile_"), container.id, blob, FOLDER + name, source, int(self._clock()))
            container.files[file.id] = file
            while len(container.files) > MAX_FILES:
                container.files.popitem(last=False)
            return file

    def write(self, container: Container, data: bytes, name: str, media_type: str) -> ContainerFile:
        """Lay down what was made here."""
        return self.put(container, self._store.put(data, media_type), name, "assistant")

    def copy(self, container: Container, file_id: str) -> ContainerFile:
        """Lay an uploaded file into the container, under its own name. Raises WireError."""
        upload = self._upload(file_id)
        known = container.named(upload.filename)
        if known is not None and known.blob.sha256 == upload.blob.sha256:
            return known
        return self.put(container, upload.blob, upload.filename, "user")

    def _upload(self, file_id: str) -> StoredFile:
        stored = self._store.file(file_id)
        if stored is None:
            raise unknown_file(file_id, status=400)
        return stored

    def file(self, container_id: str, file_id: str) -> ContainerFile:
        """Find a file in a container; raises WireError."""
        found = self.get(container_id).files.get(file_id)
        if found is None or not found.blob.path.exists():
            raise WireError(404, f"Container file with id '{file_id}' not found.")
        return found


def check_new(body: Json) -> tuple[str, int, str, list[str]]:
    """Read the body of a request for a container: its name, idle minutes, memory limit, files. Raises WireError."""
    name = body.get("name")
    if not isinstance(name, str) or not name:
        raise bad_value("name", "Missing required parameter: 'name'.", "missing_required_parameter")
    expiry = body.get("expires_after")
    minutes = expiry.get("minutes") if isinstance(expiry, dict) else IDLE_MINUTES
    if isinstance(minutes, bool) or not isinstance(minutes, int) or not 1 <= minutes <= IDLE_MINUTES:
        text = f"Invalid 'expires_after.minutes': expected a whole number from 1 to {IDLE_MINUTES}."
        raise bad_value("expires_after.minutes", text)
    memory = body.get("memory_limit") or "1g"
    if memory not in ("1g", "4g", "16g", "64g"):
        raise bad_value("memory_limit", f"Invalid value: '{memory}'. Supported values are: '1g', '4g', '16g', '64g'.")
    file_ids = body.get("file_ids") or []
    if not isinstance(file_ids, list) or not all(isinstance(file_id, str) for file_id in file_ids):
        raise bad_value("file_ids", "Invalid type for 'file_ids': expected a list of ids.", "invalid_type")
    return name, minutes, memory, file_ids
