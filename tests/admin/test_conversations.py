"""The list of conversations."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from chat.models import Conversation, Deployment, Provider, Response, Status, User
from tests.admin.conftest import Asked, asked, attached

LIST = reverse("admin:chat_conversation_changelist")


def titles(client: Client, **query: str) -> list[str]:
    """What the list shows for this query, in order."""
    page = client.get(f"{LIST}?{urlencode(query)}")
    assert page.status_code == 200, page.headers
    return [row.title for row in page.context["cl"].result_list]


def queries_of(client: Client, address: str) -> int:
    client.get(address)  # Fills caches of sites and content types.
    with CaptureQueriesContext(
        connection,
    ) as captured:
        assert client.get(address).status_code == 200
    return len(captured)


def filled(owner: User, deployment: Deployment, count: int) -> None:
    for number in range(count):
        conversation = Conversation.objects.create(owner=owner, title=f"Talk {number}", deployment=deployment)
        for turn in range(3):
            asked(deployment, conversation, f"Question {turn}", f"Answer {turn}", input_tokens=10, output_tokens=5)


@pytest.mark.parametrize("query", ["", "?q=answer", "?problems=no&attachments=no", "?o=3", "?o=-6"])
def test_fifty_conversations_cost_as_many_queries_as_five(
    admin_client: Client, alice: User, deployment: Deployment, query: str
) -> None:
    filled(alice, deployment, 5)
    few = queries_of(admin_client, LIST + query)
    filled(alice, deployment, 45)
    assert queries_of(admin_client, LIST + query) == few
    assert few <= 14


def test_a_row_tells_turns_tokens_and_problems(rita_client: Client, conversation: Conversation, ask: Asked) -> None:
    first = ask(conversation, "One", "1", input_tokens=1200, output_tokens=30)
    Response.objects.create(turn=first, order=1, status=Status.COMPLETED, input_tokens=34, output_tokens=4)
    ask(conversation, "Two", "2", status=Status.FAILED)
    page = rita_client.get(LIST)
    for cell in ("Tides", "alice", "The large one", ">2<", "1,234", "34", "Failed or interrupted"):
        assert cell in page.content.decode()


def test_a_row_tells_the_cost_as_far_as_it_is_known(
    rita_client: Client, conversation: Conversation, ask: Asked, deployment: Deployment, alice: User
) -> None:
    def costs() -> dict[str, str]:
        rows = rita_client.get(f"{LIST}?o=-6").context["cl"].result_list
        return {row.title: row.figures.cost for row in rows}

    ask(conversation, "One", "1", input_tokens=1000, output_tokens=10, cost=Decimal("0.12345678"))
    ask(conversation, "Two", "2", input_tokens=1000, output_tokens=10, cost=Decimal("0.00000001"))
    ask(conversation, "Three", "3", status=Status.FAILED)
    for title, fields in (("Bread", {"cost": Decimal(3)}), ("Salt", {}), ("Wine", {"cost": Decimal(0)})):
        other = Conversation.objects.create(owner=alice, title=title, deployment=deployment)
        ask(other, "One", "1", input_tokens=1, **fields)
    assert costs() == {"Bread": "$3.00", "Tides": "$0.12", "Salt": "", "Wine": "$0.00"}
    assert list(costs())[:2] == ["Bread", "Tides"], "the dearest first"
    ask(conversation, "Four", "4", input_tokens=1000)
    assert costs()["Tides"] == "at least $0.12"


def test_a_stopped_answer_is_no_problem(rita_client: Client, conversation: Conversation, ask: Asked) -> None:
    ask(conversation, "One", "1", status=Status.CANCELLED)
    assert "Failed or interrupted" not in rita_client.get(LIST).content.decode()
    assert titles(rita_client, problems="yes") == []
    ask(conversation, "Two", "2", status=Status.INTERRUPTED)
    assert titles(rita_client, problems="yes") == ["Tides"]
    assert titles(rita_client, problems="no") == []


def test_a_deleted_conversation_stays_in_the_list_and_is_marked(
    rita_client: Client, conversation: Conversation
) -> None:
    assert "mark--deleted" not in rita_client.get(LIST).content.decode()
    Conversation.objects.update(deleted_at=timezone.now())
    assert "mark--deleted" in rita_client.get(LIST).content.decode()
    assert titles(rita_client, deleted="yes") == ["Tides"]
    assert titles(rita_client, deleted="no") == []


@pytest.mark.parametrize(
    "words",
    [
        "tides",
        "ALICE",
        "moon pull",
        "harbour",
        "moon harbour",
        '"at the harbour"',
        "resp_0123456789",
        "req-77",
        "tables.pdf",
    ],
)
def test_words_are_found_wherever_they_stand(
    rita_client: Client, conversation: Conversation, ask: Asked, bob: User, words: str
) -> None:
    turn = ask(conversation, "Does the moon pull?", "Yes.", response_id="resp_0123456789", request_id="req-77")
    attached(turn, "tables.pdf", b"%PDF-", "application/pdf")
    ask(conversation, "And here?", "Less at the harbour.")
    Conversation.objects.create(owner=bob, title="Bread")
    assert titles(rita_client, q=words) == ["Tides"]


@pytest.mark.parametrize("words", ["harbour at", '"harbour at the"', "sourdough", "123456789", "%", "moon zebra"])
def test_what_nobody_said_is_not_found(rita_client: Client, conversation: Conversation, ask: Asked, words: str) -> None:
    ask(conversation, "Does the moon pull?", "Less at the harbour.", response_id="resp_0123456789")
    found = titles(rita_client, q=words)
    assert found == (["Tides"] if words == "harbour at" else [])


def test_an_id_from_the_address_is_found(rita_client: Client, conversation: Conversation) -> None:
    assert titles(rita_client, q=str(conversation.pk)) == ["Tides"]
    assert titles(rita_client, q=str(conversation.pk)[:4]) == []


def test_filters_narrow_the_list(
    rita_client: Client, conversation: Conversation, ask: Asked, bob: User, provider: Provider, deployment: Deployment
) -> None:
    other = Provider.objects.create(name="Other", dialect="generic", base_url="http://127.0.0.1/v1/", auth="none")
    small = Deployment.objects.create(provider=other, name="small")
    Conversation.objects.create(
        owner=bob, title="Bread", deployment=small, last_activity_at=timezone.now() - timedelta(days=100)
    )
    turn = ask(conversation, "Look", "I see.")
    attached(turn, "a.png", b"png", "image/png")
    assert titles(rita_client) == ["Tides", "Bread"]
    assert titles(rita_client, owner="bob") == ["Bread"]
    assert titles(rita_client, owner="bo") == []
    assert titles(rita_client, model=str(small.pk)) == ["Bread"]
    assert titles(rita_client, provider=str(provider.pk)) == ["Tides"]
    assert titles(rita_client, attachments="yes") == ["Tides"]
    assert titles(rita_client, attachments="no") == ["Bread"]
    week = (timezone.now() - timedelta(days=7)).isoformat()
    assert titles(rita_client, last_activity_at__gte=week) == ["Tides"]


def test_the_model_filter_finds_what_a_model_once_answered(
    rita_client: Client, conversation: Conversation, ask: Asked, provider: Provider, deployment: Deployment
) -> None:
    ask(conversation, "One", "1")
    conversation.deployment = Deployment.objects.create(provider=provider, name="small")
    conversation.save()
    assert titles(rita_client, model=str(deployment.pk)) == ["Tides"]


@pytest.mark.parametrize("value", ["x", "²", "9" * 40, "1 or 1=1"])
def test_a_filter_with_nonsense_filters_nothing(rita_client: Client, conversation: Conversation, value: str) -> None:
    assert titles(rita_client, model=value, provider=value, problems=value) == ["Tides"]


@pytest.mark.parametrize(
    ("order", "expected"), [("3", ["Few", "Many"]), ("-3", ["Many", "Few"]), ("-5", ["Few", "Many"])]
)
def test_the_list_can_be_sorted_by_its_figures(
    rita_client: Client, alice: User, ask: Asked, order: str, expected: list[str]
) -> None:
    many = Conversation.objects.create(owner=alice, title="Many")
    few = Conversation.objects.create(owner=alice, title="Few")
    for _ in range(3):
        ask(many, "q", "a", output_tokens=1)
    ask(few, "q", "a", output_tokens=100)
    assert titles(rita_client, o=order) == expected


def test_the_owner_filter_keeps_the_other_filters(rita_client: Client, conversation: Conversation) -> None:
    page = rita_client.get(f"{LIST}?problems=no&q=ti%22%3E%3Cb%3E").content.decode()
    assert '<input type="hidden" name="problems" value="no">' in page
    assert '<option value="alice">' in page
    assert "<b>" not in page


def test_a_hostile_title_is_text(rita_client: Client, alice: User) -> None:
    Conversation.objects.create(owner=alice, title="<script>alert(1)</script>{{ 7|add:7 }}")
    page = rita_client.get(LIST).content.decode()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)" in page


# Who may see it


def test_a_stranger_is_asked_to_sign_in(client: Client, db: None) -> None:
    page = client.get(LIST, follow=True)
    assert page.redirect_chain[-1][0].startswith(reverse("account_login"))


def test_an_ordinary_person_has_no_access(alice_client: Client, conversation: Conversation) -> None:
    page = alice_client.get(LIST, follow=True)
    assert page.status_code == 403
    assert "Tides" not in page.content.decode()


@pytest.mark.parametrize("who", ["sam_client", "olga_client"])
def test_staff_without_the_permission_get_403(
    request: pytest.FixtureRequest, who: str, conversation: Conversation
) -> None:
    client = request.getfixturevalue(who)
    assert client.get(LIST).status_code == 403
    assert client.get(reverse("admin:chat_conversation_change", args=[conversation.pk])).status_code == 403


@pytest.mark.parametrize("who", ["rita_client", "admin_client"])
def test_nobody_adds_changes_or_deletes(
    request: pytest.FixtureRequest, who: str, conversation: Conversation, ask: Asked
) -> None:
    client = request.getfixturevalue(who)
    ask(conversation, "One", "1")
    where = [conversation.pk]
    fields: dict[str, Any] = {"title": "Changed", "owner": conversation.owner_id, "post": "yes"}
    assert client.post(reverse("admin:chat_conversation_add"), fields).status_code == 403
    assert client.post(reverse("admin:chat_conversation_change", args=where), fields).status_code == 403
    assert client.post(reverse("admin:chat_conversation_delete", args=where), fields).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": str(conversation.pk), "post": "yes"}
    client.post(LIST, chosen)
    conversation.refresh_from_db()
    assert conversation.title == "Tides"
    assert conversation.turns.count() == 1
