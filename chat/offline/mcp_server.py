"""A server of the Model Context Protocol at the engine's own address: dice that roll and a clock that can be read.

Any client of that protocol may ask it over HTTP; the engine's mcp tool asks it without a detour.
See: Model Context Protocol 2025-06-18, streamable HTTP; replies are plain JSON, there is nothing to stream.
"""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from .wires import Json

PATH = "/mcp"
CATALOGUE: list[Json] = [
    {
        "name": "roll_dice",
        "description": "Roll dice and return what each shows.",
        "input_schema": {
            "type": "object",
            "properties": {
                "count": {"type": "integer", "minimum": 1, "maximum": 20, "description": "How many dice"},
                "sides": {"type": "integer", "minimum": 2, "maximum": 100, "description": "Sides of each"},
            },
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True},
    },
    {
        "name": "read_clock",
        "description": "Return the date and time of the engine's clock.",
        "input_schema": {
            "type": "object",
            "properties": {
                "utc_offset_hours": {"type": "integer", "minimum": -12, "maximum": 14, "description": "0 is UTC"}
            },
            "additionalProperties": False,
        },
        "annotations": {"readOnlyHint": True},
    },
]
_random = random.SystemRandom()


class ToolFailed(ValueError):
    """The tool is not there, or cannot do this with these arguments."""


def run(name: str, arguments: Any) -> str:
    """Run a tool of the engine's own server. Raises ToolFailed."""
    if not isinstance(arguments, dict):
        raise ToolFailed("The arguments are no JSON object.")
    if name == "roll_dice":
        count, sides = _whole(arguments, "count", 1, 1, 20), _whole(arguments, "sides", 6, 2, 100)
        rolled = [_random.randint(1, sides) for _ in range(count)]
        return json.dumps({"rolled": rolled, "sum": sum(rolled)})
    if name == "read_clock":
        hours = _whole(arguments, "utc_offset_hours", 0, -12, 14)
        return json.dumps(
            {"now": datetime.now(UTC).astimezone(timezone(timedelta(hours=hours))).isoformat("T", "seconds")}
        )
    raise ToolFailed(f"There is no tool '{name}'.")


def _whole(arguments: Json, name: str, default: int, lowest: int, highest: int) -> int:
    value = arguments.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise ToolFailed(f"'{name}' has to be a whole number from {lowest} to {highest}.")
    return value


# The protocol

VERSIONS = ("2025-06-18", "2025-03-26", "2024-11-05")
_PARSE_ERROR, _INVALID_REQUEST, _UNKNOWN_METHOD, _INVALID_PARAMS = -32700, -32600, -32601, -32602


def answer(raw: bytes) -> Json | None:
    """The reply to one message of JSON-RPC; None for a notification, which wants none."""
    try:
        message = json.loads(raw)
    except (ValueError, RecursionError):
        return _error(None, _PARSE_ERROR, "The message is no JSON.")
    if not isinstance(message, dict) or message.get("jsonrpc") != "2.0" or not isinstance(message.get("method"), str):
        return _error(None, _INVALID_REQUEST, "The message is no request of JSON-RPC 2.0.")
    if "id" not in message:
        return None
    params = message.get("params")
    match message["method"]:
        case "initialize":
            return _result(message["id"], _introduction(params))
        case "ping":
            return _result(message["id"], {})
        case "tools/list":
            tools = [
                {("inputSchema" if key == "input_schema" else key): tool[key] for key in tool} for tool in CATALOGUE
            ]
            return _result(message["id"], {"tools": tools})
        case "tools/call" if isinstance(params, dict) and isinstance(params.get("name"), str):
            return _result(message["id"], _called(params["name"], params.get("arguments") or {}))
        case "tools/call":
            return _error(message["id"], _INVALID_PARAMS, "The name of a tool is missing.")
    return _error(message["id"], _UNKNOWN_METHOD, f"There is no method '{message['method']}' here.")


def _introduction(params: Any) -> Json:
    wanted = params.get("protocolVersion") if isinstance(params, dict) else None
    return {
        "protocolVersion": wanted if wanted in VERSIONS else VERSIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "embedded-engine", "version": "1"},
    }


def _called(name: str, arguments: Any) -> Json:
    try:
        text, failed = run(name, arguments), False
    except ToolFailed as error:
        text, failed = str(error), True
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _result(request_id: Any, result: Json) -> Json:
    return {"jsonrpc": "2.0", "id": request_id, "result": result}


def _error(request_id: Any, code: int, message: str) -> Json:
    return {"jsonrpc": "2.0", "id": request_id, "error": {"code": code, "message": message}}
