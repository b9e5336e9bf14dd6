"""Each recording through the client into a draft: in any cuts, from deltas, from done events, and broken off anywhere."""

from __future__ import annotations

import json
import random
import re
from typing import Any

import httpx
import pytest

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import BadStream, ContextOverflow, InvalidRequest, NotFound, PreviousResponseNotFound
from chat.responses.events import (
    AnnotationAdded,
    Delta,
    Event,
    ItemEvent,
    ItemStatus,
    PartEvent,
    Terminal,
    Whole,
    event_from_frame,
    parse_event,
)
from chat.responses.fold import Draft
from chat.responses.sse import SSEDecoder
from tests.recordings import BY_NAME, HERE, RECORDINGS, SEQUENCES, Recording
from tests.responses.server import reply, serving, stream
from tests.responses.wire import beginning_of, draft_of, essence, events_of, fold, frames_of

ALL = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
ENDED = pytest.mark.parametrize(
    "recording", [r for r in RECORDINGS if r.ends and not r.continues], ids=lambda recording: recording.name
)


def without_output(events: list[Event]) -> list[Event]:
    """The same, with a terminal event that brings no items."""
    return [
        parse_event({**e.raw, "response": {**e.response, "output": []}}) if isinstance(e, Terminal) else e
        for e in events
    ]


def is_done(e: Event) -> bool:
    return isinstance(e, Whole) or (isinstance(e, PartEvent | ItemEvent) and e.done)


# The collection


def test_every_file_is_in_the_table_and_every_entry_has_a_file() -> None:
    assert sorted(path.stem for path in HERE.glob("*.sse")) == sorted(recording.name for recording in RECORDINGS)


def test_every_dialect_is_recorded_with_text_and_something_else() -> None:
    for dialect in DIALECTS.keys() - {"generic", "offline"}:
        recordings = [recording for recording in RECORDINGS if recording.dialect == dialect]
        assert any("1" in recording.shows for recording in recordings), dialect
        assert any("1" not in recording.shows and recording.ends for recording in recordings), dialect


def test_every_sequence_is_recorded() -> None:
    shown = {name for recording in RECORDINGS for name in recording.shows}
    assert shown == SEQUENCES.keys()


@ALL
def test_a_recording_says_where_it_comes_from_and_is_small(recording: Recording) -> None:
    assert re.match(r"captured \d{4}-\d\d-\d\d from .+|handwritten, after .+", recording.label)
    assert len(recording.bytes) < 10_000
    assert b"/home/" not in recording.bytes
    assert b"site-packages" not in recording.bytes


@ALL
def test_a_recording_shows_what_it_is_listed_for(recording: Recording) -> None:
    """The sequences that leave a trace in the events are looked for."""
    types = {e.raw.get("type") for e in events_of(recording.name)}
    items = {item.type for item in draft_of(recording.name).items}
    wanted_items = {
        "2": "function_call",
        "3": "reasoning",
        "4": "code_interpreter_call",
        "5 turn 1": "mcp_approval_request",
        "5 turn 2": "mcp_call",
        "6": "image_generation_call",
        "custom tool": "custom_tool_call",
        "file search": "file_search_call",
        "web search": "web_search_call",
        "computer": "computer_call",
    }
    wanted_types = {
        "3": "response.reasoning_summary_text.delta",
        "3 raw": "response.reasoning_text.delta",
        "5 failed": "response.mcp_call.failed",
        "5 list failed": "response.mcp_list_tools.failed",
        "6 partial": "response.image_generation_call.partial_image",
        "7 both": "response.failed",
        "7 failed": "response.failed",
        "F": "response.queued",
        "F cut": "response.queued",
        "refusal": "response.refusal.delta",
        "annotations": "response.output_text.annotation.added",
        "old names": "response.reasoning_summary.delta",
    }
    names = set(recording.shows)
    if recording.name == "openai_old_names" or (recording.dialect == "openai" and "computer" in names):
        names.discard("3")  # under its old name, or an action's reason
    assert {wanted_items[name] for name in names if name in wanted_items} <= items
    assert {wanted_types[name] for name in names if name in wanted_types} <= types
    if "data only" in names:
        assert b"event:" not in recording.bytes
        assert recording.bytes.rstrip().endswith(b"data: [DONE]")
    if "6 bare" in names:
        assert "response.image_generation_call.completed" not in types
    if "CRLF" in names:
        assert recording.bytes.count(b"\r\n") == recording.bytes.count(b"\n")


# The client


@ALL
async def test_a_recording_comes_through_the_client_in_any_cuts(recording: Recording) -> None:
    rng = random.Random(recording.name)
    chunks, at = [], 0
    while at < len(recording.bytes):
        size = rng.choice((1, 2, 7, 64, 700))
        chunks.append(recording.bytes[at : at + size])
        at += size
    draft = beginning_of(recording.name)
    async with serving(stream(*chunks)) as server, httpx.AsyncClient() as http:
        client = Client(Endpoint(server.url, DIALECTS[recording.dialect], "sk-test"), http)
        resumed = recording.continues
        asked = (
            client.resume(draft.response_id, draft.cursor) if resumed else client.stream({"model": "m", "input": "Hi"})
        )
        async with asked as events:
            async for event in events:
                draft.apply(event)
    whole = draft_of(recording.name)
    assert (draft.output(), draft.status, draft.error) == (whole.output(), whole.status, whole.error)
    assert (draft.status, draft.terminal_seen) == (recording.status, recording.ends)
    assert draft.text().startswith(recording.text) if recording.text else not draft.text()
    if resumed:
        assert f"starting_after={draft_of(resumed).cursor}" in server.requests[0].target


@pytest.mark.seed("S1-27", "S1-28")
async def test_a_background_stream_that_was_cut_goes_on_behind_its_cursor() -> None:
    """Whether the server begins there, repeats its last events, or does not know `starting_after` and begins anew."""
    cut, resumed = BY_NAME["azure_background_cut"].bytes, BY_NAME["azure_background_resumed"].bytes
    stored = fold(events_of("azure_background_cut"))
    assert (stored.text(), stored.cursor, stored.terminal_seen) == ("The first half", 5, False)
    behind = b"event:" + resumed.split(b"event:", 3)[3]
    for body in (behind, resumed, cut + b": and on\n\n" + resumed):
        draft = Draft.restore(stored.response_id, stored.output(), stored.cursor)
        async with serving(stream(body)) as server, httpx.AsyncClient() as http:
            client = Client(Endpoint(server.url, DIALECTS["azure"], "sk-test"), http)
            async with client.resume(draft.response_id, draft.cursor) as events:
                async for event in events:
                    draft.apply(event)
        assert server.requests[0].target.endswith("/responses/resp_bg2?stream=true&starting_after=5")
        assert (draft.text(), draft.status) == ("The first half and the second.", "completed")


@pytest.mark.seed("S2-9", "S2-10", "S2-11")
def test_a_gateway_says_all_with_eight_events_of_data_alone() -> None:
    names = ("ofox_text", "ofox_function_call")
    assert {e.type for name in names for e in events_of(name)} == {
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    }
    assert all(not frame.event for name in names for frame in frames_of(BY_NAME[name].bytes))
    assert draft_of("ofox_text").text() == "你好，世界！"
    (call,) = draft_of("ofox_function_call").function_calls()
    assert (call["name"], call["call_id"], json.loads(call["arguments"])) == (
        "get_weather",
        "call_xyz789",
        {"location": "北京"},
    )


@pytest.mark.seed("S1-21", "S1-22")
def test_a_remote_tool_is_asked_for_approved_refused_and_may_fail() -> None:
    asked = draft_of("openai_mcp_approval")
    (request,) = asked.approval_requests()
    assert (asked.status, request["type"], bool(request["name"])) == ("completed", "mcp_approval_request", True)
    call, answer = draft_of("openai_mcp_call").output()
    assert (call["type"], call["status"], bool(call["output"])) == ("mcp_call", "completed", True)
    assert call["approval_request_id"] == request["id"]
    assert answer["type"] == "message"
    assert [item["type"] for item in draft_of("openai_mcp_denied").output()] == ["message"]
    failed, _ = draft_of("openai_mcp_failed").output()
    assert (failed["status"], failed["error"]["code"]) == ("failed", 404)


REFUSALS = {
    "previous_response_id": (PreviousResponseNotFound, "no longer has the earlier part"),
    "an input_file": (InvalidRequest, "could not use this request"),
    "an image of a model without eyes": (InvalidRequest, "cannot look at images"),
    "no input": (InvalidRequest, "could not use this request"),
    "a web_search_call in the input": (InvalidRequest, "could not use this request"),
    "6,000 words": (ContextOverflow, "(6,031 of 4,096 tokens)"),
    "GET responses/resp_x": (NotFound, "nothing at this address"),
}


async def test_the_refusals_of_a_real_server_have_sentences() -> None:
    captured = json.loads((HERE / "llamacpp_errors.json").read_text())
    assert captured["from"].startswith("captured ")
    assert [each["asked"] for each in captured["replies"]] == list(REFUSALS)
    for each in captured["replies"]:
        kind, words = REFUSALS[each["asked"]]
        async with serving(reply(each["status"], each["body"])) as server, httpx.AsyncClient() as http:
            client = Client(Endpoint(server.url, DIALECTS["llamacpp"]), http, max_retries=0)
            with pytest.raises(kind, match=re.escape(each["body"]["error"]["message"])) as caught:
                await client.create({"model": "m", "input": "Hi"})
        assert words in caught.value.user_message


# The fold


@ENDED
def test_the_final_payload_is_the_output(recording: Recording) -> None:
    events = events_of(recording.name)
    last = next((e for e in reversed(events) if isinstance(e, Terminal)), None)
    output = last.response.get("output") if last is not None else None
    folded = draft_of(recording.name).output()
    if recording.name == "ollama_text_then_call":
        assert [item["type"] for item in folded] == ["message", "function_call"]
        assert folded[1:] == output
    elif output:
        assert folded == output
        assert Draft.from_response(last.response if last else {}).output() == output
    else:
        assert recording.dialect == "ofox" or recording.status == "failed"


@ENDED
def test_deltas_alone_and_done_events_alone_say_the_same(recording: Recording) -> None:
    events = events_of(recording.name)
    whole = draft_of(recording.name)
    deltas = fold([e for e in without_output(events) if not is_done(e)])
    dones = fold([e for e in without_output(events) if not isinstance(e, Delta)])
    if "whole only" not in recording.shows:
        assert spoken(deltas) == spoken(whole)
        assert deltas.text() == whole.text()
    closed = {e.item["type"] for e in events if isinstance(e, ItemEvent) and e.done and e.item}
    if closed.issuperset(item.type for item in whole.items) or "whole only" in recording.shows:
        assert essence(dones.output()) == essence(whole.output())
        assert dones.text() == whole.text()
    else:  # broken off, or never closed, and so without a done event
        assert (
            recording.status == "failed"
            or "unannounced" in recording.shows
            or recording.name == "ollama_text_then_call"
        )


def spoken(draft: Draft) -> list[tuple[Any, ...]]:
    """What was said and asked for; parts that nobody knows come whole, if at all."""
    output = [
        {**item, "content": [part for part in item.get("content") or () if part["type"] != "hologram"]}
        for item in draft.output()
    ]
    return essence(output)


@ALL
def test_changes_are_enough_to_follow_the_texts(recording: Recording) -> None:
    draft = beginning_of(recording.name)
    shown: dict[Any, str] = {}
    for e in events_of(recording.name):
        change = draft.apply(e)
        if change is None or change.target is None:
            continue
        place = (change.item, change.part, change.target)
        if change.delta is None or (recording.continues and place not in shown):
            shown[place] = draft.part_text(change)
        else:
            shown[place] = shown.get(place, "") + change.delta
        assert shown[place] == draft.part_text(change)
    texts = [text for (_, _, target), text in sorted(shown.items(), key=str) if target.value == "text"]
    assert "".join(texts) == draft.text() or "unannounced" in recording.shows


@ALL
def test_a_stored_draft_continues_where_it_was(recording: Recording) -> None:
    events = events_of(recording.name)
    whole = fold(without_output(events), beginning_of(recording.name))
    for cut in range(1, len(events)):
        first = fold(events[:cut], beginning_of(recording.name))
        stored = json.loads(json.dumps(first.output()))
        draft = Draft.restore(first.response_id, stored, first.cursor)
        again = 0 if first.cursor is not None and "other ids" not in recording.shows else cut
        for e in without_output(events[again:]):
            draft.apply(e)
        assert essence(draft.output()) == essence(whole.output())


@ALL
def test_a_snapshot_of_the_output_does_not_change_later(recording: Recording) -> None:
    draft = beginning_of(recording.name)
    snapshots = []
    for e in events_of(recording.name):
        draft.apply(e)
        output = draft.output()
        snapshots.append((output, json.dumps(output)))
    assert all(json.dumps(output) == text for output, text in snapshots)


@ALL
def test_a_recording_may_break_off_at_any_byte(recording: Recording) -> None:
    """What had been said by then is there, and nothing else."""
    whole = draft_of(recording.name).text()
    data = recording.bytes
    for end in range(0, len(data), max(1, len(data) // 150)):
        draft = beginning_of(recording.name)
        decoder = SSEDecoder()
        for frame in decoder.feed(data[:end]):
            if (event := event_from_frame(frame)) is not None:
                draft.apply(event)
        for frame in decoder.flush():
            try:
                event = event_from_frame(frame)
            except BadStream:
                continue  # half a frame
            if event is not None:
                draft.apply(event)
        assert whole.startswith(draft.text())
        json.dumps(draft.output())
        draft.notice()


@ALL
def test_events_of_a_recording_may_be_lost(recording: Recording) -> None:
    """Never an exception; and where the last word brings the output, it makes up for all of them."""
    events = events_of(recording.name)
    rng = random.Random(recording.name)
    *others, last = events
    for _ in range(20):
        draft = fold([*(e for e in others if rng.random() < 0.6), last], beginning_of(recording.name))
        if isinstance(last, Terminal) and last.response.get("output") and "other ids" not in recording.shows:
            assert draft.output() == draft_of(recording.name).output()


def test_calls_move_on_and_citations_come_with_the_stream() -> None:
    """The events that change neither texts nor items are in the recordings, too."""
    kinds = {type(e) for recording in RECORDINGS for e in events_of(recording.name)}
    assert {ItemStatus, AnnotationAdded} <= kinds
