"""What a look at a server tells the person who sets it up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from chat.offline.app import create_app
from chat.offline.transport import OfflineTransport
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import DeploymentMissing, ServerFault, Unauthorized, Unreachable
from chat.responses.probe import Findings, probe

URL = "http://engine.invalid/"


async def no_pause(seconds: float) -> None: ...


async def probed(
    transport: httpx.AsyncBaseTransport, dialect: str, model: str = "m", *, key: str = "k", may_store: bool = True
) -> Findings:
    async with httpx.AsyncClient(transport=transport) as http:
        client = Client(Endpoint(URL, DIALECTS[dialect], key), http, sleep=no_pause)
        return await probe(client, model, may_store=may_store)


def engine(dialect: str, **details: Any) -> OfflineTransport:
    return OfflineTransport(create_app(dialect=dialect, pace_seconds=0, **details))


async def test_a_server_that_is_what_its_dialect_says_gets_no_suggestions() -> None:
    app = create_app(dialect="azure", pace_seconds=0, models=["gpt-4o", "gpt-5"])
    found = await probed(OfflineTransport(app), "azure", "gpt-4o")
    assert found.ok
    assert found.error is None
    assert found.models == ["gpt-4o", "gpt-5"]
    assert found.suggestions == {}
    told = " ".join(found.sentences)
    assert "It lists 2 models, and “gpt-4o” is one of them." in told
    assert "“gpt-4o” answers" in told
    assert "conversations continue by the id of the last one" in told
    assert found.first_words_seconds is not None
    assert not app.store.responses, "what was stored for the question is deleted again"


async def test_nothing_is_stored_where_nothing_may_be() -> None:
    app = create_app(pace_seconds=0)
    found = await probed(OfflineTransport(app), "openai", may_store=False)
    assert found.ok
    assert not app.store.responses
    assert not any("id" in sentence.split() for sentence in found.sentences)


async def test_a_stateless_gateway_is_told_from_one_that_keeps_answers() -> None:
    stateless = await probed(engine("ofox"), "ofox")
    assert stateless.ok
    assert "It keeps no answers: the whole conversation goes with each question." in stateless.sentences
    unknown = await probed(engine("openai"), "generic")
    assert unknown.suggestions == {"sequence_numbers": True, "retrieve": True, "store": True}
    promised = await probed(engine("ofox"), "openai")
    assert promised.suggestions == {"sequence_numbers": False, "retrieve": False, "state": False}


async def test_a_model_that_is_not_there_is_named_among_those_that_are() -> None:
    found = await probed(engine("azure", models=["gpt-4o"]), "azure", "gpt-9")
    assert not found.ok
    assert isinstance(found.error, DeploymentMissing)
    assert "It lists 1 model (gpt-4o); “gpt-9” is not among them." in found.sentences
    assert found.error.user_message in found.sentences
    assert any("DeploymentNotFound" in sentence for sentence in found.sentences)


async def test_a_wrong_key_is_told_and_never_shown() -> None:
    found = await probed(engine("openai", key="right"), "openai", key="sk-wrong-4711")
    assert isinstance(found.error, Unauthorized)
    assert not any("4711" in sentence for sentence in found.sentences)


def mock(answer: Callable[[httpx.Request], httpx.Response]) -> httpx.MockTransport:
    return httpx.MockTransport(answer)


def sse(*events: dict[str, Any]) -> httpx.Response:
    text = "".join(f"data: {json.dumps(event)}\n\n" for event in events)
    return httpx.Response(200, text=text, headers={"content-type": "text/event-stream"})


async def test_a_server_that_cannot_be_reached_gets_its_sentence() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    found = await probed(mock(refuse), "generic")
    assert isinstance(found.error, Unreachable)
    assert found.models is None


DELTA = {"type": "response.output_text.delta", "delta": "ready, and willing to go"}
DONE = {"type": "response.completed", "response": {"status": "completed", "output": []}}


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([DELTA], "broke off without an end"),
        ([DELTA, DONE], "came in one piece"),
        ([DONE], "It wrote no text"),
        ([DELTA, DONE], "does not say how many tokens"),
        ([{"type": "error", "code": "server_error", "message": "Oh no"}], "a fault of its own"),
    ],
)
async def test_what_is_odd_about_a_stream_is_told(events: list[dict[str, Any]], words: str) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return sse(*events) if request.method == "POST" else httpx.Response(404)

    found = await probed(mock(answer), "generic")
    assert words in " ".join(found.sentences)


async def test_a_failure_inside_the_stream_is_no_success() -> None:
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error"}}}
    found = await probed(mock(lambda request: sse(failed)), "generic")
    assert not found.ok
    assert isinstance(found.error, ServerFault)
