"""Some pages of a PDF as a file of its own, for a document that is longer than a model can read."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

from django.conf import settings

from chat.files import intake, pdf
from chat.files.errors import Refused, quoted
from chat.files.storage import on_disk
from chat.models import Attachment

_RANGE = re.compile(r"\s*(\d{1,6})(?:\s*[-\u2013\u2014]\s*(\d{1,6}))?\s*")


def pages_of(text: str, attachment: Attachment) -> tuple[int, int]:
    """The first and the last page that a person wrote, such as 3-10. Raises Refused."""
    last_page = attachment.pages or 0
    match = _RANGE.fullmatch(text)
    if match is None:
        raise Refused("Write the first and the last page, such as 3-10.")
    first = int(match[1])
    last = int(match[2] or first)
    if first > last:
        first, last = last, first
    if not 1 <= first <= last <= last_page:
        raise Refused(f"{quoted(attachment.name)} has the pages 1 to {last_page:,}. Write two of them, such as 1-10.")
    return first, last


def excerpt(attachment: Attachment, first: int, last: int) -> Attachment:
    """A new file with these pages, counted from 1, checked as every other one. Raises Refused and StorageAway.

    Blocks, for as long as copying pages and looking into them takes.
    """
    called = quoted(attachment.name)
    with tempfile.TemporaryDirectory(prefix="excerpt-") as folder:
        target = Path(folder) / "excerpt.pdf"
        try:
            with on_disk(attachment) as path:
                pdf.copy_pages(path, target, first, last, called=called)
        except FileNotFoundError as error:
            raise Refused(f"{called} is no longer stored. Attach it again.") from error
        return _taken_in(attachment, target, _name(attachment.name, first, last))


def _taken_in(attachment: Attachment, path: Path, name: str) -> Attachment:
    taken = intake.begin(attachment.owner, name, path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(settings.FILE_SLICE_BYTES):
            taken = intake.append_slice(taken, taken.received, chunk)
    taken = intake.finish(taken)
    if taken.status == Attachment.Status.REFUSED:
        raise Refused(taken.refusal)
    return taken


def _name(name: str, first: int, last: int) -> str:
    stem, dot, ending = name.rpartition(".")
    stem, ending = (stem, ending) if dot else (name, "pdf")
    pages = f"page {first}" if first == last else f"pages {first}-{last}"
    return f"{stem} ({pages}).{ending}"
