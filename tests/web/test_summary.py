"""The dialog that asks for a summary of the PDFs of a message."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from chat.models import Attachment, User
from chat.rendering.views import chip_view
from tests.rows import make_attachment

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


def dialog(client: Client, *files: Attachment) -> str:
    return client.get(reverse("summary"), {"attachment": [str(f.pk) for f in files]}, headers=HTMX).content.decode()


def test_a_pdf_offers_it_and_a_picture_does_not(alice: User) -> None:
    assert chip_view(make_attachment(alice)).summary_url == reverse("summary")
    assert chip_view(make_attachment(alice, media_type="image/png")).summary_url == ""


def test_one_document_is_named_and_several_can_be_compared(alice: User, alice_client: Client) -> None:
    one, two = make_attachment(alice, "a <b>.pdf"), make_attachment(alice, "c.pdf")
    alone = dialog(alice_client, one)
    assert "Summarize “<bdi>a &lt;b&gt;.pdf</bdi>”" in alone
    assert "compare" not in alone
    both = dialog(alice_client, two, one)
    assert "Summarize 2 documents" in both
    assert 'value="compare"' in both


def test_what_is_no_pdf_of_ones_own_is_not_there(alice: User, alice_client: Client, charlie_client: Client) -> None:
    paper, picture = make_attachment(alice), make_attachment(alice, media_type="image/png")
    for client, value in [(charlie_client, paper.pk), (alice_client, picture.pk), (alice_client, "x")]:
        assert client.get(reverse("summary"), {"attachment": str(value)}, headers=HTMX).status_code == 404
    assert alice_client.get(reverse("summary"), {"attachment": str(paper.pk)}).status_code == 302
