"""The `openai` package's types, read strictly.

The package builds its objects without validating, so that unknown things pass. Here the same types are asked what
they think of the bytes that came: every field declared, nothing missing, nothing coerced, every stream in order.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from openai.types import FileDeleted, FileObject, Model, containers, responses
from openai.types.container_create_response import ContainerCreateResponse
from openai.types.container_list_response import ContainerListResponse
from openai.types.container_retrieve_response import ContainerRetrieveResponse
from openai.types.responses.response_input_item import Message as InputMessage
from openai.types.responses.response_item_list import ResponseItemList
from pydantic import BaseModel, TypeAdapter

from .wiretap import Exchange

Json = dict[str, Any]

KNOWN_EXTRAS = {
    # Open Responses requires the first three; Azure sends the fourth. The package's Response has no field for them.
    "Response": {"presence_penalty", "frequency_penalty", "store", "content_filters"},
    # Packages of the 2.x series declare it and insist on it.
    "ResponseFunctionCallArgumentsDoneEvent": {"name"},
    # What OpenAI's list of files says beyond the package's page of them; the files themselves are checked.
    "FileObject": set[str](),
}
REQUIRED_BY_OPEN_RESPONSES = """id object created_at completed_at status incomplete_details model previous_response_id
    instructions output error tools tool_choice truncation parallel_tool_calls text top_p presence_penalty
    frequency_penalty top_logprobs temperature reasoning usage max_output_tokens max_tool_calls store background
    service_tier metadata safety_identifier prompt_cache_key user""".split()  # noqa: SIM905
TERMINAL = ("response.completed", "response.incomplete", "response.failed", "error")


@cache
def adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def valid(kind: Any, raw: Any) -> Any:
    """Validate without coercion and return the typed value; every field has to be one that the type declares."""
    value = adapter(kind).validate_json(json.dumps(raw), strict=True)
    unknown = sorted(extras(value))
    assert not unknown, f"{unknown}: no declared fields"
    return value


def extras(value: Any, path: str = "") -> Iterator[str]:
    """The fields that landed in no declared one."""
    if isinstance(value, BaseModel):
        known = KNOWN_EXTRAS.get(type(value).__name__, set())
        for name in value.model_extra or {}:
            if name not in known:
                yield f"{path}.{name} of {type(value).__name__}"
        for name in type(value).model_fields:
            yield from extras(getattr(value, name), f"{path}.{name}")
    elif isinstance(value, list):
        for index, entry in enumerate(value):
            yield from extras(entry, f"{path}[{index}]")


# Whole exchanges


def check(exchange: Exchange) -> None:
    """Hold a reply to what the package, and the Open Responses specification, say about it."""
    if exchange.status >= 400:
        error = exchange.json()["error"]
        assert isinstance(error["message"], str)
        assert error["message"]
        assert set(error) <= {"message", "type", "param", "code"}
    elif exchange.content_type.startswith("text/event-stream"):
        check_stream(exchange)
    elif exchange.content_type.startswith("application/json"):
        check_json(exchange)


def check_json(exchange: Exchange) -> None:
    raw = exchange.json()
    kind = kind_of(exchange.method, exchange.path)
    if kind is responses.Response:
        check_response(raw, exchange.is_azure)
    elif kind is responses.CompactedResponse:
        # The package has no type for the messages of a person that a compaction gives back, though it documents them.
        for item in raw["output"]:
            valid(responses.ResponseCompactionItem if item["type"] == "compaction" else InputMessage, without_id(item))
        valid(kind, {**raw, "output": []})
    elif isinstance(kind, list):
        assert set(raw) == {"object", "data", "first_id", "last_id", "has_more"} or kind == [Model]
        assert raw["object"] == "list"
        for entry in raw["data"]:
            valid(kind[0], entry)
    elif kind is None:
        assert raw["deleted"] is True
        assert raw["id"] in exchange.path
    else:
        valid(kind, raw)


def without_id(item: Json) -> Json:
    return {name: value for name, value in item.items() if name != "id" or item["type"] == "compaction"}


def kind_of(method: str, path: str) -> Any:
    """The type of a JSON reply, a list of one type for a page of them, None for what says that it is gone."""
    path = re.sub(r"(?<=/)(resp|file|assistant|cntr|cfile)[-_][0-9a-f]+", r"{\1}", path)
    match method, path.replace("{assistant}", "{file}"):
        case ("POST", "responses" | "responses/{resp}/cancel") | ("GET", "responses/{resp}"):
            return responses.Response
        case ("GET", "responses/{resp}/input_items"):
            return ResponseItemList
        case ("POST", "responses/compact"):
            return responses.CompactedResponse
        case ("POST", "responses/input_tokens"):
            return responses.InputTokenCountResponse
        case ("POST", "files") | ("GET", "files/{file}"):
            return FileObject
        case ("GET", "files"):
            return [FileObject]
        case ("DELETE", "files/{file}"):
            return FileDeleted
        case ("GET", "models"):
            return [Model]
        case ("POST", "containers"):
            return ContainerCreateResponse
        case ("GET", "containers/{cntr}"):
            return ContainerRetrieveResponse
        case ("GET", "containers"):
            return [ContainerListResponse]
        case ("POST", "containers/{cntr}/files"):
            return containers.FileCreateResponse
        case ("GET", "containers/{cntr}/files/{cfile}"):
            return containers.FileRetrieveResponse
        case ("GET", "containers/{cntr}/files"):
            return [containers.FileListResponse]
        case ("DELETE", _):
            return None
    raise AssertionError(f"no type for {method} {path}")


def check_response(raw: Json, is_azure: bool = False) -> None:
    missing = [name for name in REQUIRED_BY_OPEN_RESPONSES if name not in raw]
    assert not missing, f"{missing}: wanted by the Open Responses specification"
    assert isinstance(raw["created_at"], int)
    assert raw["completed_at"] is None or isinstance(raw["completed_at"], int)
    assert (raw["usage"] is not None) == (raw["status"] in ("completed", "incomplete"))
    valid(responses.Response, with_new_count(raw) if is_azure else raw)


def with_new_count(raw: Json) -> Json:
    """With the count that the package of today insists on and that Azure does not send yet."""
    if raw.get("usage"):
        details = {"cache_write_tokens": 0, **raw["usage"]["input_tokens_details"]}
        raw = {**raw, "usage": {**raw["usage"], "input_tokens_details": details}}
    return raw


def check_stream(exchange: Exchange) -> None:
    """Each event by its type, each stream by its order."""
    events = exchange.events()
    for event in events:
        if "response" in event:
            check_response(event["response"], exchange.is_azure)
            event = {**event, "response": with_new_count(event["response"])}
        valid(event_type(event["type"]), event)
    numbers = [event["sequence_number"] for event in events]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    if exchange.method == "POST":
        assert numbers[0] == 0
        assert events[0]["type"] == "response.created"
    if exchange.is_complete:
        assert events[-1]["type"] in TERMINAL
    if numbers[0] == 0:
        check_order(events)


def check_order(events: list[Json]) -> None:
    """An item is added, told and done; then the next. The last event repeats what was done."""
    done: list[Json] = []
    current: Json | None = None
    for event in events:
        if event["type"] == "response.output_item.added":
            assert current is None
            assert event["output_index"] == len(done)
            current = event["item"]
        elif event["type"] == "response.output_item.done":
            assert current is not None
            assert (event["output_index"], event["item"]["id"]) == (len(done), current["id"])
            done.append(event["item"])
            current = None
        elif "item_id" in event:
            assert current is not None
            assert (event["output_index"], event["item_id"]) == (len(done), current["id"])
    if events[-1]["type"] in ("response.completed", "response.incomplete"):
        assert events[-1]["response"]["output"] == done


@cache
def event_types() -> dict[str, Any]:
    union = responses.ResponseStreamEvent.__origin__.__args__
    return {kind.model_fields["type"].annotation.__args__[0]: kind for kind in union}


def event_type(name: str) -> Any:
    assert name in event_types(), f"{name} is no event that the package knows"
    return event_types()[name]
