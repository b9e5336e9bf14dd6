"""A provider that answers as it is asked to (`answers.Order`), as a process of its own: `python -m tests.bench.provider FILE`.

It prints its port, and ends when its standard input does. When a delta was written is noted in FILE (`answers.Times`).
Whatever is no question of the bench, such as the wish for a title, is answered with three words at once. Answers that
come together wait for `GET /together/N`, which is answered when there are N of them. `GET /silence` ends all answers.
"""

from __future__ import annotations

import asyncio
import json
import re
import sys
import time
import weakref
from pathlib import Path
from typing import Any

import uvloop

from .answers import Order, Times, order_in, pieces
from .upstream import Stream

TITLE = ("How", " compilers", " work")
NOTHING = b"HTTP/1.1 204 No Content\r\n\r\n"
GONE = b"HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Answer(Stream):
    """One answer, frame by frame, at its pace. `times` takes down when each delta was written."""

    def __init__(self, transport: Any, number: int, words: tuple[str, ...], order: Order, times: Any) -> None:
        super().__init__(transport, number)
        self._words = words
        self._order = order
        self._times = times
        self.per_second = order.per_second
        self._is_over = False

    def begin(self) -> None:
        """What a server says at once; the words come later."""
        self.open()
        if self._order.after is not None:
            self.speak(self._order.after)

    def speak(self, after: float) -> None:
        self._first = asyncio.get_running_loop().time() + after
        if self._order.per_second:
            asyncio.get_running_loop().call_at(self._first, self._next)
        else:
            frames = [self.delta(word) for word in self._words]
            asyncio.get_running_loop().call_at(self._first, self._flood, frames)

    def hang_up(self) -> None:
        if not self._is_over:
            self._transport.abort()

    def close(self) -> None:
        super().close()
        self._is_over = True  # what comes over the same connection now is another answer

    def _flood(self, frames: list[bytes]) -> None:
        for number, frame in enumerate(frames):
            self._times[number] = time.monotonic_ns()
            self._transport.write(frame)
        self.close()

    def _next(self) -> None:
        if self._transport.is_closing():
            return
        number = len(self._sent)
        frame = self.delta(self._words[number])
        self._times[number] = time.monotonic_ns()
        self._transport.write(frame)
        if number + 1 < len(self._words):
            at = self._first + (number + 1) / self._order.per_second
            asyncio.get_running_loop().call_at(at, self._next)
        else:
            self.close()


class Connection(asyncio.Protocol):
    """Reads one request at a time, and keeps the connection for the next one."""

    times: Times
    count = 0
    begun: weakref.WeakSet[Answer] = weakref.WeakSet()
    silent: list[Answer] = []
    waits_for: tuple[int, Any] = (0, None)  # so many silent answers, and who is told then that they begin

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's own class
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        if together := re.match(rb"GET /together/(\d+) ", head):
            Connection.waits_for = int(together[1]), self._transport
            self._begin_together()
            return
        if head.startswith(b"GET /silence "):
            self._end_all()
            return
        if not re.match(rb"POST \S*/responses ", head):
            self._transport.write(GONE)
            return
        Connection.count += 1
        order = order_in(body)
        if order is None:
            Answer(self._transport, self.count, TITLE, Order(0, len(TITLE), 0), [0] * len(TITLE)).begin()
        else:
            times = self.times.of(order.number, order.words)
            answer = Answer(self._transport, self.count, pieces(order.words), order, times)
            self.begun.add(answer)
            answer.begin()
            if order.after is None:
                self.silent.append(answer)
                self._begin_together()

    def _end_all(self) -> None:
        """Hang up, for a run that was given up: its answers must not be taken for those of the next one."""
        self.silent.clear()
        Connection.waits_for = 0, None
        for answer in self.begun:
            answer.hang_up()
        self.begun.clear()
        self._transport.write(NOTHING)

    def _begin_together(self) -> None:
        """One after the other within the time of a word, so that each word wakes the reader by itself."""
        count, transport = self.waits_for
        if not count or len(self.silent) < count:
            return
        for place, answer in enumerate(self.silent):
            answer.speak(place / count / answer.per_second)
        self.silent.clear()
        Connection.waits_for = 0, None
        transport.write(NOTHING)


async def main(path: Path) -> None:
    loop = asyncio.get_running_loop()
    with Times(path) as Connection.times:
        server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=4096)
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us is gone
        server.close()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
