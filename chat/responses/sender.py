"""One request and what comes of it: credentials, attempts, and a reply that is good or an error that says why not.

A request goes up, is repeated at most twice while nothing of a good answer has come, and ends in a value or in one
`ResponsesError`. What can be asked is in client and files; when to ask again is in retry.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Literal, Protocol
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

import httpx

from .content import Body
from .dialects import ADDRESSES_KEPT, Dialect, normalise_base_url
from .errors import (
    BadStream,
    FileGone,
    InvalidRequest,
    NotFound,
    RateLimited,
    ResponsesError,
    TimedOut,
    Unauthorized,
    Unreachable,
    one_line,
    request_id_of,
)
from .events import Event, event_from_response
from .refusals import error_from_object, error_from_reply
from .retry import MAX_RETRIES, Failed, retry_after, wait_before_retry
from .stream import MAX_ERROR_BYTES, events_of, json_of, read_error, read_whole

log = logging.getLogger("chat.responses")

MAX_REPLY_BYTES = 128 * 1024 * 1024
MAX_PAGES = 1_000
MIN_SECRET = 8  # characters; what is shorter ("none", "ollama") is a word, and no secret
SECRET_HEADERS = re.compile("key|token|auth|secret|cookie", re.I)

NO_COOKIES = DefaultCookiePolicy(allowed_domains=())

Sleep = Callable[[float], Awaitable[None]]
Pace = Callable[[], float] | None
Query = Sequence[tuple[str, str]]
Order = Literal["asc", "desc"]


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


@dataclass(frozen=True)
class Page:
    """A part of a list. `after` asks for what follows; None at the end."""

    entries: list[dict[str, Any]]
    after: str | None


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
    """Speaks to one endpoint over a shared HTTP client, on which it leaves no cookies, and which it does not close."""

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
        # What a provider left with one person's answer would go up with the next one's question. httpx even fails at
        # each further request when one that it kept is not ASCII.
        http.cookies.jar.set_policy(NO_COOKIES)
        self._max_retries = max_retries
        self._sleep = sleep
        self._jitter = jitter
        self._key = (endpoint.key or "").strip()
        # Those of the last requests: what is refused now may have been sent before another one was renewed.
        self._tokens: deque[str] = deque(maxlen=4)
        self._base = urlsplit(normalise_base_url(endpoint.dialect, endpoint.base_url))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.endpoint!r})"

    async def _json(self, method: str, path: str, body: Body | None = None, query: Query = ()) -> dict[str, Any]:
        """The JSON object of a good reply."""
        async with self._reply(method, path, body, query, "application/json") as response:
            return await self._object(response)

    async def _page(self, path: str, query: Query = ()) -> Page:
        value = await self._json("GET", path, query=query)
        found = value.get("data")
        entries = [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []
        last = value.get("last_id") or (entries[-1].get("id") if entries else None)
        return Page(entries, last if value.get("has_more") and isinstance(last, str) else None)

    async def _listed(self, path: str, query: Query = (), after: str | None = None) -> AsyncIterator[dict[str, Any]]:
        """The entries of all pages. A list that comes back to where it was has ended."""
        seen: set[str | None] = set()
        while after not in seen and len(seen) < MAX_PAGES:
            seen.add(after)
            page = await self._page(path, (*query, *query_of(after=after)))
            for entry in page.entries:
                yield entry
            if page.after is None:
                return
            after = page.after

    async def _call(self, method: str, path: str) -> None:
        """Do it; a 2xx is all the answer, for the bodies of these operations differ."""
        async with self._reply(method, path, None, (), "application/json"):
            pass

    @asynccontextmanager
    async def _stream(
        self,
        method: str,
        path: str,
        body: Body | None = None,
        query: Query = (),
        after: int | None = None,
        pace: Pace = None,
    ) -> AsyncIterator[EventStream]:
        async with (
            self._reply(method, path, body, query, "text/event-stream") as response,
            aclosing(self._events(response, after, pace)) as events,
        ):
            try:
                yield EventStream(events, response)
            except ResponsesError as error:
                error.redact(self._without_secrets)  # it may quote what came
                raise

    def _events(self, response: httpx.Response, after: int | None, pace: Pace) -> AsyncGenerator[Event, None]:
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == "application/json":  # a server that does not stream, or not this
            return self._whole(response)
        if kind == "text/html":
            raise BadStream("a page of HTML instead of a stream", request_id=request_id_of(response.headers))
        return events_of(response, after, pace=pace)

    async def _whole(self, response: httpx.Response) -> AsyncGenerator[Event, None]:
        yield event_from_response(await self._object(response))

    async def _object(self, response: httpx.Response) -> dict[str, Any]:
        text = (await read_whole(response, MAX_REPLY_BYTES)).decode("utf-8", "replace")
        request_id = request_id_of(response.headers)
        try:
            value = await json_of(text)
        except ValueError as error:
            raise BadStream(f"a reply that is not JSON: {self._shown(text)}", request_id=request_id) from error
        if not isinstance(value, dict):
            raise BadStream(f"a reply that is no JSON object: {self._shown(text)}", request_id=request_id)
        is_response = "id" in value and isinstance(value.get("status"), str)  # and then its error belongs to it
        if value.get("error") and not is_response:  # gateways that answer 200 whatever happens
            raise error_from_object(value["error"], request_id=request_id, scrub=self._without_secrets)
        return value

    def _shown(self, text: str) -> str:
        """The beginning of a reply, for the log."""
        return one_line(text[:MAX_ERROR_BYTES], self._without_secrets)[:200]

    def _without_secrets(self, text: str) -> str:
        """Text of a reply for the log: some servers repeat the key that they refuse."""
        headers = (value for name, value in self.endpoint.headers.items() if SECRET_HEADERS.search(name))
        for secret in (self._key, *self._tokens, *headers):
            if len(secret) >= MIN_SECRET:
                text = text.replace(secret, "[key]")
        return text

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
        """Send, and send again while the policy allows it: only as long as no 2xx has begun.

        Where tokens sign in, one that is refused is renewed once; that is no retry, for nothing was tried with it.
        """
        attempt, may_renew = 0, self.endpoint.credential is not None
        token = await self._token()
        while True:
            outcome = await self._attempt(self._request(method, path, body, query, accept, token))
            if isinstance(outcome, httpx.Response):
                return outcome
            if may_renew and outcome.error.status in (401, 403) and isinstance(outcome.error, Unauthorized):
                log.info("%s %s: %s; again with a new token", method, path, outcome.error)
                token, may_renew = await self._token(refused=token), False
                continue
            wait = wait_before_retry(outcome, attempt, self._max_retries, self._jitter())
            if wait is None:
                log.info("%s %s: %s", method, path, outcome.error)
                raise outcome.error
            log.info("%s %s: %s; again in %.2f s", method, path, outcome.error, wait)
            await self._sleep(wait)
            attempt += 1

    async def _token(self, refused: str | None = None) -> str | None:
        """A token for the next request, or None where a key or nothing signs in."""
        credential = self.endpoint.credential
        if credential is None:
            return None
        token = (await credential.token()).strip()
        if token == refused:  # else another request has had it renewed
            token = (await credential.token(renew=True)).strip()
        if token not in self._tokens:
            self._tokens.append(token)
        return token

    async def _attempt(self, request: httpx.Request) -> httpx.Response | Failed:
        try:
            response = await self._http.send(request, stream=True)
        except httpx.HTTPError as error:
            if (gone := _file_gone(error)) is not None:
                raise gone from error
            # A timeout while reading was ten minutes of silence already, and the model may still be at work.
            retry = not isinstance(error, httpx.ReadTimeout | httpx.UnsupportedProtocol)
            hung_up = isinstance(error, httpx.ReadError | httpx.WriteError | httpx.RemoteProtocolError)
            return Failed(self._unreachable(error), retry, hung_up)
        if response.is_success:
            return response
        try:
            body = await read_error(response)
        finally:
            await response.aclose()
        pause = retry_after(response.headers)
        refusal = error_from_reply(
            response.status_code,
            response.headers,
            body,
            retry_after=pause,
            by_token=self.endpoint.credential is not None,
            scrub=self._without_secrets,
        )
        if pause is None and isinstance(refusal, RateLimited):
            pause = refusal.retry_after  # said in words
        return Failed(refusal, refusal.retryable, headers=response.headers, pause=pause)

    def _unreachable(self, error: httpx.HTTPError) -> ResponsesError:
        kind = TimedOut if isinstance(error, httpx.TimeoutException) else Unreachable
        translated = kind(one_line(f"{type(error).__name__}: {error}", self._without_secrets))
        translated.__cause__ = error
        return translated

    def _request(
        self, method: str, path: str, body: Body | None, query: Query, accept: str, token: str | None
    ) -> httpx.Request:
        pairs = "&".join(filter(None, (self._base.query, urlencode(query, errors="replace"))))
        url = urlunsplit((self._base.scheme, self._base.netloc, self._base.path + path, pairs, ""))
        headers = self._headers(token)
        headers["accept"] = accept
        if accept == "text/event-stream":
            headers["accept-encoding"] = "identity"  # compression holds small frames back
        if body is not None:
            headers["content-type"] = body.content_type
            headers["content-length"] = str(body.length)
        try:
            return httpx.Request(
                method,
                _parsed(url),
                headers=headers,
                content=body.content() if body else None,
                extensions={"timeout": self._http.timeout.as_dict()},
            )
        except httpx.InvalidURL as error:
            raise NotFound(f"no address: {one_line(str(error), self._without_secrets)}") from error

    def _headers(self, token: str | None) -> dict[str, str]:
        """By their names in small letters: a later one takes the place of an earlier one."""
        extra = self.endpoint.headers
        if not all(_fits_a_header(text) for pair in extra.items() for text in pair):
            raise InvalidRequest("one of the provider's extra headers holds characters that no header can have")
        headers = {**self._http.headers, **{name.lower(): value for name, value in extra.items()}}
        secret = self._key if token is None else token
        if secret:
            if not _fits_a_header(secret):
                raise Unauthorized("the configured key or token holds characters that none has")
            bearer = token is not None or self.endpoint.dialect.auth_header == "bearer"
            headers["authorization" if bearer else "api-key"] = f"Bearer {secret}" if bearer else secret
        return headers


@lru_cache(ADDRESSES_KEPT)
def _parsed(url: str) -> httpx.URL:
    """For `create` it is the same one each time."""
    return httpx.URL(url)


def query_of(**fields: str | int | None) -> list[tuple[str, str]]:
    """Those that are given, as pairs of a query."""
    return [(name, str(value)) for name, value in fields.items() if value is not None]


def included(names: Sequence[str]) -> list[tuple[str, str]]:
    return [("include[]", name) for name in names]


def quoted(identifier: str) -> str:
    """An id as one segment of a path, whatever is in it. NotFound for what would be no segment, or another one."""
    if identifier in {"", ".", ".."}:
        raise NotFound(f"{identifier!r} is no id")
    return quote(identifier, safe="", errors="replace")


def _file_gone(error: BaseException | None) -> FileGone | None:
    """What the transport took for a broken connection, where it was our end of the body that broke."""
    while error is not None and not isinstance(error, FileGone):
        error = error.__cause__
    return error


def _fits_a_header(text: str) -> bool:
    return isinstance(text, str) and text.isascii() and text.isprintable()
