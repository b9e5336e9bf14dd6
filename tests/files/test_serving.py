"""A stored file on its way out: whole, in part, and without what others need meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from django.db import connection
from django.http import HttpResponseBase

from chat.files.serving import serve
from chat.models import Attachment, User

DATA = bytes(range(100))


@pytest.fixture
def attachment(media: Path, alice: User) -> Attachment:
    attachment = Attachment(owner=alice, name="a.pdf", status=Attachment.Status.READY)
    attachment.file.save("any", ContentFile(DATA), save=False)
    attachment.save()
    return attachment


async def sent(response: HttpResponseBase) -> bytes:
    body: Any = response
    return b"".join([chunk async for chunk in body.streaming_content])


@pytest.mark.django_db(transaction=True)
async def test_a_reader_on_a_slow_line_keeps_no_connection_to_the_database(attachment: Attachment) -> None:
    def begin() -> bool:
        found = User.objects.count()
        connection.close_at = 0.0  # as where a connection is one of few
        return found == 1 and connection.connection is not None

    assert await sync_to_async(begin)()
    response = await serve(attachment.file, name="a.pdf", media_type="application/pdf")
    assert await sync_to_async(lambda: connection.connection is None)()
    assert await sent(response) == DATA
    response.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("span", "status", "part"),
    [
        ("", 200, DATA),
        ("bytes=0-0", 206, DATA[:1]),
        ("bytes=10-19", 206, DATA[10:20]),
        ("bytes=90-", 206, DATA[90:]),
        ("bytes=90-1000", 206, DATA[90:]),
        ("bytes=-5", 206, DATA[95:]),
        ("bytes=-500", 206, DATA),
        ("bytes=-", 200, DATA),
        ("bytes=9-3", 200, DATA),
        ("bytes=0-1,5-6", 200, DATA),
        ("pages=1-2", 200, DATA),
        ("bytes=1-2x", 200, DATA),
    ],
)
async def test_a_part_is_sent_where_one_is_asked_for(
    attachment: Attachment, span: str, status: int, part: bytes
) -> None:
    response = await serve(attachment.file, name="a.pdf", media_type="application/pdf", span=span)
    assert (response.status_code, await sent(response)) == (status, part)
    assert response.headers["Content-Length"] == str(len(part))
    assert response.headers["Accept-Ranges"] == "bytes"
    first = DATA.index(part)
    expected = f"bytes {first}-{first + len(part) - 1}/{len(DATA)}" if status == 206 else None
    assert response.headers.get("Content-Range") == expected
    response.close()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("span", ["bytes=100-", "bytes=100-200", "bytes=-0"])
async def test_a_part_behind_the_end_is_told_the_size(attachment: Attachment, span: str) -> None:
    response = await serve(attachment.file, name="a.pdf", media_type="application/pdf", span=span)
    assert (response.status_code, response.headers["Content-Range"]) == (416, "bytes */100")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("media_type", "download", "disposition", "content_type"),
    [
        ("image/gif", False, "inline", "image/gif"),
        ("image/png", True, "attachment", "application/octet-stream"),
        ("application/pdf", True, "attachment", "application/octet-stream"),
        ("image/svg+xml", False, "attachment", "application/octet-stream"),
        ("application/xml", False, "attachment", "application/octet-stream"),
        ("text/html", False, "attachment", "application/octet-stream"),
        ("text/csv", False, "attachment", "application/octet-stream"),
    ],
)
async def test_only_what_a_browser_shows_harmlessly_is_shown_and_anything_can_be_saved(
    attachment: Attachment, media_type: str, download: bool, disposition: str, content_type: str
) -> None:
    response = await serve(attachment.file, name="a b.x", media_type=media_type, download=download)
    assert response.headers["Content-Disposition"] == f"{disposition}; filename*=UTF-8''a%20b.x"
    assert response.headers["Content-Type"] == content_type
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert await sent(response) == DATA
    response.close()
