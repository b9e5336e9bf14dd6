"""Receives a file in slices, then makes it READY or REFUSED.

A slice joins at an offset, so an upload that broke off goes on where it stopped. What has arrived waits
under MEDIA_ROOT/partial; storage only ever sees files that were inspected.

All of it blocks and touches the database: for views that run in threads.
"""

from __future__ import annotations

import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from chat.files.errors import Refused, WrongOffset, quoted
from chat.files.inspect import Inspected, clean_name, inspect, refuse_size
from chat.files.storage import drop_bytes
from chat.models import Attachment

if TYPE_CHECKING:
    from chat.models import User

    BytesFile = File[bytes]
else:
    BytesFile = File  # not subscriptable when it runs

__all__ = ["Refused", "WrongOffset", "append_slice", "begin", "discard", "finish", "sweep"]

Status = Attachment.Status


def begin(owner: User, name: str, size: int) -> Attachment:
    """Announce a file of `size` bytes. Raises Refused at once when no file of that size is accepted."""
    name = clean_name(name)
    refuse_size(size, quoted(name))
    return Attachment.objects.create(owner=owner, name=name, size=size)


def append_slice(attachment: Attachment, offset: int, chunk: bytes) -> Attachment:
    """Add the bytes that start at `offset`. A slice that has arrived already is accepted and left alone.

    Raises WrongOffset when it does not join, and Refused when there is more of it than was announced.
    """
    attachment.refresh_from_db()
    _refuse_excess(attachment, offset, chunk)
    if offset + len(chunk) <= attachment.received:
        return attachment
    _require_arrived_bytes(attachment)
    if offset != attachment.received or attachment.status != Status.UPLOADING:
        raise WrongOffset(attachment.received)
    _write(_partial(attachment), offset, chunk)
    # Of two requests with the same slice both have written the same bytes, and one moves the row on.
    unmoved = Attachment.objects.filter(pk=attachment.pk, status=Status.UPLOADING, received=offset)
    unmoved.update(received=offset + len(chunk))
    attachment.refresh_from_db()
    return attachment


def finish(attachment: Attachment) -> Attachment:
    """Inspect what has arrived and make the attachment READY or REFUSED; its status says which.

    Raises WrongOffset when bytes are missing. Of several calls one does the work; a later one returns what
    it finds, which is CHECKING while the first is at it.
    """
    whole = Attachment.objects.filter(pk=attachment.pk, status=Status.UPLOADING, received=F("size"))
    claimed = whole.update(status=Status.CHECKING)
    attachment.refresh_from_db()
    if claimed:
        _check(attachment)
    elif attachment.status == Status.UPLOADING:
        raise WrongOffset(attachment.received)
    return attachment


def discard(attachment: Attachment) -> None:
    """Delete the row and all bytes. For one that no turn shows."""
    _partial(attachment).unlink(missing_ok=True)
    drop_bytes(attachment)
    attachment.delete()


def sweep(older_than: timedelta) -> int:
    """Discard uploads that nobody finished, and refused ones; returns how many."""
    unfinished = (Status.UPLOADING, Status.CHECKING, Status.REFUSED)
    stale = Attachment.objects.filter(status__in=unfinished, created_at__lt=timezone.now() - older_than, turns=None)
    discarded = 0
    for attachment in stale:
        discard(attachment)
        discarded += 1
    return discarded


def _partial(attachment: Attachment) -> Path:
    return Path(settings.MEDIA_ROOT) / "partial" / attachment.pk.hex


def _refuse_excess(attachment: Attachment, offset: int, chunk: bytes) -> None:
    called = quoted(attachment.name)
    if attachment.status == Status.REFUSED:
        raise Refused(attachment.refusal)
    if len(chunk) > settings.FILE_SLICE_BYTES or offset < 0:
        raise Refused(f"{called} was not uploaded as this page does it. Reload the page and attach it again.")
    if offset + len(chunk) > attachment.size:
        raise Refused(f"{called} changed while it was uploaded. Attach it again.")


def _require_arrived_bytes(attachment: Attachment) -> None:
    """Take back what the row counts and the disk has lost, so that the upload goes on from there."""
    path = _partial(attachment)
    on_disk = path.stat().st_size if path.exists() else 0
    if attachment.status == Status.UPLOADING and on_disk < attachment.received:
        attachment.received = on_disk
        attachment.save(update_fields=["received"])


def _write(path: Path, offset: int, chunk: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb") as file:
        file.seek(offset)
        file.write(chunk)


def _check(attachment: Attachment) -> None:
    partial = _partial(attachment)
    # A request that is still writing has the partial open: what is inspected and kept is a private copy.
    private = partial.with_suffix(".checking")
    try:
        _copy_whole(partial, private, attachment)
        _accept(attachment, private, inspect(private, attachment.name))
    except Refused as refusal:
        _refuse(attachment, refusal.sentence)
    except BaseException:
        _refuse(attachment, f"{quoted(attachment.name)} could not be checked. Attach it again.")
        raise
    finally:
        partial.unlink(missing_ok=True)
        private.unlink(missing_ok=True)


def _copy_whole(partial: Path, private: Path, attachment: Attachment) -> None:
    if not partial.exists() or partial.stat().st_size != attachment.size:
        raise Refused(f"{quoted(attachment.name)} did not arrive whole. Attach it again.")
    shutil.copyfile(partial, private)


class _Movable(BytesFile):
    """A file that a storage on the same disk takes over by renaming it, as Django does with its uploads."""

    def temporary_file_path(self) -> str:
        return str(self.name)


def _accept(attachment: Attachment, path: Path, found: Inspected) -> None:
    with path.open("rb") as file:
        attachment.file.save(path.name, _Movable(file, name=str(path)), save=False)
    if found.thumbnail is not None:
        attachment.thumbnail.save(path.name, ContentFile(found.thumbnail), save=False)
    attachment.media_type, attachment.size, attachment.sha256 = found.media_type, found.size, found.sha256
    attachment.pages, attachment.width, attachment.height = found.pages, found.width, found.height
    attachment.status = Status.READY
    _save(attachment)


def _refuse(attachment: Attachment, sentence: str) -> None:
    drop_bytes(attachment)
    attachment.status, attachment.refusal = Status.REFUSED, sentence
    _save(attachment)


def _save(attachment: Attachment) -> None:
    """Save, unless it was discarded while it was checked: a plain save would bring the row back."""
    try:
        with transaction.atomic():
            attachment.save(force_update=True)
    except DatabaseError:
        if Attachment.objects.filter(pk=attachment.pk).exists():
            raise
        drop_bytes(attachment)
