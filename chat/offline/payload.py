"""The Response object as it is when it begins, with every field that a strict reader asks for."""

from __future__ import annotations

import time

from .intake import Asked
from .store import new_id
from .wires import Json


def new_payload(asked: Asked, model: str) -> Json:
    """`model` is the name that the response gives."""
    body = asked.body
    reasoning = body.get("reasoning") or {}
    text = body.get("text") or {}
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "queued" if asked.background else "in_progress",
        "background": asked.background,
        "model": model,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "previous_response_id": body.get("previous_response_id"),
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "temperature": _number(body.get("temperature"), 1.0),
        "top_p": _number(body.get("top_p"), 1.0),
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": 0,
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "truncation": body.get("truncation") or "disabled",
        "store": asked.stored,
        "service_tier": body.get("service_tier") or "default",
        "user": body.get("user"),
        "safety_identifier": body.get("safety_identifier"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "metadata": body.get("metadata") or {},
        "usage": None,
    }


def _number(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _tool(tool: Json) -> Json:
    if tool["type"] == "mcp":  # what opens the remote server is used for this request and told to nobody
        return {name: value for name, value in tool.items() if name not in ("headers", "authorization")}
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}
