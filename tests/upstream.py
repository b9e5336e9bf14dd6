"""A scripted provider behind the real client: replies in order, requests kept, connections watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpx

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS

URL = "http://upstream.test/v1/"


def text_events(
    pieces: Iterable[str], *, response_id: str = "resp_1", done: bool = True, usage: tuple[int, int] = (7, 11)
) -> list[dict[str, Any]]:
    """The events of a plain text answer, as OpenAI sends them."""
    pieces = list(pieces)
    message = {
        "id": f"msg_{response_id}",
        "type": "message",
        "role": "assistant",
        "status": "in_progress",
        "content": [],
    }
    place = {"item_id": message["id"], "output_index": 0, "content_index": 0}
    events: list[dict[str, Any]] = [
        {
            "type": "response.created",
            "response": {"id": response_id, "status": "in_progress", "model": "m-1", "output": []},
        },
        {"type": "response.output_item.added", "output_index": 0, "item": message},
        {
            "type": "response.content_part.added",
            **place,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
        *({"type": "response.output_text.delta", **place, "delta": piece} for piece in pieces),
    ]
    if done:
        part = {"type": "output_text", "text": "".join(pieces), "annotations": []}
        whole = {**message, "status": "completed", "content": [part]}
        events += [
            {"type": "response.output_text.done", **place, "text": part["text"]},
            {"type": "response.output_item.done", "output_index": 0, "item": whole},
            {"type": "response.completed", "response": completed(response_id, part["text"], usage)},
        ]
    return [{**event, "sequence_number": number} for number, event in enumerate(events)]


def completed(response_id: str, text: str, usage: tuple[int, int] = (7, 11)) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {
        "id": response_id,
        "object": "response",
        "status": "completed",
        "model": "m-1",
        "output": [
            {
                "id": f"msg_{response_id}",
                "type": "message",
                "role": "assistant",
                "status": "completed",
                "content": [part],
            }
        ],
        "usage": {"input_tokens": usage[0], "output_tokens": usage[1], "total_tokens": sum(usage)},
    }


def frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


@dataclass
class Reply:
    """One answer. `gates` are waited for before the event of that number is sent."""

    status: int = 200
    events: list[dict[str, Any]] | None = None
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    gates: dict[int, asyncio.Event] = field(default_factory=dict)
    breaks: bool = False
    sent: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    async def stream(self) -> AsyncIterator[bytes]:
        try:
            for number, event in enumerate(self.events or []):
                if number in self.gates:
                    await self.gates[number].wait()
                self.sent = number + 1
                yield frame(event)
            if self.breaks:
                raise httpx.ReadError("connection reset")
        finally:
            self.closed.set()


class _Body(httpx.AsyncByteStream):
    def __init__(self, reply: Reply) -> None:
        self._chunks = reply.stream()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._chunks:
            yield chunk

    async def aclose(self) -> None:
        await self._chunks.aclose()  # type: ignore[attr-defined]


class _Bytes(httpx.AsyncByteStream):
    """A body that arrives, as from a socket: httpx takes one given as JSON for read already."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        yield self._body


def json_reply(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> httpx.Response:
    headers = {"content-type": "application/json", **(headers or {})}
    return httpx.Response(status, headers=headers, stream=_Bytes(json.dumps(body).encode()))


class Upstream(httpx.AsyncBaseTransport):
    """Give it replies; afterwards `requests` has the JSON bodies of all POSTs to responses, in order."""

    def __init__(self, *replies: Reply, dialect: str = "openai") -> None:
        self.replies = list(replies)
        self.requests: list[dict[str, Any]] = []
        self.dialect = dialect
        self.by_path: dict[str, Callable[[httpx.Request], httpx.Response]] = {}

    def client(self) -> Client:
        return Client(Endpoint(URL, DIALECTS[self.dialect], "sk-test", {}), httpx.AsyncClient(transport=self))

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        path = request.url.path
        if path in self.by_path:
            return self.by_path[path](request)
        if request.method == "GET":
            return json_reply({"error": {"message": "There is no such thing.", "type": "invalid_request_error"}}, 404)
        body = json.loads(await request.aread())
        if str(body.get("instructions", "")).startswith("Write a title"):
            return json_reply(completed("resp_title", "A made-up title"))
        self.requests.append(body)
        assert self.replies, f"an unexpected request: {body}"
        reply = self.replies.pop(0)
        headers = {"x-request-id": f"req_{len(self.requests)}", **reply.headers}
        if reply.events is None:
            return json_reply(reply.body, reply.status, headers)
        headers["content-type"] = "text/event-stream"
        return httpx.Response(reply.status, headers=headers, stream=_Body(reply))
