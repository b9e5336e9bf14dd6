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

QUESTION = "/ask/"  # how the address ends to which one is posted


@asynccontextmanager
async def admitted(scope: Any, receive: Receive) -> AsyncIterator[Receive]:
    """To be held while a request is dealt with. Gives what it is to be read from."""
    async with AsyncExitStack() as held:
        if scope["method"] == "POST" and scope["path"].endswith(QUESTION):
            begun = await _begun(receive)
            if _is_whole(begun):
                await held.enter_async_context(line.questions())
            receive = _once_more(begun, receive)
        await held.enter_async_context(a_thread())
        yield receive


async def _begun(receive: Receive) -> list[Message]:
    """All of a body, or as much as no question has: a slow one holds nobody up, for it is not in line yet."""
    begun: list[Message] = []
    size = 0
    while size <= settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
        begun.append(await receive())
        if _is_whole(begun):
            break
        size += len(begun[-1].get("body", b""))
    return begun


def _is_whole(begun: list[Message]) -> bool:
    """Also of one who has left."""
    return not begun[-1].get("more_body")


def _once_more(begun: list[Message], receive: Receive) -> Receive:
    left = iter(begun)

    async def read() -> Message:
        return next(left, None) or await receive()

    return read
