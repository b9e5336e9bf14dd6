"""The kinds of requests that the Open Responses specification's own suite makes of a server, in our words.

What comes back is held, by the wiretap, to the fields that the specification requires and to known events.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import pytest
from openai import OpenAI
from PIL import Image

from tests.offline.conftest import darwin_bytes

from .test_seeds_azure import GET_WEATHER
from .wiretap import Wiretap


def message(role: str, *content: Any) -> Any:
    parts = content if len(content) > 1 or not isinstance(content[0], str) else content[0]
    return {"type": "message", "role": role, "content": parts if isinstance(parts, str) else list(parts)}


def picture() -> str:
    data = io.BytesIO()
    Image.new("RGB", (32, 32), "red").save(data, "PNG")
    return f"data:image/png;base64,{base64.b64encode(data.getvalue()).decode()}"


def paper() -> str:
    return f"data:application/pdf;base64,{base64.b64encode(darwin_bytes()).decode()}"


REQUESTS: dict[str, dict[str, Any]] = {
    "a question": {"input": [message("user", "Greet me in three words.")]},
    "a system prompt": {"input": [message("system", "Speak like a sailor."), message("user", "Say hello.")]},
    "a picture": {
        "input": [
            message(
                "user",
                {"type": "input_text", "text": "What is to be seen here?"},
                {"type": "input_image", "image_url": picture()},
            )
        ]
    },
    "a file": {
        "input": [
            message(
                "user",
                {"type": "input_text", "text": "What is this about?"},
                {"type": "input_file", "filename": "paper.pdf", "file_data": paper()},
            )
        ]
    },
    "several turns": {
        "input": [
            message("user", "My name is Alice."),
            message("assistant", "Hello Alice!"),
            message("user", "What is my name?"),
        ]
    },
    "a function": {"input": [message("user", "What is the weather like in San Francisco?")], "tools": [GET_WEATHER]},
    "a function's output": {
        "input": [
            message("user", "What is the weather like in Paris?"),
            {"type": "function_call", "call_id": "call_1", "name": "get_weather", "arguments": '{"location": "Paris"}'},
            {"type": "function_call_output", "call_id": "call_1", "output": '{"sky": "clear"}'},
        ],
        "tools": [GET_WEATHER],
    },
}


@pytest.mark.parametrize("name", REQUESTS)
def test_a_request_of_the_suite_is_answered_plain_and_streamed(client: OpenAI, tap: Wiretap, name: str) -> None:
    response = client.responses.create(model="gpt-4o-mini", **REQUESTS[name])
    assert response.status == "completed"
    kinds = [item.type for item in response.output]
    assert kinds == (["function_call"] if name == "a function" else ["message"])
    with client.responses.stream(model="gpt-4o-mini", **REQUESTS[name]) as stream:
        assert [item.type for item in stream.get_final_response().output] == kinds
    told = [event["type"] for event in tap.newest.events() if event.get("output_index") == 0]
    if name == "a function":
        assert list(dict.fromkeys(told)) == [
            "response.output_item.added",
            "response.function_call_arguments.delta",
            "response.function_call_arguments.done",
            "response.output_item.done",
        ]


def test_a_conversation_goes_on_from_the_response_before(client: OpenAI) -> None:
    first = client.responses.create(model="gpt-4o-mini", input=[message("user", "My name is Alice.")])
    second = client.responses.create(
        model="gpt-4o-mini", input=[message("user", "What is my name?")], previous_response_id=first.id
    )
    assert "Alice" in second.output_text
    assert second.previous_response_id == first.id
