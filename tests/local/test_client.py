"""Our client against a server that somebody else wrote, with a true model in it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import ContextOverflow, InvalidRequest, NotFound, Unauthorized, Unsupported
from chat.responses.events import Delta
from chat.responses.fold import Draft
from tests.local.conftest import LocalServer

pytestmark = pytest.mark.local

MODEL = "SmolLM2-135M-Instruct"
BASE = {"model": MODEL, "temperature": 0}
SHORT = {**BASE, "max_output_tokens": 1}
QUESTIONS = ("Hello, I am Ada.", "Name a colour.", "Name another one.", "What is 2 + 2?", "Say goodbye.")
WEATHER = {
    "type": "function",
    "name": "weather",
    "description": "The weather of a city",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string", "enum": ["Paris", "Rome"]}},
        "required": ["city"],
        "additionalProperties": False,
    },
    "strict": True,
}
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string", "maxLength": 12}, "age": {"type": "integer", "maximum": 99}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
PERSON_FORMAT = {"type": "json_schema", "name": "person", "schema": PERSON, "strict": True}
ONE_PIXEL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n").decode()
TOO_LONG = "word " * 9_000


def said(text: str) -> dict[str, Any]:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}


async def streamed(client: Client, **body: Any) -> tuple[Draft, int]:
    """The whole answer, and in how many pieces its text came."""
    draft, pieces = Draft(), 0
    async with client.stream({**BASE, **body}) as events:
        async for event in events:
            draft.apply(event)
            pieces += isinstance(event, Delta)
    return draft, pieces


@pytest.mark.seed("S0-13", "S2-5", "S3-10", "S3-11")
async def test_a_conversation_of_five_turns_streams_and_reads_its_history(client: Client) -> None:
    history: list[dict[str, Any]] = []
    ids, tokens_before = set(), 0
    for question in QUESTIONS:
        history.append(said(question))
        draft, pieces = await streamed(client, input=history, max_output_tokens=12)
        assert (draft.status, draft.terminal_seen) == ("completed", True)
        assert pieces > 1
        assert draft.text().strip()
        assert draft.response_id.startswith("resp_")
        ids.add(draft.response_id)
        assert draft.usage is not None
        assert draft.usage["input_tokens"] > tokens_before, "the earlier turns were not read"
        assert 1 <= draft.usage["output_tokens"] <= 12
        tokens_before = draft.usage["input_tokens"] + draft.usage["output_tokens"] - 1
        history += draft.output()
    assert len(ids) == len(QUESTIONS)


async def test_the_whole_answer_is_the_streamed_one(client: Client) -> None:
    body = {**BASE, "input": "Name a colour.", "max_output_tokens": 12}
    whole = Draft.from_response(await client.create(body))
    draft, _ = await streamed(client, **body)
    assert whole.text() == draft.text() != ""
    assert whole.status == draft.status == "completed"


async def test_instructions_reach_the_model(client: Client) -> None:
    plain = await client.create({**SHORT, "input": "Hello."})
    instructed = await client.create({**SHORT, "input": "Hello.", "instructions": "Answer in Latin. " * 20})
    assert instructed["usage"]["input_tokens"] > plain["usage"]["input_tokens"] + 40


async def test_leaving_in_mid_stream_frees_the_slot(
    client: Client, llama: LocalServer, record_property: Callable[[str, object], None]
) -> None:
    deltas = 0
    async with client.stream({**BASE, "input": "Write a long story.", "max_output_tokens": 4_000}) as events:
        async for event in events:
            deltas += isinstance(event, Delta)
            if deltas == 3:
                break
        assert llama.busy_slots() == 1
    record_property("seconds_until_idle", await llama.seconds_until_idle())  # 4,000 tokens would take much longer


async def test_more_questions_than_slots_wait_their_turn(client: Client, llama: LocalServer) -> None:
    asked = [streamed(client, input=f"Count from {n}.", max_output_tokens=6) for n in range(4)]
    answers = await asyncio.gather(*asked)
    assert [draft.status for draft, _ in answers] == ["completed"] * 4
    assert all(draft.text().strip() for draft, _ in answers)
    assert len(llama.ask("GET", "../slots").json()) == 2


@pytest.mark.parametrize("way", ["create", "stream"])
async def test_more_than_the_model_can_read_is_said_with_both_numbers(client: Client, way: str) -> None:
    body = {**BASE, "input": TOO_LONG}
    with pytest.raises(ContextOverflow) as refused:
        await (client.create(body) if way == "create" else streamed(client, **body))
    assert "longer than the model can read at once (9,0" in refused.value.user_message
    assert "of 8,192 tokens)" in refused.value.user_message
    assert not refused.value.retryable


# What it cannot do: refused here, with a sentence, where the server would refuse without one or say nothing at all.

FILE_PART = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}
REFUSED = {
    "previous_response_id": ({"previous_response_id": "resp_1"}, 400, "whole history must be sent"),
    "background": ({"background": True}, 200, "cannot work in the background"),
    "PDF": ({"input": [{"role": "user", "content": [FILE_PART]}]}, 400, "takes no files"),
    "web search": ({"tools": [{"type": "web_search"}]}, 200, "web search"),
    "code": ({"tools": [{"type": "code_interpreter", "container": {"type": "auto"}}]}, 200, "code interpreter"),
    "image tool": ({"tools": [{"type": "image_generation"}]}, 200, "image generation"),
    "file search": ({"tools": [{"type": "file_search", "vector_store_ids": ["vs_1"]}]}, 200, "file search"),
    "MCP": (
        {
            "tools": [
                {"type": "mcp", "server_label": "x", "server_url": "http://127.0.0.1/", "require_approval": "never"}
            ]
        },
        200,
        "remote tools",
    ),
    "reference": ({"input": [{"type": "item_reference", "id": "msg_1"}, said("Hi")]}, 400, "item_reference"),
}


@pytest.mark.parametrize("what", REFUSED)
async def test_what_it_cannot_do_is_refused_with_a_sentence_before_it_is_sent(
    what: str, client: Client, llama: LocalServer
) -> None:
    more, status, words = REFUSED[what]
    body = {**SHORT, "input": "Hi", **more}
    assert llama.ask("POST", "responses", body).status_code == status, "the server has changed its ways"
    for ask in (client.create(body), streamed(client, **body)):
        with pytest.raises(Unsupported) as refused:
            await ask
        assert words in refused.value.user_message
        assert "llama.cpp" in refused.value.user_message


async def test_what_its_answer_does_not_need_is_left_out(client: Client) -> None:
    body = {**SHORT, "input": [{"type": "web_search_call", "id": "ws_1", "status": "completed"}, said("Hi")]}
    extras = {"store": True, "include": ["reasoning.encrypted_content"], "reasoning": {"effort": "low"}}
    answer = await client.create({**body, **extras})
    assert answer["status"] == "completed"


async def test_an_image_for_a_model_without_eyes_is_refused_once_and_said(client: Client, llama: LocalServer) -> None:
    picture = {"type": "input_image", "image_url": ONE_PIXEL, "detail": "auto"}
    body = {**SHORT, "input": [{"type": "message", "role": "user", "content": [picture]}]}
    assert llama.ask("POST", "responses", body).status_code == 500
    with pytest.raises(InvalidRequest) as refused:
        await client.create(body)
    assert refused.value.user_message.startswith("This model cannot look at images")
    assert not refused.value.retryable
    assert llama.served().sees_images is False


async def test_what_it_never_kept_is_not_found(client: Client) -> None:
    for ask in (
        client.retrieve("resp_1"),
        client.delete("resp_1"),
        client.cancel("resp_1"),
        client.input_items("resp_1"),
    ):
        with pytest.raises(NotFound) as missing:
            await ask
        assert missing.value.user_message.endswith(".")


async def test_a_wrong_key_is_refused(llama: LocalServer, http: httpx.AsyncClient) -> None:
    stranger = Client(Endpoint(llama.url, DIALECTS["llamacpp"], "sk-of-somebody-else"), http)
    with pytest.raises(Unauthorized):
        await stranger.create({**SHORT, "input": "Hi"})


async def test_a_model_by_any_name_is_the_one_that_runs(client: Client) -> None:
    assert (await client.create({**SHORT, "model": "gpt-5", "input": "Hi"}))["model"] == MODEL
    assert await client.models() == [MODEL]


# Tools and formats


async def test_a_forced_function_call_streams_and_its_result_goes_back(client: Client) -> None:
    question = said("What is the weather in Paris?")
    # A model this small has to be led: an answer that ends the input is gone on with, and this one has begun to call.
    begun = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "<tool_call>\n"}]}
    draft, pieces = await streamed(
        client,
        input=[question, begun],
        tools=[WEATHER],
        tool_choice={"type": "function", "name": "weather"},
        max_output_tokens=30,
    )
    call = draft.function_calls()[0]
    assert (call["name"], draft.status) == ("weather", "completed")
    assert json.loads(call["arguments"])["city"] in ("Paris", "Rome")
    assert pieces > 1
    result = {"type": "function_call_output", "call_id": call["call_id"], "output": "21 degrees, sunny"}
    answer, _ = await streamed(client, input=[question, call, result], tools=[WEATHER], max_output_tokens=12)
    assert (answer.status, bool(answer.text().strip())) == ("completed", True)
    assert answer.usage is not None
    assert draft.usage is not None
    assert answer.usage["input_tokens"] > draft.usage["input_tokens"] + 20, "call and result were not read"


async def test_a_schema_is_carried_to_where_the_server_reads_it(client: Client, llama: LocalServer) -> None:
    body = {**BASE, "input": "Give me a person.", "max_output_tokens": 40, "text": {"format": PERSON_FORMAT}}
    ignored = Draft.from_response(llama.ask("POST", "responses", {**body, "max_output_tokens": 5}).json())
    assert not ignored.text().lstrip().startswith("{"), "the server reads text.format now: say so in its dialect"
    person = json.loads(Draft.from_response(await client.create(body)).text())
    assert set(person) == {"name", "age"}
    assert isinstance(person["age"], int)


async def test_it_counts_tokens(client: Client) -> None:
    assert await client.input_tokens({"model": MODEL, "input": "Hello"}) > 5
