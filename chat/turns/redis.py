"""The way to Redis for what processes tell each other of running turns. Without REDIS_URL there is none.

redis-py comes with an extra, so it is imported when it is needed. Each event loop has its own connections.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from django.conf import settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Whoever waits for Redis waits beside running turns: no answer in this time is none.
ANSWER_SECONDS = 2.0

_clients: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, Redis] = weakref.WeakKeyDictionary()


class Away(Exception):
    """Redis does not answer, or not as it should. Everybody here can do without it, and tries again later."""


def is_used() -> bool:
    return bool(getattr(settings, "REDIS_URL", ""))


def client() -> Redis:
    """The client of this event loop. What it is asked belongs into `answering`."""
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff

    loop = asyncio.get_running_loop()
    if loop not in _clients:
        _clients[loop] = Redis.from_url(
            settings.REDIS_URL,
            socket_timeout=ANSWER_SECONDS,
            socket_connect_timeout=ANSWER_SECONDS,
            health_check_interval=15,  # a connection that nothing comes through may be dead
            retry=Retry(NoBackoff(), 0),  # each of our loops is a retry itself, and knows what it has missed
        )
    return _clients[loop]


@contextmanager
def answering() -> Iterator[None]:
    """Raises Away for all that can go wrong between here and Redis."""
    from redis.exceptions import RedisError

    try:
        yield
    except (RedisError, OSError) as error:
        raise Away(type(error).__name__) from error  # its text may name the address with its password


async def close() -> None:
    """Give back the connections of this event loop."""
    found = _clients.pop(asyncio.get_running_loop(), None)
    if found is not None:
        with suppress(Away), answering():
            await found.aclose()
