"""Says what a file is by looking inside, never by its name; or refuses it with a sentence."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

from chat.files import kinds, limits, trial
from chat.files.errors import Refused, megabytes, quoted
from chat.files.kinds import PDF, Accepted

__all__ = ["PDF", "Accepted", "Inspected", "Refused", "clean_name", "inspect", "refuse_size"]

NAME_MAX_CHARACTERS = 255
TITLE_MAX_CHARACTERS = 300


@dataclass(frozen=True)
class Inspected:
    """What a file turned out to be. Title, pages and text are of PDFs; width and height of images."""

    media_type: str
    size: int
    sha256: str
    pages: int | None = None
    width: int | None = None
    height: int | None = None
    thumbnail: bytes | None = None
    title: str = ""
    text_pages: int | None = None
    text_characters: int | None = None


def inspect(path: Path, name: str, accepted: Accepted | None = None) -> Inspected:
    """Look inside the file. Blocks: it reads the file twice, and most of it in a process of its own.

    `accepted` is what is taken besides PDF and the usual images; nothing when left out. Raises Refused, with a
    sentence that names the file as `name`, when it cannot be used.
    """
    accepted = accepted or Accepted()
    called = quoted(clean_name(name))
    size = path.stat().st_size
    refuse_size(size, called)
    media_type = kinds.kind_of(path, name)
    if media_type is None:
        _refuse_locked_office(path, called)
        raise Refused(f"{called} is of a kind that cannot be read here. {accepted.sentence}")
    if not accepted.takes(media_type):
        raise Refused(f"{called} is of a kind that no model here can use. {accepted.sentence}")
    if media_type == PDF:
        return _inspect_pdf(path, called, size)
    if media_type.startswith("image/"):
        return _inspect_picture(path, called, size, media_type)
    if media_type == kinds.ZIP:
        facts, _ = trial.perform("archive", path, called=called, seconds=limits.ARCHIVE_SECONDS)
        media_type = facts["media_type"]
    return Inspected(media_type, size, _sha256(path))


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
    name = _visible(re.split(r"[/\\]", name)[-1])
    if not name.strip(". "):
        return "file"
    if len(name) > NAME_MAX_CHARACTERS:
        stem, dot, ending = name.rpartition(".")
        ending = dot + ending if stem and len(ending) <= 16 else ""
        name = name[: NAME_MAX_CHARACTERS - len(ending)] + ending
    return name


def _visible(text: str) -> str:
    """One line, without characters that hide or turn text."""
    text = "".join(" " if character.isspace() else character for character in text if not _hides(character))
    return " ".join(text.split())


def _hides(character: str) -> bool:
    """Control and format characters: bidi overrides make "gpj.exe" of "exe.jpg".

    The joiners stay, since emoji and several scripts are spelt with them.
    """
    if character in "\u200c\u200d" or character.isspace():
        return False
    return unicodedata.category(character) in ("Cc", "Cf")


def _refuse_locked_office(path: Path, called: str) -> None:
    if kinds.is_locked_office(path):
        raise Refused(f"{called} is protected with a password. Remove the password and attach it again.")


def _inspect_pdf(path: Path, called: str, size: int) -> Inspected:
    found, thumbnail = trial.perform("pdf", path, called=called, seconds=limits.PDF_SECONDS)
    if found["pages"] > limits.PDF_MAX_PAGES:
        raise Refused(
            f"{called} has {found['pages']} pages; up to {limits.PDF_MAX_PAGES} are accepted. "
            "Split it and attach the parts."
        )
    return Inspected(
        PDF,
        size,
        _sha256(path),
        pages=found["pages"],
        thumbnail=thumbnail or None,
        title=_visible(found["title"])[:TITLE_MAX_CHARACTERS],
        text_pages=found["text_pages"],
        text_characters=found["text_characters"],
    )


def _inspect_picture(path: Path, called: str, size: int, media_type: str) -> Inspected:
    found, thumbnail = trial.perform("picture", path, called=called, seconds=limits.IMAGE_SECONDS)
    return Inspected(media_type, size, _sha256(path), width=found["width"], height=found["height"], thumbnail=thumbnail)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
