"""Frames to values: each event of the wire as one frozen value, whatever server sent it.

The JSON's own `type` decides, never the frame's `event:` line. Old names become the current ones. What nobody knows
yet stays an `Event` with its JSON in `raw`, and passes.
See: API reference, streaming events; names of earlier previews as in openai-python 1.82 and Open Responses.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any

from .errors import BadStream
from .sse import ServerSentEvent

# More than any answer needs, and as much as every step behind this one can walk through.
MAX_DEPTH = 256
MAX_NUMBER = 2**53
LONG = 2 * MAX_DEPTH  # characters: what is not longer cannot be deeper
MAX_VALUES = 1_000_000  # in one JSON text: a value of two bytes takes up to a hundred in memory


class Target(Enum):
    """Which text of an item a delta or a whole value belongs to."""

    TEXT = "text"
    REFUSAL = "refusal"
    REASONING = "reasoning"  # raw reasoning of open models, in `content`
    SUMMARY = "summary"  # reasoning summary, in `summary`
    ARGUMENTS = "arguments"  # of a function or MCP call
    INPUT = "input"  # of a custom tool call
    CODE = "code"  # of the code interpreter


@dataclass(frozen=True, slots=True)
class Event:
    """Any event; by itself, one that is not known or that needs no reaction. `raw` is its JSON, not to be changed."""

    type: str
    sequence_number: int | None
    raw: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Snapshot(Event):
    """created, queued, in_progress: the response as it is now."""

    response: Mapping[str, Any] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Terminal(Snapshot):
    """completed, failed, incomplete (and `cancelled`, where a server has it): the last word on the response."""

    status: str


@dataclass(frozen=True, slots=True)
class Failure(Event):
    """`error`, in either of its forms. `response.failed` may follow, or the stream just ends."""

    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ItemEvent(Event):
    """An output item was added, or is done; then `item` replaces all that came before it."""

    output_index: int | None
    item: Mapping[str, Any] | None
    done: bool


@dataclass(frozen=True, slots=True)
class ItemStatus(Event):
    """A tool call moved on, such as to `searching`. Its results come when the item is done."""

    item_id: str | None
    output_index: int | None
    item_type: str
    status: str


@dataclass(frozen=True, slots=True)
class PartEvent(Event):
    """A content part or a part of a reasoning summary was opened, or is done."""

    item_id: str | None
    output_index: int | None
    index: int | None
    part: Mapping[str, Any]
    summary: bool
    done: bool


@dataclass(frozen=True, slots=True)
class Delta(Event):
    """More of one text. May end in half a surrogate pair; the fold joins the halves."""

    target: Target
    item_id: str | None
    output_index: int | None
    index: int | None
    delta: str


if TYPE_CHECKING:
    _NewDelta = Delta
else:

    class _NewDelta(Delta):
        """Makes a Delta in a third of the time, and is one when all is set: nearly every event is a delta.

        The setters of a frozen dataclass cost more than the parsing.
        """

        __slots__ = ()
        __setattr__ = object.__setattr__
        __delattr__ = object.__delattr__  # only without both of the dataclass's is setting cheap

        def __init__(self, type, sequence_number, raw, target, item_id, output_index, index, delta):
            self.type = type
            self.sequence_number = sequence_number
            self.raw = raw
            self.target = target
            self.item_id = item_id
            self.output_index = output_index
            self.index = index
            self.delta = delta
            self.__class__ = Delta


@dataclass(frozen=True, slots=True)
class Whole(Event):
    """One text, complete: it overrides what its deltas added up to."""

    target: Target
    item_id: str | None
    output_index: int | None
    index: int | None
    value: str


@dataclass(frozen=True, slots=True)
class AnnotationAdded(Event):
    item_id: str | None
    output_index: int | None
    index: int | None
    annotation_index: int | None
    annotation: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PartialImage(Event):
    """A preview of a picture that is being made. Not part of the answer: the item brings the final one."""

    item_id: str | None
    output_index: int | None
    partial_image_index: int | None
    partial_image_b64: str = field(repr=False)


_SNAPSHOTS = {"response.created", "response.queued", "response.in_progress"}
_TERMINALS = {
    "response.completed": "completed",
    "response.failed": "failed",
    "response.incomplete": "incomplete",
    "response.cancelled": "cancelled",
}
DELTAS = {  # with the name of the index that says which part
    "response.output_text.delta": (Target.TEXT, "content_index"),
    "response.refusal.delta": (Target.REFUSAL, "content_index"),
    "response.reasoning_text.delta": (Target.REASONING, "content_index"),
    "response.reasoning_summary_text.delta": (Target.SUMMARY, "summary_index"),
    "response.function_call_arguments.delta": (Target.ARGUMENTS, "content_index"),
    "response.mcp_call_arguments.delta": (Target.ARGUMENTS, "content_index"),
    "response.custom_tool_call_input.delta": (Target.INPUT, "content_index"),
    "response.code_interpreter_call_code.delta": (Target.CODE, "content_index"),
}
_WHOLES = {
    "response.output_text.done": (Target.TEXT, "text"),
    "response.refusal.done": (Target.REFUSAL, "refusal"),
    "response.reasoning_text.done": (Target.REASONING, "text"),
    "response.reasoning_summary_text.done": (Target.SUMMARY, "text"),
    "response.function_call_arguments.done": (Target.ARGUMENTS, "arguments"),
    "response.mcp_call_arguments.done": (Target.ARGUMENTS, "arguments"),
    "response.custom_tool_call_input.done": (Target.INPUT, "input"),
    "response.code_interpreter_call_code.done": (Target.CODE, "code"),
}
_PARTS = {
    "response.content_part.added": (False, False),
    "response.content_part.done": (False, True),
    "response.reasoning_summary_part.added": (True, False),
    "response.reasoning_summary_part.done": (True, True),
}
_CALLS = re.compile(
    r"response\.((?:code_interpreter|mcp|image_generation|web_search|file_search|computer)_call|mcp_list_tools)\.([a-z_]+)"
)
_OLD_NAMES = {
    "response.code_interpreter_call.code.delta": "response.code_interpreter_call_code.delta",
    "response.code_interpreter_call.code.done": "response.code_interpreter_call_code.done",
    "response.mcp_call.arguments_delta": "response.mcp_call_arguments.delta",
    "response.mcp_call.arguments_done": "response.mcp_call_arguments.done",
    "response.mcp_call.arguments.delta": "response.mcp_call_arguments.delta",
    "response.mcp_call.arguments.done": "response.mcp_call_arguments.done",
    "response.output_text_annotation.added": "response.output_text.annotation.added",
    "response.reasoning_summary.delta": "response.reasoning_summary_text.delta",
    "response.reasoning_summary.done": "response.reasoning_summary_text.done",
    "response.reasoning.delta": "response.reasoning_text.delta",
    "response.reasoning.done": "response.reasoning_text.done",
    "response.reasoning_part.added": "response.content_part.added",  # vLLM's own, around open reasoning
    "response.reasoning_part.done": "response.content_part.done",
    "response.error": "error",
    "response.canceled": "response.cancelled",
}


def parse_event(data: Mapping[str, Any], name_of_frame: str = "") -> Event:
    """The value of one event's JSON. Never raises: what is missing is None, what is unknown is an `Event`.

    What its frame is called counts only where the JSON has no type.
    """
    name = data.get("type")
    if not isinstance(name, str):
        name = name_of_frame
    name = _OLD_NAMES.get(name, name)
    number = data.get("sequence_number")
    if type(number) is not int or not 0 <= number < MAX_NUMBER:
        number = None
    if name in DELTAS:
        # Nearly every event: the checks of `_number`, `_word` and `_text`, without the calls.
        target, index_name = DELTAS[name]
        item_id, output_index, index = data.get("item_id"), data.get("output_index"), data.get(index_name)
        delta = data.get("delta")
        return _NewDelta(
            name,
            number,
            data,
            target,
            item_id if isinstance(item_id, str) and item_id else None,
            output_index if type(output_index) is int and 0 <= output_index < MAX_NUMBER else None,
            index if type(index) is int and 0 <= index < MAX_NUMBER else None,
            delta if isinstance(delta, str) else "",
        )
    if name == "error" or (data.get("error") and not name.startswith("response.")):
        return Failure("error", number, data, _error(data))
    if name in _SNAPSHOTS:
        return Snapshot(name, number, data, _object(data, "response"))
    if name in _TERMINALS:
        return Terminal(name, number, data, _object(data, "response"), _TERMINALS[name])
    return _parse_rest(name, number, data)


def _parse_rest(name: str, number: int | None, data: Mapping[str, Any]) -> Event:
    item_id, output_index = _word(data, "item_id"), _number(data, "output_index")
    if name in _WHOLES:
        target, key = _WHOLES[name]
        if not isinstance(data.get(key), str):
            return Event(name, number, data)  # says nothing: what the deltas said stands
        return Whole(name, number, data, target, *_place(data, target), _text(data, key))
    if name in ("response.output_item.added", "response.output_item.done"):
        item = data.get("item")
        item = item if isinstance(item, dict) else None
        return ItemEvent(name, number, data, output_index, item, name.endswith(".done"))
    if name in _PARTS:
        summary, done = _PARTS[name]
        index = _number(data, "summary_index" if summary else "content_index")
        return PartEvent(name, number, data, item_id, output_index, index, _object(data, "part"), summary, done)
    if name == "response.output_text.annotation.added":
        content_index, annotation_index = _number(data, "content_index"), _number(data, "annotation_index")
        annotation = _object(data, "annotation")
        return AnnotationAdded(name, number, data, item_id, output_index, content_index, annotation_index, annotation)
    if name == "response.image_generation_call.partial_image":
        index = _number(data, "partial_image_index")
        return PartialImage(name, number, data, item_id, output_index, index, _text(data, "partial_image_b64"))
    if call := _CALLS.fullmatch(name):
        return ItemStatus(name, number, data, item_id, output_index, call[1], call[2])
    return Event(name, number, data)


def event_from_frame(frame: ServerSentEvent) -> Event | None:
    """The event in a frame; None for what is not an event, such as `[DONE]` or a keep-alive.

    Raises BadStream for JSON that does not parse: a piece of the answer is missing, and nobody would see it.
    """
    data = frame.data
    if data[:1] != "{":
        data = data.lstrip()
        if data[:1] != "{":
            return None
    try:
        value = decode_json(data)
    except ValueError as error:
        raise BadStream(f"an event that is not JSON: {error}") from error
    return parse_event(value, frame.event)


def event_from_response(response: Mapping[str, Any]) -> Event:
    """The event that says the same as a whole response: terminal when it is, else a snapshot."""
    status = response.get("status")
    if status is None:
        status = "failed" if response.get("error") else "completed"
    name = f"response.{status}"
    name = _OLD_NAMES.get(name, name)
    name = name if name in _TERMINALS or name in _SNAPSHOTS else "response.in_progress"
    return parse_event({"type": name, "response": response})


HALF_PAIR = re.compile(r"[\ud800-\udfff]")


def decode_json(text: str) -> Any:
    """JSON as a database can keep it: no NUL, no NaN, no half surrogate pairs, within bounds. Raises ValueError.

    Only a top-level `delta` keeps its halves, for the other half may begin the next one.
    """
    is_long = len(text) > LONG
    if is_long and text.count(",") > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES} values")
    try:
        value, end = _scan(text, 0) if text[:1] == "{" else (_DECODER.decode(text), len(text))
    except StopIteration as stop:
        raise json.JSONDecodeError("Expecting value", text, stop.value) from None
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if end != len(text) and text[end:].strip(" \t\r\n"):
        raise json.JSONDecodeError("Extra data", text, end)
    if is_long and text.count("[") + text.count("{") > MAX_DEPTH and _is_too_deep(value):
        raise ValueError("nested too deeply")
    # The first look is for one character alone, for that is cheap.
    if "\\" in text and ("\\u0000" in text or "\\ud" in text or "\\uD" in text):
        delta = value.get("delta") if isinstance(value, dict) else None
        value = _scrubbed(value)
        if isinstance(delta, str):
            value["delta"] = delta.replace("\0", "\ufffd")
    return value


def _finite(text: str) -> float | None:
    """NaN, Infinity and 1e999: Python would take them, and nothing that comes after."""
    number = float(text)
    return number if math.isfinite(number) else None


_DECODER = json.JSONDecoder(parse_constant=_finite, parse_float=_finite)
_scan = _DECODER.scan_once  # type: ignore[attr-defined]  # `raw_decode` without its frame


def _is_too_deep(value: Any) -> bool:
    level = [value]
    for _ in range(MAX_DEPTH):
        level = [
            entry
            for holder in level
            for entry in (holder.values() if isinstance(holder, dict) else holder)
            if isinstance(entry, dict | list)
        ]
        if not level:
            return False
    return True


def _scrubbed(value: Any) -> Any:
    if isinstance(value, str):
        return HALF_PAIR.sub("\ufffd", value.replace("\0", "\ufffd"))
    if isinstance(value, dict):
        return {_scrubbed(key): _scrubbed(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_scrubbed(entry) for entry in value]
    return value


def _place(data: Mapping[str, Any], target: Target) -> tuple[str | None, int | None, int | None]:
    """item_id, output_index, and the index of the part. llama.cpp sends no indexes, OfoxAI no item_id."""
    index = _number(data, "summary_index" if target is Target.SUMMARY else "content_index")
    return _word(data, "item_id"), _number(data, "output_index"), index


def _error(data: Mapping[str, Any]) -> Mapping[str, Any]:
    """Flat `code, message, param`, nested `error: {…}`, or a plain string: one form."""
    nested = data.get("error")
    if isinstance(nested, dict):
        return nested
    if isinstance(nested, str) and nested:
        return {"code": None, "message": nested}
    return {name: data[name] for name in ("code", "message", "param") if name in data}


def _number(data: Mapping[str, Any], name: str) -> int | None:
    """A count or an index. vLLM once sent -1 for "none", and a bool is no number."""
    value = data.get(name)
    return value if type(value) is int and 0 <= value < MAX_NUMBER else None


def _word(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    return value if isinstance(value, str) and value else None


def _text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    return value if isinstance(value, str) else ""


def _object(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name)
    return value if isinstance(value, dict) else {}
