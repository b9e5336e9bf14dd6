"""A real HTTP server on a loopback port that plays a script: one entry for each request, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

Play = Callable[["Connection"], Awaitable[None]]


@dataclass
class Connection:
    """One request as it came, and the way back."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def send_chunk(self, data: bytes) -> None:
        await self.send(b"%x\r\n%s\r\n" % (len(data), data))

    async def begin_stream(self, *headers: str) -> None:
        lines = ["HTTP/1.1 200 OK", "Content-Type: text/event-stream; charset=utf-8", "Transfer-Encoding: chunked"]
        await self.send("\r\n".join((*lines, *headers, "", "")).encode())


class Server:
    def __init__(self, *script: Play) -> None:
        self.script = list(script)
        self.requests: list[Connection] = []
        self.connections = 0
        self.port = 0
        self._open: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/"

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self._open[task] = writer
        try:
            while (request := await self._read(reader, writer)) is not None:
                self.requests.append(request)
                await self.script[len(self.requests) - 1](request)
        except ConnectionError:
            pass  # the client went away, which some tests are about
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
            del self._open[task]

    async def close(self) -> None:
        """Hang up on everybody, and wait until that is done: an open socket would haunt a later test."""
        for writer in self._open.values():
            writer.close()
        await asyncio.gather(*self._open)

    async def _read(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Connection | None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except asyncio.IncompleteReadError:
            return None
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        return Connection(method, target, headers, body, reader, writer)


@asynccontextmanager
async def serving(*script: Play) -> AsyncIterator[Server]:
    server = Server(*script)
    listener = await asyncio.start_server(server.connected, "127.0.0.1", 0)
    server.port = listener.sockets[0].getsockname()[1]
    async with listener:
        try:
            yield server
        finally:
            await server.close()


def reply(status: int, value: Any, *headers: str, content_type: str = "application/json") -> Play:
    """Answer with this value as JSON, or with these bytes."""

    async def play(connection: Connection) -> None:
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        lines = [f"HTTP/1.1 {status} Word", f"Content-Type: {content_type}", f"Content-Length: {len(body)}"]
        await connection.send("\r\n".join((*lines, *headers, "", "")).encode() + body)

    return play


def stream(*chunks: bytes, headers: tuple[str, ...] = ()) -> Play:
    """Answer with a stream of these chunks that ends well."""

    async def play(connection: Connection) -> None:
        await connection.begin_stream(*headers)
        for chunk in chunks:
            await connection.send_chunk(chunk)
        await connection.send(b"0\r\n\r\n")

    return play
