"""The shortest ways to ask: a client for a server, or one that plays replies without any."""

from __future__ import annotations

from typing import Any

import httpx

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.events import Event

KEY = "sk-very-secret-4711"
BODY = {"model": "m", "input": "Hello"}
RESPONSE = {"id": "resp_1", "object": "response", "status": "completed", "output": [], "usage": None}


class Waits(list[float]):
    """In place of sleeping: what would have been waited."""

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


def client_for(
    url: str, http: httpx.AsyncClient, dialect: str = "openai", waits: Waits | None = None, **details: Any
) -> Client:
    endpoint = Endpoint(url, DIALECTS[dialect], details.pop("key", KEY), **details)
    return Client(endpoint, http, sleep=Waits() if waits is None else waits, jitter=lambda: 0.0)


async def collect(client: Client, body: dict[str, Any] = BODY) -> list[Event]:
    async with client.stream(body) as events:
        return [event async for event in events]


class Script:
    """A transport that plays replies and failures in order."""

    def __init__(self, *replies: httpx.Response | Exception) -> None:
        self.replies = list(replies)
        self.requests: list[httpx.Request] = []

    @property
    def asked(self) -> int:
        return len(self.requests)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self.replies.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer


def scripted(
    *replies: httpx.Response | Exception,
    jitter: float = 0.0,
    url: str = "http://test/v1",
    dialect: str = "openai",
    **details: Any,
) -> tuple[Client, Script, Waits]:
    script, waits = Script(*replies), Waits()
    http = httpx.AsyncClient(transport=httpx.MockTransport(script))
    policy = {name: details.pop(name) for name in ("max_retries",) if name in details}
    endpoint = Endpoint(url, DIALECTS[dialect], details.pop("key", KEY), **details)
    return Client(endpoint, http, sleep=waits, jitter=lambda: jitter, **policy), script, waits


def refusal(status: int, headers: dict[str, str] | None = None, **error: Any) -> httpx.Response:
    return httpx.Response(status, headers=headers, json={"error": {"message": "no", **error}})


def good() -> httpx.Response:
    return httpx.Response(200, json=RESPONSE)


def page(*entries: Any, **fields: Any) -> httpx.Response:
    return httpx.Response(200, json={"object": "list", "data": list(entries), **fields})
