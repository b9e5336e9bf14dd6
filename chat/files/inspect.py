"""Says what a file is by looking inside, never by its name; or refuses it with a sentence."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from chat.files import images, limits, trial
from chat.files.errors import Refused, megabytes, quoted

__all__ = ["Inspected", "Refused", "clean_name", "inspect", "refuse_size"]

PDF = "application/pdf"
ACCEPTED = "PDF, PNG, JPEG and WEBP files are accepted"

# Readers of PDF look for its header this far into the file (ISO 32000-2, Annex C of older editions).
PDF_HEADER_WITHIN = 1024

NAME_MAX_CHARACTERS = 255


@dataclass(frozen=True)
class Inspected:
    """What a file turned out to be. Pages are of PDFs; width and height of images."""

    media_type: str
    size: int
    sha256: str
    pages: int | None = None
    width: int | None = None
    height: int | None = None
    thumbnail: bytes | None = None


def inspect(path: Path, name: str) -> Inspected:
    """Look inside the file. Blocks: it reads the file twice and decodes it; a PDF in a process of its own.

    Raises Refused, with a sentence that names the file as `name`, when it cannot be used.
    """
    called = quoted(clean_name(name))
    size = path.stat().st_size
    refuse_size(size, called)
    media_type = _sniff(path)
    if media_type is None:
        raise Refused(f"{called} is of a kind that cannot be read here. {ACCEPTED}.")
    if media_type == PDF:
        return _inspect_pdf(path, called, size)
    picture = images.examine(path, called=called)
    return Inspected(
        media_type, size, _sha256(path), width=picture.width, height=picture.height, thumbnail=picture.thumbnail
    )


def refuse_size(size: int, called: str) -> None:
    """Raise Refused for an empty or too large file; `called` is how the sentence names it."""
    if size <= 0:
        raise Refused(f"{called} is empty. Check the file and attach it again.")
    if size > settings.FILE_MAX_BYTES:
        raise Refused(
            f"{called} is {megabytes(size)}; files of up to {megabytes(settings.FILE_MAX_BYTES)} are accepted. "
            "Make it smaller or split it, and attach it again."
        )


def clean_name(name: str) -> str:
    """The name as it may be shown: no folders, nothing invisible that turns or hides text; never empty."""
    name = unicodedata.normalize("NFC", name.encode("utf-8", "ignore").decode())
    name = re.split(r"[/\\]", name)[-1]
    name = "".join(" " if character.isspace() else character for character in name if not _hides(character))
    name = " ".join(name.split())
    if not name.strip(". "):
        return "file"
    if len(name) > NAME_MAX_CHARACTERS:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 16 else ""
        name = name[: NAME_MAX_CHARACTERS - len(ending)] + ending
    return name


def _hides(character: str) -> bool:
    """Control and format characters: bidi overrides make "gpj.exe" of "exe.jpg".

    The joiners stay, since emoji and several scripts are spelt with them.
    """
    if character in "\u200c\u200d" or character.isspace():
        return False
    return unicodedata.category(character) in ("Cc", "Cf")


def _sniff(path: Path) -> str | None:
    with path.open("rb") as file:
        head = file.read(PDF_HEADER_WITHIN + 5)
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "image/png"
    if head.startswith(b"\xff\xd8\xff"):
        return "image/jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "image/webp"
    junk, header, _ = head.partition(b"%PDF-")
    # Leading junk happens in honest files; markup there is a page that poses as a PDF.
    if header and b"<" not in junk:
        return PDF
    return None


def _inspect_pdf(path: Path, called: str, size: int) -> Inspected:
    found = trial.examine(path, called=called)
    if found.pages > limits.PDF_MAX_PAGES:
        raise Refused(
            f"{called} has {found.pages} pages; up to {limits.PDF_MAX_PAGES} are accepted. Split it and attach the parts."
        )
    return Inspected(PDF, size, _sha256(path), pages=found.pages, thumbnail=found.thumbnail)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
