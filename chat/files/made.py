"""Keeps what a model made: the bytes that came from a provider become those of an attachment.

It is looked into as an upload is. What is of no known kind, or broken, is kept as well, for download alone: nobody here
chose it, and the person can only be told the truth about it.

All of it blocks, and none of it touches the database.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from django.core.files import File
from django.core.files.base import ContentFile

from chat.files import limits, trial
from chat.files.errors import Refused
from chat.files.inspect import Inspected, inspect
from chat.files.kinds import EVERYTHING
from chat.models import Attachment

UNKNOWN = "application/octet-stream"
MOST_PREVIEW_BYTES = 100_000  # of a picture of 480 pixels: it goes to the page in a frame


def keep(attachment: Attachment, path: Path) -> dict[str, Any]:
    """Store the bytes and a thumbnail; return the fields of the row that follow. Raises StorageAway."""
    found = _looked_into(path, attachment.name)
    fields = asdict(replace(found, thumbnail=None, title=attachment.title or found.title))
    del fields["thumbnail"]
    with path.open("rb") as file:
        attachment.file.save(path.name, File(file), save=False)
    if found.thumbnail is not None:
        attachment.thumbnail.save(path.name, ContentFile(found.thumbnail), save=False)
    return {
        **fields,
        "received": found.size,
        "file": attachment.file.name,
        "thumbnail": attachment.thumbnail.name or "",
        "status": Attachment.Status.READY,
    }


def preview(path: Path) -> bytes:
    """A picture that is still being made, as a small WEBP; nothing where it cannot be read."""
    try:
        _, small = trial.perform("picture", path, called="This picture", seconds=limits.IMAGE_SECONDS)
    except Refused:
        return b""
    return small if len(small) <= MOST_PREVIEW_BYTES else b""


def _looked_into(path: Path, name: str) -> Inspected:
    try:
        return inspect(path, name, EVERYTHING)
    except Refused:
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        return Inspected(UNKNOWN, path.stat().st_size, sha256)
