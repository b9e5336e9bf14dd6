"""What has arrived of a file that is not whole yet.

Beside the stored files, so that the next slice may come to another process: on the disk as one growing file, or in
object storage as one object a slice, since objects cannot grow.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path
from typing import Protocol

from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import Storage

from chat.files.storage import has_paths
from chat.models import Attachment

FOLDER = "partial"


class Slices(Protocol):
    def arrived(self, attachment: Attachment) -> int:
        """How many bytes are here, from the first on."""

    def write(self, attachment: Attachment, offset: int, chunk: bytes) -> None: ...

    def gather(self, attachment: Attachment, path: Path) -> bool:
        """Make the whole file of them at `path`; False when some are missing."""

    def drop(self, attachment: Attachment) -> None: ...


def slices_of(attachment: Attachment) -> Slices:
    storage = attachment.file.storage
    return OnDisk() if has_paths(storage) else InStorage(storage)


def private_copy(attachment: Attachment) -> Path:
    """Where the whole file lies while it is looked into. On the disk of the stored files, which take it over.

    Another each time: a check that was given up for lost may still be at it.
    """
    return _local(attachment).with_suffix(f".{uuid.uuid4().hex}")


def _local(attachment: Attachment) -> Path:
    folder = Path(settings.MEDIA_ROOT) / FOLDER
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder / attachment.pk.hex


class OnDisk:
    def arrived(self, attachment: Attachment) -> int:
        path = _local(attachment)
        return path.stat().st_size if path.exists() else 0

    def write(self, attachment: Attachment, offset: int, chunk: bytes) -> None:
        with os.fdopen(os.open(_local(attachment), os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
            file.seek(offset)
            file.write(chunk)

    def gather(self, attachment: Attachment, path: Path) -> bool:
        if self.arrived(attachment) != attachment.size:
            return False
        shutil.copyfile(_local(attachment), path)
        return True

    def drop(self, attachment: Attachment) -> None:
        _local(attachment).unlink(missing_ok=True)


class InStorage:
    """Each object is named by the offset at which it begins."""

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def arrived(self, attachment: Attachment) -> int:
        return attachment.received  # not asked for with each slice; what is missing is found in the end

    def write(self, attachment: Attachment, offset: int, chunk: bytes) -> None:
        name = f"{self._folder(attachment)}/{offset:015d}"
        self.storage.delete(name)  # of two requests with the same slice, the later one's
        self.storage.save(name, ContentFile(chunk))

    def gather(self, attachment: Attachment, path: Path) -> bool:
        with path.open("wb") as whole:
            for name in self._names(attachment):
                offset = int(name)
                if offset > whole.tell():
                    break
                # A slice that was sent again from the same offset, but longer, overlaps the next: same file, same bytes.
                whole.seek(offset)
                with self.storage.open(f"{self._folder(attachment)}/{name}") as piece:
                    shutil.copyfileobj(piece, whole)
            return whole.seek(0, os.SEEK_END) == attachment.size

    def drop(self, attachment: Attachment) -> None:
        for name in self._names(attachment):
            self.storage.delete(f"{self._folder(attachment)}/{name}")

    def _names(self, attachment: Attachment) -> list[str]:
        return sorted(self.storage.listdir(self._folder(attachment))[1])

    def _folder(self, attachment: Attachment) -> str:
        return f"{FOLDER}/{attachment.pk.hex}"
