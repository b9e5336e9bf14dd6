"""However a response is told, the same answer comes out: fold(deltas) = fold(dones) = the final payload.

The responses and streams are made up by `telling`. Where a server leaves out what would tell two things apart
(no ids and no indexes, and items that interleave), nobody can know, and nothing is promised.
"""

from __future__ import annotations

import json
import random
import time
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, note
from hypothesis import strategies as st

from chat.responses.events import Event, decode_json, parse_event
from chat.responses.fold import Draft
from tests.hypothesis_profiles import often, thorough
from tests.responses.telling import (
    ANNOTATIONS,
    Json,
    Tape,
    Telling,
    a_response,
    known,
    stream,
)
from tests.responses.wire import fold

# One draw, for hypothesis takes longer over a second one than the fold over a stream: a tape, and a seed.
MADE_UP = st.binary(min_size=72, max_size=72)


def made_up(data: bytes, parts: int = 3) -> tuple[Json, random.Random]:
    """A response, and the chance that decides how it is told."""
    return a_response(Tape(data[:64]), parts=parts), random.Random(data[64:])


def events(told: list[Json]) -> list[Event]:
    return [parse_event(event) for event in told]


def text_of(response: Json) -> str:
    return "".join(
        part["text"]
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
        if part["type"] == "output_text"
    )


def any_way(rng: random.Random) -> Telling:
    """A server that names every place, whatever else it does."""

    def some() -> bool:
        return rng.random() < 0.5

    return Telling(interleaved=some(), old_names=some(), unknown=some(), gaps=some(), numbers=some(), burst=some())


@thorough
@given(MADE_UP)
def test_deltas_alone_done_events_alone_and_the_final_payload_tell_the_same_response(data: bytes) -> None:
    """Three promises for each response: to make one up takes hypothesis as long as to tell it takes us."""
    response, rng = made_up(data)
    deltas_alone_tell_all_that_deltas_can_know(response, rng)
    done_events_alone_tell_the_whole_response(response, rng)
    the_final_payload_tells_the_whole_response_whatever_came_before(response, rng)


def deltas_alone_tell_all_that_deltas_can_know(response: Json, rng: random.Random) -> None:
    """That is: everything but the results of calls, encrypted reasoning and the tools of an MCP server."""
    draft = fold(events(stream(response, replace(any_way(rng), dones=False, output=False), rng)))
    assert draft.output() == [known(item) for item in response["output"]]
    assert draft.text() == text_of(response)
    assert (draft.status, draft.terminal_seen) == ("completed", True)


def done_events_alone_tell_the_whole_response(response: Json, rng: random.Random) -> None:
    how = replace(any_way(rng), deltas=False, output=False, announces=rng.random() < 0.5, text_dones=rng.random() < 0.5)
    draft = fold(events(stream(response, how, rng)))
    assert draft.output() == response["output"]
    assert draft.text() == text_of(response)


def the_final_payload_tells_the_whole_response_whatever_came_before(response: Json, rng: random.Random) -> None:
    how = any_way(rng)
    told = stream(response, replace(how, deltas=rng.random() < 0.5, dones=rng.random() < 0.5), rng)
    final = told.pop()
    told = [event for event in told if rng.random() < 0.8]  # gateways lose events, but not the last one
    draft = fold(events([*told, final]))
    assert draft.output() == response["output"]
    assert draft.text() == text_of(response)
    assert Draft.from_response(response).output() == response["output"]


@often
@given(MADE_UP)
def test_what_is_left_of_deltas_and_done_events_completes_each_other(data: bytes) -> None:
    """A `done` of the text, of the part or of the item is enough, and so are the deltas: any may be missing."""
    response, rng = made_up(data)
    how = replace(any_way(rng), output=False)
    told = [
        event
        for event in stream(response, how, rng)
        if not str(event.get("type")).endswith((".done", "_done")) or rng.random() < 0.5
    ]
    draft = fold(events(told))
    assert draft.text() == text_of(response)
    for told_item, item in zip(draft.output(), response["output"], strict=True):
        assert told_item in (item, known(item))


DIALECTS = {
    "ofox": Telling(item_ids=False, text_dones=False, numbers=False, output=False, interleaved=True),
    "llamacpp": Telling(output_indexes=False, part_indexes=False, numbers=False, burst=True),
    "llamacpp without its last word": Telling(output_indexes=False, part_indexes=False, burst=True, output=False),
    "ollama": Telling(announces_parts=False),
    "ollama without its last word": Telling(announces_parts=False, output=False),
    "no places at all": Telling(item_ids=False, output_indexes=False, part_indexes=False, output=False),
    "a gateway that numbers every item 0": Telling(zero_indexes=True, interleaved=True, output=False),
    "a gateway with another id in each event": Telling(made_up_ids=True, interleaved=True, output=False),
    "a gateway that does both": Telling(zero_indexes=True, made_up_ids=True, output=False),
    "ids only": Telling(output_indexes=False, interleaved=True, output=False),
    "nothing announced": Telling(announces=False, interleaved=True, output=False),
    "nothing announced, ids only": Telling(announces=False, output_indexes=False, interleaved=True, output=False),
    "nothing announced, ids only, ends of items": Telling(
        announces=False, output_indexes=False, text_dones=False, interleaved=True, output=False
    ),
    "items that are only done": Telling(announces=False, deltas=False, text_dones=False, output=False),
}


@often
@given(MADE_UP)
def test_dialects_tell_the_same_response(data: bytes) -> None:
    dialect = sorted(DIALECTS)[data[-1] % len(DIALECTS)]
    note(dialect)
    how = DIALECTS[dialect]
    # Without an index of the part, a second one of the same kind could not be told from the first.
    response, rng = made_up(data, parts=3 if how.part_indexes else 1)
    draft = fold(events(stream(response, how, rng)))
    output = draft.output()
    if how.made_up_ids:
        output = [{**item, "id": meant["id"]} for item, meant in zip(output, response["output"], strict=True)]
    if how.interleaved and (how.zero_indexes or not how.output_indexes):
        output.sort(key=lambda item: str(item["id"]))  # the order of arrival is all there is
        assert output == sorted(response["output"], key=lambda item: str(item["id"]))
    else:
        assert output == response["output"]
        assert draft.text() == text_of(response)


@often
@given(MADE_UP)
def test_a_last_word_that_differs_neither_doubles_nor_loses_what_was_shown(data: bytes) -> None:
    """vLLM's has new ids; Ollama's, and that of a response which was cut, leaves items out."""
    response, rng = made_up(data)
    told = stream(response, replace(any_way(rng), dones=rng.random() < 0.5), rng)[:-1]
    status = rng.choice(("completed", "incomplete", "failed"))
    output = response["output"]
    if rng.random() < 0.5:
        final = [{**item, "id": f"final_{item['id']}"} for item in output]
        expected = [item["id"] for item in final]
    else:
        final = [item for item in output if rng.random() < 0.6]
        said = "\n".join(words_of(item) for item in final if item["type"] == "message")
        expected = [item["id"] for item in output if item in final or is_missed(item, said, status)]
    draft = fold(events(told))
    draft.apply(parse_event({"type": f"response.{status}", "response": {"status": status, "output": final}}))
    if not final:  # says nothing of items: they stay
        expected = [item["id"] for item in output]
    assert [item.id for item in draft.items] == expected
    assert [item for item in draft.output() if item in final] == final


def words_of(item: Json) -> str:
    return (
        "".join(part.get("text", part.get("refusal")) for part in item["content"]) if item["type"] == "message" else ""
    )


def is_missed(item: Json, said: str, status: str) -> bool:
    """What was shown and is not told any more: words always, all else where the response was cut."""
    return words_of(item) not in said if item["type"] == "message" else status != "completed"


@often
@given(MADE_UP)
def test_a_stream_that_breaks_off_keeps_what_was_said(data: bytes) -> None:
    """And an error in either form, before or instead of `response.failed`, takes nothing away from it."""
    response, rng = made_up(data)
    told = stream(response, replace(any_way(rng), gaps=False), rng)
    told = told[: rng.randrange(len(told))]
    draft = fold(events(told))
    assert (draft.terminal_seen, draft.is_terminal, draft.status) == (False, False, "in_progress")
    assert draft.notice() is None
    text = draft.text()
    error = {"code": "server_error", "message": "Sorry."}
    ends: list[Json] = [
        {"type": "error", **error, "param": None},
        {"type": "error", "error": error},
        {"error": error},
        {"type": "response.failed", "response": {"id": "resp_1", "status": "failed", "error": error, "output": []}},
    ]
    for end in rng.sample(ends, rng.randint(1, 2)):
        draft.apply(parse_event(end))
    assert (draft.terminal_seen, draft.status, draft.text()) == (True, "failed", text)
    assert draft.notice() == "The provider had a fault of its own; please try again in a moment."
    assert all(item.get("status") in (None, "completed", "incomplete") for item in draft.output())


@often
@given(MADE_UP)
def test_a_resumed_stream_that_repeats_itself_tells_the_same_response(data: bytes) -> None:
    """What was stored in the middle goes on behind its cursor; what the server sends again before that is ignored."""
    response, rng = made_up(data)
    whole = rng.random() < 0.5  # or deltas alone, where nothing makes up for one that was counted twice
    how = replace(any_way(rng), numbers=True, in_order=True, halves=whole, dones=whole, output=rng.random() < 0.5)
    told = stream(response, replace(how, output=whole and how.output), rng)
    at = rng.randrange(1, len(told))
    first = fold(events(told[:at]))
    stored = json.loads(json.dumps({"output": first.output(), "cursor": first.cursor}))
    draft = Draft.restore(first.response_id, stored["output"], stored["cursor"])
    for event in events(told[rng.randint(0, at) :]):
        draft.apply(event)
    assert draft.output() == (response["output"] if whole else [known(item) for item in response["output"]])
    assert draft.text() == text_of(response)
    assert (draft.cursor, draft.terminal_seen) == (len(told) - 1, True)


@given(MADE_UP)
def test_changes_are_enough_to_follow_each_text_of_a_made_up_stream(data: bytes) -> None:
    response, rng = made_up(data)
    draft = Draft()
    shown: dict[Any, str] = {}
    for event in events(stream(response, any_way(rng), rng)):
        before = [id(item) for item in draft.items]
        change = draft.apply(event)
        if [id(item) for item in draft.items] != before:
            shown = {}  # items moved: what is shown is read again
        if change is None or change.target is None:
            continue
        place = (change.item, change.part, change.target)
        known_text = shown.get(place)
        whole = draft.part_text(change)
        if change.delta is not None and known_text is not None:
            assert known_text + change.delta == whole
        shown[place] = whole


@pytest.mark.quiet
@pytest.mark.parametrize("field", ["text", "arguments", "annotations", "items"])
def test_ten_times_the_stream_takes_about_ten_times_the_time(field: str) -> None:
    def told(size: int) -> list[Event]:
        at: Json = {"item_id": "x_1", "output_index": 0, "content_index": 0}
        many: list[Json] = []
        for number in range(size):
            match field:
                case "text":
                    many.append({"type": "response.output_text.delta", **at, "delta": "wörd 😀 "})
                case "arguments":
                    many.append({"type": "response.function_call_arguments.delta", **at, "delta": '{"a":'})
                case "annotations":
                    added = {"annotation_index": number, "annotation": ANNOTATIONS[0]}
                    many.append({"type": "response.output_text.annotation.added", **at, **added})
                case _:
                    item = {"id": f"msg_{number}", "type": "message", "content": []}
                    many.append({"type": "response.output_item.done", "output_index": number, "item": item})
        if field == "items":
            many.append({"type": "response.completed", "response": {"output": [event["item"] for event in many]}})
        return [parse_event({**event, "sequence_number": number}) for number, event in enumerate(many)]

    def seconds(said: list[Event]) -> float:
        started = time.process_time()
        draft = fold(said)
        draft.output()
        draft.text()
        return time.process_time() - started

    size = 200 if field == "items" else 2_000  # there is a limit to items
    short, long = told(size), told(10 * size)
    fold(short)
    quick, slow = min(seconds(short) for _ in range(3)), min(seconds(long) for _ in range(3))
    print(f"{field}: {quick * 1000:.1f} ms for {size:,}, {slow * 1000:.1f} ms for {10 * size:,}")
    assert slow < 30 * quick  # 10 when linear, 100 when quadratic


@often
@given(st.binary(max_size=24))
def test_halves_of_characters_become_whole_wherever_deltas_part_them(data: bytes) -> None:
    """Halves that never find each other are shown as what they are: a character that was lost."""
    units = [("a", "\ud83d", "\ude00", "é", "\ud83d\ude00", "")[byte % 6] for byte in data]
    joined = "".join(units).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    draft = Draft()
    for unit in units:
        escaped = json.dumps({"type": "response.output_text.delta", "delta": unit})
        draft.apply(parse_event(decode_json(escaped)))
    waiting = "�" if units and "".join(units)[-1:] == "\ud83d" else ""
    assert draft.text() + waiting == joined
    draft.text().encode()
