"""Every kind of answer of the engine, folded by the product's own client: the events alone say what the end says."""

from __future__ import annotations

from typing import Any

import pytest

from chat.responses.fold import Draft

from .conftest import Engine, inline_file

WEATHER = {
    "type": "function",
    "name": "get_weather",
    "parameters": {"type": "object", "properties": {"location": {"type": "string"}}, "required": ["location"]},
}
INTERPRETER = {"type": "code_interpreter", "container": {"type": "auto"}}
SERVER = {"type": "mcp", "server_label": "engine", "server_url": "http://engine/mcp"}
TABLE = inline_file("t.csv", b"month,units\nMay,3\n", "text/csv")

ANSWERS: dict[str, dict[str, Any]] = {
    "words": {"input": "hello"},
    "reasoning": {"input": "hello", "reasoning": {"effort": "high", "summary": "detailed"}},
    "sealed reasoning": {
        "input": "hello",
        "reasoning": {"effort": "low"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    },
    "several calls": {"input": "What is the weather in Paris and Tokyo?", "tools": [WEATHER]},
    "code": {"input": "solve 2x = 5", "tools": [INTERPRETER], "include": ["code_interpreter_call.outputs"]},
    "files": {
        "input": [{"role": "user", "content": [TABLE, {"type": "input_text", "text": "chart it"}]}],
        "tools": [INTERPRETER],
    },
    "picture": {"input": "draw a cat", "tools": [{"type": "image_generation", "partial_images": 2}]},
    "approval": {"input": "roll dice", "tools": [SERVER]},
    "remote call": {"input": "roll dice", "tools": [{**SERVER, "require_approval": "never"}]},
    "no server": {"input": "hello", "tools": [{**SERVER, "server_url": "https://example.org/mcp"}]},
    "cut": {"input": "write a long text of about 2000 tokens", "max_output_tokens": 30},
    "cut call": {
        "input": 'get_weather {"location": "' + "far " * 40 + '"}',
        "tools": [WEATHER],
        "max_output_tokens": 16,
    },
    "schema": {
        "input": "hello",
        "text": {"format": {"type": "json_schema", "name": "n", "schema": WEATHER["parameters"]}},
    },
}


@pytest.mark.parametrize("name", ANSWERS)
async def test_the_events_alone_say_what_the_end_says(engine: Engine, name: str) -> None:
    told, whole = Draft(), Draft()
    async with engine.client.stream({"model": "any", **ANSWERS[name]}) as stream:
        async for event in stream:
            whole.apply(event)
            if event.type not in ("response.completed", "response.incomplete"):
                told.apply(event)
    assert whole.output()
    assert told.output() == whole.output()
    assert whole.status == ("incomplete" if "cut" in name else "completed")
