"""The checks that stand behind every test here do find what they are for."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from openai import OpenAI
from pydantic import ValidationError

from . import strict
from .wiretap import Exchange, Wiretap

Json = dict[str, Any]


def spoilt(exchange: Exchange, spoil: Callable[[str], str]) -> Exchange:
    body = bytearray(spoil(exchange.body.decode()).encode())
    return Exchange(exchange.method, exchange.path, exchange.is_azure, 200, exchange.content_type, body, True)


@pytest.fixture
def reply(client: OpenAI, tap: Wiretap) -> Exchange:
    client.responses.create(model="gpt-4o", input="hello")
    return tap.newest


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda raw: raw.pop("store"), AssertionError),
        (lambda raw: raw.update(surprise=1), AssertionError),
        (lambda raw: raw["output"][0].update(surprise=1), AssertionError),
        (lambda raw: raw.update(created_at=str(raw["created_at"])), AssertionError),
        (lambda raw: raw.update(usage=None), AssertionError),
        (lambda raw: raw["usage"].update(input_tokens="3"), ValidationError),
        (lambda raw: raw["output"][0].update(type="massage"), ValidationError),
        (lambda raw: raw["output"][0]["content"][0].pop("annotations"), ValidationError),
        (lambda raw: raw["tools"].append({"type": "function"}), ValidationError),
        (lambda raw: raw.update(status="done"), AssertionError),
    ],
)
def test_a_wrong_field_of_a_response_is_found(
    reply: Exchange, spoil: Callable[[Json], Any], error: type[Exception]
) -> None:
    raw = reply.json()
    spoil(raw)
    with pytest.raises(error):
        strict.check(spoilt(reply, lambda _: json.dumps(raw)))
    strict.check(reply)


@pytest.fixture
def stream(client: OpenAI, tap: Wiretap) -> Exchange:
    list(client.responses.create(model="gpt-4o", input="repeat after me: one two three", stream=True))
    return tap.newest


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frames: frames.pop(4),
        lambda frames: frames.pop(0),
        lambda frames: frames.pop(),
        lambda frames: frames.insert(3, frames.pop(2)),
        lambda frames: frames.append(frames[-1]),
        lambda frames: frames.__setitem__(4, frames[4].replace("output_text.delta", "output_text.daleth")),
        lambda frames: frames.__setitem__(4, frames[4].replace("event: response", "event: reply")),
        lambda frames: frames.__setitem__(4, frames[4].replace('"delta":', '"delfa":')),
        lambda frames: frames.__setitem__(4, frames[4].replace("msg_", "msg_0")),
    ],
)
def test_a_wrong_event_of_a_stream_is_found(stream: Exchange, spoil: Callable[[list[str]], Any]) -> None:
    def cut(body: str) -> str:
        frames = body.split("\n\n")[:-1]
        spoil(frames)
        return "\n\n".join([*frames, ""])

    with pytest.raises((AssertionError, ValidationError)):
        strict.check(spoilt(stream, cut))
    strict.check(spoilt(stream, lambda body: body))
