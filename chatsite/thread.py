"""The thread of a request: it does all in one, and leaves it to the next request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from asgiref.sync import ThreadSensitiveContext
from django.db import connections

KEPT = 16
"""Threads that wait for a request, each with its connection to the database."""

_idle: list[ThreadPoolExecutor] = []


@asynccontextmanager
async def a_thread() -> AsyncIterator[None]:
    """A thread for what a request does synchronously.

    By itself Django begins and ends one with each request, and SQLite is opened anew in it: on the way of a question
    that is a tenth of what all of it costs.
    """
    executor = _idle.pop() if _idle else ThreadPoolExecutor(max_workers=1, thread_name_prefix="request")
    try:
        async with ThreadSensitiveContext(executor=executor):
            yield
    except asyncio.CancelledError:
        # What was begun in it is not cancelled: the next request would have to wait for that.
        loop = asyncio.get_running_loop()
        executor.submit(_nothing).add_done_callback(lambda _: loop.call_soon_threadsafe(_give_back, executor))
        raise
    except BaseException:
        _give_back(executor)
        raise
    _give_back(executor)


def _give_back(executor: ThreadPoolExecutor) -> None:
    if len(_idle) < KEPT:
        _idle.append(executor)
        return
    executor.submit(connections.close_all)
    executor.shutdown(wait=False)


def _nothing() -> None:
    pass
