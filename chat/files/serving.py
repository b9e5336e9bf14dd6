"""A stored file → an answer that no browser takes for a page of ours.

Access is checked by the caller; this decides only how the bytes go out.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import quote

from asgiref.sync import sync_to_async
from django.core.files import File
from django.core.files.storage import Storage
from django.db.models.fields.files import FieldFile
from django.http import HttpRequest, HttpResponseBase, StreamingHttpResponse
from django.utils.cache import get_conditional_response

CHUNK_BYTES = 256 * 1024
SHOWN_TYPES = ("application/pdf", "image/png", "image/jpeg", "image/webp")


async def serve(file: FieldFile, *, name: str, media_type: str) -> HttpResponseBase:
    """Stream `file`. Types that browsers show harmlessly are shown; everything else is a download."""
    storage: Storage = file.storage
    stored = str(file.name)
    size = await sync_to_async(storage.size)(stored)
    opened = await sync_to_async(storage.open)(stored, "rb")
    shown = media_type in SHOWN_TYPES
    response = StreamingHttpResponse(_chunks(opened), content_type=media_type if shown else "application/octet-stream")
    response._resource_closers.append(opened.close)  # type: ignore[attr-defined]
    disposition = "inline" if shown else "attachment"
    response.headers["Content-Length"] = str(size)
    response.headers["Content-Disposition"] = f"{disposition}; filename*=UTF-8''{quote(name, safe='')}"
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


async def _chunks(opened: File[Any]) -> AsyncIterator[bytes]:
    # Async, since Django reads a sync iterator to its end before it sends the first byte.
    while chunk := await sync_to_async(opened.read)(CHUNK_BYTES):
        yield chunk
