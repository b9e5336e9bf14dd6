"""The transport streams an ASGI application in process, holds it back, and leaves nothing behind."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any

import httpx
import pytest

from chat.offline.transport import OfflineTransport

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


def client(app: Callable[[Message, Receive, Send], Awaitable[None]], **more: Any) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=OfflineTransport(app), base_url="http://engine", **more)


async def start(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"test")]})


async def chunk(send: Send, body: bytes, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def test_a_chunk_arrives_before_the_next_one_is_made() -> None:
    seen = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await chunk(send, b"first")
        await seen.wait()
        await chunk(send, b"second", more=False)

    async with client(app) as http, http.stream("GET", "/") as reply:
        assert reply.headers["x-kind"] == "test"
        chunks = reply.aiter_raw()
        assert await anext(chunks) == b"first"
        seen.set()
        assert [piece async for piece in chunks] == [b"second"]


async def test_an_application_waits_for_a_reader_that_has_not_taken_the_last_chunk() -> None:
    sent: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        for number in range(100):
            await chunk(send, b"%d " % number)
            sent.append(number)
        await chunk(send, b"", more=False)

    async with client(app) as http, http.stream("GET", "/") as reply:
        chunks = reply.aiter_raw()
        for _ in range(5):
            await anext(chunks)
        for _ in range(50):  # give the application every chance to run ahead
            await asyncio.sleep(0)
        assert len(sent) <= 6
        rest = [piece async for piece in chunks]
    assert len(rest) == 95
    assert len(sent) == 100


async def test_leaving_cancels_the_application_before_the_reader_goes_on() -> None:
    ended: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await chunk(send, b"first")
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    before = asyncio.all_tasks()
    async with client(app) as http:
        async with http.stream("GET", "/") as reply, aclosing(reply.aiter_raw()) as chunks:
            await anext(chunks)
        assert ended == ["cancelled"]
        assert asyncio.all_tasks() == before


async def test_an_application_hears_that_the_reader_left() -> None:
    heard = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        while (await receive()).get("more_body"):
            pass
        await start(send)
        await chunk(send, b"all", more=False)
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    async with client(app) as http:
        assert (await http.get("/")).text == "all"
        assert heard.is_set()


async def test_the_request_reaches_the_application_as_sent() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        headers = dict(scope["headers"])
        told = b"|".join(
            [scope["method"].encode(), scope["path"].encode(), scope["query_string"], headers[b"x-a"], body]
        )
        await start(send)
        await chunk(send, told, more=False)

    async def pieces() -> Any:
        for piece in (b"one ", b"two ", b"three"):
            yield piece

    async with client(app) as http:
        reply = await http.post("/ü/x?a=1&b=2", headers={"X-A": "yes"}, content=pieces())
    assert reply.text == "POST|/ü/x|a=1&b=2|yes|one two three"


async def test_a_connection_that_is_cut_is_an_error_and_not_an_end() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await chunk(send, b"half")

    async with client(app) as http, http.stream("GET", "/") as reply:
        chunks = reply.aiter_raw()
        assert await anext(chunks) == b"half"
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)


async def test_an_error_of_the_application_reaches_the_caller() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise LookupError("a bug")

    async with client(app) as http:
        with pytest.raises(LookupError, match="a bug"):
            await http.get("/")


async def test_silence_longer_than_the_read_timeout_is_a_timeout() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await asyncio.get_running_loop().create_future()

    before = asyncio.all_tasks()
    async with client(app, timeout=0.01) as http:
        with pytest.raises(httpx.ReadTimeout):
            await http.get("/")
    assert asyncio.all_tasks() == before


async def test_closing_the_client_ends_what_is_still_open() -> None:
    async def app(scope: Message, receive: Receive, send: Send) -> None:
        await start(send)
        await asyncio.get_running_loop().create_future()

    before = asyncio.all_tasks()
    http = client(app)
    await http.send(http.build_request("GET", "/"), stream=True)
    await http.aclose()
    assert asyncio.all_tasks() == before


async def test_a_transport_without_an_application_brings_its_own_engine() -> None:
    async with httpx.AsyncClient(transport=OfflineTransport(), base_url="http://engine/v1/") as http:
        reply = await http.post("responses", json={"model": "any", "input": "12 * (3 + 4)"})
    assert "84" in reply.json()["output"][0]["content"][0]["text"]
