"""Each run ends once and tells its page, whatever happens while it ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError

from chat.conversations.ask import Asked
from chat.models import Conversation, Response, Status, User
from chat.rendering.live import LiveResponse
from chat.turns import last_word, lifecycle, run, sweep, writer
from chat.turns.hub import hub
from tests.dom import Page
from tests.turns.test_run import answer, shown, stored
from tests.upstream import Reply, Upstream, completed, json_reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]


async def begun(put: Put) -> Asked:
    """A run in the middle of its answer."""
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Half")
    return asked


async def row(asked: Asked) -> Response:
    return await Response.objects.select_related("turn").aget(pk=asked.response.pk)


def endless() -> Reply:
    return Reply(events=text_events(["Half", " more"]), gates={4: asyncio.Event()})


@pytest.mark.parametrize("how", ["stop", "shutdown"])
async def test_a_stop_while_the_end_is_being_stored_changes_nothing(
    how: str, upstream: Script, put: Put, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream(Reply(events=text_events(["Because."])))
    asked = await stored(put)
    finish = run.writer.finish

    async def too_late(final: writer.Final) -> bool:
        if how == "stop":
            assert run.stop(asked.turn.pk)
        else:
            closing.append(asyncio.ensure_future(run.stop_all()))
            await asyncio.sleep(0)
        return await finish(final)

    closing: list[asyncio.Task[None]] = []
    monkeypatch.setattr(run.writer, "finish", too_late)
    response = await answer(asked)
    await asyncio.gather(*closing)
    assert (response.status, response.turn.status) == (Status.COMPLETED, Status.COMPLETED)
    assert len(told) == 1
    assert 'data-status="completed"' in told[0]
    assert not hub.turns


async def test_stopping_twice_stops_once(upstream: Script, put: Put, told: list[str]) -> None:
    upstream(endless())
    asked = await begun(put)
    for _ in range(20):
        run.stop(asked.turn.pk)
        await asyncio.sleep(0)
    await run.wait_for(asked.turn.pk)
    response = await row(asked)
    assert (response.status, response.text) == (Status.CANCELLED, "Half")
    assert len(told) == 1
    assert 'data-status="cancelled"' in told[0]
    assert not hub.turns


@pytest.mark.parametrize("how", ["stop", "shutdown"])
async def test_what_has_had_its_last_word_is_not_stopped_any_more(
    how: str, upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection may stay open for a moment after it."""
    events = text_events(["Because."])
    upstream(Reply(events=[*events, {"type": "more"}], gates={len(events): asyncio.Event()}))
    asked = await stored(put)
    said = asyncio.Event()
    changed = run.writer.changed

    def watched(pk: int) -> None:
        changed(pk)
        if run.writer._running[pk].terminal_seen:
            said.set()

    monkeypatch.setattr(run.writer, "changed", watched)
    run.start(asked)
    await asyncio.wait_for(said.wait(), 5)
    if how == "stop":
        assert run.stop(asked.turn.pk)
        await run.wait_for(asked.turn.pk)
    else:
        await run.stop_all()
    response = await row(asked)
    assert (response.status, response.text) == (Status.COMPLETED, "Because.")


async def test_a_shutdown_after_a_stop_leaves_it_a_stop(upstream: Script, put: Put) -> None:
    upstream(endless())
    asked = await begun(put)
    run.stop(asked.turn.pk)
    await run.stop_all()
    assert (await row(asked)).status == Status.CANCELLED


async def test_a_run_that_is_cancelled_before_its_first_step_lets_go_of_its_page(
    upstream: Script, put: Put, told: list[str]
) -> None:
    upstream()
    asked = await stored(put)
    run.start(asked)
    await run.stop_all()
    assert len(told) == 1
    assert "data-live" not in told[0]
    assert not hub.turns


async def test_a_stop_that_comes_before_the_run_begins_is_shown(upstream: Script, put: Put, told: list[str]) -> None:
    script = upstream()
    asked = await stored(put)
    assert await sync_to_async(sweep.close)(asked.response, Status.CANCELLED)
    await answer(asked)
    assert not script.requests
    assert len(told) == 1
    assert 'data-status="cancelled"' in told[0]


async def test_rows_deleted_under_a_run_end_it_with_a_sentence(
    upstream: Script, put: Put, owner: User, told: list[str]
) -> None:
    reply = endless()
    upstream(reply)
    asked = await begun(put)
    await owner.adelete()
    reply.gates[4].set()
    await run.wait_for(asked.turn.pk)
    assert len(told) == 1
    assert "data-live" not in told[0]
    assert "deleted" in told[0]
    assert not hub.turns


async def test_a_deleted_run_stops_asking_for_more(upstream: Script, put: Put, owner: User, told: list[str]) -> None:
    reply = endless()
    upstream(reply)
    asked = await begun(put)
    await owner.adelete()
    run.writer.changed(asked.response.pk)
    await run.writer.flush()
    await asyncio.wait_for(reply.closed.wait(), 5)
    await run.wait_for(asked.turn.pk)
    assert "deleted" in told[0]


async def test_a_run_that_was_closed_elsewhere_shows_what_is_stored(
    upstream: Script, put: Put, told: list[str]
) -> None:
    reply = endless()
    upstream(reply)
    asked = await begun(put)
    await run.writer.flush()
    assert await sync_to_async(sweep.close)(await row(asked), Status.INTERRUPTED)
    reply.gates[4].set()
    await run.wait_for(asked.turn.pk)
    page = Page(f'<p><i id="t{asked.turn.pk}-answer"></i><i id="t{asked.turn.pk}-foot"></i></p>')
    page.receive(told[0])
    assert page.root.text().count("Half") == 1
    assert "more" not in page.part(f"t{asked.turn.pk}-answer")
    assert 'data-status="interrupted"' in page.part(f"t{asked.turn.pk}-foot")


async def test_an_end_that_cannot_be_read_back_is_told_all_the_same(
    upstream: Script, put: Put, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream(Reply(events=text_events(["Because."])))

    def locked(*args: Any, **kwargs: Any) -> str:
        raise OperationalError("database is locked")

    monkeypatch.setattr(last_word, "foot_of", locked)
    response = await answer(await stored(put))
    assert response.status == Status.COMPLETED
    assert len(told) == 1
    assert "data-live" not in told[0]
    assert not hub.turns


async def test_an_answer_that_cannot_be_shown_is_stored_and_ended(
    upstream: Script, put: Put, told: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upstream(Reply(events=text_events(["Because."])))

    def broken(self: LiveResponse) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(LiveResponse, "finish", broken)
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.COMPLETED, "Because.")
    assert len(told) == 1
    assert not hub.turns


@pytest.mark.parametrize("status", ["incomplete", "failed", "cancelled"])
async def test_what_was_shown_outlasts_a_response_that_was_kept_without_it(
    status: str, upstream: Script, put: Put
) -> None:
    script = upstream(Reply(events=text_events(["Half"], done=False)))
    kept = {**completed("resp_1", ""), "status": status, "output": []}
    script.by_path["/v1/responses/resp_1"] = lambda request: json_reply(kept)
    response = await answer(await stored(put))
    assert (response.status, response.text) == (status, "Half")


async def test_one_row_that_cannot_be_written_does_not_hold_up_the_others(
    upstream: Script, put: Put, owner: User, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("chat"), "propagate", True)
    replies = [endless(), endless()]
    upstream(*replies)
    poisoned, healthy = await begun(put), await begun(put)
    fields = writer.draft_fields
    first = run.writer._running[poisoned.response.pk]
    monkeypatch.setattr(writer, "draft_fields", lambda d: {**fields(d), **({"cursor": 2**70} if d is first else {})})
    await run.writer.flush()
    response = await row(healthy)
    assert response.output[0]["content"][0]["text"] == "Half"
    assert f"response {poisoned.response.pk}" in caplog.text
    monkeypatch.undo()
    await run.stop_all()


async def test_a_conversation_that_was_deleted_for_good_gets_no_title(upstream: Script, put: Put) -> None:
    upstream(Reply(events=text_events(["Because."])))
    asked = await stored(put)
    await Conversation.objects.filter(pk=asked.conversation.pk).adelete()
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    assert not hub.turns


GONE = {"type": "error", "code": "previous_response_not_found", "message": "Previous response 'resp_1' not found."}


@pytest.mark.parametrize(
    "events",
    [
        [GONE],
        [{"type": "response.failed", "response": {"id": "resp_x", "status": "failed", "output": [], "error": GONE}}],
    ],
)
async def test_a_chain_that_is_found_broken_in_the_stream_is_made_up_for_too(
    events: list[dict[str, Any]], upstream: Script, put: Put
) -> None:
    script = upstream(
        Reply(events=text_events(["One."])),
        Reply(events=events),
        Reply(events=text_events(["Two."], response_id="resp_2")),
    )
    first = await answer(await stored(put))
    second = await answer(await stored(put, "And then?", first.turn.conversation))
    assert (second.status, second.text, second.error) == (Status.COMPLETED, "Two.", None)
    assert [item["role"] for item in script.requests[2]["input"]] == ["user", "assistant", "user"]


async def test_a_chain_that_stays_broken_is_told_and_not_asked_for_ever(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["One."])), Reply(events=[GONE]), Reply(events=[GONE]))
    first = await answer(await stored(put))
    second = await answer(await stored(put, "And then?", first.turn.conversation))
    assert (second.status, len(script.requests)) == (Status.FAILED, 3)


class Away:
    """A database that takes no ends until it is back."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._write, self.is_away = writer._write_final, True
        monkeypatch.setattr(writer, "_write_final", self)
        monkeypatch.setattr(writer, "FINAL_ATTEMPTS", 1)

    def __call__(self, final: writer.Final) -> bool:
        if self.is_away:
            raise OperationalError("the database is away")
        return self._write(final)


async def test_an_end_that_no_database_takes_is_stored_when_one_is_back(
    upstream: Script, put: Put, told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream(Reply(events=text_events(["Because."])))
    database = Away(monkeypatch)
    asked = await stored(put)
    assert (await answer(asked)).status == Status.IN_PROGRESS
    assert "could not be saved" in told[0]
    with pytest.raises(OperationalError):
        await run.writer.settle()
    assert asked.turn.pk in run.spoken_for(), "no sweep of this process may close it meanwhile"
    database.is_away = False
    await run.writer.settle()
    response = await row(asked)
    assert (response.status, response.text, response.turn.status) == (Status.COMPLETED, "Because.", Status.COMPLETED)
    assert asked.turn.pk not in run.spoken_for()


async def test_the_writer_tries_again_by_itself_and_before_a_shutdown(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream(Reply(events=text_events(["One."])), Reply(events=text_events(["Two."])))
    database = Away(monkeypatch)
    monkeypatch.setattr(writer, "WRITE_SECONDS", 0.0)
    stored_at_last = asyncio.Event()
    first = await stored(put)
    await answer(first)
    settle = run.writer.settle

    async def watched() -> None:
        await settle()
        stored_at_last.set()

    monkeypatch.setattr(run.writer, "settle", watched)
    database.is_away = False
    lifecycle.begin()
    await asyncio.wait_for(stored_at_last.wait(), 5)
    assert (await row(first)).status == Status.COMPLETED
    database.is_away = True
    second = await stored(put)
    await answer(second)
    database.is_away = False
    await lifecycle.end()
    assert (await row(second)).status == Status.COMPLETED


async def test_ends_that_wait_do_not_fill_the_memory(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upstream(*(Reply(events=text_events([f"{n}"])) for n in range(3)))
    database = Away(monkeypatch)
    monkeypatch.setattr(writer, "OWED_CHARACTERS", 400)
    asked = [await stored(put) for _ in range(3)]
    for one in asked:
        await answer(one)
    assert run.spoken_for() == [asked[1].turn.pk, asked[2].turn.pk]
    database.is_away = False
    await run.writer.settle()
    assert [(await row(one)).status for one in asked] == [Status.IN_PROGRESS, Status.COMPLETED, Status.COMPLETED]
