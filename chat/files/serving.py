"""A stored file → an answer that no browser takes for a page of ours.

Access is checked by the caller; this decides only how the bytes go out.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.core.files import File
from django.core.files.storage import Storage
from django.db import connections
from django.db.models.fields.files import FieldFile
from django.http import HttpRequest, HttpResponse, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response

CHUNK_BYTES = 256 * 1024
_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")
SHOWN_TYPES = ("application/pdf", "image/png", "image/jpeg", "image/webp", "image/gif")


async def serve(
    file: FieldFile, *, name: str, media_type: str, span: str = "", download: bool = False
) -> HttpResponseBase:
    """Stream `file`, or the part of it that `span` asks for (the Range header).

    Types that browsers show harmlessly are shown, unless it is to be a download; everything else is one.
    """
    storage: Storage = file.storage
    stored = str(file.name)
    size = await sync_to_async(storage.size)(stored)
    shown = media_type in SHOWN_TYPES and not download
    part = _part(span, size)
    if part is not None and not part:
        return HttpResponse(status=416, headers={"Content-Range": f"bytes */{size}"})
    wanted = part or range(size)
    opened = await sync_to_async(storage.open)(stored, "rb")
    # A reader on a slow line takes minutes: not with a connection to the database, of which there are few.
    await sync_to_async(give_connection_back)()
    response = StreamingHttpResponse(
        _chunks(opened, wanted), content_type=media_type if shown else "application/octet-stream"
    )
    response._resource_closers.append(opened.close)  # type: ignore[attr-defined]
    disposition = "inline" if shown else "attachment"
    response.headers["Accept-Ranges"] = "bytes"
    response.headers["Content-Length"] = str(len(wanted))
    response.headers["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"
    if part:
        response.status_code = 206
        response.headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    _protect(response, media_type)
    return response


def still_good(request: HttpRequest, version: str, *, media_type: str) -> HttpResponseBase | None:
    """304, when the browser has this version of the file already."""
    response = get_conditional_response(request, etag=version)
    if response is not None:
        response.headers["ETag"] = version
        _protect(response, media_type)
    return response


def _protect(response: HttpResponseBase, media_type: str) -> None:
    response.headers["X-Content-Type-Options"] = "nosniff"
    # The browser may keep a copy, and asks before each use: who signs in next on it must not be shown this one's.
    response.headers["Cache-Control"] = "private, no-cache"
    # Replaces the site's policy: the document may do nothing at all. Chromium's PDF viewer, which runs no
    # code of the document in our origin, needs its own styles and refuses to work in a sandbox.
    sandbox = "" if media_type == "application/pdf" else "sandbox; "
    response.headers["Content-Security-Policy"] = f"{sandbox}default-src 'none'; style-src 'unsafe-inline'"
    response._csp_exempt = True  # type: ignore[attr-defined]


def give_connection_back() -> None:
    """Before something that takes long and asks the database nothing."""
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close_if_unusable_or_obsolete()


def _part(span: str, size: int) -> range | None:
    """The bytes that a Range header asks for; none of them, when the file ends before; None for the whole file.

    Several ranges at once, and what cannot be understood, get the whole file: RFC 9110, 14.2, leaves that open.
    """
    found = _RANGE.fullmatch(span)
    if found is None or found.group() == "bytes=-":
        return None
    first, last = found.groups()
    if not first:
        return range(max(size - int(last), 0), size)
    if last and int(last) < int(first):
        return None
    return range(min(int(first), size), min(int(last) + 1, size) if last else size)


async def _chunks(opened: File[Any], wanted: range) -> AsyncIterator[bytes]:
    # Async, since Django reads a sync iterator to its end before it sends the first byte.
    await sync_to_async(opened.seek)(wanted.start)
    left = len(wanted)
    while left and (chunk := await sync_to_async(opened.read)(min(CHUNK_BYTES, left))):
        left -= len(chunk)
        yield chunk
