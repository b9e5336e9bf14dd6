"""The conversation → what to say. Deterministic; runs in a thread, so it may take its time over a document."""

from __future__ import annotations

from .narration import Answer, Speech, estimate_tokens
from .wires import Json

CLOSING = "*No model is connected: this answer comes from the embedded engine.*"


def think(body: Json, items: list[Json]) -> Answer:
    said = [_text(item) for item in items if item["type"] == "message" and item["role"] == "user"]
    question = said[-1] if said else ""
    tokens = sum(estimate_tokens(_text(item)) for item in items if item["type"] == "message")
    return Answer((Speech(f"You said: {question}\n\n{CLOSING}"),), tokens)


def _text(item: Json) -> str:
    return "\n".join(part["text"] for part in item["content"] if "text" in part)
