"""What an answer has cost: worked out when it ends, at the prices of that moment, and shown as it will be after a reload."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db.backends.utils import CursorWrapper
from django.test import Client
from django.urls import reverse

from chat.conversations import go_on as going_on
from chat.conversations.ask import Asked
from chat.models import Conversation, Deployment, Response, Status, Turn, User
from chat.rendering.views import render_turn, turn_view
from chat.turns import run
from tests.admin.test_providers import form
from tests.conftest import signed_in
from tests.dom import Page
from tests.rows import make_attachment
from tests.turns.test_run import answer, stored
from tests.upstream import Reply, Upstream, json_reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]

USAGE = (20_000, 3_000)


@pytest.fixture
def priced(deployment: Deployment) -> Deployment:
    Deployment.objects.update(
        input_price=Decimal("1.25"), cached_input_price=Decimal("0.125"), output_price=Decimal(10)
    )
    return deployment


def foot_of(html: str, turn: int) -> str:
    """The end of a turn as a page has it, without what only a fresh one is."""
    page = Page(f"<article>{html}</article>" if html.startswith("<footer") else html)
    return page.part(f"t{turn}-foot").replace(' hx-swap-oob="true"', "")


def reloaded(turn: int) -> str:
    return render_turn(turn_view(Turn.objects.with_answers().get(pk=turn)))


async def test_the_page_is_told_what_a_reload_says(
    upstream: Script, put: Put, priced: Deployment, told: list[str]
) -> None:
    upstream(Reply(events=text_events(["Because."], usage=USAGE)))
    response = await answer(await stored(put))
    assert response.cost == Decimal("0.055")
    (foot,) = told
    assert "20,000 tokens in, 3,000 out, $0.06" in foot
    assert foot_of(foot, response.turn_id) == foot_of(await sync_to_async(reloaded)(response.turn_id), response.turn_id)


async def test_another_price_changes_nothing_of_what_was_spent(upstream: Script, put: Put, priced: Deployment) -> None:
    upstream(
        Reply(events=text_events(["One."], usage=USAGE)),
        Reply(events=text_events(["Two."], response_id="resp_2", usage=USAGE)),
    )
    first = await answer(await stored(put))
    await Deployment.objects.aupdate(input_price=0, cached_input_price=None, output_price=20)
    conversation = await Conversation.objects.aget()
    second = await answer(await stored(put, "And?", conversation))
    await first.arefresh_from_db()
    assert (first.cost, second.cost) == (Decimal("0.055"), Decimal("0.06"))


async def test_cached_input_is_cheaper(upstream: Script, put: Put, priced: Deployment) -> None:
    events = text_events(["Because."], usage=USAGE)
    events[-1]["response"]["usage"]["input_tokens_details"] = {"cached_tokens": 16_000}
    upstream(Reply(events=events))
    assert (await answer(await stored(put))).cost == Decimal("0.005") + Decimal("0.002") + Decimal("0.03")


async def test_without_prices_or_figures_nothing_is_said(
    upstream: Script, put: Put, deployment: Deployment, told: list[str]
) -> None:
    upstream(Reply(events=text_events(["Because."], usage=USAGE)))
    response = await answer(await stored(put))
    assert (response.cost, response.input_tokens) == (None, 20_000)
    await Deployment.objects.aupdate(input_price=1, output_price=1)
    script = upstream(Reply(events=text_events(["Half"], done=False), breaks=True))
    script.by_path["/v1/responses/resp_1"] = lambda request: json_reply({"error": {"message": "no"}}, 404)
    broken = await answer(await stored(put))
    assert (broken.status, broken.cost) == (Status.INTERRUPTED, None)
    assert not any("$" in foot for foot in told)


async def test_what_had_no_price_yet_makes_a_turn_cost_at_least_the_rest(
    upstream: Script, put: Put, deployment: Deployment, told: list[str]
) -> None:
    cut = text_events(["Half of"], usage=USAGE)
    cut[-1]["type"] = "response.incomplete"
    cut[-1]["response"] |= {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}
    upstream(Reply(events=cut), Reply(events=text_events([" an answer."], response_id="resp_2", usage=USAGE)))
    first = await answer(await stored(put))
    assert first.status == Status.INCOMPLETE
    await Deployment.objects.aupdate(input_price=1, output_price=1)
    asked: Any = await sync_to_async(going_on.go_on)(first.turn, first.pk)
    second = await answer(asked)
    assert (first.cost, second.cost) == (None, Decimal("0.023"))
    assert "40,000 tokens in, 6,000 out, at least $0.02" in told[-1]


async def test_it_takes_no_query(
    upstream: Script, put: Put, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries: list[str] = []
    for name in ("execute", "executemany"):
        before = getattr(CursorWrapper, name)

        def counted(cursor: Any, sql: str, params: Any = None, before: Any = before) -> Any:
            queries.append(sql)
            return before(cursor, sql, params)

        monkeypatch.setattr(CursorWrapper, name, counted)

    async def cost_of_an_answer() -> int:
        upstream(Reply(events=text_events(["Because."], usage=USAGE)))
        asked = await stored(put)
        queries.clear()
        run.start(asked)
        await run.wait_for(asked.turn.pk)
        return len(queries)

    unpriced = await cost_of_an_answer()
    await Deployment.objects.aupdate(input_price=1, output_price=1)
    assert await cost_of_an_answer() == unpriced
    assert await Response.objects.filter(cost=Decimal("0.023")).acount() == 1


async def test_from_the_operator_to_the_person_and_the_reviewer(
    upstream: Script, put: Put, owner: User, deployment: Deployment, admin_client: Client, rita_client: Client
) -> None:
    """The way of a price: set in the admin, foretold in the composer, paid by an answer, read by whoever may."""

    def set_prices() -> None:
        where = reverse("admin:chat_provider_change", args=[deployment.provider_id])
        row = {"id": str(deployment.pk), "input_price": "1.25", "output_price": "10", "is_default": "on"}
        saved = admin_client.post(where, form({**row, "name": deployment.name}, initial=1, name="Scripted"))
        assert saved.status_code == 302, saved.context["errors"]

    def foretold() -> str:
        paper = make_attachment(owner, content=b"", pages=100, text_characters=200_000)
        query = {"attachment": str(paper.pk), "deployment": deployment.pk}
        return signed_in(owner).get(reverse("estimate"), query, headers={"HX-Request": "true"}).content.decode()

    def read(client: Client, name: str, *args: Any) -> str:
        page = client.get(reverse(name, args=args))
        assert page.status_code == 200
        return page.content.decode()

    await sync_to_async(set_prices)()
    assert await sync_to_async(foretold)() == "Reading this file takes about 160,000 tokens, about $0.20."
    upstream(Reply(events=text_events(["Because."], usage=(160_000, 3_000))))
    conversation = (await answer(await stored(put))).turn.conversation_id
    person = await sync_to_async(signed_in)(owner)
    assert "160,000 tokens in, 3,000 out, $0.23" in await sync_to_async(read)(person, "conversation", conversation)
    assert '<td class="field-cost">$0.23</td>' in await sync_to_async(read)(
        rita_client, "admin:chat_conversation_changelist"
    )
    transcript = await sync_to_async(read)(rita_client, "admin:chat_conversation_change", conversation)
    assert "160,000 in, 3,000 out, $0.23" in transcript
