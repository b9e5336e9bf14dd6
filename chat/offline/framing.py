"""Events of the engine → frames of the stream and bodies of plain replies, shaped as a dialect sends them.

The narrator tells every event and every field, as OpenAI does; what a dialect lacks, says otherwise or sends later
is settled here and nowhere else.
"""

from __future__ import annotations

import json

from .wires import Json, Wire

LEAN_EVENTS = frozenset(
    {
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
        "response.function_call_arguments.delta",
        "response.function_call_arguments.done",
    }
)
LEAN_RESPONSE = ("id", "object", "created_at", "model", "status", "output", "usage")


def for_wire(payload: Json, wire: Wire) -> Json:
    """The response as this dialect shows it in a plain reply."""
    if not wire.lean:
        return payload
    shown = {name: payload[name] for name in LEAN_RESPONSE if payload[name] is not None}
    if payload["usage"]:
        shown["usage"] = {name: count for name, count in payload["usage"].items() if not name.endswith("_details")}
    if shown["status"] == "incomplete":
        shown["status"] = "completed"
    return shown


class Framing:
    """The frames of one stream. Fed with its events in order; an event may become none, one or several frames."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def feed(self, event: Json) -> bytes:
        if not self._wire.lean:
            return f"event: {event['type']}\ndata: {_compact(event)}\n\n".encode("utf-8", "replace")
        kind = "response.completed" if event["type"] == "response.incomplete" else event["type"]
        if kind not in LEAN_EVENTS:
            return b""
        shown = {name: value for name, value in event.items() if name not in ("sequence_number", "item_id", "logprobs")}
        shown["type"] = kind
        if "response" in shown:
            shown["response"] = for_wire(shown["response"], self._wire)
            del shown["response"]["output"]
        return f"data: {_compact(shown)}\n\n".encode("utf-8", "replace")

    def end(self) -> bytes:
        return b"data: [DONE]\n\n" if self._wire.sends_done else b""


def _compact(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
