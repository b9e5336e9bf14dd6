"""One event's JSON, one value: whatever its name was once, and whatever is missing."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.responses.errors import BadStream
from chat.responses.events import (
    Delta,
    Event,
    Failure,
    ItemStatus,
    PartialImage,
    Snapshot,
    Target,
    Terminal,
    Whole,
    decode_json,
    event_from_frame,
    event_from_response,
    parse_event,
)
from chat.responses.sse import ServerSentEvent
from tests.recordings import RECORDINGS
from tests.responses.wire import events_of


def test_a_delta_says_where_it_belongs() -> None:
    data = {
        "type": "response.output_text.delta",
        "sequence_number": 4,
        "item_id": "msg_1",
        "output_index": 2,
        "content_index": 1,
        "delta": "Hi",
        "obfuscation": "x9",
    }
    event = parse_event(data)
    assert isinstance(event, Delta)
    assert (event.target, event.item_id, event.output_index, event.index) == (Target.TEXT, "msg_1", 2, 1)
    assert (event.delta, event.sequence_number, event.raw["obfuscation"]) == ("Hi", 4, "x9")


@pytest.mark.parametrize(
    ("old", "kind", "target"),
    [
        ("response.code_interpreter_call.code.delta", Delta, Target.CODE),
        ("response.code_interpreter_call.code.done", Whole, Target.CODE),
        ("response.mcp_call.arguments_delta", Delta, Target.ARGUMENTS),
        ("response.mcp_call.arguments_done", Whole, Target.ARGUMENTS),
        ("response.reasoning_summary.delta", Delta, Target.SUMMARY),
        ("response.reasoning_summary.done", Whole, Target.SUMMARY),
        ("response.reasoning.delta", Delta, Target.REASONING),
        ("response.reasoning.done", Whole, Target.REASONING),
    ],
)
def test_old_names_mean_what_the_new_ones_do(old: str, kind: type[Event], target: Target) -> None:
    event = parse_event({"type": old, "delta": "x", "code": "x", "arguments": "x", "text": "x"})
    assert type(event) is kind
    assert isinstance(event, Delta | Whole)
    assert event.target is target
    assert event.type != old


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({"type": "error", "code": "server_error", "message": "x", "param": None}, "server_error"),
        ({"type": "error", "error": {"type": "t", "code": "server_error", "message": "x"}}, "server_error"),
        ({"error": {"code": 500, "message": "x"}}, 500),
        ({"type": "whatever", "error": "words"}, None),
        ({"type": "response.error", "code": "c"}, "c"),
    ],
)
def test_every_form_of_an_error_is_one(data: dict[str, Any], code: Any) -> None:
    event = parse_event(data)
    assert isinstance(event, Failure)
    assert event.error.get("code") == code


def test_a_null_error_in_a_known_event_is_none() -> None:
    event = parse_event({"type": "response.created", "error": None, "response": {"id": "r", "error": None}})
    assert type(event) is Snapshot


@pytest.mark.parametrize("family", ["web_search_call", "mcp_list_tools", "mcp_call", "file_search_call"])
def test_tool_calls_move_on(family: str) -> None:
    event = parse_event({"type": f"response.{family}.searching", "item_id": "i", "output_index": 1})
    assert isinstance(event, ItemStatus)
    assert (event.item_type, event.status, event.item_id, event.output_index) == (family, "searching", "i", 1)


def test_a_preview_is_a_value_of_its_own() -> None:
    event = next(event for event in events_of("openai_image") if isinstance(event, PartialImage))
    assert event.partial_image_b64.startswith("iVBOR")


@pytest.mark.parametrize("name", ["response.audio.delta", "response.compaction.compacting", "slug:news", "", None, 7])
def test_the_unknown_is_kept_and_passes(name: Any) -> None:
    event = parse_event({"type": name, "sequence_number": 3, "news": [1]})
    assert type(event) is Event
    assert event.raw["news"] == [1]
    assert event.sequence_number == 3


def test_a_done_without_its_text_says_nothing() -> None:
    assert type(parse_event({"type": "response.output_text.done", "item_id": "i"})) is Event


@pytest.mark.parametrize("number", [-1, True, "3", 1.0, None, 2**60])
def test_a_number_that_is_none_is_none(number: Any) -> None:
    assert parse_event({"type": "response.created", "sequence_number": number}).sequence_number is None


def test_events_are_frozen() -> None:
    event = parse_event({"type": "response.created"})
    with pytest.raises(FrozenInstanceError):
        event.type = "other"  # type: ignore[misc]


def test_the_name_of_the_frame_counts_only_where_the_json_has_none() -> None:
    named = event_from_frame(ServerSentEvent("response.output_text.delta", '{"delta":"x"}'))
    assert isinstance(named, Delta)
    both = event_from_frame(ServerSentEvent("response.failed", '{"type":"response.completed","response":{}}'))
    assert isinstance(both, Terminal)
    assert both.status == "completed"


@pytest.mark.parametrize("data", ["[DONE]", "", "ping", "[1,2]", "null", " "])
def test_what_is_no_event_passes(data: str) -> None:
    assert event_from_frame(ServerSentEvent("", data)) is None


@pytest.mark.parametrize("data", ['{"type": oops}', "{", '{"a":' * 100_000, '{"type":"x"}}'])
def test_broken_json_is_refused(data: str) -> None:
    with pytest.raises(BadStream):
        event_from_frame(ServerSentEvent("", data))


def test_json_becomes_what_a_database_can_keep() -> None:
    value = decode_json(r'{"a\u0000":["x\u0000y","\ud83d","\ud83d\ude00"],"n":NaN,"i":-Infinity}')
    assert value == {"a�": ["x�y", "�", "😀"], "n": None, "i": None}
    json.dumps(value, allow_nan=False, ensure_ascii=False).encode()


def test_only_a_delta_keeps_its_half_of_a_character() -> None:
    assert decode_json(r'{"delta":"\ud83d\u0000","other":"\ud83d"}') == {"delta": "\ud83d�", "other": "�"}


@pytest.mark.parametrize(
    ("response", "kind"),
    [
        ({"status": "completed"}, "response.completed"),
        ({"status": "incomplete"}, "response.incomplete"),
        ({"status": "canceled"}, "response.cancelled"),
        ({"status": "queued"}, "response.queued"),
        ({"status": "new word"}, "response.in_progress"),
        ({"status": ["odd"]}, "response.in_progress"),
        ({}, "response.completed"),
        ({"error": {"code": "x"}}, "response.failed"),
    ],
)
def test_a_whole_response_is_the_event_that_says_the_same(response: dict[str, Any], kind: str) -> None:
    assert event_from_response(response).type == kind


@pytest.mark.parametrize("name", [recording.name for recording in RECORDINGS if "unknown" not in recording.shows])
def test_every_event_of_the_recordings_is_known(name: str) -> None:
    assert all(type(event) is not Event for event in events_of(name))


@given(st.dictionaries(st.text(max_size=8), st.none() | st.integers() | st.text() | st.lists(st.none()), max_size=5))
@hypothesis_settings(max_examples=100)
def test_no_object_raises(data: dict[str, Any]) -> None:
    parse_event(data)
