"""Reasoning that is asked for, carried through turns of which nothing is kept, and shown to nobody in its sealed form."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from chat import engines
from chat.conversations.ask import Asked
from chat.models import Conversation, Deployment, Provider, Response, Status, User
from chat.offline.app import OfflineEngine, create_app
from chat.offline.transport import OfflineTransport
from tests.conftest import signed_in
from tests.turns.test_run import answer, stored
from tests.upstream import Reply, Upstream, completed, text_events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.seed("S1-30")]

Script = Callable[..., Upstream]
Put = Callable[..., Asked]
SEALED = "gAAAAABo-sealed"


@pytest.fixture
def deployment(transactional_db: None) -> Deployment:
    """Of a house that lets nothing be kept."""
    provider = Provider.objects.create(name="Scripted", dialect="openai", base_url="http://upstream.test/v1/")
    return Deployment.objects.create(
        provider=provider, name="m-1", is_default=True, keeps_responses=False, reasoning_summary="auto"
    )


def thought(number: int = 1, sealed: str | None = SEALED) -> dict[str, Any]:
    summary = [{"type": "summary_text", "text": f"**Weighing {number}**\n\nThis against that."}]
    return {"type": "reasoning", "id": f"rs_{number}", "summary": summary, "encrypted_content": sealed}


def thinking(text: str, number: int = 1, *, sealed: str = SEALED, final: str | None = SEALED) -> Reply:
    """An answer after a thought. The final payload seals it anew, or has no output at all (`final=None`)."""
    created, *rest = text_events([text], response_id=f"resp_{number}")
    added = {"type": "response.output_item.added", "output_index": 0, "item": thought(number, "gAAA-too-early")}
    done = {"type": "response.output_item.done", "output_index": 0, "item": thought(number, sealed)}
    events = [
        created,
        added,
        done,
        *({**event, "output_index": 1} if "output_index" in event else event for event in rest),
    ]
    response = completed(f"resp_{number}", text)
    response["output"] = [thought(number, final), *response["output"]] if final else []
    events[-1] = {"type": "response.completed", "response": response}
    return Reply(events=[{**event, "sequence_number": place} for place, event in enumerate(events)])


async def next_turn(put: Put, conversation: Conversation, text: str = "And then?") -> Response:
    return await answer(await stored(put, text, conversation))


async def test_nothing_is_kept_and_the_next_turn_brings_all_of_it_along(upstream: Script, put: Put) -> None:
    script = upstream(thinking("One."), thinking("Two.", 2), thinking("Three.", 3))
    first = await answer(await stored(put))
    second = await next_turn(put, first.turn.conversation)
    await next_turn(put, first.turn.conversation)
    for request in script.requests:
        assert (request["store"], request["include"]) == (False, ["reasoning.encrypted_content"])
        assert request["reasoning"] == {"summary": "auto"}
        assert "previous_response_id" not in request
    ids = [item.get("id") for item in script.requests[2]["input"]]
    assert ids == [None, "rs_1", "msg_resp_1", None, "rs_2", "msg_resp_2", None]
    assert script.requests[2]["input"][1] == thought()
    assert (first.store, second.store, second.previous_response_id) == (False, False, "")


@pytest.mark.parametrize(("final", "sent"), [("gAAA-final", "gAAA-final"), (None, "gAAA-done")])
async def test_what_is_sent_back_is_what_the_provider_sealed_last(
    upstream: Script, put: Put, final: str | None, sent: str
) -> None:
    script = upstream(thinking("One.", sealed="gAAA-done", final=final), thinking("Two.", 2))
    first = await answer(await stored(put))
    await next_turn(put, first.turn.conversation)
    assert script.requests[1]["input"][1]["encrypted_content"] == sent


def refused(message: str, status: int = 400, code: str | None = None) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": "input", "code": code}
    return Reply(status=status, body={"error": error})


UNREADABLE = "The encrypted content gAAA...8A== could not be verified. Reason: it could not be decrypted or parsed."
REFUSALS = {
    "another-key": refused(UNREADABLE, code="invalid_encrypted_content"),
    "forgotten": refused("Item with id 'rs_1' not found. Items are not persisted when `store` is set to false.", 404),
    "no-follower": refused("Item 'rs_1' of type 'reasoning' was provided without its required following item."),
    "no-origin": refused("Item 'msg_1' of type 'message' was provided without its required 'reasoning' item: 'rs_1'."),
}


def in_the_stream() -> Reply:
    created = text_events([])[0]
    error = {"code": "invalid_encrypted_content", "message": UNREADABLE}
    failed = {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": error}}
    return Reply(events=[created, {**failed, "sequence_number": 1}])


@pytest.mark.parametrize("refusal", [*REFUSALS, "in-the-stream"])
async def test_reasoning_that_is_refused_is_left_out_and_the_question_asked_once_more(
    upstream: Script, put: Put, refusal: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chat"), "propagate", True)
    first_try = (
        in_the_stream()
        if refusal == "in-the-stream"
        else Reply(status=REFUSALS[refusal].status, body=REFUSALS[refusal].body)
    )
    script = upstream(thinking("One."), first_try, thinking("Two.", 2))
    first = await answer(await stored(put))
    second = await next_turn(put, first.turn.conversation)
    assert (second.status, second.text, second.error) == (Status.COMPLETED, "Two.", None)
    assert [item["type"] for item in script.requests[1]["input"]] == ["message", "reasoning", "message", "message"]
    question, reply, _ = script.requests[2]["input"]
    assert (question["role"], reply["content"][0]["text"]) == ("user", "One.")
    assert reply["id"] != "msg_resp_1"
    assert "asking in another way" in caplog.text


async def test_a_refusal_that_stays_is_told_and_not_asked_for_ever(upstream: Script, put: Put) -> None:
    again = [Reply(status=400, body=REFUSALS["another-key"].body) for _ in range(2)]
    script = upstream(thinking("One."), *again)
    first = await answer(await stored(put))
    second = await next_turn(put, first.turn.conversation)
    assert (second.status, len(script.requests)) == (Status.FAILED, 3)
    assert "gAAA" not in str(second.error)


async def test_a_model_that_does_not_reason_is_asked_for_it_once(upstream: Script, put: Put) -> None:
    script = upstream(
        refused("Encrypted content is not supported with this model."),
        Reply(events=text_events(["One."])),
        Reply(events=text_events(["Two."], response_id="resp_2")),
    )
    first = await answer(await stored(put))
    second = await next_turn(put, first.turn.conversation)
    assert [first.text, second.text] == ["One.", "Two."]
    assert ["include" in request for request in script.requests] == [True, False, False]
    assert {request["store"] for request in script.requests} == {False}


async def test_two_who_ask_such_a_model_at_once_both_get_their_answers(upstream: Script, put: Put) -> None:
    refusal = "Encrypted content is not supported with this model."
    script = upstream(refused(refusal), refused(refusal), *(Reply(events=text_events(["Yes."])) for _ in range(2)))
    both_have_asked = asyncio.Barrier(2)
    take = script.handle_async_request

    async def take_both(request: httpx.Request) -> httpx.Response:
        reply = await take(request)
        if reply.status_code == 400:
            await both_have_asked.wait()
        return reply

    script.handle_async_request = take_both  # type: ignore[method-assign]
    asked = [await stored(put), await stored(put, "And you?")]
    responses = await asyncio.gather(*map(answer, asked))
    assert [(response.status, response.text) for response in responses] == [(Status.COMPLETED, "Yes.")] * 2


async def test_an_answer_that_was_not_kept_is_not_asked_for_when_its_stream_ends_early(
    upstream: Script, put: Put
) -> None:
    script = upstream(Reply(events=text_events(["Half"], done=False)))

    def never(request: httpx.Request) -> httpx.Response:
        raise AssertionError("nothing is kept there")

    script.by_path["/v1/responses/resp_1"] = never
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.INTERRUPTED, "Half")


async def test_keeping_may_begin_and_end_in_the_middle_of_a_conversation(
    upstream: Script, put: Put, deployment: Deployment
) -> None:
    script = upstream(*(thinking(f"{number}.", number) for number in range(1, 6)))

    async def keep(kept: bool) -> None:
        await Deployment.objects.filter(pk=deployment.pk).aupdate(keeps_responses=kept)

    await keep(True)
    conversation = (await answer(await stored(put))).turn.conversation
    await next_turn(put, conversation)
    await keep(False)
    await next_turn(put, conversation)
    await keep(True)
    await next_turn(put, conversation)
    await next_turn(put, conversation)
    sent = [(r.get("store", True), r.get("previous_response_id"), len(r["input"])) for r in script.requests]
    assert sent == [
        (True, None, 1),
        (True, "resp_1", 1),
        # Without keeping, the whole path: two questions, thoughts and answers each, and the new question.
        (False, None, 7),
        # Kept again: on from the last one that was kept, with what came between.
        (True, "resp_2", 3),
        (True, "resp_4", 1),
    ]


async def test_sealed_reasoning_is_on_no_page_in_no_transcript_and_in_no_log(
    upstream: Script, put: Put, owner: User, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chat"), "propagate", True)
    caplog.set_level(logging.DEBUG)
    upstream(thinking("One."), thinking("Two.", 2))
    first = await answer(await stored(put))
    conversation = first.turn.conversation
    await next_turn(put, conversation)
    assert SEALED in json.dumps(first.output), "the premise"

    def pages() -> list[str]:
        admin = User.objects.create_superuser("root")
        page = signed_in(owner).get(f"/c/{conversation.pk}/")
        transcript = signed_in(admin).get(f"/admin/chat/conversation/{conversation.pk}/change/")
        return [response.content.decode() for response in (page, transcript)]

    for page in await sync_to_async(pages)():
        assert "This against that." in page
        assert SEALED not in page
    assert SEALED not in caplog.text


@pytest_asyncio.fixture
async def plug(monkeypatch: pytest.MonkeyPatch, deployment: Deployment) -> AsyncIterator[Callable[[], OfflineEngine]]:
    """Put a new engine, that knows nothing of the last one, behind the provider's address."""
    used: list[tuple[OfflineEngine, httpx.AsyncClient]] = []

    def plug_in() -> OfflineEngine:
        engine = create_app(pace_seconds=0.0)
        http = httpx.AsyncClient(transport=OfflineTransport(engine))
        used.append((engine, http))
        monkeypatch.setattr(engines, "_http", lambda kind: http)
        return engine

    await Provider.objects.aupdate(auth=Provider.Auth.NONE)
    yield plug_in
    for engine, http in used:
        await http.aclose()
        await engine.aclose()


async def test_a_provider_that_checks_its_seals_takes_back_what_it_sealed_and_a_stranger_does_not(
    plug: Callable[[], OfflineEngine], put: Put, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chat"), "propagate", True)
    engine = plug()
    first = await answer(await stored(put, "Repeat after me: one"))
    second = await next_turn(put, first.turn.conversation, "Repeat after me: two")
    assert [item["type"] for item in first.output] == ["reasoning", "message"]
    assert first.output[0]["encrypted_content"]
    assert (first.status, second.status) == (Status.COMPLETED, Status.COMPLETED)
    assert not engine.store.responses
    assert "asking in another way" not in caplog.text
    plug()
    third = await next_turn(put, first.turn.conversation, "Repeat after me: three")
    assert (third.status, third.text.startswith("three")) == (Status.COMPLETED, True)
    assert "invalid_encrypted_content" in caplog.text
    assert "asking in another way" in caplog.text
