"""Made-up responses, and the streams that tell them: in full, in part, and in the ways of servers that are not OpenAI.

A response is read off a tape of bytes, which hypothesis makes short and plain when a test fails; how it is told is
random, with a seed of its own. `Telling` says what a server leaves out. `known(item)` is what nobody can know who saw
neither the ends of items nor the final payload.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

Json = dict[str, Any]
T = TypeVar("T")

WORDS = [
    "",
    "a",
    "Hello",
    " ",
    "世界",
    "😀",
    "𝔘n",
    "\n\n",
    "**b**",
    "\u2028",
    "\u0085",
    '{"x":',
    "0}",
    "é",
    "👩‍👩‍👧",
    "\\",
]
ANNOTATIONS: list[Json] = [
    {"type": "url_citation", "url": "https://example.org/", "title": "T", "start_index": 0, "end_index": 1},
    {"type": "file_citation", "file_id": "file-1", "filename": "a.pdf", "index": 1},
    {
        "type": "container_file_citation",
        "container_id": "cntr_1",
        "file_id": "cfile_1",
        "filename": "plot.png",
        "start_index": 0,
        "end_index": 1,
    },
    {"type": "file_path", "file_id": "file-2", "index": 0},
]
# What a call brings only when it is done, by its type.
RESULTS: dict[str, Json] = {
    "code_interpreter_call": {"outputs": [{"type": "logs", "logs": "3.14\n"}]},
    "mcp_call": {"output": "42", "error": None},
    "image_generation_call": {"result": "iVBORw0KGgo=", "revised_prompt": "a fox"},
    "web_search_call": {"action": {"type": "search", "query": "fox"}},
    "file_search_call": {"queries": ["fox"], "results": [{"file_id": "file-1", "filename": "a.pdf", "score": 0.5}]},
    "computer_call": {"action": {"type": "click", "button": "left", "x": 1, "y": 2}},
}
STEPS = {
    "code_interpreter_call": ("in_progress", "interpreting", "completed"),
    "mcp_call": ("in_progress", "completed"),
    "image_generation_call": ("in_progress", "generating"),  # `completed` may be missing
    "web_search_call": ("in_progress", "searching", "completed"),
    "file_search_call": ("in_progress", "searching", "completed"),
    "mcp_list_tools": ("in_progress", "completed"),
}
# The text of a call: its field, and the name of its events.
GROWING = {
    "function_call": ("arguments", "function_call_arguments"),
    "mcp_call": ("arguments", "mcp_call_arguments"),
    "custom_tool_call": ("input", "custom_tool_call_input"),
    "code_interpreter_call": ("code", "code_interpreter_call_code"),
}
OLD_NAMES = {
    "response.code_interpreter_call_code.delta": "response.code_interpreter_call.code.delta",
    "response.code_interpreter_call_code.done": "response.code_interpreter_call.code.done",
    "response.mcp_call_arguments.delta": "response.mcp_call.arguments_delta",
    "response.mcp_call_arguments.done": "response.mcp_call.arguments_done",
    "response.output_text.annotation.added": "response.output_text_annotation.added",
    "response.reasoning_summary_text.delta": "response.reasoning_summary.delta",
    "response.reasoning_summary_text.done": "response.reasoning_summary.done",
    "response.reasoning_text.delta": "response.reasoning.delta",
    "response.reasoning_text.done": "response.reasoning.done",
}
UNKNOWN: list[Json] = [
    {"type": "response.compaction.compacting", "output_index": 0},
    {"type": "response.shell_call_command.delta", "output_index": 0, "delta": "rm"},
    {"type": "response.audio.transcript.delta", "delta": "la"},
    {"type": "acme:trace", "data": {"delta": "x"}},
    {"type": "response.output_text.delta.v2", "item_id": "msg_0", "delta": "no"},
    {},
]


class Tape:
    """Choices read off bytes. What is beyond the end is 0, the plainest choice."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def below(self, limit: int) -> int:
        value = self._data[self._at] if self._at < len(self._data) else 0
        self._at += 1
        return value % limit

    def pick(self, values: Sequence[T]) -> T:
        return values[self.below(len(values))]

    def raw(self, most: int) -> bytes:
        return bytes(self.below(256) for _ in range(self.below(most + 1)))

    def text(self, longest: int = 5) -> str:
        return "".join(self.pick(WORDS) for _ in range(self.below(longest)))


# Responses


def a_response(tape: Tape, *, parts: int = 3) -> Json:
    """A whole, completed response with up to four items of any type, and so many parts in one of them."""
    output = [_item(tape, number, parts) for number in range(tape.below(5))]
    usage = {"input_tokens": 7, "output_tokens": 11, "total_tokens": 18}
    return {"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": output, "usage": usage}


def _item(tape: Tape, number: int, parts: int) -> Json:
    kind = tape.pick(("message", "message", "message", "reasoning", "function_call", *_MAKERS))
    return _MAKERS[kind](tape, number, parts)


def _message(tape: Tape, number: int, parts: int) -> Json:
    content = [_part(tape) for _ in range(tape.below(parts) + 1 if parts > 1 else 1)]
    return {"id": f"msg_{number}", "type": "message", "status": "completed", "role": "assistant", "content": content}


def _part(tape: Tape) -> Json:
    if tape.below(6) == 5:
        return {"type": "refusal", "refusal": tape.text()}
    annotations = [tape.pick(ANNOTATIONS) for _ in range(max(tape.below(5) - 2, 0))]
    return {"type": "output_text", "text": tape.text(), "annotations": annotations}


def _reasoning(tape: Tape, number: int, parts: int) -> Json:
    item: Json = {"id": f"rs_{number}", "type": "reasoning", "summary": []}
    if tape.below(2):
        item["content"] = [{"type": "reasoning_text", "text": tape.text() + "c"}]
    else:
        item["summary"] = [{"type": "summary_text", "text": tape.text() + "s"} for _ in range(tape.below(parts + 1))]
    if tape.below(2):
        item["encrypted_content"] = "gAAAAAB"
    return item


def _function_call(tape: Tape, number: int, parts: int) -> Json:
    named = {"call_id": f"call_{number}", "name": "f", "arguments": tape.text()}
    return {"id": f"fc_{number}", "type": "function_call", "status": "completed", **named}


def _custom_tool_call(tape: Tape, number: int, parts: int) -> Json:
    named = {"call_id": f"call_{number}", "name": "grep", "input": tape.text()}
    return {"id": f"ctc_{number}", "type": "custom_tool_call", "status": "completed", **named}


def _code_interpreter_call(tape: Tape, number: int, parts: int) -> Json:
    return _call(tape, "ci", number, "code_interpreter_call", container_id="cntr_1", code=tape.text())


def _mcp_call(tape: Tape, number: int, parts: int) -> Json:
    return _call(tape, "mcp", number, "mcp_call", server_label="gh", name="t", arguments=tape.text())


def _image_generation_call(tape: Tape, number: int, parts: int) -> Json:
    return _call(tape, "ig", number, "image_generation_call")


def _web_search_call(tape: Tape, number: int, parts: int) -> Json:
    return _call(tape, "ws", number, "web_search_call")


def _file_search_call(tape: Tape, number: int, parts: int) -> Json:
    return _call(tape, "fs", number, "file_search_call")


def _computer_call(tape: Tape, number: int, parts: int) -> Json:
    return _call(tape, "cu", number, "computer_call", call_id=f"call_{number}", pending_safety_checks=[])


def _call(tape: Tape, prefix: str, number: int, kind: str, **fields: Any) -> Json:
    return {"id": f"{prefix}_{number}", "type": kind, "status": "completed", **fields, **copy.deepcopy(RESULTS[kind])}


def _mcp_list_tools(tape: Tape, number: int, parts: int) -> Json:
    tools = [{"name": "t", "input_schema": {}}]
    return {"id": f"mcpl_{number}", "type": "mcp_list_tools", "server_label": "gh", "tools": tools}


def _mcp_approval_request(tape: Tape, number: int, parts: int) -> Json:
    asked = {"server_label": "gh", "name": "t", "arguments": tape.text()}
    return {"id": f"mcpr_{number}", "type": "mcp_approval_request", **asked}


_MAKERS = {
    "message": _message,
    "reasoning": _reasoning,
    "function_call": _function_call,
    "custom_tool_call": _custom_tool_call,
    "code_interpreter_call": _code_interpreter_call,
    "mcp_list_tools": _mcp_list_tools,
    "mcp_call": _mcp_call,
    "mcp_approval_request": _mcp_approval_request,
    "image_generation_call": _image_generation_call,
    "web_search_call": _web_search_call,
    "file_search_call": _file_search_call,
    "computer_call": _computer_call,
}


def opened(item: Json) -> Json:
    """An item as `output_item.added` brings it: named, and empty."""
    shape = {name: value for name, value in item.items() if name not in RESULTS.get(item["type"], {})}
    shape.pop("encrypted_content", None)
    if "status" in shape:
        shape["status"] = "in_progress"
    if item["type"] == "message":
        shape["content"] = []
    if item["type"] == "reasoning":
        shape.pop("content", None)
        shape["summary"] = []
    if item["type"] == "mcp_list_tools":
        shape["tools"] = []
    if item["type"] in GROWING:
        shape[GROWING[item["type"]][0]] = ""
    return shape


def known(item: Json) -> Json:
    """The item as deltas and announcements tell it: without what only its end brings.

    Those are the results of calls, encrypted reasoning, and the tools of an MCP server.
    """
    shape = opened(item)
    for name in ("content", "summary"):
        if item.get(name):
            shape[name] = item[name]
    if item["type"] in GROWING:
        name = GROWING[item["type"]][0]
        shape[name] = item[name]
    if "status" in shape:
        shape["status"] = "completed"
    return shape


# Streams


@dataclass(frozen=True)
class Telling:
    """What a server says of a response, and how it names the places. The defaults are OpenAI's."""

    announces: bool = True  # output_item.added, content_part.added, reasoning_summary_part.added
    announces_parts: bool = True
    deltas: bool = True
    dones: bool = True  # of texts, parts and items
    text_dones: bool = True
    item_dones: bool = True
    output: bool = True  # in the terminal event
    item_ids: bool = True
    made_up_ids: bool = False  # another one in each event
    output_indexes: bool = True
    zero_indexes: bool = False  # output_index 0 for everything
    part_indexes: bool = True
    numbers: bool = True  # sequence_number
    interleaved: bool = False
    in_order: bool = False  # items begin in the order of their indexes, however they go on
    halves: bool = True  # deltas may part a surrogate pair
    burst: bool = False  # every `done` at the end, as llama.cpp has it
    old_names: bool = False
    unknown: bool = False
    gaps: bool = False  # in the output indexes


def stream(response: Json, how: Telling, rng: random.Random) -> list[Json]:
    """The events of this response from `created` to `completed`."""
    told = [_told(item, _index(number, how), how, rng) for number, item in enumerate(response["output"])]
    begins, ends = [begin for begin, _ in told], [end for _, end in told]
    if how.burst:
        lists = [[event for begin in begins for event in begin], [event for end in ends for event in end]]
        middle = [event for events in lists for event in events]
    else:
        each = [begin + end for begin, end in told]
        middle = _merged(each, how, rng) if how.interleaved else [event for events in each for event in events]
    bare = {**response, "status": "in_progress", "output": [], "usage": None}
    final = response if how.output else {name: value for name, value in response.items() if name != "output"}
    events = [
        {"type": "response.created", "response": bare},
        {"type": "response.in_progress", "response": bare},
        *middle,
        {"type": "response.completed", "response": final},
    ]
    if how.unknown:
        for _ in range(rng.randint(0, 4)):
            events.insert(rng.randint(0, len(events) - 1), dict(rng.choice(UNKNOWN)))
    if how.old_names:
        events = [{**event, "type": OLD_NAMES.get(event.get("type", ""), event.get("type"))} for event in events]
    if how.numbers:
        events = [{**event, "sequence_number": number} for number, event in enumerate(events)]
    return events


def _index(number: int, how: Telling) -> int:
    return 0 if how.zero_indexes else number * 3 + 1 if how.gaps else number


def _merged(lists: list[list[Json]], how: Telling, rng: random.Random) -> list[Json]:
    """Each list in its own order, all of them mixed."""
    waiting = [list(reversed(events)) for events in lists if events]
    begun = 1 if how.in_order else len(waiting)
    merged = []
    while waiting:
        number = rng.randrange(min(begun, len(waiting)))
        merged.append(waiting[number].pop())
        begun += number == begun - 1
        if not waiting[number]:
            del waiting[number]
            begun = max(begun - 1, 1)
    return merged


def _told(item: Json, output_index: int, how: Telling, rng: random.Random) -> tuple[list[Json], list[Json]]:
    """The events of one item: what opens it and makes it grow, and what closes it."""
    place: Json = {"item_id": item["id"]} if how.item_ids else {}
    at: Json = {"output_index": output_index} if how.output_indexes else {}
    begin: list[Json] = []
    end: list[Json] = []
    if how.announces:
        begin.append({"type": "response.output_item.added", **at, "item": _renamed(opened(item), how, rng)})
    for step in STEPS.get(item["type"], ())[:1]:
        begin.append({"type": f"response.{item['type']}.{step}", **place, **at})
    for name in ("content", "summary"):
        for index, part in enumerate(item.get(name) or ()):
            opening, closing = _told_part(part, index, {**place, **at}, name == "summary", how, rng)
            begin += opening
            if how.burst:
                end += closing
            else:
                begin += closing
    if item["type"] in GROWING:
        field, event = GROWING[item["type"]]
        if how.deltas:
            begin += [
                {"type": f"response.{event}.delta", **place, **at, "delta": d} for d in cut(item[field], how, rng)
            ]
        if how.dones and how.text_dones:
            end.append({"type": f"response.{event}.done", **place, **at, field: item[field]})
    for step in STEPS.get(item["type"], ())[1:]:
        end.append({"type": f"response.{item['type']}.{step}", **place, **at})
    if how.dones and how.item_dones:
        end.append({"type": "response.output_item.done", **at, "item": _renamed(item, how, rng)})
    if how.made_up_ids:
        for told in (*begin, *end):
            if "item_id" in told:
                told["item_id"] = f"made_up_{rng.randrange(10**9)}"
    return begin, end


def _told_part(
    part: Json, index: int, place: Json, summary: bool, how: Telling, rng: random.Random
) -> tuple[list[Json], list[Json]]:
    place = {**place, ("summary_index" if summary else "content_index"): index} if how.part_indexes else place
    part_event = "reasoning_summary_part" if summary else "content_part"
    text_event = {
        "output_text": "output_text",
        "refusal": "refusal",
        "reasoning_text": "reasoning_text",
        "summary_text": "reasoning_summary_text",
    }[part["type"]]
    key = "refusal" if part["type"] == "refusal" else "text"
    begin: list[Json] = []
    end: list[Json] = []
    if how.announces and how.announces_parts:
        empty = {**part, key: "", **({"annotations": []} if "annotations" in part else {})}
        begin.append({"type": f"response.{part_event}.added", **place, "part": empty})
    if how.deltas:
        begin += [
            {"type": f"response.{text_event}.delta", **place, "delta": delta} for delta in cut(part[key], how, rng)
        ]
    for number, annotation in enumerate(part.get("annotations") or ()):
        event = {"type": "response.output_text.annotation.added", **place, "annotation_index": number}
        begin.append({**event, "annotation": annotation})
    if how.dones and how.text_dones:
        end.append({"type": f"response.{text_event}.done", **place, key: part[key]})
        end.append({"type": f"response.{part_event}.done", **place, "part": part})
    return begin, end


def _renamed(item: Json, how: Telling, rng: random.Random) -> Json:
    return {**item, "id": f"made_up_{rng.randrange(10**9)}"} if how.made_up_ids else item


def cut(text: str, how: Telling, rng: random.Random) -> Iterator[str]:
    """The text in pieces, as a model sends them; a piece may end in the middle of a surrogate pair."""
    data = text.encode("utf-16-le")
    at = 0
    while at < len(data):
        end = at + 2 * rng.choice((1, 1, 2, 3, 5))
        while not how.halves and 0xDC <= int.from_bytes(data[end + 1 : end + 2], "little") <= 0xDF:
            end += 2
        yield data[at:end].decode("utf-16-le", "surrogatepass")
        at = end
