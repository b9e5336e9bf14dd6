"""An attachment's bytes, wherever the default storage keeps them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from django.core.files.storage import Storage

from chat.models import Attachment


@contextmanager
def on_disk(attachment: Attachment) -> Iterator[Path]:
    """A local path to the bytes: the stored file itself, or a copy for the time of the block.

    The path is for reading. Raises FileNotFoundError when the bytes are gone.
    """
    if not attachment.file:
        raise FileNotFoundError(f"nothing is stored of {attachment.pk}")
    path = _local_path(attachment)
    if path is not None:
        yield path
        return
    with tempfile.NamedTemporaryFile(prefix="attachment-") as copy:
        # Not the field's own `open`: it keeps the file, and opens one that was closed only from a disk.
        with attachment.file.storage.open(str(attachment.file.name), "rb") as stored:
            shutil.copyfileobj(stored, copy)
        copy.flush()
        yield Path(copy.name)


def has_paths(storage: Storage) -> bool:
    try:
        storage.path("any")
    except NotImplementedError:  # how a storage says that it is no file system
        return False
    return True


def _local_path(attachment: Attachment) -> Path | None:
    return Path(attachment.file.path) if has_paths(attachment.file.storage) else None


def drop_bytes(attachment: Attachment) -> None:
    """Delete what storage holds of it; the row is the caller's to save or delete."""
    for field in (attachment.file, attachment.thumbnail):
        if field:
            field.delete(save=False)
    if attachment.pages:
        _drop_folder(attachment.thumbnail.storage, pages_folder(attachment))


def pages_folder(attachment: Attachment) -> str:
    """Where the pages of a PDF lie that were painted for its preview."""
    return f"pages/{attachment.pk.hex[:2]}/{attachment.pk}"


def _drop_folder(storage: Storage, folder: str) -> None:
    try:
        _, names = storage.listdir(folder)
    except FileNotFoundError:  # nobody has looked at a page
        return
    # The folder last: a disk has one, and a bucket does not mind.
    for name in (*(f"{folder}/{name}" for name in names), folder):
        storage.delete(name)
