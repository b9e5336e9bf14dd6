"""The door of the site: a question waits here for its place in line, and has its body with it; then each request gets a thread.

Whoever waits further in holds a thread and its connection to the database. Of two hundred who ask at once nearly each
would have to begin the one and to open the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from django.conf import settings

from chat.turns import line
from chatsite.thread import a_thread

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

QUESTION = "/ask/"  # how the address ends to which one is posted


@asynccontextmanager
async def admitted(scope: Any, receive: Receive, send: Send) -> AsyncIterator[tuple[Receive, Send]]:
    """To be held while a request is dealt with. Gives the ways to read it and to answer it."""
    async with AsyncExitStack() as held, AsyncExitStack() as place:
        if scope["method"] == "POST" and scope["path"].endswith(QUESTION):
            begun = await _begun(receive)
            if not begun.get("more_body"):  # also of one who has left
                await place.enter_async_context(line.questions())
            receive, send = _once_more(begun, receive), _leaving(place, send)
        await held.enter_async_context(a_thread())
        yield receive, send


async def _begun(receive: Receive) -> Message:
    """All of a body, or as much as no question has: a slow one holds nobody up, for it is not in line yet."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return message
        body += message.get("body", b"")
        if not message.get("more_body") or len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            return {**message, "body": bytes(body)}


def _once_more(begun: Message, receive: Receive) -> Receive:
    left = iter([begun])

    async def read() -> Message:
        return next(left, None) or await receive()

    return read


def _leaving(place: AsyncExitStack, send: Send) -> Send:
    """A question that has been taken is in line no more: a server may wait for a slow reader with each piece of the answer."""

    async def answer(message: Message) -> None:
        await place.aclose()
        await send(message)

    return answer
