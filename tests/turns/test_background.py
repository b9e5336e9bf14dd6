"""What works in the background is brought to its end through broken streams, refusals and restarts."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat import engines
from chat.conversations.ask import Asked
from chat.models import Deployment, Response, Status, Turn, User
from chat.offline.app import create_app
from chat.offline.transport import OfflineTransport
from chat.rendering.answer import response_html
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.turns import lifecycle, mirror, resuming, run, sweep
from chat.turns.hub import hub
from tests.dom import Page
from tests.turns.test_run import answer, shown, stored, watching
from tests.upstream import URL, Reply, Upstream, _Body, completed, json_reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]

PATH = "/v1/responses/resp_1"
WHOLE = text_events(["Be", "cause", " it", " is."])
TEXT = "Because it is."
HALF = 5  # events: up to "cause", whose sequence number is 4


@pytest.fixture(autouse=True)
def in_background(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    Deployment.objects.update(background=True)
    monkeypatch.setattr(resuming, "FIRST_PAUSE_SECONDS", 0.0)


class Kept:
    """What the provider knows of `resp_1`: streams by GET, what a plain GET says, and what was asked."""

    def __init__(self, script: Upstream, *streams: Reply | httpx.Response, retrieved: list[Any] | None = None) -> None:
        self.streams = list(streams)
        self.retrieved = retrieved or []
        self.asked: list[str] = []
        self.is_cancelled = asyncio.Event()
        script.by_path[PATH] = self._get
        script.by_path[f"{PATH}/cancel"] = self._cancel

    def _get(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request.url.query.decode())
        if request.url.query:
            reply = self.streams.pop(0)
            if isinstance(reply, httpx.Response):
                return reply
            return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=_Body(reply))
        found = self.retrieved.pop(0)
        return found if isinstance(found, httpx.Response) else json_reply(found)

    def _cancel(self, request: httpx.Request) -> httpx.Response:
        self.is_cancelled.set()
        return json_reply({**completed("resp_1", ""), "status": "cancelled"})


def broken_off(count: int = HALF) -> Reply:
    return Reply(events=WHOLE[:count], breaks=True)


def rest(after: int = HALF - 1, until: int | None = None) -> Reply:
    return Reply(events=WHOLE[after + 1 : until], breaks=until is not None)


def refused(status: int) -> httpx.Response:
    return json_reply({"error": {"message": "No."}}, status, {"x-should-retry": "false"})


async def test_a_request_says_that_it_works_in_the_background_and_so_does_its_row(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=WHOLE))
    response = await answer(await stored(put))
    assert script.requests[0]["background"] is script.requests[0]["store"] is script.requests[0]["stream"] is True
    assert (response.background, response.store, response.text) == (True, True, TEXT)


async def test_the_row_knows_it_before_anything_is_sent(upstream: Script, put: Put) -> None:
    asked = await stored(put)
    script = upstream(Reply(events=WHOLE))
    known: list[bool] = []
    handle = script.handle_async_request

    async def watched(request: httpx.Request) -> httpx.Response:
        known.append((await Response.objects.aget(pk=asked.response.pk)).background)
        return await handle(request)

    script.handle_async_request = watched  # type: ignore[method-assign]
    await answer(asked)
    assert known[0] is True


@pytest.mark.seed("S1-27", "S1-28")
async def test_a_stream_that_breaks_is_resumed_behind_its_last_event(upstream: Script, put: Put) -> None:
    kept = Kept(upstream(broken_off()), rest())
    response = await answer(await stored(put))
    assert kept.asked == ["stream=true&starting_after=4"]
    assert (response.status, response.text, response.output_tokens) == (Status.COMPLETED, TEXT, 11)


async def test_a_server_that_begins_anew_when_it_resumes_doubles_nothing(upstream: Script, put: Put) -> None:
    Kept(upstream(broken_off()), Reply(events=WHOLE[:-2], breaks=True), rest(len(WHOLE) - 3))
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.COMPLETED, TEXT)


async def test_it_is_resumed_as_often_as_it_breaks_and_through_faults_of_the_server(upstream: Script, put: Put) -> None:
    ends = Reply(events=[])  # a reply that is over before its first event
    kept = Kept(upstream(broken_off(3)), refused(503), rest(2, 5), refused(502), ends, rest(4, 6), rest(5))
    response = await answer(await stored(put))
    assert [query.rpartition("=")[2] for query in kept.asked] == ["2", "2", "4", "4", "4", "5"]
    assert (response.status, response.text) == (Status.COMPLETED, TEXT)


async def test_what_can_no_longer_be_resumed_is_asked_for_until_it_is_over(upstream: Script, put: Put) -> None:
    busy = {**completed("resp_1", ""), "status": "in_progress", "output": []}
    answers = [{**busy, "status": "queued"}, busy, refused(503), completed("resp_1", TEXT)]
    kept = Kept(upstream(broken_off()), refused(400), retrieved=answers)
    response = await answer(await stored(put))
    assert kept.asked == ["stream=true&starting_after=4", "", "", "", ""]
    assert (response.status, response.text, response.output_tokens) == (Status.COMPLETED, TEXT, 11)


async def test_a_provider_that_cannot_resume_is_asked_at_once(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = Kept(upstream(broken_off()), retrieved=[completed("resp_1", TEXT)])
    monkeypatch.setattr(engines, "dialect_of", lambda provider: replace(DIALECTS["openai"], resume=False))
    response = await answer(await stored(put))
    assert (kept.asked, response.text) == ([""], TEXT)


async def test_resuming_in_vain_ends_in_asking(upstream: Script, put: Put) -> None:
    vain = [refused(500) for _ in range(resuming.FRUITLESS_RESUMES)]
    kept = Kept(upstream(broken_off()), *vain, retrieved=[completed("resp_1", TEXT)])
    response = await answer(await stored(put))
    assert (len(kept.asked), response.text) == (len(vain) + 1, TEXT)


async def test_what_the_provider_lost_is_interrupted_with_its_text(upstream: Script, put: Put) -> None:
    Kept(upstream(broken_off()), refused(404), retrieved=[refused(404)])
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.INTERRUPTED, "Because")


async def test_what_never_ends_is_given_up_and_cancelled(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    busy = {**completed("resp_1", ""), "status": "in_progress", "output": []}
    kept = Kept(upstream(broken_off()), refused(400), retrieved=[busy] * 3)
    pauses = iter([0.0, 0.0, resuming.MOST_POLLING_SECONDS + 1])
    monkeypatch.setattr(resuming, "_pauses", lambda: iter([0.0]) if not kept.asked else pauses)
    response = await answer(await stored(put))
    assert (response.status, response.text, kept.retrieved) == (Status.INTERRUPTED, "Because", [])
    assert kept.is_cancelled.is_set()


async def test_a_model_that_cannot_is_asked_in_the_foreground(upstream: Script, put: Put) -> None:
    body = {"error": {"message": "Background mode is not supported for this model.", "param": "background"}}
    script = upstream(Reply(status=400, body=body), Reply(events=WHOLE))
    response = await answer(await stored(put))
    assert "background" not in script.requests[1]
    assert (response.status, response.background) == (Status.COMPLETED, False)


async def test_a_stop_cancels_upstream_what_would_go_on_there(upstream: Script, put: Put) -> None:
    kept = Kept(upstream(Reply(events=WHOLE, gates={HALF: asyncio.Event()})))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Because")
    assert run.stop(asked.turn.pk)
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.aget(pk=asked.response.pk)
    assert (response.status, response.text) == (Status.CANCELLED, "Because")
    assert kept.is_cancelled.is_set()


async def test_what_another_process_took_over_is_not_cancelled_by_the_one_that_lost_it(
    upstream: Script, put: Put
) -> None:
    kept = Kept(upstream(Reply(events=WHOLE, gates={HALF: asyncio.Event()})))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Because")
    await Response.objects.filter(pk=asked.response.pk).aupdate(owner=uuid.uuid4())
    run.writer.changed(asked.response.pk)
    await run.writer.flush()
    await run.wait_for(asked.turn.pk)
    assert not kept.is_cancelled.is_set()
    assert (await Response.objects.aget(pk=asked.response.pk)).status == Status.IN_PROGRESS


async def test_the_page_of_a_run_that_was_taken_over_follows_it_to_its_end(upstream: Script, put: Put) -> None:
    Kept(upstream(Reply(events=WHOLE, gates={HALF: asyncio.Event()})))
    asked = await stored(put)
    run.start(asked)
    turn, pk = asked.turn.pk, asked.response.pk
    page = Page(f'<article><i id="t{turn}-answer"></i><footer id="t{turn}-foot" data-live="{turn}"></footer></article>')
    tab, next_frame = watching(page, turn)
    while "Because" not in page.root.text():
        await next_frame()
    await Response.objects.filter(pk=pk).aupdate(owner=uuid.uuid4())
    run.writer.changed(pk)
    await run.writer.flush()
    await run.wait_for(turn)
    output = completed("resp_1", TEXT)["output"]
    await Response.objects.filter(pk=pk).aupdate(status=Status.COMPLETED, output=output, text=TEXT)
    await Turn.objects.filter(pk=turn).aupdate(status=Status.COMPLETED)
    while 'data-status="completed"' not in page.part(f"t{turn}-foot"):
        await next_frame()
    tab.cancel()
    assert page.part(f"r{pk}") == Page(response_html(await Response.objects.aget(pk=pk))).part(f"r{pk}")
    await mirror.mirrors.end()


async def test_the_page_is_told_what_goes_on_only_when_it_takes_long(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resuming, "NOTE_SECONDS", 0.0)
    first, again, last = asyncio.Event(), asyncio.Event(), asyncio.Event()
    broken = broken_off()
    broken.gates[0] = first
    Kept(upstream(broken), Reply(events=WHOLE[HALF:], gates={0: again, 1: last}))
    asked = await stored(put)
    run.start(asked)
    turn = asked.turn.pk
    page = Page(f'<article><i id="t{turn}-answer"></i><footer id="t{turn}-foot" data-live="{turn}"></footer></article>')
    tab, next_frame = watching(page, turn)
    first.set()
    while resuming.NOTE not in page.root.text():
        await next_frame()
    again.set()
    while resuming.NOTE in page.root.text():
        await next_frame()
    assert "data-live" in page.part(f"t{turn}-foot")
    last.set()
    await run.wait_for(turn)
    tab.cancel()


async def test_the_embedded_engine_goes_on_through_dropped_connections(
    put: Put, monkeypatch: pytest.MonkeyPatch, deployment: Deployment
) -> None:
    faults = [
        "drop after 9 events",
        "drop after 3 events on resume twice",
        "503 on resume",
        "drop after 4 events on resume",
    ]
    app = create_app(faults=faults, pace_seconds=0.0)
    http = httpx.AsyncClient(transport=OfflineTransport(app))
    client = Client(Endpoint(URL, DIALECTS["openai"], None, {}), http, sleep=no_sleep)
    monkeypatch.setattr(engines, "client_for", lambda provider, deployment=None: client)
    response = await answer(await stored(put, "Show me what Markdown looks like here"))
    kept = await client.retrieve(response.response_id)
    assert not app.faults.script_for({}), "the premise: all of them happened"
    assert (response.status, response.output) == (Status.COMPLETED, kept["output"])
    await http.aclose()
    await app.aclose()


async def no_sleep(seconds: float) -> None:
    await asyncio.sleep(0)


# Shutdown, and what comes after it


async def left(upstream: Script, put: Put) -> tuple[Asked, Upstream]:
    """A run in the middle of its answer, left at a shutdown."""
    script = upstream(Reply(events=WHOLE, gates={HALF: asyncio.Event()}))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Because")
    await lifecycle.end()
    return asked, script


async def test_at_a_shutdown_it_is_left_with_all_its_text_for_whoever_comes(upstream: Script, put: Put) -> None:
    script = upstream(
        Reply(events=WHOLE, gates={HALF: asyncio.Event()}), Reply(events=WHOLE, gates={HALF: asyncio.Event()})
    )
    kept = Kept(script)
    background = await stored(put)
    run.start(background)
    await shown(background, "Because")
    await Deployment.objects.aupdate(background=False)
    foreground = await stored(put)
    run.start(foreground)
    await shown(foreground, "Because")
    await lifecycle.end()
    row = await Response.objects.select_related("turn").aget(pk=background.response.pk)
    assert (row.status, row.turn.status, row.owner, row.heartbeat_at) == ("in_progress", "in_progress", None, None)
    assert (row.cursor, row.output[0]["content"][0]["text"]) == (4, "Because")
    other = await Response.objects.select_related("turn").aget(pk=foreground.response.pk)
    assert (other.status, other.turn.status, other.text) == ("interrupted", "interrupted", "Because")
    assert not kept.is_cancelled.is_set()
    assert not hub.turns


async def test_a_run_that_was_left_is_adopted_at_once_and_goes_on(upstream: Script, put: Put) -> None:
    asked, script = await left(upstream, put)
    gate = asyncio.Event()
    kept = Kept(script, Reply(events=WHOLE[HALF:], gates={0: gate}))
    (adopted,) = await sync_to_async(sweep.sweep)()
    run.adopt(adopted)
    assert response_html_of(hub.turns[asked.turn.pk].html()) == "Because"
    gate.set()
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.select_related("turn").aget(pk=asked.response.pk)
    assert kept.asked == ["stream=true&starting_after=4"]
    assert (response.status, response.turn.status, response.text) == (Status.COMPLETED, Status.COMPLETED, TEXT)


def response_html_of(html: str) -> str:
    return Page(html).root.text().strip()


async def test_the_page_of_an_adopted_run_ends_as_a_reload_shows_it(upstream: Script, put: Put) -> None:
    asked, script = await left(upstream, put)
    gate = asyncio.Event()
    Kept(script, Reply(events=WHOLE[HALF:], gates={0: gate}))
    (adopted,) = await sync_to_async(sweep.sweep)()
    run.adopt(adopted)
    turn, pk = asked.turn.pk, asked.response.pk
    page = Page(f'<article><i id="t{turn}-answer"></i><footer id="t{turn}-foot" data-live="{turn}"></footer></article>')
    tab, next_frame = watching(page, turn)
    await next_frame()
    gate.set()
    while "data-live" in page.part(f"t{turn}-foot"):
        await next_frame()
    tab.cancel()
    await run.wait_for(turn)
    assert page.part(f"r{pk}") == Page(response_html(await Response.objects.aget(pk=pk))).part(f"r{pk}")
    assert not page.missed


async def test_a_stop_before_anybody_adopted_it_closes_it(upstream: Script, put: Put) -> None:
    asked, _ = await left(upstream, put)
    row = await Response.objects.aget(pk=asked.response.pk)
    assert await sync_to_async(sweep.close)(row, Status.CANCELLED)
    assert await sync_to_async(sweep.sweep)() == []


def dead(asked: Asked, **fields: Any) -> Response:
    """As if its process had been killed a while ago, with this stored."""
    fields = {
        "owner": uuid.uuid4(),
        "heartbeat_at": timezone.now() - timedelta(seconds=sweep.LEASE_SECONDS + 1),
        "status": Status.IN_PROGRESS,
        "response_id": "resp_1",
        "cursor": 4,
        "background": True,
        "output": [
            {
                "id": "msg_resp_1",
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [{"type": "output_text", "text": "Because", "annotations": []}],
            }
        ],
        **fields,
    }
    Response.objects.filter(pk=asked.response.pk).update(**fields)
    Turn.objects.filter(pk=asked.turn.pk).update(status=Status.IN_PROGRESS)
    return Response.objects.get(pk=asked.response.pk)


async def adopted_to_its_end(asked: Asked) -> Response:
    for adopted in await sync_to_async(sweep.sweep)():
        run.adopt(adopted)
    await run.wait_for(asked.turn.pk)
    return await Response.objects.select_related("turn").aget(pk=asked.response.pk)


async def test_a_run_whose_process_was_killed_goes_on_in_another(upstream: Script, put: Put) -> None:
    asked = await stored(put)
    await sync_to_async(dead)(asked)
    Kept(upstream(), rest())
    response = await adopted_to_its_end(asked)
    assert (response.status, response.text) == (Status.COMPLETED, TEXT)


async def test_what_was_stored_upstream_is_fetched_once(upstream: Script, put: Put) -> None:
    asked = await stored(put)
    await sync_to_async(dead)(asked, background=False)
    kept = Kept(upstream(), retrieved=[completed("resp_1", TEXT)])
    response = await adopted_to_its_end(asked)
    assert (kept.asked, response.status, response.text) == ([""], Status.COMPLETED, TEXT)


@pytest.mark.parametrize("found", [refused(404), {**completed("resp_1", ""), "status": "in_progress", "output": []}])
async def test_what_the_provider_did_not_end_is_interrupted_with_its_text(
    found: Any, upstream: Script, put: Put
) -> None:
    asked = await stored(put)
    await sync_to_async(dead)(asked, background=False)
    kept = Kept(upstream(), retrieved=[found])
    response = await adopted_to_its_end(asked)
    assert (kept.asked, response.status, response.text) == ([""], Status.INTERRUPTED, "Because")
    assert response.turn.status == Status.INTERRUPTED


async def test_no_more_are_adopted_than_a_process_may_carry(upstream: Script, put: Put, settings: Settings) -> None:
    upstream()
    for _ in range(3):
        await sync_to_async(dead)(await stored(put))
    settings.RUNNING_PER_PROCESS = 4
    first = await sync_to_async(sweep.sweep)([-1, -2])
    assert len(first) == 2
    settings.RUNNING_PER_PROCESS = 5
    assert len(await sync_to_async(sweep.sweep)([-1, -2])) == 1, "the one that was left to others"


async def test_who_answered_is_still_known_when_it_ends_without_saying_so(upstream: Script, put: Put) -> None:
    asked = await stored(put)
    await sync_to_async(dead)(asked, model="m-1-2026", background=False)
    Kept(upstream(), retrieved=[refused(404)])
    assert (await adopted_to_its_end(asked)).model == "m-1-2026"


@pytest.mark.parametrize("fields", [{"store": False, "background": False}, {"response_id": ""}])
async def test_what_nobody_can_know_of_is_closed(fields: dict[str, Any], upstream: Script, put: Put) -> None:
    asked = await stored(put)
    upstream()
    await sync_to_async(dead)(asked, **fields)
    response = await adopted_to_its_end(asked)
    assert (response.status, response.text) == (Status.INTERRUPTED, "Because")


async def test_what_has_just_been_asked_is_no_orphan(put: Put) -> None:
    asked = await stored(put)
    assert await sync_to_async(sweep.sweep)() == []
    assert (await Response.objects.aget(pk=asked.response.pk)).status == Status.QUEUED


def test_of_two_processes_that_sweep_at_the_same_moment_one_adopts(
    put: Put, upstream: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream()
    dead(put())
    both_have_seen_it = threading.Barrier(2)
    adopt = sweep._adopted
    found: list[int] = []

    def at_the_same_moment(response: Response) -> sweep.Adopted | None:
        both_have_seen_it.wait(5)
        return adopt(response)

    def process() -> None:
        try:
            found.append(len(sweep.sweep()))
        finally:
            connections.close_all()

    monkeypatch.setattr(sweep, "_adopted", at_the_same_moment)
    threads = [threading.Thread(target=process) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [0, 1]


# Stopped where it does not run


async def stopped(alice: User, asked: Asked) -> None:
    client = AsyncClient()
    await client.aforce_login(alice)
    page = await client.post(reverse("stop", args=[asked.conversation.pk]), headers={"HX-Request": "true"})
    assert page.status_code == 204


async def test_a_stop_in_another_process_cancels_upstream(upstream: Script, put: Put, owner: User) -> None:
    asked = await stored(put)
    await sync_to_async(dead)(asked, heartbeat_at=timezone.now())
    kept = Kept(upstream())
    await stopped(owner, asked)
    response = await Response.objects.aget(pk=asked.response.pk)
    assert (response.status, response.text) == (Status.CANCELLED, "Because")
    assert kept.is_cancelled.is_set()


async def test_a_heartbeat_in_between_does_not_outrun_a_stop(
    upstream: Script, put: Put, owner: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = await stored(put)
    await sync_to_async(dead)(asked, heartbeat_at=timezone.now(), background=False)
    upstream()
    close = sweep.close
    beats = iter([True, True, False, False])

    def beaten(response: Response, status: Status) -> bool:
        if next(beats):
            Response.objects.filter(pk=response.pk).update(heartbeat_at=timezone.now())
        return close(response, status)

    monkeypatch.setattr(sweep, "close", beaten)
    await stopped(owner, asked)
    assert (await Response.objects.aget(pk=asked.response.pk)).status == Status.CANCELLED


async def test_a_stop_of_what_has_ended_meanwhile_changes_nothing(upstream: Script, put: Put, owner: User) -> None:
    asked = await stored(put)
    row = await sync_to_async(dead)(asked, heartbeat_at=timezone.now())
    await Response.objects.filter(pk=row.pk).aupdate(status=Status.COMPLETED, heartbeat_at=timezone.now())
    assert not await sync_to_async(sweep.close_now)(row, Status.CANCELLED)
    assert (await Response.objects.aget(pk=row.pk)).status == Status.COMPLETED
