"""One request and what comes of it: credentials, attempts, and a reply that is good or an error that says why not.

A request goes up, is repeated at most twice while nothing of a good answer has come, and ends in a value or in one
`ResponsesError`. What can be asked is in client and files; when to ask again is in retry.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import httpx

from .content import Body
from .dialects import Dialect, normalise_base_url
from .errors import (
    BadStream,
    InvalidRequest,
    RateLimited,
    ResponsesError,
    TimedOut,
    Unauthorized,
    Unreachable,
    request_id_of,
)
from .events import Event, decode_json, event_from_response
from .refusals import error_from_object, error_from_reply
from .retry import MAX_RETRIES, Failed, retry_after, wait_before_retry
from .stream import events_of, read_error, read_whole

log = logging.getLogger("chat.responses")

MAX_REPLY_BYTES = 128 * 1024 * 1024
MAX_PAGES = 1_000

Sleep = Callable[[float], Awaitable[None]]
Query = Sequence[tuple[str, str]]


class Credential(Protocol):
    """Gives tokens that expire, as Microsoft Entra ID does. It caches them itself."""

    async def token(self, *, renew: bool = False) -> str:
        """A token that is good now. `renew`: the last one was refused, so get another. Raises Unauthorized."""
        ...


@dataclass(frozen=True)
class Endpoint:
    """Where a provider is and how it speaks. Neither key nor credential nor headers show in its repr.

    With a `credential` each request carries its token as Bearer, whatever header the dialect's keys go into.
    """

    base_url: str
    dialect: Dialect = field(repr=False)
    key: str | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    credential: Credential | None = field(default=None, repr=False)


class EventStream:
    """The events of one answer in wire order. Ends after the terminal event, at `[DONE]`, or when the server ends it.

    An end without a terminal event is no exception here: the draft's `terminal_seen` tells. A broken connection is
    `ConnectionLost`, silence `TimedOut`, and what is not the protocol `BadStream`.
    """

    def __init__(self, events: AsyncIterator[Event], response: httpx.Response) -> None:
        self._events = events
        self.request_id = request_id_of(response.headers)
        self.headers: Mapping[str, str] = response.headers

    def __aiter__(self) -> AsyncIterator[Event]:
        return self._events


class Sender:
    """Speaks to one endpoint over a shared HTTP client, which it does not close."""

    def __init__(
        self,
        endpoint: Endpoint,
        http: httpx.AsyncClient,
        *,
        max_retries: int = MAX_RETRIES,
        sleep: Sleep = asyncio.sleep,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self.endpoint = endpoint
        self._http = http
        self._max_retries = max_retries
        self._sleep = sleep
        self._jitter = jitter
        self._key = (endpoint.key or "").strip()
        self._base = urlsplit(normalise_base_url(endpoint.dialect, endpoint.base_url))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r})"

    async def _json(self, method: str, path: str, body: Body | None = None, query: Query = ()) -> dict[str, Any]:
        """The JSON object of a good reply."""
        async with self._reply(method, path, body, query, "application/json") as response:
            return await self._object(response)

    async def _call(self, method: str, path: str) -> None:
        """Do it; a 2xx is all the answer, for the bodies of these operations differ."""
        async with self._reply(method, path, None, (), "application/json"):
            pass

    @asynccontextmanager
    async def _stream(
        self, method: str, path: str, body: Body | None = None, query: Query = (), after: int | None = None
    ) -> AsyncIterator[EventStream]:
        async with (
            self._reply(method, path, body, query, "text/event-stream") as response,
            aclosing(self._events(response, after)) as events,
        ):
            yield EventStream(events, response)

    def _events(self, response: httpx.Response, after: int | None) -> AsyncGenerator[Event, None]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # a server that does not stream, or not this
            return self._whole(response)
        if kind == "text/html":
            raise BadStream("a page of HTML instead of a stream", request_id=request_id_of(response.headers))
        return events_of(response, after)

    async def _whole(self, response: httpx.Response) -> AsyncGenerator[Event, None]:
        yield event_from_response(await self._object(response))

    async def _object(self, response: httpx.Response) -> dict[str, Any]:
        text = (await read_whole(response, MAX_REPLY_BYTES)).decode("utf-8", "replace")
        request_id = request_id_of(response.headers)
        try:
            value = decode_json(text)
        except ValueError as error:
            raise BadStream(
                f"a reply that is not JSON: {self._without_key(text)[:200]}", request_id=request_id
            ) from error
        if not isinstance(value, dict):
            raise BadStream(f"a reply that is no JSON object: {self._without_key(text)[:200]}", request_id=request_id)
        if value.get("error") and "status" not in value:  # gateways that answer 200 whatever happens
            raise error_from_object(decode_json(self._without_key(text))["error"], request_id=request_id)
        return value

    def _without_key(self, text: str) -> str:
        """Text of a reply for the log: some servers repeat the key that they refuse."""
        return text.replace(self._key, "[key]") if self._key else text

    @asynccontextmanager
    async def _reply(
        self, method: str, path: str, body: Body | None, query: Query, accept: str
    ) -> AsyncIterator[httpx.Response]:
        """A 2xx reply whose body has not been read; closed at the end, wherever its reader stopped."""
        response = await self._send(method, path, body, query, accept)
        try:
            yield response
        finally:
            await response.aclose()

    async def _send(self, method: str, path: str, body: Body | None, query: Query, accept: str) -> httpx.Response:
        """Send, and send again while the policy allows it: only as long as no 2xx has begun."""
        attempt = 0
        while True:
            request = self._request(method, path, body, query, accept)
            outcome = await self._attempt(request)
            if isinstance(outcome, httpx.Response):
                return outcome
            wait = wait_before_retry(outcome, attempt, self._max_retries, self._jitter())
            if wait is None:
                log.info("%s %s: %s", method, path, outcome.error)
                raise outcome.error
            log.info("%s %s: %s; again in %.2f s", method, path, outcome.error, wait)
            await self._sleep(wait)
            attempt += 1

    async def _attempt(self, request: httpx.Request) -> httpx.Response | Failed:
        try:
            response = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            # A timeout while reading was ten minutes of silence already, and the model may still be at work.
            return Failed(
                _unreachable(error), retry=not isinstance(error, httpx.ReadTimeout | httpx.UnsupportedProtocol)
            )
        if response.is_success:
            return response
        try:
            body = await read_error(response)
        finally:
            await response.aclose()
        body = self._without_key(body.decode("utf-8", "replace")).encode()
        pause = retry_after(response.headers)
        refusal = error_from_reply(response.status_code, response.headers, body, retry_after=pause)
        if pause is None and isinstance(refusal, RateLimited):
            pause = refusal.retry_after  # said in words
        return Failed(refusal, refusal.retryable, response.headers, pause)

    def _request(self, method: str, path: str, body: Body | None, query: Query, accept: str) -> httpx.Request:
        pairs = "&".join(filter(None, (self._base.query, urlencode(query))))
        url = urlunsplit((self._base.scheme, self._base.netloc, self._base.path + path, pairs, ""))
        headers = self._headers()
        headers["Accept"] = accept
        if accept == "text/event-stream":
            headers["Accept-Encoding"] = "identity"  # compression holds small frames back
        if body is None:
            return self._http.build_request(method, url, headers=headers)
        headers["Content-Type"] = body.content_type
        headers["Content-Length"] = str(body.length)
        return self._http.build_request(method, url, headers=headers, content=body.content())

    def _headers(self) -> dict[str, str]:
        headers = dict(self.endpoint.headers)
        if any(not _fits_a_header(text) for pair in headers.items() for text in pair):
            raise InvalidRequest("one of the provider's extra headers holds characters that no header can have")
        if self._key:
            if not _fits_a_header(self._key):
                raise Unauthorized("the configured key holds characters that no key has")
            bearer = self.endpoint.dialect.auth_header == "bearer"
            headers["Authorization" if bearer else "api-key"] = f"Bearer {self._key}" if bearer else self._key
        return headers


def _unreachable(error: httpx.HTTPError) -> ResponsesError:
    kind = TimedOut if isinstance(error, httpx.TimeoutException) else Unreachable
    translated = kind(f"{type(error).__name__}: {error}")
    translated.__cause__ = error
    return translated


def entries(page: Mapping[str, Any]) -> list[dict[str, Any]]:
    found = page.get("data")
    return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []


def quoted(identifier: str) -> str:
    """An id as one segment of a path, whatever is in it."""
    return quote(identifier, safe="")


def _fits_a_header(text: str) -> bool:
    return text.isascii() and text.isprintable()
