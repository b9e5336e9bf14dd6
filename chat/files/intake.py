"""Receives a file in slices, then makes it READY or REFUSED.

A slice joins at an offset, so an upload that broke off goes on where it stopped. What has arrived waits
under `partial/`; among the files there are only such as were inspected.

All of it blocks and touches the database: for views that run in threads.
"""

from __future__ import annotations

import logging
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.files import File
from django.core.files.base import ContentFile
from django.db.models import F, Q, Sum
from django.db.models.fields.files import FieldFile
from django.utils import timezone

from chat.files import limits
from chat.files.errors import Refused, StorageAway, WrongOffset, megabytes, quoted
from chat.files.inspect import Accepted, Inspected, clean_name, inspect, refuse_size
from chat.files.slices import private_copy, slices_of
from chat.files.storage import drop_bytes
from chat.models import Attachment

if TYPE_CHECKING:
    from chat.models import User

    BytesFile = File[bytes]
else:
    BytesFile = File  # not subscriptable when it runs

__all__ = ["Accepted", "Refused", "WrongOffset", "append_slice", "begin", "discard", "finish", "sweep"]

log = logging.getLogger(__name__)

Status = Attachment.Status


def begin(owner: User, name: str, size: int) -> Attachment:
    """Announce a file of `size` bytes. Raises Refused at once when it is too large, or too much for this person."""
    name = clean_name(name)
    refuse_size(size, quoted(name))
    attachment = Attachment.objects.create(owner=owner, name=name, size=size)
    # Counted with the new row: of many files that are announced at once none is overlooked.
    kept = _kept_bytes(owner)
    if kept > settings.FILES_PER_PERSON_BYTES:
        attachment.delete()
        raise Refused(
            f"There is no room for {quoted(name)}: your files take {megabytes(kept - size)} of "
            f"{megabytes(settings.FILES_PER_PERSON_BYTES)}. Delete some that you no longer need, then attach it again."
        )
    return attachment


def append_slice(attachment: Attachment, offset: int, chunk: bytes) -> Attachment:
    """Add the bytes that start at `offset`. A slice that has arrived already is accepted and left alone.

    The attachment is one that was just read, and is kept up to date. Raises WrongOffset when it does not join, and Refused
    when there is more of it than was announced.
    """
    _refuse_excess(attachment, offset, chunk)
    if offset + len(chunk) <= attachment.received:
        return attachment
    _require_arrived_bytes(attachment)
    if offset != attachment.received or attachment.status != Status.UPLOADING:
        raise WrongOffset(attachment.received)
    slices_of(attachment).write(attachment, offset, chunk)
    # Of two requests with the same slice both have written the same bytes, and one moves the row on.
    unmoved = Attachment.objects.filter(pk=attachment.pk, status=Status.UPLOADING, received=offset)
    if unmoved.update(received=offset + len(chunk)):
        attachment.received = offset + len(chunk)
        return attachment
    attachment.refresh_from_db()
    if attachment.status in (Status.READY, Status.REFUSED):  # by the other one: what was just written is of no more use
        slices_of(attachment).drop(attachment)
    return attachment


def finish(attachment: Attachment, accepted: Accepted | None = None) -> Attachment:
    """Inspect what has arrived and make the attachment READY or REFUSED; its status says which.

    `accepted` is what is taken besides PDF and the usual images. Raises WrongOffset when bytes are missing. Of
    several calls one does the work; a later one returns what it finds, which is CHECKING while the first is at it.
    """
    now = timezone.now()
    # One that a server began to check and did not live to end is checked again.
    cut_off = Q(status=Status.CHECKING, checking_since__lt=now - timedelta(seconds=limits.CHECK_SECONDS))
    claimable = Attachment.objects.filter(Q(status=Status.UPLOADING) | cut_off, pk=attachment.pk, received=F("size"))
    claimed = claimable.update(status=Status.CHECKING, checking_since=now)
    attachment.refresh_from_db()
    if claimed:
        _check(attachment, accepted)
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
    stale = Attachment.objects.filter(
        status__in=unfinished, created_at__lt=timezone.now() - older_than, turns=None, made_by=None
    )
    discarded = 0
    for attachment in stale:
        discard(attachment)
        discarded += 1
    return discarded


def _kept_bytes(owner: User) -> int:
    kept = Attachment.objects.filter(owner=owner, forgotten_at=None).exclude(status=Status.REFUSED)
    return kept.aggregate(bytes=Sum("size"))["bytes"] or 0


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
        # Unless another request has moved it on, and what had arrived with it.
        counted = Attachment.objects.filter(pk=attachment.pk, status=Status.UPLOADING, received=attachment.received)
        counted.update(received=arrived)
        attachment.refresh_from_db()


def _check(attachment: Attachment, accepted: Accepted | None) -> None:
    slices = slices_of(attachment)
    # A request that is still writing may change what has arrived: what is inspected and kept is a private copy.
    private = private_copy(attachment)
    try:
        if not slices.gather(attachment, private):
            raise Refused(f"{quoted(attachment.name)} did not arrive whole. Attach it again.")
        _accept(attachment, private, inspect(private, attachment.name, accepted))
    except Refused as refusal:
        _refuse(attachment, refusal.sentence)
    except StorageAway:
        _leave_for_later(attachment)
        raise
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
    facts = asdict(found)
    del facts["thumbnail"]
    _settle(attachment, status=Status.READY, file=attachment.file.name, thumbnail=attachment.thumbnail.name, **facts)


def _refuse(attachment: Attachment, sentence: str) -> None:
    _settle(attachment, status=Status.REFUSED, refusal=sentence)
    slices_of(attachment).drop(attachment)


def _leave_for_later(attachment: Attachment) -> None:
    """The slices stay where they are: when the storage is back, the page asks again."""
    _settle(attachment, status=Status.UPLOADING)


def _settle(attachment: Attachment, **outcome: Any) -> None:
    """Store how the check ended, once: it may have been discarded meanwhile, or checked by another server.

    What was stored of it, and is not the outcome, is deleted.
    """
    checked = Attachment.objects.filter(pk=attachment.pk, status=Status.CHECKING)
    checked.update(**outcome, checking_since=None)
    row = Attachment.objects.filter(pk=attachment.pk).first()
    for name in ("file", "thumbnail"):
        stored = getattr(attachment, name)
        if stored and (row is None or getattr(row, name).name != stored.name):
            _delete(stored)
    if row is not None:
        attachment.refresh_from_db()


def _delete(stored: FieldFile) -> None:
    try:
        stored.delete(save=False)
    except StorageAway:
        log.warning("what is stored as %s could not be deleted", stored.name)
