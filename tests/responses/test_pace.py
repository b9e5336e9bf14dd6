"""Words that come slowly are read together, at the pace of whoever shows them; nothing else waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import httpx
import pytest

from chat.responses.events import Delta
from chat.responses.stream import PACED_BYTES, events_of
from chat.responses.transport import BODY_ERRORS, DIRECT, Direct, open_http, translated
from tests.responses.asking import BODY, client_for
from tests.responses.server import Connection, serving

END = b'data: {"type":"response.completed","response":{"id":"r","status":"completed","output":[]}}\n\n'


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(trust_env=False) as http:
        yield http


def delta(number: int, text: str = "word ") -> bytes:
    event = {"type": "response.output_text.delta", "sequence_number": number, "item_id": "m", "output_index": 0}
    return b"data: %s\n\n" % json.dumps({**event, "content_index": 0, "delta": text}).encode()


async def rests(*pieces: bytes) -> Sequence[tuple[int, float]]:
    """After how many pieces the body was told to rest, and for how long. Each time somebody asks it is for longer."""
    left, told, asked = list(pieces), [], iter(range(1, 100))

    async def read() -> bytes:
        return left.pop(0) if left else b""

    def rest(seconds: float) -> None:
        told.append((len(pieces) - len(left), seconds))

    response = httpx.Response(200, stream=httpx.ByteStream(b""))
    response.extensions[DIRECT] = Direct(read, BODY_ERRORS, translated, rest)
    events = [event async for event in events_of(response, pace=lambda: next(asked))]
    assert sum(isinstance(event, Delta) for event in events) == b"".join(pieces).count(b".delta")
    return told


async def test_a_body_rests_after_words_alone() -> None:
    item = b'data: {"type":"response.output_item.done","output_index":0,"item":{"type":"message","id":"m"}}\n\n'
    assert await rests(delta(1), delta(2), delta(3) + delta(4), item, delta(5)) == [(2, 1), (3, 2), (5, 3)]


async def test_it_does_not_where_they_come_fast() -> None:
    many = b"".join(delta(number, "x" * 100) for number in range(2, 200))
    assert len(many) > PACED_BYTES
    assert await rests(delta(1), many, delta(200)) == [(3, 1)]


async def test_it_does_not_in_the_middle_of_a_word() -> None:
    half = delta(3)
    assert await rests(delta(1), delta(2) + half[:40], half[40:], delta(4)) == [(4, 1)]


async def test_an_answer_is_read_at_its_pace(http: httpx.AsyncClient) -> None:
    """The words that come while it rests are read with the end behind them, and so nobody is asked a second time."""
    knows_how_words_look, rests = asyncio.Event(), asyncio.Event()
    asked = 0

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(delta(0))
        await knows_how_words_look.wait()
        await connection.send_chunk(delta(1))
        await rests.wait()
        for number in range(2, 6):
            await connection.send_chunk(delta(number))
        await connection.send_chunk(END)
        await connection.send(b"0\r\n\r\n")

    def pace() -> float:
        nonlocal asked
        asked += 1
        rests.set()
        return 2

    texts = []
    async with (
        serving(play) as server,
        asyncio.timeout(10),
        client_for(server.url, http).stream(BODY, pace=pace) as events,
    ):
        async for event in events:
            knows_how_words_look.set()
            texts += [event.delta] if isinstance(event, Delta) else []
    assert len(texts) == 6
    assert asked == 1
