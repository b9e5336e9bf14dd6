"""Events of the engine → frames of the stream and bodies of plain replies, shaped as a dialect sends them.

The narrator tells every event and every field, as OpenAI does; what a dialect lacks, says otherwise or sends later
is settled here and nowhere else.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator
from typing import Any

from .wires import Json, Wire

TERMINAL = ("response.completed", "response.incomplete", "response.failed")

# A reasoning summary told as text of its own: the same events under other names.
_ALOUD = {
    "response.reasoning_summary_part.added": "response.reasoning_part.added",
    "response.reasoning_summary_text.delta": "response.reasoning_text.delta",
    "response.reasoning_summary_text.done": "response.reasoning_text.done",
    "response.reasoning_summary_part.done": "response.reasoning_part.done",
}
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
_COUNTS = ("cached_tokens", "reasoning_tokens")
_SAFE: Json = {name: {"filtered": False, "severity": "safe"} for name in ("hate", "sexual", "violence", "self_harm")}
_CONTENT_FILTERS: list[Json] = [
    {
        "blocked": False,
        "source_type": source,
        "content_filter_raw": [],
        "content_filter_results": _SAFE,
        "content_filter_offsets": {"start_offset": 0, "end_offset": 0, "check_offset": 0},
    }
    for source in ("prompt", "completion")
]


def for_wire(payload: Json, wire: Wire) -> Json:
    """The response as this dialect shows it in a plain reply."""
    output = [_item(item, wire, "completed") for item in payload["output"]]
    return _response({**payload, "output": output}, wire, wire.plain_fields)


def _response(payload: Json, wire: Wire, fields: tuple[str, ...]) -> Json:
    shown = dict(payload)
    if payload["usage"]:
        shown["usage"] = dict(_usage(payload["usage"], wire))
    if wire.content_filters:
        shown["content_filters"] = _CONTENT_FILTERS if payload["usage"] else None
    if wire.incomplete == "hidden" and payload["status"] == "incomplete":
        shown |= {"status": "completed", "incomplete_details": None}
    return {name: shown[name] for name in fields} if fields else shown


def _usage(usage: Json, wire: Wire) -> Iterator[tuple[str, Any]]:
    for name, value in usage.items():
        if not name.endswith("_details"):
            yield name, value
        elif name in wire.usage_details:
            yield name, {key: count for key, count in value.items() if key in _COUNTS or wire.new_usage_details}


def _item(item: Json, wire: Wire, reasoning_status: str | None) -> Json:
    """The item in the dialect's words. `reasoning_status`: of a reasoning item that is told aloud."""
    shown = dict(item)
    if wire.incomplete == "hidden" and item.get("status") == "incomplete":
        shown["status"] = "completed"
    if item["type"] == "reasoning":
        text = "\n\n".join(part["text"] for part in item["summary"])
        if wire.thinks_aloud:
            content = [{"type": "reasoning_text", "text": part["text"]} for part in item["summary"]]
            shown |= {"summary": [], "content": content, "encrypted_content": item.get("encrypted_content", "")}
            shown |= {"status": reasoning_status} if reasoning_status else {}
        elif wire.reasoning_is_sealed_openly and text:
            shown["encrypted_content"] = text
    return shown


class Framing:
    """The frames of one stream. Fed with its events in order; an event may become none, one or several frames."""

    def __init__(self, wire: Wire, *, padded: bool = False) -> None:
        """`padded`: deltas carry noise that hides their length, as `include_obfuscation` wants it."""
        self._wire = wire
        self._padded = padded
        self._parts: dict[str, int] = {}  # where the parts of an item begin, where they are counted on
        self._counted = 0
        self._arguments: dict[str, list[str]] = {}
        self._dones: list[Json] = []
        self._sent = 0
        self._started = time.monotonic()
        self._first_delta: float | None = None
        self._deltas = 0

    def feed(self, event: Json) -> bytes:
        return b"".join(self._frame(shaped) for shaped in self._shaped(event))

    def end(self) -> bytes:
        return b"data: [DONE]\n\n" if self._wire.sends_done else b""

    def _shaped(self, event: Json) -> Iterator[Json]:
        """The events that this one becomes, in the dialect's words, as soon as the dialect sends them."""
        for told in self._merged(self._reworded(event)):
            self._clock(told)
            if self._wire.events and told["type"].removeprefix("response.") not in self._wire.events:
                continue
            if told["type"] in TERMINAL:
                yield from self._dones
            elif self._wire.dones_at_the_end and told["type"].endswith(".done"):
                self._dones.append(told)
                continue
            yield told

    def _reworded(self, event: Json) -> Json:
        told = dict(event)
        wire = self._wire
        if "response" in event:
            output = [_item(item, wire, self._done_status) for item in event["response"]["output"]]
            told["response"] = _response({**event["response"], "output": output}, wire, self._fields(event["type"]))
        if "item" in event:
            opening = event["type"] == "response.output_item.added"
            told["item"] = _item(event["item"], wire, "in_progress" if opening else self._done_status)
        if event["type"] == "response.incomplete" and wire.incomplete != "event":
            told["type"] = "response.completed"
        if wire.bare_opening_part and event["type"] == "response.content_part.added":
            told["part"] = {"type": event["part"]["type"], "text": ""}
        if wire.thinks_aloud and event["type"] in _ALOUD:
            told["type"] = _ALOUD[event["type"]]
            told["content_index"] = told.pop("summary_index")
            if "part" in told:
                told["part"] = {"type": "reasoning_text", "text": event["part"]["text"]}
        if wire.counts_parts_on and "content_index" in told:
            told["content_index"] = self._part_number(told)
        return told

    @property
    def _done_status(self) -> str | None:
        return "completed" if self._wire.reasoning_done_status else None

    def _fields(self, kind: str) -> tuple[str, ...]:
        return self._wire.final_fields if kind in TERMINAL else self._wire.opening_fields

    def _part_number(self, told: Json) -> int:
        first = self._parts.setdefault(told["item_id"], self._counted)
        number: int = first + told["content_index"]
        self._counted = max(self._counted, number + 1)
        return number

    def _merged(self, event: Json) -> Iterator[Json]:
        """Arguments in one delta: those of a call are held until it is done."""
        if not self._wire.whole_arguments:
            yield event
        elif event["type"] == "response.function_call_arguments.delta":
            self._arguments.setdefault(event["item_id"], []).append(event["delta"])
        else:
            if event["type"] == "response.function_call_arguments.done" and event["item_id"] in self._arguments:
                whole = "".join(self._arguments.pop(event["item_id"]))
                where = {name: event[name] for name in ("sequence_number", "item_id", "output_index")}
                yield {"type": "response.function_call_arguments.delta", **where, "delta": whole}
            yield event

    def _clock(self, event: Json) -> None:
        if event["type"].endswith(".delta"):
            self._first_delta = self._first_delta or time.monotonic()
            self._deltas += 1
        elif event["type"] in TERMINAL and self._wire.timings:
            event["timings"] = self._timings((event["response"]["usage"] or {}).get("input_tokens", 0))

    def _timings(self, read: int) -> dict[str, Any]:
        now = time.monotonic()
        first = self._first_delta or now
        return {
            "cache_n": 0,
            **_pace("prompt", read, first - self._started),
            **_pace("predicted", self._deltas, now - first),
        }

    def _frame(self, event: Json) -> bytes:
        shown = {name: value for name, value in event.items() if name not in self._wire.event_fields_left_out}
        if self._wire.events and "sequence_number" in shown:
            shown["sequence_number"] = self._sent  # events are left out: their numbers must not be missed
        if self._padded and event["type"].endswith(".delta"):
            shown["obfuscation"] = secrets.token_urlsafe(16)[: 16 - len(event["delta"]) % 16]
        self._sent += 1
        line = f"event: {event['type']}\n" if self._wire.event_lines else ""
        return f"{line}data: {_encode(shown)}\n\n".encode("utf-8", "replace")


def _pace(name: str, count: int, seconds: float) -> dict[str, Any]:
    milliseconds = max(seconds, 1e-6) * 1000
    return {
        f"{name}_n": count,
        f"{name}_ms": milliseconds,
        f"{name}_per_token_ms": milliseconds / max(count, 1),
        f"{name}_per_second": count / milliseconds * 1000,
    }
