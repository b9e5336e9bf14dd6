"""Every stream becomes the answer that its provider meant."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.responses.errors import BadStream, ContentFiltered, RateLimited, ServerFault
from chat.responses.events import Event, ItemEvent, PartEvent, Terminal, Whole, decode_json, parse_event
from chat.responses.fold import MOST_ITEMS, RESPONSE, Draft
from tests.responses.wire import NAMES, WHOLE, essence, events_of, fold


def event(name: str, **fields: Any) -> Event:
    return parse_event({"type": f"response.{name}", **fields})


def text_delta(delta: str, **fields: Any) -> Event:
    return event("output_text.delta", delta=delta, **fields)


def without_output(events: list[Event]) -> list[Event]:
    """The same, with a terminal event that brings no items."""
    return [
        parse_event({**e.raw, "response": {**e.response, "output": []}}) if isinstance(e, Terminal) else e
        for e in events
    ]


def is_done(e: Event) -> bool:
    return isinstance(e, Whole) or (isinstance(e, PartEvent | ItemEvent) and e.done)


# Recordings (all of them are replayed in test_recordings)


def test_azure_text_with_its_usage_model_and_filters() -> None:
    draft = fold(events_of("azure_text"))
    assert (draft.status, draft.is_terminal, draft.terminal_seen) == ("completed", True, True)
    assert draft.response_id == "resp_67cb61fa3a448190bcf2c42d96f0d1a8"
    assert draft.model == "gpt-4o-2024-08-06"
    assert draft.usage is not None
    assert draft.usage["total_tokens"] == 98
    assert draft.text().startswith("## 为什么天空是蓝色的\n\n因为")
    assert "\u2028下一行 😀" in draft.text()
    assert draft.cursor == len(events_of("azure_text")) - 1
    assert draft.content_filters is not None


def test_ofox_without_output_in_its_last_word_keeps_the_items() -> None:
    draft = fold(events_of("ofox_text"))
    assert draft.text() == "你好，世界！"
    assert draft.output()[0]["status"] == "completed"
    assert draft.output()[0]["id"] == "msg_def456"
    assert draft.cursor is None


def test_ofox_even_without_done_items_closes_what_it_began() -> None:
    draft = fold([e for e in events_of("ofox_text") if not is_done(e)])
    assert draft.output() == [
        {
            "type": "message",
            "id": "msg_def456",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "你好，世界！"}],
        }
    ]


def test_parallel_calls_that_interleave_stay_apart() -> None:
    calls = fold(without_output(events_of("openai_function_calls"))).function_calls()
    assert [(call["call_id"], json.loads(call["arguments"])) for call in calls] == [
        ("call_1", {"location": "SF"}),
        ("call_2", {"location": "北京"}),
    ]


def test_llamacpp_calls_without_ids_are_found_by_their_call_id() -> None:
    name = {"type": "function_call", "name": "add", "status": "in_progress", "arguments": ""}
    draft = fold(
        [
            event("output_item.added", item={**name, "call_id": "fc_a"}),
            event("output_item.added", item={**name, "call_id": "fc_b"}),
            event("function_call_arguments.delta", item_id="fc_a", delta="1"),
            event("function_call_arguments.delta", item_id="fc_b", delta="2"),
            event("output_item.done", item={**name, "call_id": "fc_a", "arguments": "1", "status": "completed"}),
        ]
    )
    assert [(call["call_id"], call["arguments"]) for call in draft.function_calls()] == [("fc_a", "1"), ("fc_b", "2")]


def test_reasoning_takes_its_last_ciphertext() -> None:
    reasoning = fold(events_of("openai_reasoning")).output()[0]
    assert reasoning["encrypted_content"] == "gAAAAABo-final"
    assert [part["text"][:12] for part in reasoning["summary"]] == ["**Considerin", "**Checking**"]


def test_ollama_summaries_need_no_announced_parts() -> None:
    draft = fold(without_output([e for e in events_of("ollama_reasoning") if not is_done(e)]))
    assert draft.output()[0]["summary"] == [{"type": "summary_text", "text": "Let me think."}]


def test_an_approval_request_is_found_although_the_response_is_completed() -> None:
    draft = fold(events_of("openai_mcp_approval"))
    assert draft.status == "completed"
    assert [request["id"] for request in draft.approval_requests()] == ["mcpr_1"]
    assert "status" not in draft.output()[0]


def test_statuses_of_a_tool_call_move_on() -> None:
    draft = Draft()
    seen = []
    for e in events_of("openai_web_search"):
        draft.apply(e)
        if draft.items and draft.items[0].status not in seen:
            seen.append(draft.items[0].status)
    assert seen == ["in_progress", "searching", "completed"]
    assert draft.items[1].content[0].annotations[0]["url"] == "https://example.org/hyperion"


def test_citations_come_with_the_stream_already() -> None:
    draft = fold([e for e in events_of("azure_code_interpreter") if not is_done(e) and not isinstance(e, Terminal)])
    assert draft.output()[1]["content"][0]["annotations"][0]["filename"] == "plot.png"
    assert draft.output()[0]["code"] == "import math\nprint(math.pi)\n"


# Ends


def test_a_failure_keeps_what_was_said_and_tells_why() -> None:
    draft = fold(events_of("azure_failed"))
    assert (draft.status, draft.text()) == ("failed", "The first half")
    assert draft.output()[0]["status"] == "incomplete"
    assert isinstance(draft.failure(), ServerFault)
    assert draft.notice() == "The provider had a fault of its own; please try again in a moment."


@pytest.mark.parametrize("dropped", ["error", "response.failed"])
def test_either_word_of_a_failure_is_enough(dropped: str) -> None:
    draft = fold([e for e in events_of("azure_failed") if e.type != dropped])
    assert (draft.status, draft.terminal_seen) == ("failed", True)
    assert draft.error is not None
    assert draft.error["code"] == "server_error"


def test_the_nested_error_ends_the_answer_too() -> None:
    draft = fold(events_of("openai_error_nested"))
    failure = draft.failure()
    assert isinstance(failure, RateLimited)
    assert failure.retry_after == 1.5
    assert draft.notice() == "The provider asks for a pause; please try again in 2 seconds."


def test_a_stream_that_just_ends_is_not_terminal() -> None:
    draft = fold(events_of("azure_cut_off"))
    assert (draft.terminal_seen, draft.is_terminal, draft.status) == (False, False, "in_progress")
    assert draft.text() == "Half of an ans"


def test_a_length_limit_is_told() -> None:
    draft = fold(events_of("openai_incomplete"))
    assert (draft.status, draft.incomplete_reason) == ("incomplete", "max_output_tokens")
    assert draft.notice() == "The answer reached its length limit and stops here; ask the model to continue."


def test_a_filtered_answer_is_told_with_the_category() -> None:
    draft = fold(events_of("azure_content_filter"))
    assert draft.notice() == "The provider's content filter cut this answer (violence, medium)."
    assert draft.text() == "In the battle he"


def test_a_refusal_is_no_text() -> None:
    draft = fold(events_of("openai_refusal"))
    assert draft.text() == ""
    assert draft.items[0].content[0].text == "I'm sorry, I can't help with that."
    assert draft.notice() is None


def test_completed_can_be_a_name_only() -> None:
    draft = fold(
        [event("completed", response={"status": "incomplete", "incomplete_details": {"reason": "max_tokens"}})]
    )
    assert draft.status == "incomplete"


def test_a_failed_response_that_forgets_shown_items_does_not_lose_them() -> None:
    reasoning = {"id": "rs_1", "type": "reasoning", "summary": []}
    draft = fold(
        [
            event("output_item.added", output_index=0, item=reasoning),
            text_delta("shown", item_id="msg_1", output_index=1, content_index=0),
            event("failed", response={"status": "failed", "output": [reasoning], "error": {"code": "server_error"}}),
        ]
    )
    assert [item["type"] for item in draft.output()] == ["reasoning", "message"]
    assert draft.text() == "shown"


# Whole responses


@pytest.mark.parametrize("name", [name for name in WHOLE if isinstance(events_of(name)[-1], Terminal)])
def test_a_response_that_came_whole_is_the_same_draft(name: str) -> None:
    events = events_of(name)
    streamed, last = fold(events), events[-1]
    assert isinstance(last, Terminal)
    whole = Draft.from_response({**last.response, "output": streamed.output()})
    assert whole.output() == streamed.output()
    assert (whole.status, whole.error, whole.incomplete_reason) == (
        streamed.status,
        streamed.error,
        streamed.incomplete_reason,
    )
    assert whole.terminal_seen


@pytest.mark.parametrize(
    ("payload", "status", "terminal"),
    [
        ({"id": "r", "status": "queued", "output": []}, "queued", False),
        ({"id": "r", "status": "in_progress", "output": None}, "in_progress", False),
        ({"id": "r", "status": "cancelled", "output": [], "usage": None}, "cancelled", True),
        ({"id": "r", "output": []}, "completed", True),
        ({"id": "r", "status": "some day something new"}, "in_progress", False),
        ({"error": {"code": "server_error"}}, "failed", True),
    ],
)
def test_statuses_of_whole_responses(payload: dict[str, Any], status: str, terminal: bool) -> None:
    draft = Draft.from_response(payload)
    assert (draft.status, draft.is_terminal, draft.terminal_seen) == (status, terminal, terminal)


# Odd servers


def test_output_index_zero_for_everything_does_not_mix_items() -> None:
    message = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f", "arguments": ""}
    draft = fold(
        [
            event("output_item.added", output_index=0, item=message),
            text_delta("a", item_id="msg_1", output_index=0, content_index=0),
            event("output_item.added", output_index=0, item=call),
            event("function_call_arguments.delta", item_id="fc_1", output_index=0, delta="{}"),
            text_delta("b", item_id="msg_1", output_index=0, content_index=0),
        ]
    )
    assert essence(draft.output()) == [
        ("message", None, None, None, ("ab",), ()),
        ("function_call", "f", "{}", None, (), ()),
    ]


def test_ids_that_change_with_each_event_do_not_split_an_item() -> None:
    message = {"type": "message", "role": "assistant", "content": []}
    part = {"type": "output_text", "text": "ab"}
    draft = fold(
        [
            event("output_item.added", output_index=0, item={**message, "id": "one"}),
            text_delta("a", item_id="two", output_index=0, content_index=0),
            text_delta("b", item_id="three", output_index=0, content_index=0),
            event("output_item.done", output_index=0, item={**message, "id": "four", "content": [part]}),
        ]
    )
    assert [item["id"] for item in draft.output()] == ["four"]
    assert draft.text() == "ab"


def test_a_delta_that_nobody_announced_makes_its_item() -> None:
    draft = Draft()
    change = draft.apply(text_delta("Hi"))
    assert change is not None
    assert (change.item, change.part, change.kind, change.delta) == (0, 0, "text", "Hi")
    assert draft.output() == [
        {
            "type": "message",
            "status": "in_progress",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi", "annotations": []}],
        }
    ]


def test_an_announcement_that_comes_late_takes_nothing_away() -> None:
    draft = fold(
        [
            text_delta("Hi", item_id="msg_1", output_index=0, content_index=0),
            event(
                "output_item.added",
                output_index=0,
                item={"type": "message", "id": "msg_1", "role": "assistant", "content": []},
            ),
            event(
                "content_part.added",
                item_id="msg_1",
                output_index=0,
                content_index=0,
                part={"type": "output_text", "text": ""},
            ),
        ]
    )
    assert draft.text() == "Hi"
    assert len(draft.items) == 1


def test_items_stand_in_the_order_of_their_indexes() -> None:
    draft = fold([text_delta(str(n), item_id=f"m{n}", output_index=n, content_index=0) for n in (2, 0, 5, 1)])
    assert draft.text() == "0125"
    assert [item.position for item in draft.items] == [0, 1, 2, 3]


def test_done_overrides_the_deltas() -> None:
    draft = Draft()
    draft.apply(text_delta("Helo", output_index=0, content_index=0))
    change = draft.apply(event("output_text.done", output_index=0, content_index=0, text="Hello"))
    assert change is not None
    assert change.delta is None
    assert draft.text() == "Hello"
    assert draft.apply(event("output_text.done", output_index=0, content_index=0, text="Hello")) is None


def test_an_empty_done_does_not_wipe_what_was_shown() -> None:
    draft = fold(
        [
            text_delta("Hi", output_index=0, content_index=0),
            event("output_text.done", output_index=0, content_index=0, text=""),
            event("content_part.done", output_index=0, content_index=0, part={"type": "output_text", "text": ""}),
            event("output_item.done", output_index=0, item={"type": "message", "status": "completed", "content": []}),
        ]
    )
    assert draft.text() == "Hi"
    assert draft.output()[0]["status"] == "completed"


def test_half_characters_of_two_deltas_become_one() -> None:
    draft = Draft()
    shown = []
    for raw in (r"a\ud83d", r"\ude00b", r"\ud83d", "c"):
        data = '{"type":"response.output_text.delta","delta":"HERE"}'.replace("HERE", raw)
        change = draft.apply(parse_event(decode_json(data)))
        shown.append(change.delta if change else None)
    assert shown == ["a", "😀b", None, "\ufffdc"]
    assert draft.text().encode() == "a😀b\ufffdc".encode()


def test_the_same_status_again_is_no_change() -> None:
    draft = Draft()
    snapshot = {"id": "r", "status": "in_progress", "model": "m"}
    change = draft.apply(event("created", response=snapshot))
    assert change is not None
    assert (change.item, change.kind) == (RESPONSE, "status")
    assert draft.apply(event("in_progress", response=snapshot)) is None


def test_the_cursor_keeps_the_highest_number() -> None:
    draft = fold(
        [text_delta("a", sequence_number=3), text_delta("b", sequence_number=2), text_delta("c", sequence_number=-1)]
    )
    assert draft.cursor == 3
    assert draft.text() == "abc"  # numbers of odd servers do not decide what was said


def test_unknown_parts_and_fields_are_kept() -> None:
    item = {
        "type": "message",
        "id": "m",
        "phase": "final",
        "content": [
            {"type": "hologram", "data": [1]},
            {"type": "output_text", "text": "x", "annotations": [], "new": 1},
        ],
    }
    assert fold([event("output_item.done", output_index=0, item=item)]).output() == [item]


def test_a_content_filter_in_the_stream_names_the_category() -> None:
    failure = fold(
        [
            parse_event(
                {
                    "type": "error",
                    "error": {
                        "code": "content_filter",
                        "message": "filtered",
                        "innererror": {"content_filter_result": {"hate": {"filtered": True, "severity": "high"}}},
                    },
                }
            )
        ]
    ).failure()
    assert isinstance(failure, ContentFiltered)
    assert failure.user_message == "The provider's content filter blocked this question (hate, high)."


# Garbage

OUTPUT_TEXT = {"type": "output_text", "text": "x"}
NULLISH = [None, True, -1, 0, 1, 2**60, 0.5, "", "a", "output_text", "\ud83d", [], ["a", None], [[1]], {}]
JSON = st.sampled_from(
    [*NULLISH, OUTPUT_TEXT, [OUTPUT_TEXT], {"type": "refusal"}, [{"type": "summary_text", "text": 1}]]
)
TYPES = sorted({e.type for name in NAMES for e in events_of(name)} | {"", "error", "response.new.thing"})
FIELDS = sorted({field for name in NAMES for e in events_of(name) for field in e.raw} - {"type"} | {"error"})
ITEM = st.fixed_dictionaries(
    {"type": st.sampled_from(["message", "reasoning", "function_call", "other"])},
    optional={"id": st.sampled_from("ab"), "content": JSON, "summary": JSON, "arguments": JSON, "status": JSON},
)
ANY_EVENT = st.fixed_dictionaries(
    {"type": st.sampled_from(TYPES) | JSON},
    optional=dict.fromkeys(FIELDS, JSON)
    | {
        "item": ITEM | JSON,
        "delta": st.text(max_size=3),
        "response": st.fixed_dictionaries({"output": st.lists(ITEM)}),
    },
)


@given(st.lists(ANY_EVENT, max_size=12))
@hypothesis_settings(max_examples=150)
def test_no_sequence_of_events_raises(payloads: list[dict[str, Any]]) -> None:
    draft = Draft()
    for payload in payloads:
        change = draft.apply(parse_event(payload))
        assert change is None or -1 <= change.item < max(len(draft.items), 1)
    draft.notice()
    draft.text().encode("utf-8", "surrogatepass")
    json.dumps(draft.output())
    assert [item.position for item in draft.items] == list(range(len(draft.items)))


@pytest.mark.parametrize("order", ["rising", "falling"])
def test_items_beyond_all_measure_are_refused(order: str) -> None:
    draft = Draft()
    numbers = range(MOST_ITEMS + 1) if order == "rising" else range(MOST_ITEMS, -1, -1)
    *most, last = [
        parse_event(
            {
                "type": "response.output_item.added",
                "output_index": number,
                "item": {"type": "message", "id": f"{number}"},
            }
        )
        for number in numbers
    ]
    for event in most:
        draft.apply(event)
    with pytest.raises(BadStream, match="more than 2000 items"):
        draft.apply(last)
    assert len(draft.items) == MOST_ITEMS, "what was shown stays"


def test_parts_that_come_from_the_last_to_the_first_are_refused_beyond_all_measure() -> None:
    draft = Draft()
    *most, last = [
        parse_event({"type": "response.output_text.delta", "item_id": "m", "content_index": number, "delta": "a"})
        for number in range(MOST_ITEMS, -1, -1)
    ]
    for event in most:
        draft.apply(event)
    with pytest.raises(BadStream, match="more than 2000 parts"):
        draft.apply(last)
    assert len(draft.text()) == MOST_ITEMS
