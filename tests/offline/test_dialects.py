"""What each served dialect sends, takes and refuses, asked over bare HTTP: our client would not send most of it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chat.offline.app import create_app
from chat.offline.wires import MODEL, WIRES, Wire
from chat.responses.dialects import DIALECTS
from chat.responses.fold import Draft

from .conftest import Engine, Json

MakeEngine = Callable[..., Awaitable[Engine]]

CAPTURED = Path(__file__).parent / "captured"
WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
CALL = {"input": "What is the weather in Paris?", "tools": [WEATHER]}
THINK = {"input": "repeat after me: Paris.", "reasoning": {"effort": "low"}}
TALK = {"input": "repeat after me: one two three"}
PDF = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}
GIF = {"type": "input_image", "image_url": "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAACAkQBADs="}
PICTURE = {"type": "input_image", "image_url": "https://example.org/a.png"}


def ask(*parts: Json) -> Json:
    return {"input": [{"role": "user", "content": [{"type": "input_text", "text": "hello"}, *parts]}]}


async def post(engine: Engine, **body: Any) -> Json:
    reply = await engine.http.post("responses", json={"model": "some-model", **body})
    assert reply.status_code == 200, reply.text
    value: Json = reply.json()
    return value


async def error(engine: Engine, status: int, **body: Any) -> Json:
    reply = await engine.http.post("responses", json={"model": "some-model", **body})
    assert reply.status_code == status, reply.text
    value: Json = reply.json()["error"]
    return value


async def events(engine: Engine, **body: Any) -> list[Json]:
    reply = await engine.http.post("responses", json={"model": "some-model", "stream": True, **body})
    assert reply.headers["content-type"].startswith("text/event-stream"), reply.text
    return events_in(reply.text)


def events_in(text: str) -> list[Json]:
    lines = [line for line in text.split("\n") if line.startswith("data: ") and line != "data: [DONE]"]
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def kinds(told: Iterable[Json]) -> list[str]:
    """The types in their order, runs of deltas as one."""
    names: list[str] = []
    for event in told:
        name = event["type"].removeprefix("response.")
        if not names or name != names[-1] or not name.endswith("delta"):
            names.append(name)
    return names


def shape(value: Any) -> Any:
    """The keys of a value, all the way down."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in sorted(value.items())}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value).__name__


# llama.cpp, held to what its own server sent


@pytest.mark.parametrize(
    ("captured", "body"), [("llamacpp_text", TALK), ("llamacpp_function_call", CALL), ("llamacpp_reasoning", THINK)]
)
async def test_llamacpp_has_the_shape_that_its_server_was_captured_with(
    make_engine: MakeEngine, captured: str, body: Json
) -> None:
    engine = await make_engine("llamacpp")
    theirs = events_in((CAPTURED / f"{captured}.sse").read_text())
    ours = await events(engine, **body)
    assert kinds(ours) == kinds(theirs)
    assert {event["type"]: shape(event) for event in ours} == {event["type"]: shape(event) for event in theirs}
    whole = json.loads((CAPTURED / f"{captured}.json").read_text())
    assert shape(await post(engine, **body)) == shape(whole)


async def test_llamacpp_names_items_and_gives_no_numbers(make_engine: MakeEngine) -> None:
    told = await events(await make_engine("llamacpp"), **TALK)
    assert not [event for event in told if {"sequence_number", "output_index", "content_index"} & set(event)]
    assert {event["item_id"] for event in told if "item_id" in event} == {told[-1]["response"]["output"][0]["id"]}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"input": "hi", "previous_response_id": "resp_1"}, "llama.cpp does not support 'previous_response_id'."),
        (ask(PDF), "'input_file' is not supported by llamacpp at this moment"),
        ({"input": [{"role": "assistant", "content": "x"}]}, "Cannot determine type of 'item'"),
        ({"input": [{"type": "mcp_call", "name": "t"}]}, "Cannot determine type of 'item'"),
        ({"input": [{"type": "reasoning", "summary": [], "content": []}]}, "item['content'] is empty"),
    ],
)
async def test_llamacpp_refuses_in_its_own_words(make_engine: MakeEngine, body: Json, said: str) -> None:
    found = await error(await make_engine("llamacpp"), 400, **body)
    assert found == {"code": 400, "message": said, "type": "invalid_request_error"}


async def test_llamacpp_knows_no_other_address(make_engine: MakeEngine) -> None:
    reply = await (await make_engine("llamacpp")).http.get("responses/resp_1")
    assert reply.status_code == 404
    assert reply.json() == {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}


async def test_llamacpp_passes_over_what_it_does_not_know(make_engine: MakeEngine) -> None:
    engine = await make_engine("llamacpp")
    unknown = {"background": True, "store": True, "include": ["nonsense"], "metadata": {"a": "b"}, "never_heard_of": 1}
    assert (await post(engine, **TALK, **unknown))["status"] == "completed"


@pytest.mark.parametrize("dialect", ["llamacpp", "ollama", "ofox"])
async def test_a_cut_answer_looks_complete_where_servers_do_not_say(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect)
    body = {"input": "write a text of 300 words", "max_output_tokens": 20}
    told = await events(engine, **body)
    assert told[-1]["type"] == "response.completed"
    assert told[-1]["response"]["status"] == "completed"
    items = [event["item"] for event in told if event["type"] == "response.output_item.done"]
    assert {item["status"] for item in items} == {"completed"}
    whole = await post(engine, **body)
    assert whole["status"] == "completed"
    assert whole.get("incomplete_details") is None


async def test_vllm_completes_with_the_status_incomplete(make_engine: MakeEngine) -> None:
    told = await events(await make_engine("vllm"), input="write a text of 300 words", max_output_tokens=20)
    assert (told[-1]["type"], told[-1]["response"]["status"]) == ("response.completed", "incomplete")
    assert told[-1]["response"]["incomplete_details"] == {"reason": "max_output_tokens"}


@pytest.mark.parametrize("dialect", ["llamacpp", "ollama", "vllm", "lmstudio"])
async def test_local_servers_have_no_least_number_of_tokens(make_engine: MakeEngine, dialect: str) -> None:
    whole = await post(await make_engine(dialect), input="write a text of 300 words", max_output_tokens=3)
    assert whole["usage"]["output_tokens"] == 3


# Ollama


async def test_ollama_sends_arguments_in_one_delta(make_engine: MakeEngine) -> None:
    told = await events(await make_engine("ollama"), **CALL)
    deltas = [event for event in told if event["type"].endswith("arguments.delta")]
    done = next(event for event in told if event["type"].endswith("arguments.done"))
    assert [event["delta"] for event in deltas] == [done["arguments"]]
    assert json.loads(done["arguments"])
    assert "name" not in done


async def test_ollama_sends_summaries_without_parts_and_numbers_without_gaps(make_engine: MakeEngine) -> None:
    told = await events(await make_engine("ollama"), **TALK, reasoning={"effort": "low", "summary": "auto"})
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert kinds(told)[2:6] == [
        "output_item.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "output_item.done",
    ]
    item = told[-1]["response"]["output"][0]
    assert item["encrypted_content"] == item["summary"][0]["text"]


async def test_ollama_loses_the_conversation_without_a_word(make_engine: MakeEngine) -> None:
    engine = await make_engine("ollama")
    first = await post(engine, input="My favourite colour is teal")
    second = await post(engine, input="What is my favourite colour?", previous_response_id=first["id"])
    assert second["previous_response_id"] is None
    assert "teal" not in json.dumps(second["output"])


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (ask(PICTURE), "invalid image input"),
        (ask(GIF), "invalid image input"),
        (ask(PDF), "file inputs are not currently supported"),
        ({"input": [{"type": "mcp_call"}]}, 'unknown input item type: "mcp_call"'),
    ],
)
async def test_ollama_refuses_with_message_and_type_only(make_engine: MakeEngine, body: Json, said: str) -> None:
    found = await error(await make_engine("ollama"), 400, **body)
    assert found == {"message": said, "type": "invalid_request_error", "param": None, "code": None}


async def test_ollama_passes_over_unknown_parameters(make_engine: MakeEngine) -> None:
    whole = await post(await make_engine("ollama"), **TALK, store=True, tool_choice="required", metadata={"a": "b"})
    assert (whole["store"], whole["metadata"], whole["tool_choice"]) == (False, {}, "auto")


# vLLM


async def test_vllm_says_404_to_a_chain_that_it_does_not_keep(make_engine: MakeEngine) -> None:
    engine = await make_engine("vllm")
    first = await post(engine, input="My favourite colour is teal", store=True)
    assert first["store"] is False
    found = await error(engine, 404, input="What is it?", previous_response_id=first["id"])
    assert found["message"] == f"Response with id '{first['id']}' not found."
    assert found["code"] == 404


@pytest.mark.parametrize("dialect", ["vllm", "litellm"])
async def test_state_is_there_when_the_operator_wants_it(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect, store=True)
    first = await post(engine, input="My favourite colour is teal")
    second = await post(engine, input="What is my favourite colour?", previous_response_id=first["id"])
    assert "teal" in json.dumps(second["output"])
    assert (await engine.http.get(f"responses/{first['id']}")).json()["id"] == first["id"]


async def test_vllm_fetches_but_never_deletes(make_engine: MakeEngine) -> None:
    engine = await make_engine("vllm", store=True)
    first = await post(engine, **TALK)
    assert (await engine.http.delete(f"responses/{first['id']}")).status_code == 404
    assert (await engine.http.get(f"responses/{first['id']}")).status_code == 200


@pytest.mark.parametrize("dialect", ["llamacpp", "ollama", "ofox"])
def test_no_setting_makes_a_stateless_server_keep_anything(dialect: str) -> None:
    with pytest.raises(ValueError, match=f"{dialect} keeps no responses"):
        create_app(dialect=dialect, store=True)


async def test_vllm_counts_parts_on_from_item_to_item(make_engine: MakeEngine) -> None:
    told = await events(await make_engine("vllm"), **THINK)
    parts = {event["item_id"]: event["content_index"] for event in told if "content_index" in event}
    assert list(parts.values()) == [0, 1]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))


@pytest.mark.parametrize("dialect", ["vllm", "lmstudio"])
async def test_open_models_think_aloud(make_engine: MakeEngine, dialect: str) -> None:
    told = await events(await make_engine(dialect), **THINK)
    assert kinds(told)[3:7] == [
        "reasoning_part.added",
        "reasoning_text.delta",
        "reasoning_text.done",
        "reasoning_part.done",
    ]
    thought = "".join(event["delta"] for event in told if event["type"] == "response.reasoning_text.delta")
    item = told[-1]["response"]["output"][0]
    assert (item["type"], item["summary"], item["content"]) == (
        "reasoning",
        [],
        [{"type": "reasoning_text", "text": thought}],
    )


async def test_vllm_cancels_once(make_engine: MakeEngine) -> None:
    engine = await make_engine("vllm", store=True, pace_seconds=0.01)
    whole = await post(engine, input="write a text of 300 words", background=True, stream=False)
    first = await engine.http.post(f"responses/{whole['id']}/cancel")
    assert (first.status_code, first.json()["status"]) == (200, "cancelled")
    second = await engine.http.post(f"responses/{whole['id']}/cancel")
    assert second.status_code == 400
    assert second.json()["error"]["message"] == "Cannot cancel a synchronous response."


async def test_a_stream_that_is_resumed_goes_on_as_it_would_have(make_engine: MakeEngine) -> None:
    engine = await make_engine("vllm", store=True)
    told = await events(engine, **THINK, background=True)
    at = next(event["sequence_number"] for event in told if event["type"] == "response.reasoning_text.done")
    query = {"stream": "true", "starting_after": str(at)}
    resumed = await engine.http.get(f"responses/{told[0]['response']['id']}", params=query)
    assert events_in(resumed.text) == told[at + 1 :]


@pytest.mark.parametrize("dialect", ["ofox", "ollama", "vllm", "llamacpp", "lmstudio"])
async def test_tools_that_a_server_does_not_have_are_passed_over(make_engine: MakeEngine, dialect: str) -> None:
    tools = [{"type": "code_interpreter", "container": {"type": "auto"}}, {"type": "image_generation"}]
    whole = await post(await make_engine(dialect), input="Run the code 1 + 1 and draw a red circle", tools=tools)
    assert [item["type"] for item in whole["output"]] == ["message"]


@pytest.mark.parametrize(
    ("dialect", "said"),
    [("ofox", "'input_text', 'input_image', 'output_text'"), ("vllm", "Unknown part type: input_file")],
)
async def test_servers_that_take_no_files_say_so(make_engine: MakeEngine, dialect: str, said: str) -> None:
    assert said in (await error(await make_engine(dialect), 400, **ask(PDF)))["message"]


async def test_deltas_are_padded_for_those_who_ask(make_engine: MakeEngine) -> None:
    engine = await make_engine("openai")
    plain = await events(engine, **TALK)
    padded = await events(engine, **TALK, stream_options={"include_obfuscation": True})
    assert not [event for event in plain if "obfuscation" in event]
    deltas = [event for event in padded if event["type"].endswith(".delta")]
    assert all(event["obfuscation"] for event in deltas)
    assert len({(len(event["delta"]) + len(event["obfuscation"])) % 16 for event in deltas}) == 1


# Gateways


async def test_litellm_sends_data_alone_and_an_end(make_engine: MakeEngine) -> None:
    engine = await make_engine("litellm")
    reply = await engine.http.post("responses", json={"model": "m", "stream": True, **TALK})
    assert "event: " not in reply.text
    assert reply.text.endswith("data: [DONE]\n\n")
    told = events_in(reply.text)
    assert not [event for event in told if "sequence_number" in event]
    assert told[-1]["response"]["output"][0]["content"][0]["text"]
    assert (await error(engine, 400, input=7))["code"] == "400"


async def test_litellm_forgets_a_chain_that_nobody_stored(make_engine: MakeEngine) -> None:
    engine = await make_engine("litellm")
    first = await post(engine, input="My favourite colour is teal")
    second = await post(engine, input="What is my favourite colour?", previous_response_id=first["id"])
    assert "teal" not in json.dumps(second["output"])


async def test_lmstudio_continues_and_does_nothing_else_with_what_it_keeps(make_engine: MakeEngine) -> None:
    engine = await make_engine("lmstudio")
    first = await post(engine, input="My favourite colour is teal")
    second = await post(engine, input="What is my favourite colour?", previous_response_id=first["id"])
    assert "teal" in json.dumps(second["output"])
    assert (await engine.http.get(f"responses/{first['id']}")).status_code == 404
    found = await error(engine, 400, input="hi", previous_response_id="resp_gone")
    assert found["code"] == "previous_response_not_found"


# Azure and Foundry


@pytest.mark.seed("S3-2")
@pytest.mark.parametrize("dialect", ["azure", "foundry"])
async def test_the_model_behind_a_deployment_has_a_name_of_its_own(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect, models=["my-deployment"])
    assert (await post(engine, model="my-deployment", **TALK))["model"] == MODEL
    assert (await error(engine, 404, model="other", **TALK))["code"] == "DeploymentNotFound"


@pytest.mark.parametrize("dialect", ["ofox", "ollama", "vllm", "lmstudio", "litellm"])
async def test_other_servers_repeat_the_name_that_was_asked_for(make_engine: MakeEngine, dialect: str) -> None:
    assert (await post(await make_engine(dialect), **TALK))["model"] == "some-model"


async def test_azure_takes_no_gif_which_openai_takes(make_engine: MakeEngine) -> None:
    assert (await post(await make_engine("openai"), **ask(GIF)))["status"] == "completed"
    found = await error(await make_engine("azure"), 400, **ask(GIF))
    assert (found["code"], "unsupported image" in found["message"]) == ("invalid_image_format", True)


async def test_azure_tells_what_its_filter_found_when_the_answer_is_there(make_engine: MakeEngine) -> None:
    told = await events(await make_engine("azure"), **TALK)
    assert told[0]["response"]["content_filters"] is None
    assert [found["source_type"] for found in told[-1]["response"]["content_filters"]] == ["prompt", "completion"]
    assert not any(found["blocked"] for found in told[-1]["response"]["content_filters"])


# All of them


@pytest.mark.parametrize("dialect", WIRES)
async def test_every_dialect_streams_what_it_answers_in_one_piece(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect)
    told = await events(engine, **TALK)
    whole = await post(engine, **TALK)
    said = "".join(event["delta"] for event in told if event["type"] == "response.output_text.delta")
    assert said == whole["output"][-1]["content"][0]["text"]
    assert "one two three" in said


@pytest.mark.seed("S1-10", "S2-11", "S2-12")
@pytest.mark.parametrize("dialect", WIRES)
async def test_every_dialect_calls_a_function_and_reads_its_output(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect)
    call = (await post(engine, **CALL))["output"][0]
    asked = {"type": "message", "role": "user", "content": CALL["input"]}
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "It is 21 degrees."}
    told = await post(engine, input=[asked, call, output], tools=[WEATHER])
    assert "21 degrees" in told["output"][-1]["content"][0]["text"]


@pytest.mark.parametrize("dialect", sorted(set(WIRES) & set(DIALECTS)))
def test_the_engine_can_do_what_the_client_believes_that_it_can(dialect: str) -> None:
    wire, known = WIRES[dialect], DIALECTS[dialect]
    assert known.state <= wire.stateful
    assert known.retrieve <= (wire.stateful and wire.retrieves)
    assert known.delete <= (wire.stateful and wire.deletes)
    assert known.input_items <= (wire.stateful and wire.lists_inputs)
    assert known.background <= (wire.stateful and wire.background)
    assert known.files_api <= wire.files
    assert known.pdf_input <= (not wire.file_refusal)
    assert known.image_url <= wire.image_urls
    assert known.image_file_id <= wire.image_file_ids
    assert {kind.removeprefix("image/") for kind in known.image_types} <= wire.image_types
    assert known.event_names == wire.event_lines
    assert known.sends_done == wire.sends_done
    assert known.file_purpose not in wire.refused_purposes


def test_a_wire_is_a_set_of_capabilities_that_cannot_be_changed() -> None:
    stored = WIRES["vllm"].storing()
    assert stored == replace(WIRES["vllm"], stateful=True)
    assert WIRES["vllm"].stateful is False
    assert isinstance(WIRES["vllm"], Wire)


@pytest.mark.parametrize("body", [TALK, CALL, THINK], ids=["text", "call", "reasoning"])
@pytest.mark.parametrize("dialect", WIRES)
async def test_our_client_folds_every_dialect_to_the_same_answer(
    make_engine: MakeEngine, dialect: str, body: Json
) -> None:
    engine = await make_engine(dialect)
    draft = Draft()
    async with engine.client.stream({"model": "some-model", **body}) as stream:
        async for event in stream:
            draft.apply(event)
    plain = await engine.client.create({"model": "some-model", **body})
    assert draft.status == plain["status"] == "completed"
    assert [meaning(item) for item in draft.output()] == [meaning(item) for item in plain["output"]]


def meaning(item: Json) -> Any:
    match item["type"]:
        case "message":
            return "".join(part["text"] for part in item["content"])
        case "function_call":
            return item["name"], json.loads(item["arguments"])
    return [part["text"] for part in (*item["summary"], *item.get("content", ()))]
