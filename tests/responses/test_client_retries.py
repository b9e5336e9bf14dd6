"""When a request is sent again, and when not: the policy line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from chat.responses.errors import (
    ConnectionLost,
    RateLimited,
    ResponsesError,
    ServerFault,
)
from chat.responses.events import Delta
from tests.responses.asking import BODY, RESPONSE, collect, good, refusal, scripted


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
async def test_passing_troubles_are_asked_again(status: int) -> None:
    client, script, waits = scripted(refusal(status), refusal(status), good())
    assert await client.create(BODY) == RESPONSE
    assert waits == [0.5, 1.0]
    assert script.asked == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 415, 422])
async def test_lasting_troubles_are_not(status: int) -> None:
    client, script, waits = scripted(refusal(status), good())
    with pytest.raises(ResponsesError):
        await client.create(BODY)
    assert (script.asked, waits) == (1, [])


async def test_three_attempts_are_enough() -> None:
    client, script, waits = scripted(*[refusal(500)] * 4)
    with pytest.raises(ServerFault):
        await client.create(BODY)
    assert (script.asked, len(waits)) == (3, 2)


async def test_a_used_up_quota_is_not_asked_again() -> None:
    client, script, _ = scripted(refusal(429, code="insufficient_quota"), good())
    with pytest.raises(ResponsesError):
        await client.create(BODY)
    assert script.asked == 1


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"retry-after-ms": "1500", "retry-after": "9"}, 1.5),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0"}, 0.0),
        ({"retry-after": "120"}, 120.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, 0.5),
        ({"retry-after": "-3"}, 0.5),
        ({"retry-after": "nan"}, 0.5),
        ({"retry-after-ms": "odd", "retry-after": "2"}, 2.0),
        ({"x-ratelimit-remaining-tokens": "-1"}, 0.5),
    ],
)
async def test_the_pause_that_the_server_asks_for_is_kept(headers: dict[str, str], wait: float) -> None:
    client, _, waits = scripted(refusal(429, headers), good())
    await client.create(BODY)
    assert waits == [wait]


async def test_a_pause_longer_than_patience_is_told_to_the_person() -> None:
    client, script, _ = scripted(refusal(429, {"retry-after": "600"}), good())
    with pytest.raises(RateLimited) as caught:
        await client.create(BODY)
    assert script.asked == 1
    assert caught.value.retry_after == 600
    assert "in 10 minutes" in caught.value.user_message


@pytest.mark.parametrize(("status", "word", "asked"), [(500, "false", 1), (400, "true", 2), (429, "maybe", 2)])
async def test_the_server_decides_when_it_has_a_word_on_it(status: int, word: str, asked: int) -> None:
    client, script, _ = scripted(refusal(status, {"x-should-retry": word}), good())
    if asked == 1:
        with pytest.raises(ServerFault):
            await client.create(BODY)
    else:
        await client.create(BODY)
    assert script.asked == asked


async def test_jitter_shortens_the_pause_by_a_quarter_at_most() -> None:
    client, _, waits = scripted(refusal(500), refusal(500), good(), jitter=1.0)
    await client.create(BODY)
    assert waits == [0.375, 0.75]


@pytest.mark.parametrize(
    "failure", [httpx.ConnectError("x"), httpx.ConnectTimeout("x"), httpx.RemoteProtocolError("x")]
)
async def test_a_connection_that_fails_is_tried_again(failure: Exception) -> None:
    client, script, _ = scripted(failure, good())
    await client.create(BODY)
    assert script.asked == 2


async def test_a_stream_is_asked_for_again_only_until_it_begins() -> None:
    class Breaks(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b'data: {"type":"response.created","response":{"id":"r"}}\n\n'
            raise httpx.ReadError("gone")

    begun = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Breaks())
    client, script, waits = scripted(refusal(503), begun, good())
    with pytest.raises(ConnectionLost):
        await collect(client)
    assert (script.asked, waits) == (2, [0.5])


async def test_closing_in_the_middle_leaves_nothing_open() -> None:
    closed = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'

        async def aclose(self) -> None:
            closed.append(True)

    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Endless())
    client, _, _ = scripted(response)
    async with client.stream(BODY) as events:
        assert isinstance(await anext(aiter(events)), Delta)
        assert not closed
    assert closed
