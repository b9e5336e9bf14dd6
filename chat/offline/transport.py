"""An httpx transport that drives an ASGI application in this process and streams what it sends.

`httpx.ASGITransport` collects the whole body before it returns; here a chunk reaches the reader when it is
sent, and the application waits while the reader has not taken the last one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote

import httpx

from .app import OfflineEngine, create_app

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

FINISH_SECONDS = 5.0


class OfflineTransport(httpx.AsyncBaseTransport):
    """Answer requests from `app`, by default an engine of its own that is closed together with the transport."""

    def __init__(self, app: Application | None = None) -> None:
        self._own: OfflineEngine | None = None
        if app is None:
            app = self._own = create_app()
        self._app = app
        self._open: set[_Exchange] = set()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(self._app, request, self._open.discard)
        self._open.add(exchange)
        status, headers = await exchange.head()
        return httpx.Response(status, headers=headers, stream=exchange, request=request)

    async def aclose(self) -> None:
        for exchange in list(self._open):
            await exchange.aclose()
        if self._own is not None:
            await self._own.aclose()


class _Exchange(httpx.AsyncByteStream):
    """One request and its response. Holds at most one chunk that the reader has not taken."""

    def __init__(self, app: Application, request: httpx.Request, on_close: Callable[[_Exchange], None]) -> None:
        self._request = request
        self._on_close = on_close
        self._read_seconds: float | None = request.extensions.get("timeout", {}).get("read")
        self._body: AsyncIterator[bytes] | None = None
        self._body_is_read = False
        self._disconnected = asyncio.Event()
        self._head: tuple[int, list[tuple[bytes, bytes]]] | None = None
        self._chunk: bytes | None = None
        self._has_news = asyncio.Event()
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._complete = False
        self._task = asyncio.ensure_future(app(_scope(request), self._receive, self._send))
        self._task.add_done_callback(lambda task: self._has_news.set())

    async def head(self) -> tuple[int, list[tuple[bytes, bytes]]]:
        try:
            await self._news()
            if self._head is None:
                self._raise_for_end()
        finally:
            if self._head is None:
                await self.aclose()
        assert self._head is not None
        return self._head

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while True:
            if self._chunk is not None:
                chunk, self._chunk = self._chunk, None
                self._has_room.set()
                if chunk:
                    return chunk
            elif self._complete:
                raise StopAsyncIteration
            elif self._task.done():
                self._raise_for_end()
            else:
                self._has_news.clear()
                await self._news()

    async def aclose(self) -> None:
        """End the exchange: an application that has not finished is cancelled, and has ended when this returns."""
        self._on_close(self)
        self._disconnected.set()
        self._has_room.set()
        if self._complete:
            await asyncio.wait({self._task}, timeout=FINISH_SECONDS)
        self._task.cancel()
        await asyncio.wait({self._task})
        if not self._task.cancelled():
            self._task.exception()  # seen, so that asyncio does not report it a second time

    async def _news(self) -> None:
        try:
            async with asyncio.timeout(self._read_seconds):
                await self._has_news.wait()
        except TimeoutError as error:
            raise httpx.ReadTimeout("the engine sent nothing in time", request=self._request) from error

    def _raise_for_end(self) -> None:
        """Tell why nothing more comes: the application's own error, or a connection that was cut."""
        error = None if self._task.cancelled() else self._task.exception()
        if error is not None and not isinstance(error, ConnectionError):
            raise error
        text = "peer closed connection without sending complete message body"
        raise httpx.RemoteProtocolError(text, request=self._request) from error

    async def _receive(self) -> Message:
        if self._body_is_read:
            await self._disconnected.wait()
            return {"type": "http.disconnect"}
        if self._body is None:
            assert isinstance(self._request.stream, httpx.AsyncByteStream)
            self._body = aiter(self._request.stream)
        try:
            return {"type": "http.request", "body": await anext(self._body), "more_body": True}
        except StopAsyncIteration:
            self._body_is_read = True
            return {"type": "http.request", "body": b"", "more_body": False}

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._head = (message["status"], list(message.get("headers", [])))
            self._has_news.set()
        elif message["type"] == "http.response.body" and not self._disconnected.is_set():
            await self._has_room.wait()
            self._has_room.clear()
            self._chunk = bytes(message.get("body", b""))
            self._complete = not message.get("more_body", False)
            self._has_news.set()


def _scope(request: httpx.Request) -> Message:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": unquote(request.url.path),
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "client": ("127.0.0.1", 0),
        "server": (request.url.host, request.url.port),
    }
