"""Continue, from the wish to the page: the old text stays, the new one grows after it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from asgiref.sync import sync_to_async

from chat.conversations import go_on as going_on
from chat.conversations.ask import Asked
from chat.conversations.history import GO_ON
from chat.models import Response, Status, Turn
from chat.rendering.views import render_turn, turn_view
from chat.turns import resuming, run, sweep
from chat.turns.hub import hub
from chat.turns.job import Job
from tests.dom import Page
from tests.turns.test_background import PATH, dead
from tests.turns.test_run import answer, stored, watching
from tests.upstream import Reply, Upstream, completed, json_reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]


async def interrupted(script: Upstream, put: Put) -> Response:
    """An answer whose stream broke, and which the provider has not kept."""
    script.replies.insert(0, Reply(events=text_events(["Half of"], done=False), breaks=True))
    script.by_path[PATH] = lambda request: json_reply({"error": {"message": "no"}}, 404)
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.INTERRUPTED, "Half of")
    return response


async def wished(first: Response) -> Asked:
    asked: Asked = await sync_to_async(going_on.go_on)(first.turn, first.pk)
    return asked


def reloaded(turn: int) -> Page:
    return Page(render_turn(turn_view(Turn.objects.with_answers().get(pk=turn))))


async def test_the_page_shows_the_old_text_and_the_new_one_growing_after_it(upstream: Script, put: Put) -> None:
    gate = asyncio.Event()
    script = upstream(Reply(events=text_events([" (an)", " answer."], response_id="resp_2"), gates={4: gate}))
    first = await interrupted(script, put)
    turn, pk = first.turn_id, first.pk
    page = await sync_to_async(reloaded)(turn)
    asked = await wished(first)
    run.start(asked)
    tab, next_frame = watching(page, turn)
    while "(an)" not in page.part(f"t{turn}-answer"):
        await next_frame()
    assert "Half of" in page.part(f"r{pk}")
    assert "(an)" in page.part(f"r{asked.response.pk}")
    assert page.part(f"t{turn}-answer").index(f'"r{pk}"') < page.part(f"t{turn}-answer").index(
        f'"r{asked.response.pk}"'
    )
    gate.set()
    while 'data-status="completed"' not in page.part(f"t{turn}-foot"):
        await next_frame()
    tab.cancel()
    await run.wait_for(turn)
    after = await sync_to_async(reloaded)(turn)
    assert page.part(f"t{turn}-answer") == after.part(f"t{turn}-answer")
    assert not page.missed
    assert (await Turn.objects.aget(pk=turn)).status == Status.COMPLETED


async def test_what_goes_upstream_is_the_history_the_text_so_far_and_the_wish(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events([" an answer."], response_id="resp_2")))
    first = await interrupted(script, put)
    response = await answer(await wished(first))
    question, said, wish = script.requests[1]["input"]
    assert "previous_response_id" not in script.requests[1]
    assert question["content"] == [{"type": "input_text", "text": "Why?"}]
    assert (said["role"], said["content"][0]["text"]) == ("assistant", "Half of")
    assert wish == {"type": "message", "role": "user", "content": [{"type": "input_text", "text": GO_ON}]}
    assert (response.order, response.text, response.input) == (1, " an answer.", [wish])


async def test_a_stop_stops_the_new_part_and_keeps_both(upstream: Script, put: Put) -> None:
    gate = asyncio.Event()
    script = upstream(Reply(events=text_events([" (an)", " answer."], response_id="resp_2"), gates={4: gate}))
    first = await interrupted(script, put)
    asked = await wished(first)
    run.start(asked)
    page = Page(f'<p><i id="t{first.turn_id}-answer"></i><i id="t{first.turn_id}-foot"></i></p>')
    tab, next_frame = watching(page, first.turn_id)
    while "(an)" not in page.root.text():
        await next_frame()
    tab.cancel()
    assert run.stop(first.turn_id)
    await run.wait_for(first.turn_id)
    rows = [(r.status, r.text) async for r in Response.objects.filter(turn=first.turn_id)]
    assert rows == [(Status.INTERRUPTED, "Half of"), (Status.CANCELLED, " (an)")]


async def test_an_adopted_one_shows_what_came_before_it(upstream: Script, put: Put) -> None:
    script = upstream()
    first = await interrupted(script, put)
    asked = await wished(first)
    await sync_to_async(dead)(asked, background=False)
    script.by_path[PATH] = lambda request: json_reply(completed("resp_1", "Because."))
    (adopted,) = await sync_to_async(sweep.sweep)()
    run.adopt(adopted)
    shown = Page(hub.turns[first.turn_id].html()).root.text()
    assert shown.index("Half of") < shown.index("Because")
    await run.wait_for(first.turn_id)
    assert (await Turn.objects.aget(pk=first.turn_id)).status == Status.COMPLETED


async def test_it_goes_on_at_once_though_the_run_before_has_something_left_to_do(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = upstream(Reply(events=text_events([" an answer."], response_id="resp_2")))
    cancelling, may_end = asyncio.Event(), asyncio.Event()

    async def slow(job: Job) -> None:
        cancelling.set()
        await may_end.wait()

    monkeypatch.setattr(resuming, "cancel", slow)
    script.replies.insert(0, Reply(events=text_events(["Half of"], done=False), breaks=True))
    script.by_path[PATH] = lambda request: json_reply({"error": {"message": "no"}}, 404)
    asked = await stored(put)
    run.start(asked)
    await asyncio.wait_for(cancelling.wait(), 5)
    (before,) = run._tasks.values()
    first = await Response.objects.select_related("turn__conversation__owner").aget(pk=asked.response.pk)
    response = await answer(await wished(first))
    assert (response.status, response.text) == (Status.COMPLETED, " an answer.")
    may_end.set()
    await asyncio.wait_for(before, 5)
    assert not run._last_deeds
