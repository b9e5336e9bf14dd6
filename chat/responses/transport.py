"""The way out: one HTTP client per event loop, made for many long, mostly silent streams.

httpx stays the client; under it aiohttp carries the bytes, for a paced stream costs a fraction of what httpx's own
transport costs. aiohttp's ceiling of 100 connections is lifted: each running answer holds one.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.request import getproxies

import aiohttp
import httpx

CONNECT_SECONDS = 10.0
READ_SECONDS = 600.0  # a reasoning model may be silent for minutes
WRITE_SECONDS = 120.0
LOOKS = 8  # at each open stream within the time that its server may be silent; and at least so often:
LOOK_SECONDS = 5.0
MAX_HEADER_BYTES = 64 * 1024  # one line of them; some gateways send long ones

DIRECT = "chat.responses.direct"  # where a response's extensions hold the following


class Direct(NamedTuple):
    """A way to a body past httpx's layers, for whoever reads it as it comes in: it costs less than half of theirs."""

    read: Callable[[], Awaitable[bytes]]  # the next bytes, b"" at the end
    errors: tuple[type[Exception], ...]  # that it may raise
    translated: Callable[[Any], httpx.HTTPError]  # what they are in httpx's words
    rest: Callable[[float], None] = lambda seconds: None  # for so long what comes may wait with the system


def open_http(*, trust_env: bool = True) -> httpx.AsyncClient:
    """The HTTP client for all providers; close it with `aclose()` (or `async with`) on the loop that used it.

    `trust_env` honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY; what runs on this machine is asked directly all the same.
    """
    timeout = httpx.Timeout(CONNECT_SECONDS, read=READ_SECONDS, write=WRITE_SECONDS, pool=None)
    return StreamingClient(
        StreamingTransport(trust_env=trust_env),
        timeout=timeout,
        headers={"Accept-Encoding": "gzip"},  # what can be unpacked within limits
        follow_redirects=False,
    )


class StreamingClient(httpx.AsyncClient):
    """Goes straight to its transport: what httpx looks after on the way is all switched off here.

    To find each time that there is nothing to redirect, to sign or to keep as a cookie was a seventh of what a request
    costs.
    """

    def __init__(self, transport: StreamingTransport, **options: Any) -> None:
        super().__init__(transport=transport, **options)
        self._streaming = transport

    async def send(self, request: httpx.Request, *, stream: bool = False, **options: Any) -> httpx.Response:
        if options or not stream or self.is_closed or any(self.event_hooks.values()):
            return await super().send(request, stream=stream, **options)
        response = await self._streaming.handle_async_request(request)
        response.request = request
        return response


class StreamingTransport(httpx.AsyncBaseTransport):
    """httpx over aiohttp without a ceiling."""

    def __init__(self, *, trust_env: bool = True) -> None:
        self._has_proxies = trust_env and bool(getproxies())
        self._ssl = httpx.create_ssl_context(trust_env=trust_env)
        self._sessions: dict[bool, aiohttp.ClientSession] = {}  # by whether they honour the environment's proxies

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = self._session_for(request.url.host)
        timeout = request.extensions.get("timeout", {})
        with _errors_of_httpx():
            reply = await session.request(
                request.method,
                str(request.url),
                headers=request.headers.multi_items(),
                skip_auto_headers=("Accept", "Accept-Encoding", "Content-Type", "User-Agent"),
                data=_body_of(request),
                allow_redirects=False,
                server_hostname=request.extensions.get("sni_hostname"),
                timeout=aiohttp.ClientTimeout(
                    connect=timeout.get("pool"), sock_connect=timeout.get("connect"), sock_read=timeout.get("read")
                ),
            )
        body = Body(reply, timeout.get("read"))
        return httpx.Response(
            reply.status,
            headers=reply.raw_headers,
            stream=body,
            extensions={
                "http_version": b"HTTP/1.1",
                "reason_phrase": (reply.reason or "").encode("ascii", "replace"),
                DIRECT: Direct(reply.content.readany, BODY_ERRORS, translated, body.rest),
            },
        )

    async def aclose(self) -> None:
        for session in self._sessions.values():
            await session.close()

    def _session_for(self, host: str) -> aiohttp.ClientSession:
        # For a proxy this machine is another one: it would be sent key and question, and could not deliver them.
        by_proxy = self._has_proxies and not _is_loopback(host)
        if by_proxy not in self._sessions:
            self._sessions[by_proxy] = self._new_session(by_proxy)
        return self._sessions[by_proxy]

    def _new_session(self, by_proxy: bool) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Also makes aiohttp read ~/.netrc for each request, in a thread: only where there is a proxy.
            trust_env=by_proxy,
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )


class Body(httpx.AsyncByteStream):
    """The body of a reply as it comes in.

    How long the server may be silent is looked after here, with a few looks a stream: aiohttp would set a new timer for
    each chunk.
    """

    def __init__(self, reply: aiohttp.ClientResponse, patience: float | None) -> None:
        self._reply = reply
        self._content = reply.content
        self._clock: asyncio.TimerHandle | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        connection = reply.connection
        if patience is not None and connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None
            self._patience = patience
            self._received, self._received_at = self._content.total_bytes, self._loop.time()
            self._watch()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _errors_of_httpx():
            while chunk := await self._content.readany():
                yield chunk

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end; else hang up, so that the server stops."""
        if self._clock is not None:
            self._clock.cancel()
        if self._alarm is not None:
            self._alarm.cancel()
            self._go_on()
        self._reply.release()
        with _errors_of_httpx():
            await self._reply.wait_for_close()

    def rest(self, seconds: float) -> None:
        """Leave to the system what comes within so many seconds: words that are shown together cost less read together."""
        if self._alarm is None and (transport := self._transport) is not None:
            transport.pause_reading()
            self._alarm = self._loop.call_later(seconds, self._go_on)

    def _go_on(self) -> None:
        self._alarm = None
        if (transport := self._transport) is not None:
            transport.resume_reading()

    @property
    def _transport(self) -> asyncio.Transport | None:
        """None when the body has come to its end: then the connection is somebody else's."""
        connection = self._reply.connection
        return None if connection is None else connection.transport

    def _watch(self) -> None:
        self._clock = self._loop.call_later(min(self._patience / LOOKS, LOOK_SECONDS), self._look)

    def _look(self) -> None:
        connection = self._reply.connection
        if connection is None or self._content.is_eof() or self._content.exception() is not None:
            return
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or not protocol.is_connected():
            # Where chunks are malformed aiohttp hangs up and tells nobody: whoever reads would wait for ever.
            self._content.set_exception(aiohttp.ClientPayloadError("the connection was closed in the middle"))
            return
        now = self._loop.time()
        is_paused = not transport.is_reading()  # by a slow reader
        if self._content.total_bytes != self._received or is_paused:
            self._received, self._received_at = self._content.total_bytes, now
        if now - self._received_at < self._patience:
            self._watch()
        else:
            self._content.set_exception(aiohttp.SocketTimeoutError(f"nothing came for {self._patience:g} seconds"))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _body_of(request: httpx.Request) -> bytes | httpx.AsyncByteStream | None:
    try:
        return request.content or None
    except httpx.RequestNotRead:  # from a generator: goes up as it is made
        request.headers.pop("Transfer-Encoding", None)  # aiohttp decides on it
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return request.stream


BODY_ERRORS = (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, TimeoutError)


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    try:
        yield
    except BODY_ERRORS as error:
        raise translated(error) from error


def translated(error: Exception) -> httpx.HTTPError:
    kind: type[httpx.HTTPError]
    match error:
        case aiohttp.ConnectionTimeoutError():
            kind = httpx.ConnectTimeout
        case TimeoutError():
            kind = httpx.ReadTimeout
        case aiohttp.ClientProxyConnectionError() | aiohttp.ClientHttpProxyError():
            kind = httpx.ProxyError
        case aiohttp.ClientConnectorError():
            kind = httpx.ConnectError
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError():
            kind = httpx.UnsupportedProtocol
        case aiohttp.ClientConnectionError() | aiohttp.ClientPayloadError():
            kind = httpx.ReadError
        case _:
            kind = httpx.RemoteProtocolError
    return kind(str(error) or type(error).__name__)
