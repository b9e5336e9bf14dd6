"""The way out: one HTTP client per event loop, made for many long, mostly silent streams.

aiohttp's connector carries it: a paced stream costs a third of what httpx's own transport costs. Its ceiling of 100
connections is lifted, for each running answer holds one.
"""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from urllib.request import getproxies

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport

CONNECT_SECONDS = 10.0
READ_SECONDS = 600.0  # a reasoning model may be silent for minutes
WRITE_SECONDS = 120.0


def open_http(*, trust_env: bool = True) -> httpx.AsyncClient:
    """The HTTP client for all providers; close it with `aclose()` (or `async with`) on the loop that used it.

    `trust_env` honours HTTP_PROXY, HTTPS_PROXY and NO_PROXY.
    """
    timeout = httpx.Timeout(CONNECT_SECONDS, read=READ_SECONDS, write=WRITE_SECONDS, pool=None)
    return httpx.AsyncClient(transport=StreamingTransport(trust_env=trust_env), timeout=timeout, follow_redirects=False)


class StreamingTransport(AiohttpTransport):
    """httpx over aiohttp without a ceiling, with broken connections told apart from timeouts."""

    def __init__(self, *, trust_env: bool = True) -> None:
        def session() -> aiohttp.ClientSession:
            return aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, ssl=self.ssl_context),
                cookie_jar=aiohttp.DummyCookieJar(),
                # Also makes aiohttp read ~/.netrc for each request, in a thread: only where there is a proxy.
                trust_env=trust_env and bool(getproxies()),
                timeout=aiohttp.ClientTimeout(total=None),
            )

        super().__init__(client=session, trust_env=trust_env)
        self.ssl_context: ssl.SSLContext

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        with _honest_errors():
            response: httpx.Response = await super().handle_async_request(request)
        assert isinstance(response.stream, httpx.AsyncByteStream)
        response.stream = _HonestStream(response.stream)
        return response


class _HonestStream(httpx.AsyncByteStream):
    def __init__(self, stream: httpx.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with _honest_errors():
            async for chunk in self._stream:
                yield chunk

    async def aclose(self) -> None:
        await self._stream.aclose()


@contextmanager
def _honest_errors() -> Iterator[None]:
    """The bridge calls every failure of a connection a ConnectTimeout; say what it was."""
    try:
        yield
    except httpx.ConnectTimeout as error:
        if isinstance(error.__cause__, TimeoutError):
            raise
        honest = httpx.ConnectError if isinstance(error.__cause__, aiohttp.ClientConnectorError) else httpx.ReadError
        raise honest(str(error)) from error.__cause__
    except aiohttp.ClientError as error:
        raise httpx.RemoteProtocolError(str(error)) from error
