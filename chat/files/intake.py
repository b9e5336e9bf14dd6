"""Receives a file in slices, then makes it READY or REFUSED.

A slice joins at an offset, so an upload that broke off goes on where it stopped. What has arrived waits
under `partial/`; among the files there are only such as were inspected.

All of it blocks and touches the database: for views that run in threads.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.db import DatabaseError, transaction
from django.db.models import F
from django.utils import timezone

from chat.files.errors import Refused, StorageAway, WrongOffset, quoted
from chat.files.inspect import Inspected, clean_name, inspect, refuse_size
from chat.files.slices import private_copy, slices_of
from chat.files.storage import drop_bytes
from chat.models import Attachment

if TYPE_CHECKING:
    from chat.models import User

    BytesFile = File[bytes]
else:
    BytesFile = File  # not subscriptable when it runs

__all__ = ["Refused", "WrongOffset", "append_slice", "begin", "discard", "finish", "sweep"]

log = logging.getLogger(__name__)

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
    slices_of(attachment).write(attachment, offset, chunk)
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
    slices_of(attachment).drop(attachment)
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
    arrived = slices_of(attachment).arrived(attachment)
    if attachment.status == Status.UPLOADING and arrived < attachment.received:
        attachment.received = arrived
        attachment.save(update_fields=["received"])


def _check(attachment: Attachment) -> None:
    slices = slices_of(attachment)
    # A request that is still writing may change what has arrived: what is inspected and kept is a private copy.
    private = private_copy(attachment)
    try:
        if not slices.gather(attachment, private):
            raise Refused(f"{quoted(attachment.name)} did not arrive whole. Attach it again.")
        _accept(attachment, private, inspect(private, attachment.name))
    except Refused as refusal:
        _refuse(attachment, refusal.sentence)
    except BaseException:
        _refuse(attachment, f"{quoted(attachment.name)} could not be checked. Attach it again.")
        raise
    finally:
        private.unlink(missing_ok=True)
        slices.drop(attachment)


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
    try:
        drop_bytes(attachment)
    except StorageAway:
        log.warning("what is stored of %s could not be deleted", attachment.pk)
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
