"""A browser that stops to read: the server keeps nothing for it, and it ends with the whole answer all the same."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.bench.answers import WORD, Order
from tests.bench.machine import resident_bytes
from tests.bench.product import child
from tests.bench.sockets import Socket, open_socket
from tests.house.people import Person
from tests.house.serving import PythonServer, Server

WORDS = 10_000
GROWTH = 5_000_000
SLOW = 20


@pytest.fixture
def server(start_server: Callable[..., Server], tmp_path: Path) -> Iterator[Server]:
    with child("provider", str(tmp_path / "times")) as provider:
        url = f"http://127.0.0.1:{json.loads(provider.hello)['port']}/v1/"
        yield start_server(kind=PythonServer, OPENAI_API_KEY="sk-none", OPENAI_BASE_URL=url, OPENAI_MODELS="bench")


class Page:
    """Takes down which words came, and acknowledges each frame. `stop` as a page that hangs."""

    socket: Socket

    def __init__(self) -> None:
        self.frames = 0
        self.words: set[int] = set()
        self.over = asyncio.Event()

    async def open(self, person: Person, server: Server) -> Page:
        cookies = "; ".join(f"{name}={value}" for name, value in person.http.cookies.items())
        headers = {"Cookie": cookies, "Origin": server.url}
        port = int(server.url.rpartition(":")[2])
        self.socket = await open_socket(port, "/ws/?tab=slow", headers, self._frame, buffer_bytes=4096)
        return self

    def watch(self, pk: int) -> None:
        self.socket.send(b'{"type":"watch","turn":%d}' % pk)

    def stop(self) -> None:
        self.socket.transport.pause_reading()

    def go_on(self) -> None:
        self.socket.transport.resume_reading()

    def _frame(self, socket: Socket, html: bytes) -> None:
        self.frames += 1
        socket.send(b'{"type":"ack","n":%d}' % self.frames)
        self.words.update(map(int, WORD.findall(html)))
        if re.search(rb'data-status="completed"', html):
            self.over.set()


@pytest.mark.quiet
async def test_a_browser_that_stops_to_read_under_a_flood_costs_no_memory_and_misses_nothing(server: Server) -> None:
    async with Person(server, "alice") as alice:
        for number, slow_ones in ((1, 0), (2, SLOW)):  # the first answer shows what the answer itself takes
            before = resident_bytes(server.process.pid)
            reader = await Page().open(alice, server)
            slow = [await Page().open(alice, server) for _ in range(slow_ones)]
            pk = await alice.ask(server, Order(number, WORDS, 0, after=0.5))
            for page in (reader, *slow):
                page.watch(pk)
            for page in slow:
                page.stop()
            await asyncio.wait_for(reader.over.wait(), 60)
            grown = resident_bytes(server.process.pid) - before
            assert not any(page.over.is_set() for page in slow)
            for page in slow:
                page.go_on()
            for page in (reader, *slow):
                await asyncio.wait_for(page.over.wait(), 60)
                assert page.words == set(range(WORDS))
                page.socket.close()
    assert grown < GROWTH, f"{grown} bytes more for {SLOW} pages"
