"""When a request is sent again, and when not: the policy line by line."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import httpx
import pytest

from chat.responses import retry
from chat.responses.content import DataURL
from chat.responses.errors import (
    BadStream,
    ConnectionLost,
    QuotaExceeded,
    RateLimited,
    ResponsesError,
    ServerFault,
    TimedOut,
    Unreachable,
)
from chat.responses.retry import Failed, retry_after, wait_before_retry
from tests.responses.asking import BODY, RESPONSE, collect, good, refusal, scripted

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


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


@pytest.mark.parametrize("headers", [{}, {"x-should-retry": "true"}, {"retry-after": "1"}])
async def test_a_used_up_quota_is_not_asked_again(headers: dict[str, str]) -> None:
    client, script, waits = scripted(refusal(429, headers, code="insufficient_quota"), good())
    with pytest.raises(QuotaExceeded):
        await client.create(BODY)
    assert (script.asked, waits) == (1, [])


@pytest.mark.parametrize("most", [0, 1])
async def test_there_may_be_fewer_attempts(most: int) -> None:
    client, script, waits = scripted(*[refusal(500)] * 4, max_retries=most)
    with pytest.raises(ServerFault):
        await client.create(BODY)
    assert (script.asked, len(waits)) == (most + 1, most)


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
        ({"retry-after-ms": "-1", "retry-after": "2"}, 2.0),
        ({"retry-after-ms": "0"}, 0.0),
        ({"retry-after-ms": "inf"}, 0.5),
        ({"retry-after": "Wed, 21 Oct 99999 07:28:00 GMT"}, 0.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 +99999999999999"}, 0.5),
        ({"retry-after": ""}, 0.5),
        ({"x-ratelimit-remaining-tokens": "-1"}, 0.5),
    ],
)
async def test_the_pause_that_the_server_asks_for_is_kept(headers: dict[str, str], wait: float) -> None:
    client, _, waits = scripted(refusal(429, headers), good())
    await client.create(BODY)
    assert waits == [wait]


@pytest.mark.parametrize("zone", ["GMT", "+0000", "-0000"])
def test_a_date_is_the_pause_until_then(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retry.time, "time", NOW.timestamp)
    moment = format_datetime(NOW + timedelta(seconds=30)).replace("+0000", zone)
    assert retry_after({"retry-after": moment}) == 30.0


@pytest.mark.parametrize(
    ("words", "wait"), [("Please retry after 7 seconds.", 7.0), ("Please try again in 250ms.", 0.25)]
)
async def test_a_pause_in_words_is_kept_too(words: str, wait: float) -> None:
    client, _, waits = scripted(refusal(429, message=words), good())
    await client.create(BODY)
    assert waits == [wait]


@pytest.mark.parametrize(
    ("headers", "message"),
    [
        ({"retry-after": "121"}, "x"),
        ({"retry-after-ms": "120001", "retry-after": "1"}, "x"),
        ({"retry-after": format_datetime(datetime.now(UTC) + timedelta(hours=1))}, "x"),
        ({"retry-after": "300", "x-should-retry": "true"}, "x"),
        ({}, "Please retry after 86400 seconds."),
    ],
)
async def test_no_longer_pause_is_waited_for_than_two_minutes(headers: dict[str, str], message: str) -> None:
    client, script, waits = scripted(refusal(429, headers, message=message), good())
    with pytest.raises(RateLimited):
        await client.create(BODY)
    assert (script.asked, waits) == (1, [])


async def test_a_pause_longer_than_patience_is_told_to_the_person() -> None:
    client, script, _ = scripted(refusal(429, {"retry-after": "600"}), good())
    with pytest.raises(RateLimited) as caught:
        await client.create(BODY)
    assert script.asked == 1
    assert caught.value.retry_after == 600
    assert "in 10 minutes" in caught.value.user_message


@pytest.mark.parametrize(
    ("status", "word", "asked"),
    [(500, "false", 1), (500, "False", 1), (400, "true", 2), (404, " TRUE ", 2), (400, "maybe", 1), (429, "maybe", 2)],
)
async def test_the_server_decides_when_it_has_a_word_on_it(status: int, word: str, asked: int) -> None:
    client, script, _ = scripted(refusal(status, {"x-should-retry": word}), good())
    if asked == 1:
        with pytest.raises(ResponsesError):
            await client.create(BODY)
    else:
        await client.create(BODY)
    assert script.asked == asked


async def test_jitter_shortens_the_pause_by_a_quarter_at_most() -> None:
    client, _, waits = scripted(refusal(500), refusal(500), good(), jitter=1.0)
    await client.create(BODY)
    assert waits == [0.375, 0.75]


def test_pauses_double_up_to_eight_seconds() -> None:
    failed = Failed(ServerFault("x"), retry=True)
    waits = [wait_before_retry(failed, attempt, most=7, jitter=0.0) for attempt in range(8)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, None]


@pytest.mark.parametrize(
    "kind",
    [
        httpx.ConnectError,
        httpx.ConnectTimeout,
        httpx.PoolTimeout,
        httpx.ReadError,
        httpx.RemoteProtocolError,
        httpx.WriteError,
        httpx.WriteTimeout,
    ],
)
async def test_a_connection_that_fails_is_tried_again(kind: type[httpx.TransportError]) -> None:
    client, script, _ = scripted(kind("x"), good())
    await client.create(BODY)
    assert script.asked == 2


@pytest.mark.parametrize(("kind", "error"), [(httpx.ReadTimeout, TimedOut), (httpx.UnsupportedProtocol, Unreachable)])
async def test_silence_and_a_wrong_address_are_not(kind: type[httpx.TransportError], error: type[Exception]) -> None:
    client, script, _ = scripted(kind("x"), good())
    with pytest.raises(error):
        await client.create(BODY)
    assert script.asked == 1


async def test_each_attempt_sends_the_same(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(bytes(range(256)) * 3000)
    part = {"type": "input_file", "filename": "a.pdf", "file_data": DataURL(path, "application/pdf")}
    client, script, _ = scripted(refusal(503), httpx.ConnectError("x"), good(), refusal(503), good())
    await client.create({"model": "m", "input": [{"role": "user", "content": [part]}]})
    await client.upload_file(path, "a.pdf", "application/pdf")
    first, second, third, *uploads = (request.content for request in script.requests)
    assert first == second == third
    assert uploads[0] == uploads[1]
    assert len(uploads[0]) > path.stat().st_size


@pytest.mark.parametrize("broken", [b"<html>", b"[]", b'{"id": "resp_1", "status": "comp'])
async def test_a_good_status_is_never_asked_for_twice(broken: bytes) -> None:
    client, script, _ = scripted(httpx.Response(200, content=broken), good())
    with pytest.raises(BadStream):
        await client.create(BODY)
    assert script.asked == 1


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
