"""What files take to read and what that costs, said in the composer and in the dialog for summaries."""

from __future__ import annotations

from decimal import Decimal
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.models import Attachment, Deployment, Provider, User
from tests.rows import make_attachment, make_deployment

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
PRICED = {"input_price": Decimal("1.25"), "output_price": Decimal(10)}


@pytest.fixture
def paper(alice: User) -> Attachment:
    """Some 230,000 tokens where its pages are looked at, 60,000 of text."""
    return make_attachment(alice, content=b"", pages=150, text_pages=150, text_characters=240_000)


def said(client: Client, deployment: Deployment | str, *files: Attachment) -> str:
    query = {"attachment": [str(file.pk) for file in files], "deployment": getattr(deployment, "pk", deployment)}
    answer = client.get(reverse("estimate"), query, headers=HTMX)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return answer.content.decode()


def dialog(client: Client, deployment: Deployment | str, *files: Attachment) -> str:
    query = {"attachment": [str(file.pk) for file in files], "deployment": getattr(deployment, "pk", deployment)}
    return unescape(client.get(reverse("summary"), query, headers=HTMX).content.decode())


def test_a_long_document_has_its_tokens_and_their_cost(alice: User, alice_client: Client, paper: Attachment) -> None:
    deployment = make_deployment(**PRICED)
    assert said(alice_client, deployment, paper) == "Reading this file takes about 230,000 tokens, about $0.28."
    both = said(alice_client, deployment, paper, make_attachment(alice, content=b"", pages=90, text_characters=0))
    assert both == "Reading these 2 files takes about 330,000 tokens, about $0.41."


def test_it_is_for_the_model_that_is_chosen(alice_client: Client, paper: Attachment) -> None:
    gateway = make_deployment(provider="Gateway", dialect="ofox", **PRICED)
    assert said(alice_client, gateway, paper) == "Reading this file takes about 60,000 tokens, about $0.08."
    cheap = make_deployment("small", provider="Gateway", input_price=Decimal("0.05"), output_price=1)
    assert said(alice_client, cheap, paper) == "Reading this file takes about 60,000 tokens, under $0.01."


def test_nothing_is_made_up(alice: User, alice_client: Client, paper: Attachment) -> None:
    unpriced = make_deployment()
    assert said(alice_client, unpriced, paper) == ""
    assert said(alice_client, "", paper) == said(alice_client, "x", paper) == ""
    priced = make_deployment("m-2", **PRICED)
    short = make_attachment(alice, content=b"", pages=1, text_characters=2_000)
    table = make_attachment(alice, "a.csv", content=b"", media_type="text/csv", pages=None)
    assert said(alice_client, priced, short, table) == said(alice_client, priced) == ""
    assert said(alice_client, priced, paper), "the premise"
    Provider.objects.update(capabilities={"no such": True})
    assert said(alice_client, priced, paper) == ""


def test_what_will_be_refused_costs_nothing(alice_client: Client, paper: Attachment) -> None:
    assert said(alice_client, make_deployment(context_window=50_000, **PRICED), paper) == ""


def test_files_and_models_of_others_say_nothing(
    alice_client: Client, charlie_client: Client, paper: Attachment
) -> None:
    deployment = make_deployment(**PRICED)
    assert said(charlie_client, deployment, paper) == ""
    deployment.groups.add(Group.objects.create(name="Others"))
    assert said(alice_client, deployment, paper) == ""
    assert alice_client.get(reverse("estimate"), {"attachment": "x"}, headers=HTMX).status_code == 404
    assert alice_client.get(reverse("estimate"), {"attachment": str(paper.pk)}).status_code == 302


def test_the_composer_asks_only_where_a_model_has_prices(alice_client: Client) -> None:
    url = reverse("estimate")
    make_deployment()
    assert url not in alice_client.get("/").content.decode()
    make_deployment("m-2", **PRICED)
    assert f'data-url="{url}"' in alice_client.get("/").content.decode()


def test_prices_take_no_query_of_a_page_and_a_few_of_an_estimate(alice_client: Client, paper: Attachment) -> None:
    def queries(url: str, query: dict[str, Any]) -> int:
        with CaptureQueriesContext(connection) as captured:
            assert alice_client.get(url, query, headers=HTMX).status_code == 200
        return len(captured)

    deployment = make_deployment()
    before = queries("/", {})
    Deployment.objects.update(**PRICED)
    assert queries("/", {}) == before
    assert queries(reverse("estimate"), {"attachment": str(paper.pk), "deployment": deployment.pk}) <= 4


class TestSummary:
    def test_a_document_that_fits_says_what_it_takes(self, alice_client: Client, paper: Attachment) -> None:
        deployment = make_deployment(context_window=1_000_000, **PRICED)
        assert "Reading this file takes about 230,000 tokens, about $0.28." in dialog(alice_client, deployment, paper)

    def test_one_that_is_read_by_parts_says_so_with_its_notes(self, alice_client: Client, paper: Attachment) -> None:
        deployment = make_deployment(context_window=100_000, **PRICED)
        sentence = "reading by parts, with notes on each, takes about 69,000 tokens, about $0.12."
        assert sentence in dialog(alice_client, deployment, paper)

    def test_without_prices_the_tokens_stand_alone(self, alice_client: Client, paper: Attachment) -> None:
        page = dialog(alice_client, make_deployment(), paper)
        assert "Reading this file takes about 230,000 tokens." in page
        assert "$" not in page

    def test_of_little_nothing_is_said(self, alice: User, alice_client: Client) -> None:
        short = make_attachment(alice, content=b"", pages=1, text_characters=2_000)
        for deployment in (make_deployment(**PRICED), ""):
            assert "takes about" not in dialog(alice_client, deployment, short)
