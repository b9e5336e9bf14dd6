"""The wire of the embedded engine, asked through the product's own client and, where that hides it, bare HTTP."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from chat.responses.errors import (
    DeploymentMissing,
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    Unauthorized,
)
from chat.responses.fold import Draft

from .conftest import Ask, Engine, Json, darwin_bytes, text_of

MakeEngine = Callable[..., Awaitable[Engine]]

REQUIRED = """id object created_at completed_at status background model error incomplete_details instructions
    previous_response_id output parallel_tool_calls tool_choice tools temperature top_p max_output_tokens max_tool_calls
    reasoning text truncation store service_tier metadata usage presence_penalty frequency_penalty top_logprobs
    safety_identifier prompt_cache_key""".split()  # noqa: SIM905
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}


async def streamed(engine: Engine, **body: Any) -> tuple[Draft, list[str]]:
    draft = Draft()
    kinds = []
    async with engine.client.stream({"model": "any", **body}) as stream:
        async for event in stream:
            draft.apply(event)
            kinds.append(event.type)
    return draft, kinds


async def frames(engine: Engine, **body: Any) -> list[str]:
    reply = await engine.http.post("responses", json={"model": "any", "stream": True, **body})
    assert reply.headers["content-type"].startswith("text/event-stream")
    return [frame for frame in reply.text.split("\n\n") if frame]


async def refusal(engine: Engine, **body: Any) -> str:
    """Ask without our client, which would not send what it knows to be refused."""
    reply = await engine.http.post("responses", json={"model": "any", **body})
    assert reply.status_code == 400, reply.text
    return str(reply.json()["error"]["message"])


@pytest.mark.parametrize("dialect", ["openai", "azure", "ofox"])
async def test_a_stream_and_a_plain_reply_say_the_same(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect)
    question = {"input": [{"role": "user", "content": "repeat after me: Grüße, 世界 👋"}]}
    plain = await engine.client.create({"model": "any", **question})
    draft, _ = await streamed(engine, **question)
    assert draft.status == "completed"
    assert draft.text() == text_of(plain)
    assert "Grüße, 世界 👋" in draft.text()
    assert draft.text().count("No model is connected") == 1


@pytest.mark.seed("S0-9", "S2-8")
async def test_a_response_has_every_field_that_strict_readers_ask_for(ask: Ask) -> None:
    response = await ask("hello", tools=[WEATHER])
    assert [name for name in REQUIRED if name not in response] == []
    assert isinstance(response["created_at"], int)
    assert isinstance(response["completed_at"], int)
    usage = response["usage"]
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"] > 0
    assert usage["input_tokens_details"] == {"cached_tokens": 0, "cache_write_tokens": 0}
    assert usage["output_tokens_details"] == {"reasoning_tokens": 0}


@pytest.mark.seed("S1-9", "S3-11")
async def test_events_come_in_the_order_of_the_wire_and_are_numbered(engine: Engine) -> None:
    raw = await frames(engine, input="repeat after me: one two three")
    heads = [frame.split("\n")[0] for frame in raw]
    events = [json.loads(frame.split("\n")[1].removeprefix("data: ")) for frame in raw]
    assert heads == [f"event: {event['type']}" for event in events]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    kinds = [event["type"].removeprefix("response.") for event in events]
    deltas = [kind for kind in kinds if kind == "output_text.delta"]
    assert len(deltas) > 3
    assert [kind for kind in kinds if kind != "output_text.delta"] == [
        "created",
        "in_progress",
        "output_item.added",
        "content_part.added",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "completed",
    ]
    assert events[-1]["response"]["output"][0]["content"][0]["text"] == events[-4]["text"]


@pytest.mark.seed("S2-9", "S2-10")
async def test_a_stateless_gateway_sends_less_and_marks_the_end(make_engine: MakeEngine) -> None:
    engine = await make_engine("ofox")
    raw = await frames(engine, input="repeat after me: one two three")
    assert raw[-1] == "data: [DONE]"
    events = [json.loads(frame.removeprefix("data: ")) for frame in raw[:-1]]
    assert not [event for event in events if "sequence_number" in event or "item_id" in event]
    assert "output" not in events[-1]["response"]
    assert events[-1]["type"] == "response.completed"
    assert set(events[-1]["response"]["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}


@pytest.mark.seed("S2-4", "S2-5")
async def test_a_stateless_gateway_refuses_what_needs_state(make_engine: MakeEngine) -> None:
    engine = await make_engine("ofox")
    assistant = {"role": "assistant", "content": "I said so"}
    assert "previous_response_id" in await refusal(engine, input="hi", previous_response_id="resp_1")
    assert "status" in await refusal(engine, input=[assistant, {"role": "user", "content": "hi"}])
    whole = {**assistant, "id": "msg_1", "status": "completed"}
    answered = await engine.client.create({"model": "any", "input": [whole, {"role": "user", "content": "hi"}]})
    assert answered["status"] == "completed"
    assert (await engine.http.get("files")).status_code == 404


@pytest.mark.seed("S0-12", "S1-7", "S3-10")
async def test_a_chain_remembers_and_its_input_is_counted_again(ask: Ask) -> None:
    first = await ask("My favourite colour is teal")
    second = await ask("What is my favourite colour?", after=first)
    third = await ask("What was my first question?", after=second)
    assert "teal" in text_of(second)
    assert "My favourite colour is teal" in text_of(third)
    assert first["usage"]["input_tokens"] < second["usage"]["input_tokens"] < third["usage"]["input_tokens"]
    alone = await ask("What is my favourite colour?")
    assert "teal" not in text_of(alone)


async def test_two_branches_of_one_response_know_nothing_of_each_other(ask: Ask) -> None:
    root = await ask("repeat after me: root")
    left = await ask("My city is Kyoto", after=root)
    right = await ask("My city is Oslo", after=root)
    assert "Kyoto" in text_of(await ask("What is my city?", after=left))
    assert "Oslo" in text_of(await ask("What is my city?", after=right))


async def test_an_unknown_previous_response_is_refused_by_name(engine: Engine, ask: Ask) -> None:
    kept = await ask("hello")
    unstored = await ask("hello", store=False)
    with pytest.raises(PreviousResponseNotFound):
        await ask("hello", after={"id": "resp_gone"})
    with pytest.raises(PreviousResponseNotFound):
        await ask("hello", after=unstored)
    await engine.client.delete(kept["id"])
    with pytest.raises(PreviousResponseNotFound):
        await ask("hello", after=kept)


@pytest.mark.seed("S0-10", "S0-11", "S1-5", "S1-6")
async def test_a_stored_response_can_be_fetched_until_it_is_deleted(engine: Engine, ask: Ask) -> None:
    response = await ask("hello")
    assert await engine.client.retrieve(response["id"]) == response
    await engine.client.delete(response["id"])
    with pytest.raises(NotFound):
        await engine.client.retrieve(response["id"])


@pytest.mark.seed("S1-15")
async def test_input_items_list_the_whole_chain_without_the_bytes_of_files(
    engine: Engine, ask: Ask, darwin: Json
) -> None:
    first = await ask("Summarize this", darwin)
    second = await ask("What was my first question?", after=first)
    items = await engine.client.input_items(second["id"])
    assert [item["role"] for item in items] == ["user", "assistant", "user"]
    assert [part["type"] for part in items[0]["content"]] == ["input_text", "input_file"]
    assert items[0]["content"][1]["filename"] == "darwin.pdf"
    assert len(json.dumps(items)) < 20_000
    newest = (await engine.http.get(f"responses/{second['id']}/input_items", params={"limit": 1})).json()
    assert newest["data"][0]["content"][0]["text"] == "What was my first question?"
    assert newest["has_more"] is True


async def test_a_key_is_asked_for_where_one_is_set(make_engine: MakeEngine) -> None:
    for dialect in ("openai", "azure"):
        right = await make_engine(dialect, key="right", sent_key="right")
        assert (await right.client.create({"model": "any", "input": "hi"}))["status"] == "completed"
        wrong = await make_engine(dialect, key="right", sent_key="wrong")
        with pytest.raises(Unauthorized):
            await wrong.client.create({"model": "any", "input": "hi"})


@pytest.mark.parametrize("dialect", ["openai", "azure"])
async def test_only_named_models_are_served(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect, models=["mine"])
    assert await engine.client.models() == ["mine"]
    assert (await engine.client.create({"model": "mine", "input": "hi"}))["status"] == "completed"
    with pytest.raises(DeploymentMissing) as refusal:
        await engine.client.create({"model": "other", "input": "hi"})
    assert refusal.value.code == {"azure": "DeploymentNotFound", "openai": "model_not_found"}[dialect]


@pytest.mark.parametrize(
    "body",
    [
        b"{not json",
        b"[]",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"input": "hi"}',
        b'{"model": "m"}',
        b'{"model": "m", "input": 7}',
        b'{"model": "m", "input": [7]}',
        b'{"model": "m", "input": [{"role": "robot", "content": "hi"}]}',
        b'{"model": "m", "input": [{"type": "no_such_item"}]}',
        b'{"model": "m", "input": [{"role": "user", "content": [{"type": "input_video"}]}]}',
        b'{"model": "m", "input": "hi", "stream": "yes"}',
        b'{"model": "m", "input": "hi", "temperature": 3}',
        b'{"model": "m", "input": "hi", "max_output_tokens": 1}',
        b'{"model": "m", "input": "hi", "background": true, "store": false}',
        b'{"model": "m", "input": [{"role": "user", "content": [{"type": "input_file", "file_id": "file-0"}]}]}',
        b'{"model": "m", "input": [{"type": "function_call_output", "call_id": "call_0", "output": ""}]}',
        b'{"model": "m", "input": [{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}]}',
    ],
)
async def test_bad_input_gets_400_in_the_documented_shape(engine: Engine, body: bytes) -> None:
    reply = await engine.http.post("responses", content=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"
    assert error["message"]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
        {"type": "input_image", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,***"},
        {"type": "input_file", "filename": "a.pdf", "file_data": "no data url"},
        {"type": "input_file", "filename": "a.pdf", "file_url": "https://example.org/a.pdf"},
    ],
)
async def test_a_file_that_is_none_is_refused(ask: Ask, part: Json) -> None:
    with pytest.raises(InvalidRequest):
        await ask("what is this?", part)


async def test_an_unknown_address_gets_404_in_the_documented_shape(engine: Engine) -> None:
    reply = await engine.http.get("no/such/thing")
    assert reply.status_code == 404
    assert reply.json()["error"]["type"] == "invalid_request_error"


async def test_an_answer_over_the_token_limit_is_incomplete(engine: Engine) -> None:
    draft, kinds = await streamed(engine, input="write a long text of about 500 tokens", max_output_tokens=40)
    assert (draft.status, draft.incomplete_reason) == ("incomplete", "max_output_tokens")
    assert kinds[-1] == "response.incomplete"
    assert draft.output()[0]["status"] == "incomplete"
    assert draft.usage is not None
    assert draft.usage["output_tokens"] == 40


@pytest.mark.seed("S1-10")
async def test_a_function_is_called_and_its_output_told(engine: Engine) -> None:
    draft, kinds = await streamed(engine, input='call get_weather with {"location": "Köln"}', tools=[WEATHER])
    assert "response.function_call_arguments.delta" in kinds
    (call,) = draft.output()
    assert (call["name"], json.loads(call["arguments"])) == ("get_weather", {"location": "Köln"})
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": '{"sky": "clear"}'}
    told = await engine.client.create(
        {"model": "any", "input": [output], "previous_response_id": draft.response_id, "tools": [WEATHER]}
    )
    assert "clear" in text_of(told)


async def test_a_function_is_not_called_without_being_asked_for(ask: Ask) -> None:
    meant = await ask("What is the weather like in Oslo?", tools=[WEATHER])
    assert json.loads(meant["output"][0]["arguments"]) == {"location": "Oslo"}
    for asked in (
        await ask("What is the weather like in Oslo?", tools=[WEATHER], tool_choice="none"),
        await ask("hello", tools=[WEATHER]),
    ):
        assert [item["type"] for item in asked["output"]] == ["message"]


@pytest.mark.seed("S1-19")
async def test_a_file_goes_up_is_read_by_id_and_comes_back_unchanged(
    engine: Engine, ask: Ask, darwin_path: Path
) -> None:
    file = await engine.client.upload_file(darwin_path, "Über „Arten“.pdf", "application/pdf", "assistants")
    assert (file["filename"], file["bytes"]) == ("Über „Arten“.pdf", len(darwin_bytes()))
    assert await engine.client.retrieve_file(file["id"]) == file
    assert (await engine.http.get(f"files/{file['id']}/content")).content == darwin_bytes()
    summary = await ask("Summarize this", {"type": "input_file", "file_id": file["id"]})
    assert "Über „Arten“.pdf" in text_of(summary)
    assert [entry["id"] for entry in (await engine.http.get("files")).json()["data"]] == [file["id"]]
    await engine.client.delete_file(file["id"])
    with pytest.raises(NotFound):
        await engine.client.retrieve_file(file["id"])
    with pytest.raises(InvalidRequest):
        await ask("Summarize this", {"type": "input_file", "file_id": file["id"]})
    assert "elephants" in text_of(await ask("Did the elephants pair?", after=summary))


@pytest.mark.seed("S0-4", "S1-3")
async def test_azure_refuses_user_data_and_image_ids(make_engine: MakeEngine, darwin_path: Path) -> None:
    azure = await make_engine("azure")
    file = await azure.client.upload_file(darwin_path, "a.pdf", "application/pdf", "assistants")
    assert file["id"].startswith("assistant-")
    with pytest.raises(InvalidRequest):
        await azure.client.upload_file(darwin_path, "a.pdf", "application/pdf", "user_data")
    image = [{"role": "user", "content": [{"type": "input_image", "file_id": file["id"]}]}]
    assert "file_id" in await refusal(azure, input=image)


@pytest.mark.seed("S1-24", "S1-25", "S1-28")
async def test_a_background_response_can_be_polled_and_streamed_again(engine: Engine) -> None:
    body = {"model": "any", "input": "write a text of 300 words", "background": True}
    queued = await engine.client.create(body)
    assert queued["status"] == "queued"
    draft = Draft()
    async with engine.client.resume(queued["id"], 3) as stream:
        numbers = []
        async for event in stream:
            draft.apply(event)
            numbers.append(event.sequence_number)
    assert numbers[0] == 4
    final = await engine.client.retrieve(queued["id"])
    assert final["status"] == draft.status == "completed"
    assert draft.text() == text_of(final)


@pytest.mark.seed("S1-26")
async def test_a_cancelled_background_response_keeps_what_was_said(make_engine: MakeEngine) -> None:
    engine = await make_engine(pace_seconds=0.001)
    body = {"model": "any", "input": "write a text of 5000 words", "background": True}
    async with engine.client.stream(body) as stream:
        draft = Draft()
        async for event in stream:
            draft.apply(event)
            if len(draft.text()) > 20:
                break
    assert draft.response_id is not None
    cancelled = await engine.client.cancel(draft.response_id)
    assert cancelled["status"] == "cancelled"
    assert text_of(cancelled).startswith(draft.text())
    assert await engine.client.cancel(draft.response_id) == cancelled


@pytest.mark.seed("S1-29")
async def test_a_synchronous_response_cannot_be_cancelled(engine: Engine, ask: Ask) -> None:
    response = await ask("hello")
    with pytest.raises(InvalidRequest, match="Cannot cancel a synchronous response"):
        await engine.client.cancel(response["id"])


async def test_a_stream_that_is_left_stops_and_is_not_kept(make_engine: MakeEngine) -> None:
    engine = await make_engine(pace_seconds=0.001)
    before = asyncio.all_tasks()
    async with engine.client.stream({"model": "any", "input": "write a text of 5000 words"}) as stream:
        draft = Draft()
        async for event in stream:
            draft.apply(event)
            if len(draft.text()) > 20:
                break
    assert asyncio.all_tasks() == before
    assert draft.response_id is not None
    with pytest.raises(NotFound):
        await engine.client.retrieve(draft.response_id)


async def test_reasoning_is_summarised_for_those_who_ask(engine: Engine) -> None:
    draft, kinds = await streamed(engine, input="hello", reasoning={"summary": "auto"})
    assert [item["type"] for item in draft.output()] == ["reasoning", "message"]
    assert "response.reasoning_summary_text.delta" in kinds


async def test_json_is_answered_with_json(ask: Ask) -> None:
    schema = {"type": "object", "properties": {"reply": {"type": "string"}, "score": {"type": "integer"}}}
    shape = {"type": "json_schema", "name": "reply", "schema": schema}
    answered = json.loads(text_of(await ask("repeat after me: yes", text={"format": shape})))
    assert answered == {"reply": "yes", "score": 0}


async def test_a_file_that_a_cleaner_took_is_missed_and_new_ones_are_kept(
    engine: Engine, ask: Ask, darwin: Json, darwin_path: Path
) -> None:
    file = await engine.client.upload_file(darwin_path, "a.pdf", "application/pdf", "assistants")
    first = await ask("hello", darwin)
    shutil.rmtree(engine.app.store.folder)
    assert "could not be read" in text_of(await ask("Summarize this PDF", after=first))
    with pytest.raises(NotFound):
        await engine.client.retrieve_file(file["id"])
    assert "Summary of darwin.pdf" in text_of(await ask("Summarize this PDF", darwin))
