"""What the package can ask of OpenAI beyond the four documents, asked of the engine."""

from __future__ import annotations

import base64
import io
import json
from enum import Enum
from typing import Any, Literal

import httpx2
import pytest
from openai import AuthenticationError, AzureOpenAI, BadRequestError, NotFoundError, OpenAI
from PIL import Image
from pydantic import BaseModel, Field

from .conftest import KEY, Serve
from .test_seeds_azure import GET_WEATHER
from .wiretap import Wiretap

FORECAST = {
    "type": "function",
    "name": "get_forecast",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string"},
            "days": {"type": "integer", "minimum": 1, "maximum": 7},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location", "days", "unit"],
        "additionalProperties": False,
    },
    "strict": True,
}


class CalendarEvent(BaseModel):
    name: str
    date: str
    participants: list[str]


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


class Node(BaseModel):
    value: float = Field(ge=1, lt=5)
    children: list[Node]


class Plan(BaseModel):
    size: Size
    kind: Literal["draft", "final"]
    count: int = Field(gt=2, le=9)
    code: str = Field(pattern=r"^[A-Z]{3}-\d{4}$")
    tags: list[str] = Field(min_length=2, max_length=3)
    root: Node
    note: str | None


# Structured output


def test_a_pydantic_model_is_filled_from_the_question(client: OpenAI) -> None:
    response = client.responses.parse(
        model="gpt-4o",
        input=[
            {"role": "system", "content": "Extract the event information."},
            {"role": "user", "content": "Alice and Bob are going to a science fair on Friday."},
        ],
        text_format=CalendarEvent,
    )
    event = response.output_parsed
    assert event
    assert event.participants == ["Alice", "Bob"]
    assert event.date == "Friday"


def test_a_pydantic_model_with_every_bound_is_kept_to(client: OpenAI) -> None:
    plan = client.responses.parse(model="gpt-4o", input="A large plan, final", text_format=Plan).output_parsed
    assert plan
    assert (plan.size, plan.kind) == (Size.LARGE, "final")


def test_a_json_schema_is_answered_by_a_stream_too(client: OpenAI) -> None:
    schema = CalendarEvent.model_json_schema() | {"additionalProperties": False}
    shape: Any = {"format": {"type": "json_schema", "name": "event", "schema": schema, "strict": True}}
    with client.responses.stream(model="gpt-4o", input="Ada, on Monday", text=shape) as stream:
        final = stream.get_final_response()
    assert CalendarEvent.model_validate_json(final.output_text).date == "Monday"


def test_a_json_object_is_answered_with_one(client: OpenAI) -> None:
    response = client.responses.create(
        model="gpt-4o", input="repeat after me: JSON, please", text={"format": {"type": "json_object"}}
    )
    assert json.loads(response.output_text) == {"answer": "JSON, please"}


def test_what_is_said_beside_a_tool_is_json_too(client: OpenAI) -> None:
    response = client.responses.parse(
        model="gpt-4o",
        input="solve 2x = 6",
        tools=[{"type": "code_interpreter", "container": {"type": "auto"}}],
        text_format=CalendarEvent,
    )
    assert [item.type for item in response.output] == ["code_interpreter_call", "message"]
    assert response.output_parsed


def test_a_loose_schema_is_not_called_strict(client: OpenAI) -> None:
    loose = {"type": "object", "properties": {"a": {"type": "string"}}, "required": []}
    shape: Any = {"format": {"type": "json_schema", "name": "loose", "schema": loose, "strict": True}}
    with pytest.raises(BadRequestError, match="additionalProperties") as refused:
        client.responses.create(model="gpt-4o", input="hello", text=shape)
    assert refused.value.code == "invalid_json_schema"
    tool: Any = {"type": "function", "name": "f", "parameters": loose, "strict": True}
    with pytest.raises(BadRequestError, match="Invalid schema for function 'f'"):
        client.responses.create(model="gpt-4o", input="hello", tools=[tool])


# Functions


@pytest.mark.seed("S1-10")
def test_functions_are_called_in_parallel_and_streamed(client: OpenAI) -> None:
    tools: list[Any] = [GET_WEATHER, FORECAST]
    with client.responses.stream(
        model="gpt-4o", input="What is the weather in Paris and Tokyo?", tools=tools
    ) as stream:
        deltas = "".join(event.delta for event in stream if event.type == "response.function_call_arguments.delta")
        final = stream.get_final_response()
    calls = [item for item in final.output if item.type == "function_call"]
    assert [json.loads(call.arguments) for call in calls] == [{"location": "Paris"}, {"location": "Tokyo"}]
    assert deltas == "".join(call.arguments for call in calls)
    outputs: list[Any] = [
        {"type": "function_call_output", "call_id": call.call_id, "output": f"{number} degrees"}
        for number, call in enumerate(calls)
    ]
    with pytest.raises(BadRequestError, match=f"No tool output found for function call {calls[1].call_id}"):
        client.responses.create(model="gpt-4o", previous_response_id=final.id, input=outputs[:1])
    told = client.responses.create(model="gpt-4o", previous_response_id=final.id, input=outputs)
    assert "0 degrees" in told.output_text
    assert "1 degrees" in told.output_text
    alone = client.responses.create(
        model="gpt-4o", input="What is the weather in Paris and Tokyo?", tools=tools, parallel_tool_calls=False
    )
    assert len(alone.output) == 1


def test_arguments_fit_a_strict_schema(client: OpenAI) -> None:
    response = client.responses.create(
        model="gpt-4o",
        input="get_forecast for Oslo, 12 days, in fahrenheit",
        tools=[FORECAST],  # type: ignore[list-item]
    )
    (call,) = response.output
    assert call.type == "function_call"
    arguments = json.loads(call.arguments)
    assert (arguments["location"], arguments["unit"]) == ("Oslo", "fahrenheit")
    assert 1 <= arguments["days"] <= 7


@pytest.mark.parametrize(
    ("choice", "kinds"),
    [
        ("auto", ["message"]),
        ("none", ["message"]),
        ("required", ["function_call"]),
        ({"type": "function", "name": "get_forecast"}, ["function_call"]),
        (
            {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "get_forecast"}]},
            ["message"],
        ),
        (
            {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "get_forecast"}]},
            ["function_call"],
        ),
    ],
)
def test_the_choice_of_a_tool_is_obeyed(client: OpenAI, choice: Any, kinds: list[str]) -> None:
    response = client.responses.create(model="gpt-4o", input="hello", tools=[GET_WEATHER, FORECAST], tool_choice=choice)  # type: ignore[list-item]
    assert [item.type for item in response.output] == kinds


def test_a_choice_that_names_no_tool_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="not found in 'tools'"):
        client.responses.create(
            model="gpt-4o",
            input="hello",
            tools=[GET_WEATHER],  # type: ignore[list-item]
            tool_choice={"type": "function", "name": "nobody"},
        )


# Reasoning and histories


@pytest.mark.seed("S1-30")
def test_a_reasoning_summary_is_streamed_part_by_part(client: OpenAI, tap: Wiretap) -> None:
    with client.responses.stream(
        model="o4-mini", input="hello", reasoning={"effort": "high", "summary": "detailed"}
    ) as stream:
        final = stream.get_final_response()
    reasoning = final.output[0]
    assert reasoning.type == "reasoning"
    assert len(reasoning.summary) == 2
    assert reasoning.encrypted_content is None
    events = tap.newest.events()
    for number, part in enumerate(reasoning.summary):
        told = [event for event in events if event.get("summary_index") == number]
        assert "".join(event["delta"] for event in told if event["type"].endswith("text.delta")) == part.text
        assert [
            event["type"].removeprefix("response.reasoning_summary_") for event in told if "delta" not in event
        ] == [
            "part.added",
            "text.done",
            "part.done",
        ]


@pytest.mark.parametrize(
    ("reasoning", "kinds"),
    [
        ({"effort": "low"}, ["reasoning", "message"]),
        ({"effort": "none"}, ["message"]),
        ({}, ["message"]),
    ],
)
def test_reasoning_is_counted_for_those_who_ask(client: OpenAI, reasoning: Any, kinds: list[str]) -> None:
    response = client.responses.create(model="o4-mini", input="hello", reasoning=reasoning)
    assert [item.type for item in response.output] == kinds
    assert response.usage
    assert (response.usage.output_tokens_details.reasoning_tokens > 0) == (kinds[0] == "reasoning")


def test_encrypted_content_comes_only_with_the_whole_item(client: OpenAI, tap: Wiretap) -> None:
    with client.responses.stream(
        model="o4-mini",
        input="hello",
        reasoning={"effort": "low"},
        include=["reasoning.encrypted_content"],
        store=False,
    ) as stream:
        stream.until_done()
    added, done = (event["item"] for event in tap.newest.events() if "item" in event and event["output_index"] == 0)
    assert "encrypted_content" not in added
    assert len(done["encrypted_content"]) > 100


def reasoned(client: OpenAI, **more: Any) -> Any:
    return client.responses.create(
        model="o4-mini",
        input="What is the weather in Oslo?",
        reasoning={"effort": "low"},
        tools=[GET_WEATHER],
        **more,
    )


def test_reasoning_is_not_taken_without_what_followed(client: OpenAI) -> None:
    reasoning, _ = reasoned(client).output
    with pytest.raises(BadRequestError, match="without its required following item"):
        client.responses.create(model="o4-mini", input=[reasoning])
    with pytest.raises(BadRequestError, match="without its required following item"):
        client.responses.create(model="o4-mini", input=[reasoning, {"role": "user", "content": "hello"}])


def test_a_call_is_not_taken_without_its_reasoning(client: OpenAI) -> None:
    reasoning, call = reasoned(client).output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "cold"}
    with pytest.raises(BadRequestError, match=f"without its required 'reasoning' item: '{reasoning.id}'"):
        client.responses.create(model="o4-mini", input=[call, output])
    nameless = {name: value for name, value in call.to_dict().items() if name != "id"}
    for pair in ([reasoning, call], [nameless]):
        assert "cold" in client.responses.create(model="o4-mini", input=[*pair, output]).output_text


def test_reasoning_that_was_not_kept_is_not_found(client: OpenAI) -> None:
    reasoning, call = reasoned(client, store=False).output
    output = {"type": "function_call_output", "call_id": call.call_id, "output": "cold"}
    with pytest.raises(NotFoundError, match="Items are not persisted when `store` is set to false"):
        client.responses.create(model="o4-mini", input=[reasoning, call, output])


def test_an_item_given_twice_is_refused(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-4o", input="hello")
    with pytest.raises(BadRequestError, match="Duplicate item"):
        client.responses.create(model="gpt-4o", previous_response_id=first.id, input=first.output)


def test_a_kept_item_can_be_named_instead_of_sent(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-4o", input="repeat after me: mangrove")
    named: list[Any] = [
        {"type": "item_reference", "id": first.output[0].id},
        {"role": "user", "content": "What did you say?"},
    ]
    assert "mangrove" in client.responses.create(model="gpt-4o", input=named).output_text
    named[0]["id"] = "msg_unknown"
    with pytest.raises(NotFoundError):
        client.responses.create(model="gpt-4o", input=named)


# Counting and compacting


def test_tokens_are_counted_before_they_are_spent(client: OpenAI) -> None:
    counted = client.responses.input_tokens.count(model="gpt-4o", input="How long is this?")
    answered = client.responses.create(model="gpt-4o", input="How long is this?")
    assert answered.usage
    assert counted.input_tokens == answered.usage.input_tokens


def test_a_conversation_is_compacted_and_goes_on(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-4o", input="My name is Ada")
    second = client.responses.create(model="gpt-4o", input="repeat after me: mangrove", previous_response_id=first.id)
    compacted = client.responses.compact(model="gpt-4o", previous_response_id=second.id)
    assert [item.type for item in compacted.output] == ["message", "message", "compaction"]
    history: list[Any] = [item.to_dict(warnings=False) for item in compacted.output]
    name = client.responses.create(model="gpt-4o", input=[*history, {"role": "user", "content": "What is my name?"}])
    assert "Ada" in name.output_text
    said = client.responses.create(model="gpt-4o", input=[*history, {"role": "user", "content": "What did you say?"}])
    assert "mangrove" in said.output_text
    history[-1]["encrypted_content"] = base64.b64encode(b"another organisation's secret").decode()
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(model="gpt-4o", input=history)
    assert refused.value.code == "invalid_encrypted_content"


# Files and containers


def test_files_are_listed_page_by_page(client: OpenAI) -> None:
    made = [client.files.create(file=(f"{name}.txt", b"text"), purpose="vision").id for name in "abc"]
    pages = list(client.files.list(purpose="vision", limit=2).iter_pages())
    assert [[file.id for file in page.data] for page in pages] == [made[:0:-1], made[:1]]
    ascending = client.files.list(purpose="vision", order="asc", after=made[0])
    assert [file.id for file in ascending] == made[1:]
    assert client.files.content(made[0]).read() == b"text"
    for file_id in made:
        assert client.files.delete(file_id).deleted
    assert list(client.files.list(purpose="vision")) == []
    with pytest.raises(NotFoundError):
        client.files.retrieve(made[0])


def test_a_file_says_when_it_expires(client: OpenAI) -> None:
    file = client.files.create(
        file=("a.txt", b"text"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600}
    )
    assert file.expires_at == file.created_at + 3600
    with pytest.raises(BadRequestError, match="3600"):
        client.files.create(
            file=("a.txt", b"text"), purpose="user_data", expires_after={"anchor": "created_at", "seconds": 60}
        )


def test_a_container_is_made_filled_used_and_deleted(client: OpenAI) -> None:
    file = client.files.create(file=("sales.csv", b"month,units\nMay,3\nJune,5\n"), purpose="assistants")
    container = client.containers.create(
        name="mine", file_ids=[file.id], expires_after={"anchor": "last_active_at", "minutes": 5}, memory_limit="4g"
    )
    assert container.memory_limit == "4g"
    uploaded = client.containers.files.create(container.id, file=("notes.txt", b"hello"))
    copied = client.containers.files.create(container.id, file_id=file.id)
    assert client.containers.files.retrieve(uploaded.id, container_id=container.id).path == "/mnt/data/notes.txt"
    assert {entry.id for entry in client.containers.files.list(container.id)} == {uploaded.id, copied.id}
    response = client.responses.create(
        model="gpt-4o",
        tools=[{"type": "code_interpreter", "container": container.id}],
        input="analyse the data",
        include=["code_interpreter_call.outputs"],
    )
    call = response.output[0]
    assert call.type == "code_interpreter_call"
    assert call.container_id == container.id
    assert call.outputs
    assert call.outputs[0].type == "logs"
    assert call.outputs[0].logs == "2 rows\nunits 2 3.0 5.0 4.0 8.0\n"
    client.containers.files.delete(uploaded.id, container_id=container.id)
    assert container.id in [entry.id for entry in client.containers.list()]
    client.containers.delete(container.id)
    with pytest.raises(NotFoundError):
        client.containers.retrieve(container.id)
    with pytest.raises(NotFoundError):
        client.responses.create(
            model="gpt-4o", tools=[{"type": "code_interpreter", "container": container.id}], input="hello"
        )


SUPPORTED = """c cs cpp csv doc docx html java json md pdf php pptx py rb tex txt css js sh ts jpeg jpg gif pkl png tar
    xlsx xml zip""".split()  # noqa: SIM905


@pytest.mark.seed("S1-14")
def test_a_container_takes_every_kind_of_file_that_the_documents_name(client: OpenAI) -> None:
    container = client.containers.create(name="all kinds")
    for suffix in SUPPORTED:
        client.containers.files.create(container.id, file=(f"file.{suffix}", b"content"))
    paths = [file.path for file in client.containers.files.list(container.id, limit=7, order="asc")]
    assert paths == [f"/mnt/data/file.{suffix}" for suffix in SUPPORTED]


@pytest.mark.seed("S1-12")
def test_the_container_of_an_earlier_call_is_used_again(client: OpenAI) -> None:
    tools: list[Any] = [{"type": "code_interpreter", "container": {"type": "auto"}}]
    table = base64.b64encode(b"month,units\nMay,3\nJune,5\n").decode()
    first = client.responses.create(
        model="gpt-4o",
        tools=tools,
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_file", "filename": "sales.csv", "file_data": f"data:text/csv;base64,{table}"},
                    {"type": "input_text", "text": "Show the average"},
                ],
            }
        ],
    )
    second = client.responses.create(
        model="gpt-4o", tools=tools, input="calculate 12*(3+4), please", previous_response_id=first.id
    )
    calls = [item for item in (*first.output, *second.output) if item.type == "code_interpreter_call"]
    assert len(calls) == 3
    assert len({call.container_id for call in calls}) == 1
    assert "84" in second.output_text


def test_code_is_streamed(client: OpenAI) -> None:
    with client.responses.stream(
        model="gpt-4o",
        tools=[{"type": "code_interpreter", "container": {"type": "auto"}}],
        input="solve x^2 = 2x + 8",
    ) as stream:
        events = list(stream)
    code = "".join(event.delta for event in events if event.type == "response.code_interpreter_call_code.delta")
    final = events[-1]
    assert final.type == "response.completed"
    call = final.response.output[0]
    assert call.type == "code_interpreter_call"
    assert call.code == code
    assert "x = -2.0**, **x = 4.0" in final.response.output_text


def test_an_ordinary_question_passes_every_tool_by(client: OpenAI, serve: Serve) -> None:
    tools: list[Any] = [
        {"type": "code_interpreter", "container": {"type": "auto"}},
        {"type": "image_generation"},
        GET_WEATHER,
        {"type": "web_search"},
    ]
    response = client.responses.create(model="gpt-4o", input="hello", tools=tools)
    assert [item.type for item in response.output] == ["message"]


# Pictures


def test_a_picture_is_previewed_while_it_is_drawn(client: OpenAI) -> None:
    tool: Any = {"type": "image_generation", "size": "1536x1024", "output_format": "webp", "partial_images": 2}
    stream = client.responses.create(model="gpt-4o", input="Draw a red otter", tools=[tool], stream=True)
    events = list(stream)
    previews = [event for event in events if event.type == "response.image_generation_call.partial_image"]
    assert [event.partial_image_index for event in previews] == [0, 1]
    final = events[-1]
    assert final.type == "response.completed"
    call = final.response.output[0]
    assert call.type == "image_generation_call"
    assert (call.size, call.output_format) == ("1536x1024", "webp")
    pictures = [event.partial_image_b64 for event in previews] + [call.result or ""]
    assert len(set(pictures)) == 3
    for picture in pictures:
        with Image.open(io.BytesIO(base64.b64decode(picture))) as image:
            assert (image.format, image.size) == ("WEBP", (1536, 1024))


# Remote tools


def test_a_remote_tool_is_called_at_once_where_no_approval_is_wanted(client: OpenAI, serve: Serve) -> None:
    server = serve("openai").url.replace("/v1/", "/mcp")
    tools: list[Any] = [
        {
            "type": "mcp",
            "server_label": "engine",
            "server_url": server,
            "allowed_tools": ["read_clock"],
            "require_approval": {"never": {"tool_names": ["read_clock"]}},
        }
    ]
    with client.responses.stream(model="gpt-4o", input="Please read the clock", tools=tools) as stream:
        first = stream.get_final_response()
    listing, call, _ = first.output
    assert listing.type == "mcp_list_tools"
    assert [tool.name for tool in listing.tools] == ["read_clock"]
    assert call.type == "mcp_call"
    assert "now" in json.loads(call.output or "")
    second = client.responses.create(
        model="gpt-4o", input="Please roll dice", tools=tools, previous_response_id=first.id
    )
    assert [item.type for item in second.output] == ["message"]  # not allowed, and the list is known


def test_an_approval_of_nothing_is_refused(client: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="No approval request found"):
        client.responses.create(
            model="gpt-4o",
            input=[{"type": "mcp_approval_response", "approval_request_id": "mcpr_unknown", "approve": True}],
        )


# Addresses, errors and the rest


@pytest.mark.seed("S0-7")
def test_the_package_has_a_client_for_azure_alone(azure_url: str, http_client: httpx2.Client) -> None:
    client = AzureOpenAI(base_url=azure_url, api_key=KEY, api_version="preview", http_client=http_client)
    assert client.responses.create(model="gpt-4o", input="hello").status == "completed"


def test_each_reply_has_an_id_for_the_log(client: OpenAI) -> None:
    response = client.responses.create(model="gpt-4o", input="hello")
    assert response._request_id
    raw = client.responses.with_raw_response.retrieve(response.id)
    assert raw.headers["x-request-id"] != response._request_id
    assert raw.parse() == response


def test_models_are_listed(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["embedded-engine"]


def test_a_wrong_key_is_refused(serve: Serve, http_client: httpx2.Client, azure_url: str) -> None:
    for url in (serve("openai").url, azure_url):
        stranger = OpenAI(base_url=url, api_key=f"not-{KEY}", http_client=http_client, max_retries=0)
        with pytest.raises(AuthenticationError):
            stranger.responses.create(model="gpt-4o", input="hello")


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 3},
        {"top_p": 2},
        {"max_output_tokens": 1},
        {"truncation": "sometimes"},
        {"reasoning": {"effort": "heroic"}},
        {"include": ["everything"]},
        {"metadata": {"key": "v" * 600}},
        {"tools": [{"type": "crystal_ball"}]},
        {"tools": [{"type": "code_interpreter"}]},
        {"tools": [{"type": "mcp", "server_url": "https://example.org/mcp"}]},
        {"tool_choice": "required"},
        {"text": {"format": {"type": "yaml"}}},
        {"input": [{"role": "nobody", "content": "hello"}]},
        {"previous_response_id": "resp_unknown"},
    ],
    ids=str,
)
def test_a_wrong_value_is_refused_by_name(client: OpenAI, wrong: Any) -> None:
    with pytest.raises(BadRequestError) as refused:
        client.responses.create(**{"model": "gpt-4o", "input": "hello", **wrong})
    assert refused.value.param
    assert refused.value.param.startswith(next(iter(wrong)))


@pytest.mark.seed("S1-15")
def test_input_items_are_paged(client: OpenAI) -> None:
    said: list[Any] = [{"role": "user", "content": f"line {number}"} for number in range(5)]
    response = client.responses.create(model="gpt-4o", input=said)
    items = list(client.responses.input_items.list(response.id, limit=2, order="asc"))
    assert [item.content[0].text for item in items] == [f"line {number}" for number in range(5)]  # type: ignore[union-attr]
    newest = client.responses.input_items.list(response.id, limit=2)
    assert [item.content[0].text for item in newest.data] == ["line 4", "line 3"]  # type: ignore[union-attr]
    assert newest.has_more


def test_a_cut_answer_is_incomplete_in_every_kind_of_item(client: OpenAI) -> None:
    thinking = client.responses.create(
        model="o4-mini", input="hello", reasoning={"effort": "low", "summary": "auto"}, max_output_tokens=16
    )
    assert (thinking.status, [item.type for item in thinking.output]) == ("incomplete", ["reasoning"])
    call = client.responses.create(
        model="gpt-4o",
        input='call get_weather with {"location": "' + "Llanfairpwllgwyngyll " * 10 + '"}',
        tools=[GET_WEATHER],  # type: ignore[list-item]
        max_output_tokens=16,
    )
    assert call.output[0].type == "function_call"
    assert (call.status, call.output[0].status) == ("incomplete", "incomplete")
    with pytest.raises(json.JSONDecodeError):
        json.loads(call.output[0].arguments)
