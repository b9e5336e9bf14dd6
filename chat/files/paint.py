"""A page of a PDF as a picture for the preview: painted when somebody first looks at it, then kept in storage.

A `painter` does it, of which there are few; who asks waits in line, and one who leaves meanwhile leaves the line.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

from django.core.files.base import ContentFile
from django.core.files.storage import Storage
from django.db.models.fields.files import FieldFile

from chat.files import limits
from chat.files.errors import Refused, quoted
from chat.files.inspect import PDF
from chat.files.painter import Painter
from chat.files.storage import on_disk, pages_folder
from chat.models import Attachment

__all__ = ["Refused", "has_page", "page"]

_threads = ThreadPoolExecutor(limits.PAINTERS, thread_name_prefix="painter")
_own = threading.local()


def has_page(attachment: Attachment, number: int, width: int) -> bool:
    """Whether this is a page of it that is painted, in a width in which pages are."""
    is_there = attachment.status == Attachment.Status.READY and bool(attachment.file) and not attachment.forgotten_at
    is_page = attachment.media_type == PDF and 1 <= number <= (attachment.pages or 0)
    return is_there and is_page and width in limits.PAGE_WIDTHS


async def page(attachment: Attachment, number: int, width: int) -> FieldFile:
    """The picture in storage, a WEBP. Asks the database nothing.

    Raises Refused when it cannot be painted, FileNotFoundError when the bytes are gone, and StorageAway.
    """
    return await asyncio.get_running_loop().run_in_executor(_threads, _page, attachment, number, width)


def _page(attachment: Attachment, number: int, width: int) -> FieldFile:
    kept = FieldFile(attachment, attachment.thumbnail.field, f"{pages_folder(attachment)}/{number}-{width}.webp")
    if not _is_stored(kept):
        with on_disk(attachment) as path:
            picture = _painter().paint(path, number, width, called=quoted(attachment.name))
        # Under another name, should a second process have painted it meanwhile: it is deleted with the others.
        kept.name = kept.storage.save(str(kept.name), ContentFile(picture))
        if not _is_stored(attachment.file):
            # It was deleted while it was painted.
            kept.storage.delete(kept.name)
            raise FileNotFoundError(attachment.file.name)
        _keep_some(kept.storage, pages_folder(attachment), number)
    return kept


def _keep_some(storage: Storage, folder: str, number: int) -> None:
    """Of a long document only the pictures around the page that was looked at last: they count for nobody's quota."""
    _, names = storage.listdir(folder)
    names.sort(key=lambda name: abs(int(name.partition("-")[0]) - number))
    for name in names[limits.PAGES_KEPT :]:
        storage.delete(f"{folder}/{name}")


def _is_stored(file: FieldFile) -> bool:
    try:
        file.storage.size(str(file.name))
    except FileNotFoundError:
        return False
    return True


def _painter() -> Painter:
    """This thread's own."""
    if not hasattr(_own, "painter"):
        _own.painter = Painter()
    painter: Painter = _own.painter
    return painter
