"""The only module that enters pdfium: pages and their text, a title, a picture of the first page.

pdfium is not thread-safe, not even across documents, so one lock guards the process. It is let go between
pages, and handed on in turn: a long document delays a short one by a page, not by its length. Every handle
is closed inside the lock, because a finalizer that runs later would enter pdfium from any thread.

All functions block; async callers go through a thread. pdfium releases the GIL while it works.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from time import monotonic
from typing import Any

import pypdfium2
import pypdfium2.raw as raw
from PIL import Image

from chat.files import limits
from chat.files.errors import Refused, too_slow

# "\ufffe" is how pdfium marks a word that was hyphenated at the end of a line.
_HYPHENATION = re.compile("\ufffe[ \t]*\n?")
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f\ufffe\uffff\ud800-\udfff]")


class _Turnstile:
    """A lock that is handed on in turn.

    A plain lock that is released and taken at once by the same thread starves the others; here whoever
    came first waits in the gate, and a thread that comes again queues behind.
    """

    def __init__(self) -> None:
        self._gate = threading.Lock()
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        with self._gate:
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_pdfium = _Turnstile()


class _Document:
    """An open PDF with a budget of time; pdfium may be called inside `entered()` alone."""

    def __init__(self, path: Path, called: str, seconds: float) -> None:
        self.called = called
        self._seconds_left = seconds
        with self.entered():
            self.pdf = _load(path, called)

    @contextmanager
    def entered(self) -> Iterator[None]:
        if self._seconds_left <= 0:
            raise Refused(too_slow(self.called))
        with _pdfium:
            started = monotonic()
            try:
                yield
            except pypdfium2.PdfiumError as error:
                raise Refused(_broken(self.called)) from error
            finally:
                self._seconds_left -= monotonic() - started

    def texts(self) -> Iterator[str]:
        """The text of each page, in order."""
        with self.entered():
            pages = len(self.pdf)
        return map(self.text, range(1, pages + 1))

    def text(self, number: int) -> str:
        with self.entered(), _page(self, number - 1) as page, closing(page.get_textpage()) as textpage:
            text = textpage.get_text_range()
        return _tidy(text)

    def close(self) -> None:
        with _pdfium:
            self.pdf.close()


@dataclass(frozen=True)
class Survey:
    """What a document tells of itself. `text_pages` are those with text to read: none in a scan.

    Of one with more pages than the limit nothing but their number was read.
    """

    pages: int
    title: str = ""
    text_pages: int = 0
    text_characters: int = 0


def survey(path: Path, *, called: str = "This PDF", seconds: float = limits.PDF_SECONDS) -> tuple[Survey, bytes]:
    """Read the whole document once: the survey, and the thumbnail. `called` is how a refusal names it.

    Raises Refused for a document that is protected, broken or too slow; so do the other functions.
    """
    with closing(_Document(path, called, seconds)) as document:
        with document.entered():
            pages = len(document.pdf)
            title = document.pdf.get_metadata_value("Title")
        if pages > limits.PDF_MAX_PAGES:
            return Survey(pages), b""
        lengths = [len(text) for text in document.texts()]
        with document.entered():
            thumbnail = _thumbnail(document)
    return Survey(pages, _tidy(title), sum(map(bool, lengths)), sum(lengths)), thumbnail


def page_count(path: Path, *, called: str = "This PDF", seconds: float = limits.PDF_SECONDS) -> int:
    """Count the pages."""
    with closing(_Document(path, called, seconds)) as document, document.entered():
        return len(document.pdf)


def page_texts(path: Path, *, called: str = "This PDF", seconds: float = limits.PDF_SECONDS) -> list[str]:
    """The text of each page, in order; "" for a page without text, such as a scan."""
    with closing(_Document(path, called, seconds)) as document:
        return list(document.texts())


def texts_of(
    path: Path, numbers: Iterable[int], *, called: str = "This PDF", seconds: float = limits.PDF_SECONDS
) -> dict[int, str]:
    """The text of some pages, counted from 1; those that there are."""
    with closing(_Document(path, called, seconds)) as document:
        with document.entered():
            pages = len(document.pdf)
        return {number: document.text(number) for number in numbers if 1 <= number <= pages}


def thumbnail(path: Path, *, called: str = "This PDF", seconds: float = limits.PDF_SECONDS) -> bytes:
    """The first page as a small WEBP; of a page that paints for very long, what was painted in time."""
    with closing(_Document(path, called, seconds)) as document, document.entered():
        return _thumbnail(document)


def copy_pages(
    path: Path,
    target: Path,
    first: int,
    last: int,
    *,
    called: str = "This PDF",
    seconds: float = limits.PDF_SECONDS,
) -> None:
    """Write these pages, counted from 1, to `target` as a document of their own."""
    with closing(_Document(path, called, seconds)) as document:
        with document.entered():
            copy = pypdfium2.PdfDocument.new()
        try:
            with document.entered():  # at once: fonts that pages share are copied with each call
                copy.import_pages(document.pdf, list(range(first - 1, last)))
            with document.entered():
                copy.save(target)
        finally:
            with _pdfium:
                copy.close()


def _thumbnail(document: _Document) -> bytes:
    with _page(document, 0) as page:
        picture = _painted(page, _fitted(*page.get_size()))
    encoded = BytesIO()
    picture.save(encoded, "WEBP", quality=limits.THUMBNAIL_QUALITY)
    return encoded.getvalue()


def _painted(page: Any, size: tuple[int, int]) -> Image.Image:
    """Paint progressively, since one page of a map or a bomb can hold a million strokes (25 s measured)."""
    width, height = size
    with closing(pypdfium2.PdfBitmap.new_native(width, height, raw.FPDFBitmap_BGRx)) as bitmap:
        bitmap.fill_rect((255, 255, 255, 255), 0, 0, width, height)
        pause = _pause_after(limits.PAINT_SECONDS)
        flags = raw.FPDF_ANNOT | raw.FPDF_RENDER_LIMITEDIMAGECACHE
        raw.FPDF_RenderPageBitmap_Start(bitmap, page, 0, 0, width, height, 0, flags, pause)
        raw.FPDF_RenderPage_Close(page)
        # The conversion copies, so that the picture outlives the bitmap's memory.
        picture: Image.Image = bitmap.to_pil().convert("RGB")
    return picture


def _fitted(width: float, height: float) -> tuple[int, int]:
    scale = min(limits.THUMBNAIL_WIDTH / max(width, 1), limits.THUMBNAIL_HEIGHT / max(height, 1))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _pause_after(seconds: float) -> Any:
    """pdfium's struct for a painting that may be interrupted; it asks between steps."""
    deadline = monotonic() + seconds
    pause = raw.IFSDK_PAUSE(version=1)
    callback_type = dict(raw.IFSDK_PAUSE._fields_)["NeedToPauseNow"]
    pause.NeedToPauseNow = callback_type(lambda _pause: monotonic() > deadline)
    return pause


def _load(path: Path, called: str) -> Any:
    try:
        return pypdfium2.PdfDocument(path)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise Refused(f"{called} is protected with a password. Remove the password and attach it again.") from error
        if error.err_code == raw.FPDF_ERR_SECURITY:
            raise Refused(
                f"{called} is protected in a way that cannot be opened here. Remove the protection and attach it again."
            ) from error
        raise Refused(_broken(called)) from error


def _broken(called: str) -> str:
    return f"{called} is broken and cannot be read. Save or export it again, then attach the new file."


@contextmanager
def _page(document: _Document, index: int) -> Iterator[Any]:
    with closing(document.pdf[index]) as page:
        yield page


def _tidy(text: str) -> str:
    """Without line-end hyphens and without what a database or a page cannot hold."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    return _UNPRINTABLE.sub("", _HYPHENATION.sub("", text)).strip()


def page_picture(
    path: Path, number: int, width: int, *, called: str = "This PDF", seconds: float = limits.PDF_SECONDS
) -> bytes:
    """Page `number`, counted from one, as a WEBP; of a page that paints for very long, what was painted in time.

    `width` in pixels; a page that is very high is painted narrower. Only this page is read, and what it needs.
    """
    with closing(_Document(path, called, seconds)) as document, document.entered():
        if not 1 <= number <= len(document.pdf):
            raise Refused(f"{called} has no page {number}.")
        with _page(document, number - 1) as page:
            picture = _painted(page, _as_wide_as(width, *page.get_size()))
    encoded = BytesIO()
    # Method 2 takes half the time of the usual one, for files that are 2 % larger.
    picture.save(encoded, "WEBP", quality=limits.PAGE_QUALITY, method=2)
    return encoded.getvalue()


def _as_wide_as(wanted: int, width: float, height: float) -> tuple[int, int]:
    scale = min(wanted / max(width, 1), limits.PAGE_MAX_HEIGHTS * wanted / max(height, 1))
    return max(1, round(width * scale)), max(1, round(height * scale))
