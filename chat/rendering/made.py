"""What the model made, in the answer: its links and pictures point at our copies, or say that there is none.

`syntax` marks them (`data-made`), in a form that is the same while the text streams and when it is loaded. What is
marked is replaced here, once it is known what became of each: while a file is being fetched, the mark stays a mark.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any
from urllib.parse import quote, unquote

from django.urls import reverse

from chat.files.inspect import clean_name
from chat.files.serving import SHOWN_TYPES
from chat.models import Attachment, Response
from chat.rendering.escape import escape

MADE = "made:"
"""Begins what stands for the bytes of a picture in an item, and addresses it in the text."""

GONE = "(this file is gone)"

AddressOf = Callable[[Attachment], str]

_MARK = re.compile(
    r'<a class="made-link" data-made="([^"]*)"[^>]*>(.*?)</a>|<span class="made-image" data-made="([^"]*)">([^<]*)</span>',
    re.DOTALL,
)
_PICTURE = re.compile(r'<span class="made-image" data-made="([^"]*)">')
_REFERENCE = re.compile(r'data-made="([^"]*)"')


def reference_to(made_as: str) -> str:
    """How a text addresses what a response made under this name."""
    return MADE + quote(made_as, safe="")


def references_in(blocks: Iterable[str]) -> list[str]:
    """What the marks in rendered blocks refer to, each once."""
    return list(dict.fromkeys(name for block in blocks for name in _REFERENCE.findall(block)))


def name_in(reference: str) -> str:
    """The file's name in a link to a place in a sandbox; "" for a reference of our own."""
    if reference.lower().startswith(MADE):
        return ""
    return clean_name(unquote(reference.partition(":")[2].rpartition("/")[2]))


class MadeFiles:
    """The files that a response made, by how its text refers to them."""

    def __init__(
        self, attachments: Iterable[Attachment], address_of: AddressOf, picture_of: AddressOf | None = None
    ) -> None:
        self._attachments = attachments
        self._address_of = address_of
        self._picture_of = picture_of or address_of

    @cached_property
    def all(self) -> list[Attachment]:
        """Read when a mark asks for it: nearly every answer has none."""
        return list(self._attachments)

    def in_place(self, block: str) -> str:
        """The block with its marks replaced."""
        return _MARK.sub(self._replaced, block) if "data-made=" in block else block

    def embedded_in(self, blocks: Iterable[str]) -> set[str]:
        """As what those were made that the text shows as pictures by itself."""
        found = map(self._find, (reference for block in blocks for reference in _PICTURE.findall(block)))
        return {attachment.made_as for attachment in found if attachment is not None}

    def _replaced(self, found: re.Match[str]) -> str:
        reference, inner, is_link = found[1] or found[3], found[2] or found[4] or "", found[2] is not None
        if 'class="made-image"' in inner:  # a picture as a link, usually to itself: it opens without one
            return _MARK.sub(self._replaced, inner)
        attachment = self._find(reference)
        if attachment is not None and attachment.status == Attachment.Status.CHECKING:
            return found[0]
        if attachment is None or not is_there(attachment):
            return f'<span class="made-gone">{inner} {GONE}</span>'
        address = escape(self._address_of(attachment))
        if not address:
            return inner
        if not is_link and is_picture(attachment):
            return picture_html(attachment, address, escape(self._picture_of(attachment)), inner)
        return f'<a class="made-link" href="{address}?download" download>{inner or escape(attachment.name)}</a>'

    def _find(self, reference: str) -> Attachment | None:
        if reference.lower().startswith(MADE):
            return self._last(made_as=unquote(reference[len(MADE) :]))
        return self._last(name=name_in(reference))

    def _last(self, **wanted: str) -> Attachment | None:
        alike = (a for a in reversed(self.all) if all(getattr(a, name) == value for name, value in wanted.items()))
        return next(alike, None)


def is_there(attachment: Attachment) -> bool:
    return attachment.status == Attachment.Status.READY and attachment.forgotten_at is None


def is_picture(attachment: Attachment) -> bool:
    """Whether it is shown in the page: what a browser draws, and nothing that it would run."""
    return is_there(attachment) and attachment.is_image and attachment.media_type in SHOWN_TYPES


def picture_html(attachment: Attachment, address: str, source: str, alt: str) -> str:
    """A picture of ours in the text, which opens by mouse and by key. All but the attachment is HTML already.

    Its size keeps the text below from jumping.
    """
    size = ""
    if attachment.width and attachment.height:
        size = f' width="{attachment.width}" height="{attachment.height}"'
    image = f'<img class="made-image" src="{source}" alt="{alt or escape(attachment.name)}"{size} loading="lazy" data-lightbox>'
    return f'<a class="made-open" href="{address}" target="_blank" rel="noopener">{image}</a>'


def preview_html(picture: bytes) -> str:
    """A small WEBP of ours, in the page itself: another process may be asked for what this one has in memory."""
    return f'<img class="made-preview" src="data:image/webp;base64,{b64encode(picture).decode()}" alt="Preview of the image">'


def files_of(
    response: Any, address_of: AddressOf | None = None, picture_of: AddressOf | None = None
) -> MadeFiles | None:
    """What this response made. None while it is being answered, and for what is no stored response: marks stay."""
    if not isinstance(response, Response) or response.is_live:
        return None
    return MadeFiles(response.made.all(), address_of or person_address, picture_of)


def person_address(attachment: Attachment) -> str:
    return reverse("file", args=[attachment.pk])
