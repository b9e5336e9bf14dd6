"""Everything that goes over the wire between the package and the engine, kept for the checks after a test."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx2


@dataclass
class Exchange:
    method: str
    path: str
    """Behind the version, without the query."""
    is_azure: bool
    status: int
    content_type: str
    body: bytearray = field(default_factory=bytearray)
    is_complete: bool = False

    def json(self) -> Any:
        return json.loads(self.body)

    def events(self) -> list[dict[str, Any]]:
        """The events that came whole. Each frame names its event as its data does."""
        frames = bytes(self.body).decode().split("\n\n")
        found = []
        for frame in frames[:-1]:
            heading, data = frame.split("\n")
            event = json.loads(data.removeprefix("data: "))
            assert heading == f"event: {event['type']}"
            found.append(event)
        assert frames[-1] == "" or not self.is_complete
        return found


class Wiretap:
    """Transports for the package's clients that note what comes back."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []

    def _note(self, request: httpx2.Request, response: httpx2.Response) -> Exchange:
        version = re.match(r"(?:/api/projects/[^/]+)?(/openai)?(?:/v1)?/", request.url.path)
        assert version, request.url
        exchange = Exchange(
            request.method,
            request.url.path[version.end() :],
            version[1] is not None,
            response.status_code,
            response.headers.get("content-type", ""),
        )
        self.exchanges.append(exchange)
        return exchange

    @property
    def newest(self) -> Exchange:
        return self.exchanges[-1]

    def sync_transport(self) -> httpx2.BaseTransport:
        return _Tapped(self)

    def async_transport(self) -> httpx2.AsyncBaseTransport:
        return _AsyncTapped(self)


class _Tapped(httpx2.HTTPTransport):
    def __init__(self, tap: Wiretap) -> None:
        super().__init__(
            verify=False
        )  # nothing here is encrypted, and to read the certificates takes longer than a test
        self._tap = tap

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        response = super().handle_request(request)
        response.stream = _Copied(response.stream, self._tap._note(request, response))
        return response


class _Copied(httpx2.SyncByteStream):
    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        for chunk in self._stream:
            self._exchange.body += chunk
            yield chunk
        self._exchange.is_complete = True

    def close(self) -> None:
        self._stream.close()


class _AsyncTapped(httpx2.AsyncHTTPTransport):
    def __init__(self, tap: Wiretap) -> None:
        super().__init__(
            verify=False
        )  # nothing here is encrypted, and to read the certificates takes longer than a test
        self._tap = tap

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await super().handle_async_request(request)
        response.stream = _AsyncCopied(response.stream, self._tap._note(request, response))
        return response


class _AsyncCopied(httpx2.AsyncByteStream):
    def __init__(self, stream: Any, exchange: Exchange) -> None:
        self._stream = stream
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._stream:
            self._exchange.body += chunk
            yield chunk
        self._exchange.is_complete = True

    async def aclose(self) -> None:
        await self._stream.aclose()
