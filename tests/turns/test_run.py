"""From queued to one terminal state, against a scripted provider behind the real client."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable

import httpx
import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile

from chat.conversations import history, keep
from chat.conversations.ask import Asked, Question, ask
from chat.models import Attachment, Conversation, Deployment, Provider, Response, Status, Turn, User
from chat.rendering.answer import response_html
from chat.rendering.views import foot_view
from chat.turns import run
from chat.turns.hub import Tab, hub
from tests.dom import Page
from tests.upstream import Reply, Upstream, completed, json_reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]

GONE = {
    "error": {
        "message": "Previous response with id 'resp_1' not found.",
        "type": "invalid_request_error",
        "param": "previous_response_id",
        "code": "previous_response_not_found",
    }
}


async def answer(asked: Asked) -> Response:
    """Run a stored question to its end."""
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    return await Response.objects.select_related("turn__conversation__owner", "turn__deployment").aget(
        pk=asked.response.pk
    )


async def stored(put: Put, text: str = "Why?", conversation: Conversation | None = None) -> Asked:
    return await sync_to_async(put)(text, conversation)


@pytest.mark.seed("S0-9", "S1-4", "S3-2", "S3-12")
async def test_an_answer_is_stored_with_its_id_text_and_usage(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["Be", "cause."])))
    response = await answer(await stored(put))
    assert (response.status, response.text, response.response_id) == (Status.COMPLETED, "Because.", "resp_1")
    assert (response.input_tokens, response.output_tokens, response.model) == (7, 11, "m-1")
    assert (response.request_id, response.turn.status) == ("req_1", Status.COMPLETED)
    assert response.finished_at is not None
    assert script.requests == [
        {
            "model": "m-1",
            "stream": True,
            "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Why?"}]}],
        }
    ]


@pytest.mark.seed("S0-12", "S1-7", "S3-7")
async def test_the_second_turn_continues_the_first_by_its_id(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["One."])), Reply(events=text_events(["Two."], response_id="resp_2")))
    first = await answer(await stored(put))
    second = await answer(await stored(put, "And then?", first.turn.conversation))
    assert script.requests[1]["previous_response_id"] == "resp_1"
    assert len(script.requests[1]["input"]) == 1
    assert second.previous_response_id == "resp_1"


async def test_the_long_ids_of_a_gateway_are_kept_whole(upstream: Script, put: Put) -> None:
    """LiteLLM's ids hold a route and had 445 characters; a part of one would name nothing."""
    long_id = "resp_" + "x" * 900
    script = upstream(
        Reply(events=text_events(["One."], response_id=long_id)),
        Reply(events=text_events(["Two."], response_id="resp_2")),
    )
    first = await answer(await stored(put))
    await answer(await stored(put, "And then?", first.turn.conversation))
    assert first.response_id == long_id
    assert script.requests[1]["previous_response_id"] == long_id


async def test_an_id_beyond_all_measure_is_not_kept_and_the_history_sent(upstream: Script, put: Put) -> None:
    script = upstream(
        Reply(events=text_events(["One."], response_id="resp_" + "x" * 2000)),
        Reply(events=text_events(["Two."], response_id="resp_2")),
    )
    first = await answer(await stored(put))
    await answer(await stored(put, "And then?", first.turn.conversation))
    assert first.response_id == ""
    assert "previous_response_id" not in script.requests[1]
    assert len(script.requests[1]["input"]) == 3


@pytest.mark.seed("S0-13", "S1-8", "S2-4", "S2-5", "S3-8")
async def test_a_stateless_dialect_gets_the_whole_history_with_ids(upstream: Script, put: Put) -> None:
    script = upstream(
        Reply(events=text_events(["One."])), Reply(events=text_events(["Two."], response_id="resp_2")), dialect="ofox"
    )
    first = await answer(await stored(put))
    await answer(await stored(put, "And then?", first.turn.conversation))
    question, reply, follow_up = script.requests[1]["input"]
    assert "previous_response_id" not in script.requests[1]
    assert (question["role"], reply["role"], follow_up["role"]) == ("user", "assistant", "user")
    assert (reply["id"], reply["status"]) == ("msg_resp_1", "completed")
    assert reply["content"] == [{"type": "output_text", "text": "One.", "annotations": []}]


@pytest.mark.seed("S0-11")
async def test_a_forgotten_response_is_made_up_for_by_the_history_once(upstream: Script, put: Put) -> None:
    script = upstream(
        Reply(events=text_events(["One."])),
        Reply(status=400, body=GONE),
        Reply(events=text_events(["Two."], response_id="resp_2")),
    )
    first = await answer(await stored(put))
    second = await answer(await stored(put, "And then?", first.turn.conversation))
    assert (second.status, second.text, second.previous_response_id) == (Status.COMPLETED, "Two.", "")
    assert [item["role"] for item in script.requests[2]["input"]] == ["user", "assistant", "user"]
    assert "id" not in script.requests[2]["input"][1] or script.requests[2]["input"][1]["id"]


async def test_a_stopped_answer_is_never_continued_by_id(upstream: Script, put: Put) -> None:
    gate = asyncio.Event()
    first_reply = Reply(events=text_events(["Half", " an answer"]), gates={4: gate})
    script = upstream(first_reply, Reply(events=text_events(["Two."], response_id="resp_2")))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Half")
    assert run.stop(asked.turn.pk)
    await run.wait_for(asked.turn.pk)
    await asyncio.wait_for(first_reply.closed.wait(), 5)
    stopped = await Response.objects.select_related("turn__conversation").aget(pk=asked.response.pk)
    assert (stopped.status, stopped.text) == (Status.CANCELLED, "Half")
    await answer(await stored(put, "Go on", stopped.turn.conversation))
    assert "previous_response_id" not in script.requests[1]
    assert script.requests[1]["input"][1]["content"][0]["text"] == "Half"


@pytest.mark.seed("S3-3", "S3-6")
async def test_instructions_and_the_operators_parameters_go_with_each_request(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["One."])), Reply(events=text_events(["Two."])))
    first = await answer(await stored(put))
    conversation = first.turn.conversation
    await sync_to_async(keep.choose)(conversation.owner, conversation, deployment_id=None, instructions="Be brief.")
    deployment = first.turn.deployment
    assert deployment is not None
    deployment.parameters = {"max_output_tokens": 99}
    await deployment.asave()
    await answer(await stored(put, "Again", conversation))
    assert (script.requests[1]["instructions"], script.requests[1]["max_output_tokens"]) == ("Be brief.", 99)


@pytest.mark.seed("S3-15")
async def test_a_refused_key_gives_a_sentence_and_a_log_line(
    upstream: Script, put: Put, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger("chat"), "propagate", True)
    body = {"error": {"message": "Incorrect API key provided: sk-te**st", "code": "invalid_api_key"}}
    upstream(Reply(status=401, body=body))
    response = await answer(await stored(put))
    assert response.status == response.turn.status == Status.FAILED
    assert "key" in response.error["message"]
    assert "Incorrect API key" not in response.error["message"]
    assert "req_1" in caplog.text
    assert "401" in caplog.text
    assert "sk-test" not in caplog.text


@pytest.mark.parametrize(
    ("dialect", "most", "window", "is_cut"),
    [
        ("llamacpp", 11, 4096, True),
        ("llamacpp", 12, 4096, False),
        ("llamacpp", 12, 18, True),  # 7 in, 11 out
        ("llamacpp", 12, 19, False),
        ("llamacpp", 12, None, False),
        ("azure", 11, 18, False),
    ],
)
async def test_an_answer_that_was_cut_says_so_even_where_the_server_does_not(
    upstream: Script, put: Put, dialect: str, most: int, window: int | None, is_cut: bool
) -> None:
    """llama.cpp and Ollama call an answer completed that reached a limit; the others say `incomplete`."""
    upstream(Reply(events=text_events(["One."])), dialect=dialect)
    await Deployment.objects.aupdate(parameters={"max_output_tokens": most}, context_window=window)
    response = await answer(await stored(put))
    assert response.output_tokens == 11
    assert response.status == (Status.INCOMPLETE if is_cut else Status.COMPLETED)
    if is_cut:
        assert "length limit" in response.error["message"]


FOUND = {"violence": {"filtered": True, "severity": "medium"}, "hate": {"filtered": False, "severity": "safe"}}


async def test_what_a_content_filter_found_is_said_and_kept(upstream: Script, put: Put) -> None:
    """Azure blocks a question with a reply of 400, and an answer at the end of its stream."""
    entry = {"blocked": True, "content_filter_results": FOUND}
    blocked = {"code": "content_filter", "message": "x", "content_filters": [{**entry, "source_type": "prompt"}]}
    *begun, completed = text_events(["One."])
    cut = {
        **completed["response"],
        "status": "incomplete",
        "incomplete_details": {"reason": "content_filter"},
        "content_filters": [{**entry, "source_type": "completion"}],
    }
    upstream(
        Reply(status=400, body={"error": blocked}),
        Reply(events=[*begun, {**completed, "type": "response.incomplete", "response": cut}]),
    )
    question = await answer(await stored(put))
    assert question.status == Status.FAILED
    assert "blocked this question (violence, medium)" in question.error["message"]
    reply = await answer(await stored(put, "Again"))
    assert (reply.status, reply.text) == (Status.INCOMPLETE, "One.")
    assert "cut this answer (violence, medium)" in reply.error["message"]
    for response, source in ((question, "prompt"), (reply, "completion")):
        kept = response.error["details"]["content_filters"]
        assert [(one["source_type"], one["content_filter_results"]) for one in kept] == [(source, FOUND)]


async def test_a_stream_that_just_ends_is_interrupted_and_keeps_its_text(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["Half"], done=False)))
    script.by_path["/v1/responses/resp_1"] = lambda request: json_reply({"error": {"message": "no"}}, 404)
    response = await answer(await stored(put))
    assert (response.status, response.text, response.turn.status) == (Status.INTERRUPTED, "Half", Status.INTERRUPTED)


@pytest.mark.seed("S0-10", "S1-5")
async def test_a_stream_that_just_ends_is_completed_from_what_the_provider_kept(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["Half"], done=False)))
    whole = completed("resp_1", "Half and half.")
    script.by_path["/v1/responses/resp_1"] = lambda request: json_reply(whole)
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.COMPLETED, "Half and half.")


async def test_a_connection_that_breaks_keeps_the_text_and_offers_another_try(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["Half"], done=False), breaks=True))
    script.by_path["/v1/responses/resp_1"] = lambda request: json_reply({"error": {"message": "no"}}, 404)
    response = await answer(await stored(put))
    assert (response.status, response.text) == (Status.INTERRUPTED, "Half")
    foot = await sync_to_async(lambda: foot_view(Turn.objects.with_answers().get(pk=response.turn_id)))()
    assert foot.problem
    assert foot.retry_url


async def test_shutdown_stores_what_has_arrived_as_interrupted(upstream: Script, put: Put) -> None:
    upstream(Reply(events=text_events(["Half", " more"]), gates={4: asyncio.Event()}))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Half")
    await run.stop_all()
    response = await Response.objects.aget(pk=asked.response.pk)
    assert (response.status, response.text) == (Status.INTERRUPTED, "Half")


async def test_text_is_in_the_database_while_it_arrives(upstream: Script, put: Put) -> None:
    gate = asyncio.Event()
    upstream(Reply(events=text_events(["Half", " more"]), gates={4: gate}))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Half")
    await run.writer.flush()
    response = await Response.objects.aget(pk=asked.response.pk)
    assert (response.status, response.response_id, response.cursor) == (Status.IN_PROGRESS, "resp_1", 3)
    assert response.output[0]["content"][0]["text"] == "Half"
    gate.set()
    await run.wait_for(asked.turn.pk)


async def test_the_page_is_told_of_the_end_after_it_is_stored(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream(Reply(events=text_events(["Because."])))
    asked = await stored(put)
    states: list[str] = []
    over = hub.over

    def watched(live: object, foot: str) -> None:
        states.append(foot)
        over(live, foot)  # type: ignore[arg-type]

    monkeypatch.setattr(hub, "over", watched)
    await answer(asked)
    assert len(states) == 1
    assert 'data-status="completed"' in states[0]


async def test_a_run_is_carried_once_even_if_started_twice(upstream: Script, put: Put) -> None:
    script = upstream(Reply(events=text_events(["Because."])))
    asked = await stored(put)
    run.start(asked)
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    assert len(script.requests) == 1


async def test_a_run_whose_lease_is_taken_is_left_to_its_owner(upstream: Script, put: Put) -> None:
    script = upstream()
    asked = await stored(put)
    await Response.objects.filter(pk=asked.response.pk).aupdate(owner=uuid.uuid4())
    response = await answer(asked)
    assert response.status == Status.QUEUED
    assert not script.requests
    assert asked.turn.pk not in hub.turns


async def test_the_first_exchange_makes_a_title_but_not_over_the_owners(upstream: Script, put: Put) -> None:
    upstream(Reply(events=text_events(["One."])), Reply(events=text_events(["One."])))
    first = await answer(await stored(put))
    assert (await Conversation.objects.aget(pk=first.turn.conversation_id)).title == "A made-up title"
    asked = await stored(put)
    await sync_to_async(keep.rename)(asked.conversation, "Mine")
    await answer(asked)
    assert (await Conversation.objects.aget(pk=asked.conversation.pk)).title == "Mine"


async def test_a_fault_of_ours_ends_the_run_with_a_sentence(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    upstream(Reply(events=text_events(["One."])))

    def broken(*args: object, **kwargs: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(history, "plan", broken)
    response = await answer(await stored(put))
    assert (response.status, response.error["code"]) == (Status.FAILED, "internal")


@pytest.mark.seed("S1-9", "S3-11")
async def test_a_tab_sees_the_answer_grow_and_end(upstream: Script, put: Put) -> None:
    gates = {number: asyncio.Event() for number in (4, 5)}
    upstream(Reply(events=text_events(["# Title\n\n", "Some *text*", " and more.\n\n- a\n- b"]), gates=gates))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Title")
    pk, turn = asked.response.pk, asked.turn.pk
    page = Page(
        f'<article><div id="t{turn}-answer"></div><footer id="t{turn}-foot" data-live="{turn}"></footer></article>'
    )
    tab, frames = watching(page, turn)
    for gate in gates.values():
        await frames()
        gate.set()
    await run.wait_for(turn)
    await frames()
    tab.cancel()
    response = await Response.objects.aget(pk=pk)
    assert page.part(f"r{pk}") == Page(await sync_to_async(response_html)(response)).part(f"r{pk}")
    assert 'data-status="completed"' in page.part(f"t{turn}-foot")
    assert not page.missed
    assert (await Turn.objects.aget(pk=turn)).status == Status.COMPLETED


async def test_a_file_that_the_provider_lost_is_uploaded_again_once(
    upstream: Script, put: Put, owner: User, deployment: Deployment
) -> None:
    lost = {"error": {"message": "File 'file-1' was not found.", "param": "input", "code": "invalid_value"}}
    script = upstream(
        Reply(events=text_events(["One."])), Reply(status=400, body=lost), Reply(events=text_events(["Two."]))
    )
    uploads: list[str] = []

    def uploaded(request: httpx.Request) -> httpx.Response:
        uploads.append(f"file-{len(uploads) + 1}")
        return json_reply({"id": uploads[-1], "object": "file", "status": "processed", "purpose": "user_data"})

    script.by_path["/v1/files"] = uploaded
    attachment = await sync_to_async(pdf_of)(owner, deployment)
    first = await answer(await sync_to_async(ask)(owner, None, Question("Read", uuid.uuid4(), [attachment.pk])))
    assert (first.status, uploads) == (Status.COMPLETED, ["file-1"])
    again = Question("Again", uuid.uuid4(), [attachment.pk])
    second = await answer(await sync_to_async(ask)(owner, first.turn.conversation, again))
    assert (second.status, second.text, uploads) == (Status.COMPLETED, "Two.", ["file-1", "file-2"])
    ids = [request["input"][-1]["content"][0]["file_id"] for request in script.requests]
    assert ids == ["file-1", "file-1", "file-2"]
    assert second.input[-1]["content"][0] == {"type": "attachment", "id": str(attachment.pk)}


async def test_a_file_of_an_earlier_question_that_is_lost_goes_up_again_with_the_whole_history(
    upstream: Script, put: Put, owner: User, deployment: Deployment
) -> None:
    lost = {"error": {"message": "No such File object: file-1", "param": "input", "code": "not_found"}}
    script = upstream(
        Reply(events=text_events(["One."])),
        Reply(status=404, body=lost),
        Reply(status=404, body=lost),
        Reply(events=text_events(["Two."])),
    )
    copies = [{"id": f"file-{number}", "object": "file", "status": "processed"} for number in (2, 1)]
    script.by_path["/v1/files"] = lambda request: json_reply(copies.pop())
    attachment = await sync_to_async(pdf_of)(owner, deployment)
    first = await answer(await sync_to_async(ask)(owner, None, Question("Read", uuid.uuid4(), [attachment.pk])))
    second = await answer(await stored(put, "And then?", first.turn.conversation))
    assert (second.status, second.text) == (Status.COMPLETED, "Two.")
    previous = [request.get("previous_response_id") for request in script.requests]
    assert previous == [None, "resp_1", None, None]
    sent = [request["input"][0]["content"][0].get("file_id") for request in script.requests]
    assert sent == ["file-1", None, "file-1", "file-2"]


def pdf_of(owner: User, deployment: Deployment) -> Attachment:
    """A stored PDF, with a provider that takes files by id alone."""
    Provider.objects.filter(pk=deployment.provider_id).update(file_policy=Provider.FilePolicy.FILE_ID)
    attachment = Attachment(owner=owner, name="a.pdf", status=Attachment.Status.READY, media_type="application/pdf")
    attachment.file.save("a.pdf", ContentFile(b"%PDF-1.4"), save=False)
    attachment.size, attachment.sha256 = 8, "0" * 64
    attachment.save()
    return attachment


def watching(page: Page, turn: int) -> tuple[asyncio.Task[None], Callable[[], asyncio.Future[None]]]:
    """A tab that shows `turn` on `page`; awaiting the second value waits for the next frame."""
    arrived: asyncio.Queue[None] = asyncio.Queue()

    async def send(frame: str) -> None:
        page.receive(frame)
        tab.acknowledge(page.frames)
        arrived.put_nowait(None)

    tab = Tab(send, frame_seconds=0.0)
    tab.watch(hub.turns[turn])
    task = asyncio.get_running_loop().create_task(tab.run())

    def next_frame() -> asyncio.Future[None]:
        return asyncio.ensure_future(asyncio.wait_for(arrived.get(), 5))

    return task, next_frame


async def shown(asked: Asked, text: str) -> None:
    """Wait until the hub shows `text` of a running turn."""
    turn = asked.turn.pk
    page = Page(f'<p><i id="t{turn}-answer"></i><i id="t{turn}-foot"></i></p>')
    tab, next_frame = watching(page, turn)
    while text not in page.root.text():
        await next_frame()
    tab.cancel()
