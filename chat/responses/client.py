"""The client: one endpoint, and every operation of the Responses API that this product needs.

What a server cannot take is found before it is sent (`requests.fit`): refused with a sentence, or left out and logged.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from .content import Body, json_body
from .files import FileOperations
from .requests import fit
from .retry import MAX_RETRIES
from .sender import MAX_PAGES, Credential, Endpoint, EventStream, entries, quoted

log = logging.getLogger("chat.responses")

__all__ = ["MAX_RETRIES", "Client", "Credential", "Endpoint", "EventStream"]


class Client(FileOperations):
    """Asks one endpoint over a shared HTTP client, which it does not close."""

    # Responses

    async def create(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """The whole response. Raises for an error reply; a response with status `failed` is returned.

        Raises Unsupported when the dialect cannot take the request; nothing was sent then.
        """
        return await self._json("POST", "responses", self._fitted(body, stream=False))

    @asynccontextmanager
    async def stream(self, body: Mapping[str, Any]) -> AsyncIterator[EventStream]:
        """The events of a new response. Leaving the context closes the connection, so that the provider stops.

        Raises Unsupported as `create` does. Where a dialect cannot stream a request, its events are one: the whole.
        """
        async with self._stream("POST", "responses", self._fitted(body, stream=True)) as stream:
            yield stream

    @asynccontextmanager
    async def resume(self, response_id: str, starting_after: int | None) -> AsyncIterator[EventStream]:
        """The events after that sequence number of a background response that was created as a stream."""
        query = [("stream", "true")]
        if starting_after is not None:
            query.append(("starting_after", str(starting_after)))
        path = f"responses/{quoted(response_id)}"
        async with self._stream("GET", path, query=query, after=starting_after) as stream:
            yield stream

    async def retrieve(self, response_id: str, *, include: tuple[str, ...] = ()) -> dict[str, Any]:
        query = [("include[]", name) for name in include]
        return await self._json("GET", f"responses/{quoted(response_id)}", query=query)

    async def delete(self, response_id: str) -> None:
        """Delete a stored response. Raises NotFound when there is none (any more)."""
        await self._call("DELETE", f"responses/{quoted(response_id)}")

    async def cancel(self, response_id: str) -> dict[str, Any]:
        """Cancel a background response and return it as it is now. A second call does no harm."""
        return await self._json("POST", f"responses/{quoted(response_id)}/cancel")

    async def input_items(self, response_id: str) -> list[dict[str, Any]]:
        """All input items of a stored response, oldest first."""
        items: list[dict[str, Any]] = []
        path = f"responses/{quoted(response_id)}/input_items"
        after: list[tuple[str, str]] = []
        for _ in range(MAX_PAGES):
            page = await self._json("GET", path, query=[("order", "asc"), ("limit", "100"), *after])
            found = entries(page)
            items += found
            last = page.get("last_id") or (found[-1].get("id") if found else None)
            if not page.get("has_more") or not isinstance(last, str) or after == [("after", last)]:
                break
            after = [("after", last)]
        return items

    async def models(self) -> list[str]:
        """The ids of the models there. The cheapest question that needs a right address and a right key."""
        page = await self._json("GET", "models")
        return [entry["id"] for entry in entries(page) if isinstance(entry.get("id"), str)]

    def _fitted(self, body: Mapping[str, Any], *, stream: bool) -> Body:
        fitted = fit(body, self.endpoint.dialect)
        for note in fitted.notes:
            log.info("%s", note)
        return json_body({**fitted.body, "stream": stream and fitted.streams})
