"""The transport under all providers: many streams at once, patience with silence, and errors told apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from chat.responses import transport
from chat.responses.transport import DIRECT, Direct, open_http
from tests.responses.server import Connection, Play, serving, stream

STREAMS = 300


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(trust_env=False) as http:
        yield http


def raw(data: bytes) -> Play:
    """Send just these bytes and hang up."""

    async def play(connection: Connection) -> None:
        await connection.send(data)
        connection.writer.close()

    return play


async def test_three_hundred_streams_make_progress_together(http: httpx.AsyncClient) -> None:
    """Each sends its next piece only when all readers have the one before it: one that starves stops all."""
    everybody = asyncio.Barrier(STREAMS)

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        for _ in range(3):
            await connection.send_chunk(b"data: {}\n\n")
        await connection.send(b"0\r\n\r\n")

    async def read() -> int:
        pieces = 0
        async with http.stream("POST", f"{server.url}responses") as response:
            await everybody.wait()
            async for chunk in response.aiter_raw():
                pieces += chunk.count(b"\n\n")
                await asyncio.sleep(0)
        return pieces

    async with serving(*[play] * STREAMS) as server, asyncio.timeout(60):
        assert await asyncio.gather(*(read() for _ in range(STREAMS))) == [3] * STREAMS
    assert server.connections == STREAMS


async def test_a_redirect_is_an_answer_like_any_other(http: httpx.AsyncClient) -> None:
    moved = raw(b"HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n")
    async with serving(moved, moved) as server:
        request = http.build_request("GET", server.url)
        response = await http.send(request, stream=True)
        await response.aclose()
        assert (response.status_code, response.request) == (302, request)
        await http.send(http.build_request("GET", server.url))  # by all of httpx's layers
    assert [request.target for request in server.requests] == ["/v1/", "/v1/"]


async def test_a_client_that_was_closed_sends_no_more() -> None:
    async with open_http(trust_env=False) as http:
        pass
    with pytest.raises(RuntimeError):
        await http.send(http.build_request("GET", "http://127.0.0.1:9/"), stream=True)


async def test_both_ways_to_a_body_bring_the_same(http: httpx.AsyncClient) -> None:
    pieces = [b"a" * 10, b"b" * 100_000, b"c"]
    async with serving(stream(*pieces), stream(*pieces)) as server:
        async with http.stream("GET", server.url) as response:
            by_httpx = b"".join([chunk async for chunk in response.aiter_raw()])
        async with http.stream("GET", server.url) as response:
            direct: Direct = response.extensions[DIRECT]
            past_it = b""
            while chunk := await direct.read():
                past_it += chunk
            assert await direct.read() == b""
    assert by_httpx == past_it == b"".join(pieces)
    assert server.connections == 1


async def test_what_comes_while_a_body_rests_is_read_together(http: httpx.AsyncClient) -> None:
    rests, sent = asyncio.Event(), asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(b"first ")
        await rests.wait()
        for piece in (b"and ", b"all ", b"others"):
            await connection.send_chunk(piece)
        sent.set()
        await connection.reader.read()

    async with serving(play) as server, http.stream("GET", server.url) as response:
        body: Direct = response.extensions[DIRECT]
        assert await body.read() == b"first "
        body.rest(2)
        body.rest(60)  # it rests already
        rests.set()
        reading = asyncio.ensure_future(body.read())
        await sent.wait()
        assert not reading.done()
        async with asyncio.timeout(10):
            assert await reading == b"and all others"


async def test_a_body_that_rests_can_be_left(http: httpx.AsyncClient) -> None:
    left = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(b"first")
        await connection.reader.read()
        left.set()

    async with serving(play) as server, asyncio.timeout(10):
        async with http.stream("GET", server.url) as response:
            body: Direct = response.extensions[DIRECT]
            assert await body.read() == b"first"
            body.rest(60)
        await left.wait()


async def test_a_body_that_has_ended_has_nothing_to_rest(http: httpx.AsyncClient) -> None:
    """Its connection may be another one's by then."""
    async with serving(stream(b"all"), stream(b"all")) as server, asyncio.timeout(10):
        async with http.stream("GET", server.url) as response:
            body: Direct = response.extensions[DIRECT]
            while await body.read():
                pass
            body.rest(60)
        async with http.stream("GET", server.url) as response:
            assert await response.aread() == b"all"
    assert server.connections == 1


async def test_a_server_is_silent_for_as_long_however_often_its_reader_rests(http: httpx.AsyncClient) -> None:
    http.timeout = httpx.Timeout(5, read=0.4)

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(b"last")
        await connection.reader.read()

    async with serving(play) as server, http.stream("GET", server.url) as response:
        body: Direct = response.extensions[DIRECT]
        assert await body.read() == b"last"
        body.rest(0.1)
        with pytest.raises(TimeoutError):
            await body.read()


async def test_a_slow_server_is_not_a_silent_one(http: httpx.AsyncClient) -> None:
    http.timeout = httpx.Timeout(5, read=0.4)

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        for _ in range(8):
            await connection.send_chunk(b": still here\n\n")
            await asyncio.sleep(0.1)  # twice the patience in all
        await connection.reader.read()

    async with serving(play) as server, http.stream("GET", server.url) as response:
        chunks = response.aiter_raw()
        for _ in range(8):
            assert await anext(chunks) == b": still here\n\n"
        with pytest.raises(httpx.ReadTimeout, match=r"nothing came for 0\.4 seconds"):
            await anext(chunks)


async def test_a_slow_reader_is_not_a_silent_server(http: httpx.AsyncClient) -> None:
    http.timeout = httpx.Timeout(5, read=0.2)
    data = b"x" * 4_000_000  # more than all buffers on the way
    async with serving(stream(data)) as server, http.stream("GET", server.url) as response:
        await asyncio.sleep(0.5)
        assert len(await response.aread()) == len(data)


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", httpx.ReadError),
        (b"220 mail.example.org\r\n\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", httpx.ReadError),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", httpx.RemoteProtocolError),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000 + b"\r\n\r\n", httpx.RemoteProtocolError),
    ],
    ids=["hung up", "another protocol", "cut", "cut chunks", "broken chunks", "endless header"],
)
@pytest.mark.parametrize("direct", [True, False])
async def test_what_breaks_is_an_error_of_httpx(
    data: bytes, error: type[httpx.HTTPError], direct: bool, http: httpx.AsyncClient
) -> None:
    async def read(response: httpx.Response) -> None:
        if not direct:
            await response.aread()
            return
        body: Direct = response.extensions[DIRECT]
        try:
            while await body.read():
                pass
        except body.errors as broken:
            raise body.translated(broken) from broken

    async with serving(raw(data)) as server:
        with pytest.raises(error):
            async with http.stream("GET", server.url) as response:
                await read(response)


async def test_chunks_that_break_after_a_good_beginning_are_a_lost_connection(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LOOK_SECONDS", 0.05)
    good_one_was_read = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(b"good")
        await good_one_was_read.wait()
        await connection.send(b"zz\r\nbad\r\n")

    async with serving(play) as server, http.stream("GET", server.url) as response:
        chunks = response.aiter_raw()
        assert await anext(chunks) == b"good"
        good_one_was_read.set()
        with pytest.raises(httpx.ReadError):
            await anext(chunks)


async def test_nobody_there_is_an_error_of_its_own(http: httpx.AsyncClient) -> None:
    async with serving() as server:
        pass
    with pytest.raises(httpx.ConnectError):
        await http.get(server.url)
    with pytest.raises(httpx.UnsupportedProtocol):
        await http.get("ftp://127.0.0.1/")


async def test_long_headers_of_gateways_are_read(http: httpx.AsyncClient) -> None:
    policy = "default-src " + "x" * 20_000
    async with serving(stream(b"x", headers=(f"Content-Security-Policy: {policy}",))) as server:
        assert (await http.get(server.url)).headers["content-security-policy"] == policy


async def test_only_what_can_be_unpacked_within_limits_is_asked_for(http: httpx.AsyncClient) -> None:
    async with serving(stream(b"x")) as server:
        await http.get(server.url)
    assert server.requests[0].headers["accept-encoding"] == "gzip"
