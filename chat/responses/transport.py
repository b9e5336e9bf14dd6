"""The way out: one HTTP client per event loop, made for many long, mostly silent streams.

httpx stays the client; under it aiohttp carries the bytes, for a paced stream costs a fraction of what httpx's own
transport costs. aiohttp's ceiling of 100 connections is lifted: each running answer holds one.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from urllib.request import getproxies

import aiohttp
import httpx

CONNECT_SECONDS = 10.0
READ_SECONDS = 600.0  # a reasoning model may be silent for minutes
WRITE_SECONDS = 120.0
MAX_HEADER_BYTES = 64 * 1024  # one line of them; some gateways send long ones

# Among a response's extensions: the next bytes of its body, b"" at the end. Costs a third of `aiter_raw()`, and raises
# the same errors. Whoever begins with one of the two stays with it.
READ = "chat.responses.read"
Read = Callable[[], Awaitable[bytes]]


def open_http(*, trust_env: bool = True) -> httpx.AsyncClient:
    """The HTTP client for all providers; close it with `aclose()` (or `async with`) on the loop that used it.

    `trust_env` honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    """
    timeout = httpx.Timeout(CONNECT_SECONDS, read=READ_SECONDS, write=WRITE_SECONDS, pool=None)
    return httpx.AsyncClient(
        transport=StreamingTransport(trust_env=trust_env),
        timeout=timeout,
        headers={"Accept-Encoding": "gzip, deflate"},  # what can be unpacked within limits
        follow_redirects=False,
    )


class StreamingTransport(httpx.AsyncBaseTransport):
    """httpx over aiohttp without a ceiling."""

    def __init__(self, *, trust_env: bool = True) -> None:
        self._trust_env = trust_env
        self._ssl = httpx.create_ssl_context(trust_env=trust_env)
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if self._session is None:
            self._session = self._new_session()
        timeout = request.extensions.get("timeout", {})
        with _errors_of_httpx():
            reply = await self._session.request(
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
                READ: body.read,
            },
        )

    async def aclose(self) -> None:
        if self._session is not None:
            await self._session.close()

    def _new_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=self._ssl),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Also makes aiohttp read ~/.netrc for each request, in a thread: only where there is a proxy.
            trust_env=self._trust_env and bool(getproxies()),
            auto_decompress=False,
            max_line_size=MAX_HEADER_BYTES,
            max_field_size=MAX_HEADER_BYTES,
        )


class Body(httpx.AsyncByteStream):
    """The body of a reply as it comes in.

    How long the server may be silent is looked after here, with one timer a stream: aiohttp would set a new one for
    each chunk.
    """

    def __init__(self, reply: aiohttp.ClientResponse, patience: float | None) -> None:
        self._reply = reply
        self._content = reply.content
        self._loop = asyncio.get_running_loop()
        self._waiting_since: float | None = None
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        connection = reply.connection
        if patience is not None and connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = None
            self._timer = self._loop.call_later(patience, self._look_at_the_clock)

    async def read(self) -> bytes:
        """The next bytes, as many as are there; b"" at the end."""
        self._waiting_since = self._loop.time()
        try:
            return await self._content.readany()
        except (aiohttp.ClientError, aiohttp.http_exceptions.HttpProcessingError, TimeoutError) as error:
            raise _translated(error) from error
        finally:
            self._waiting_since = None

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while chunk := await self.read():
            yield chunk

    async def aclose(self) -> None:
        """Give the connection back if the body was read to its end; else hang up, so that the server stops."""
        if self._timer is not None:
            self._timer.cancel()
        self._reply.release()
        with _errors_of_httpx():
            await self._reply.wait_for_close()

    def _look_at_the_clock(self) -> None:
        assert self._patience is not None
        now = self._loop.time()
        since = now if self._waiting_since is None else self._waiting_since
        if now - since >= self._patience:
            self._content.set_exception(aiohttp.SocketTimeoutError(f"nothing came for {self._patience:g} seconds"))
        else:
            self._timer = self._loop.call_at(since + self._patience, self._look_at_the_clock)


def _body_of(request: httpx.Request) -> bytes | httpx.AsyncByteStream | None:
    try:
        return request.content or None
    except httpx.RequestNotRead:  # from a generator: goes up as it is made
        request.headers.pop("Transfer-Encoding", None)  # aiohttp decides on it
        assert isinstance(request.stream, httpx.AsyncByteStream)
        return request.stream


@contextmanager
def _errors_of_httpx() -> Iterator[None]:
    try:
        yield
    except (aiohttp.ClientError, TimeoutError) as error:
        raise _translated(error) from error


def _translated(error: Exception) -> httpx.HTTPError:
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
