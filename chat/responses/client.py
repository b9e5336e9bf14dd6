"""The client: one endpoint, and every operation of the Responses API that this product needs.

What a server cannot take is found before it is sent (`requests.fit`): refused with a sentence, or left out and logged.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from .content import Body, json_body
from .errors import BadStream, TimedOut
from .files import FileOperations
from .requests import fit
from .retry import MAX_RETRIES
from .sender import Credential, Endpoint, EventStream, Order, Pace, Page, included, query_of, quoted

log = logging.getLogger("chat.responses")

__all__ = ["MAX_RETRIES", "Client", "Credential", "Endpoint", "EventStream", "Order", "Page"]

RUNNING = ("queued", "in_progress")
FIRST_POLL_SECONDS = 2.0
POLL_GROWTH = 1.5
MAX_POLL_SECONDS = 30.0
MAX_WAIT_SECONDS = 3_600.0

# What these two operations know of the fields of `create`.
COUNTED = frozenset(
    {
        "conversation",
        "input",
        "instructions",
        "model",
        "parallel_tool_calls",
        "previous_response_id",
        "reasoning",
        "text",
        "tool_choice",
        "tools",
        "truncation",
    }
)
COMPACTED = frozenset({"input", "instructions", "model", "previous_response_id"})


class Client(FileOperations):
    """Asks one endpoint over a shared HTTP client, which it does not close."""

    # Responses

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The whole response. Raises for an error reply; a response with status `failed` is returned.

        Raises Unsupported when the dialect cannot take the request; nothing was sent then.
        """
        return await self._json("POST", "responses", self._fitted(body, stream=False))

    @asynccontextmanager
    async def stream(self, body: Mapping[str, Any], *, pace: Pace = None) -> AsyncIterator[EventStream]:
        """The events of a new response. Leaving the context closes the connection, so that the provider stops.

        Raises Unsupported as `create` does. Where a dialect cannot stream a request, its events are one: the whole.
        `pace` is asked while words come slowly: for how many seconds the next ones may wait, to be read together.
        """
        async with self._stream("POST", "responses", self._fitted(body, stream=True), pace=pace) as stream:
            yield stream

    @asynccontextmanager
    async def resume(
        self, response_id: str, starting_after: int | None = None, *, pace: Pace = None
    ) -> AsyncIterator[EventStream]:
        """The events after that sequence number, or all, of a background response that was created as a stream."""
        query = [("stream", "true"), *query_of(starting_after=starting_after)]
        path = f"responses/{quoted(response_id)}"
        async with self._stream("GET", path, query=query, after=starting_after, pace=pace) as stream:
            yield stream

    async def retrieve(self, response_id: str, *, include: Sequence[str] = ()) -> dict[str, Any]:
        return await self._json("GET", f"responses/{quoted(response_id)}", query=included(include))

    async def wait(
        self, response_id: str, *, include: Sequence[str] = (), most_seconds: float = MAX_WAIT_SECONDS
    ) -> dict[str, Any]:
        """A background response when it is over, asked for in growing pauses. Raises TimedOut when it takes longer."""
        waited, pause = 0.0, FIRST_POLL_SECONDS
        while (response := await self.retrieve(response_id, include=include)).get("status") in RUNNING:
            if waited + pause > most_seconds:
                raise TimedOut(f"response {response_id} is {response['status']} after {waited:.0f} s")
            await self._sleep(pause)
            waited, pause = waited + pause, min(pause * POLL_GROWTH, MAX_POLL_SECONDS)
        return response

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises NotFound when there is none (any more)."""
        await self._call("DELETE", f"responses/{quoted(response_id)}")

    async def cancel(self, response_id: str) -> dict[str, Any]:
        """Cancel a background response and return it as it is now. A second call does no harm."""
        return await self._json("POST", f"responses/{quoted(response_id)}/cancel")

    async def input_items(self, response_id: str, *, include: Sequence[str] = ()) -> list[dict[str, Any]]:
        """All input items of a stored response, oldest first."""
        path = f"responses/{quoted(response_id)}/input_items"
        query = [*query_of(order="asc", limit=100), *included(include)]
        return [item async for item in self._listed(path, query)]

    async def input_items_page(
        self,
        response_id: str,
        *,
        limit: int | None = None,
        order: Order | None = None,
        after: str | None = None,
        include: Sequence[str] = (),
    ) -> Page:
        """Some input items of a stored response: 20, the newest first, where nothing else is asked for."""
        query = [*query_of(limit=limit, order=order, after=after), *included(include)]
        return await self._page(f"responses/{quoted(response_id)}/input_items", query)

    async def input_tokens(self, body: Mapping[str, Any]) -> int:
        """How many tokens the input of this request would have. Of a body for `create`, what counts is sent."""
        counted = json_body(self._known(body, COUNTED))
        value = (await self._json("POST", "responses/input_tokens", counted)).get("input_tokens")
        if not isinstance(value, int) or isinstance(value, bool):
            raise BadStream("a count of tokens that is no number")
        return value

    async def compact(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A conversation made shorter: an `output` that stands for it in the input of the next request."""
        return await self._json("POST", "responses/compact", json_body(self._known(body, COMPACTED)))

    # Models

    async def models(self) -> list[str]:
        """The ids of the models there. The cheapest question that needs a right address and a right key."""
        page = await self._page("models")
        return [entry["id"] for entry in page.entries if isinstance(entry.get("id"), str)]

    def _fitted(self, body: Mapping[str, Any], *, stream: bool) -> Body:
        fitted = fit(body, self.endpoint.dialect)
        for note in fitted.notes:
            log.info("%s", note)
        return json_body({**fitted.body, "stream": stream and fitted.streams})

    def _known(self, body: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
        """Of what `create` would send, what another operation knows."""
        fitted = fit(body, self.endpoint.dialect).body
        return {name: value for name, value in fitted.items() if name in names}
