"""The dialog that takes some pages of a long PDF into a message."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from chat.models import Attachment, User
from chat.rendering.views import chip_view
from tests.files.makers import make_pdf
from tests.rows import make_attachment

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture
def paper(settings: Settings, tmp_path: Path, alice: User) -> Attachment:
    settings.MEDIA_ROOT = tmp_path / "media"
    content = make_pdf(tmp_path / "a.pdf", [f"Page {number}" for number in range(1, 21)]).read_bytes()
    return make_attachment(alice, "report.pdf", content, pages=20)


@pytest.fixture
def url(paper: Attachment) -> str:
    return reverse("file_excerpt", args=[paper.pk])


def test_only_a_long_pdf_offers_it(paper: Attachment, url: str, alice: User) -> None:
    assert chip_view(paper).excerpt_url == url
    for other in ({"pages": 3}, {"pages": 1, "text_characters": 200_000}, {"media_type": "image/png"}):
        assert chip_view(make_attachment(alice, **{"pages": 20, **other})).excerpt_url == ""


def test_the_dialog_says_how_many_pages_there_are(alice_client: Client, url: str) -> None:
    page = alice_client.get(url, headers=HTMX).content.decode()
    assert "It has 20 pages, about 22,000 tokens." in page
    assert alice_client.get(url).status_code == 302


def test_the_answer_is_the_chip_of_the_new_file(alice_client: Client, url: str, paper: Attachment) -> None:
    page = alice_client.post(url, {"pages": "2-3"}, headers=HTMX).content.decode()
    taken = Attachment.objects.exclude(pk=paper.pk).get()
    assert f'id="a-{taken.pk}"' in page
    assert "report (pages 2-3).pdf" in page


def test_what_cannot_be_taken_is_said_in_the_dialog(alice_client: Client, url: str) -> None:
    answer = alice_client.post(url, {"pages": "0-99"}, headers=HTMX)
    assert answer.status_code == 422
    assert answer.headers["HX-Retarget"] == "#excerpt-problem"
    assert answer.content.decode().strip() == "“report.pdf” has the pages 1 to 20. Write two of them, such as 1-10."
    assert Attachment.objects.count() == 1
