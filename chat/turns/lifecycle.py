"""Begin and end of this process's part in running turns.

No server tells an ASGI application when it starts under daphne (no lifespan), so the first request does:
`begin()` is cheap and may be called on each. `install()` hooks the shutdown of daphne's reactor, since
daphne gives consumers no notice; under a server with lifespan events `end()` is called by those.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from django.db import DatabaseError

from chat import engines
from chat.turns import db, forgetting, garbage, made, mirror, redis, run, sweep, telling

logger = logging.getLogger(__name__)

Work = Callable[[], Coroutine[Any, Any, None]]

_background: dict[str, asyncio.Task[None]] = {}

before_end: list[Work] = []
"""What the server brings to its end first: a request may still start a run, which would find everything closed."""


def begin() -> None:
    """Start writer, sweep and the like on the running loop, once; again, should one have broken off."""
    _keep_up("writer", lambda: run.writer.run())
    _keep_up("sweep", lambda: sweep.run(run.spoken_for, run.adopt))
    _keep_up("collecting of what was made", made.run)
    _keep_up("forgetting", forgetting.run)
    _keep_up("search for garbage", lambda: garbage.run(lambda: bool(run.running())))
    if redis.is_used():
        _keep_up("telling", telling.listen)


def _keep_up(name: str, work: Work) -> None:
    loop = asyncio.get_running_loop()
    task = _background.get(name)
    if task is not None and task.get_loop() is loop and not task.done():
        return
    task = loop.create_task(work(), name=name, context=contextvars.Context())
    task.add_done_callback(_ended)
    _background[name] = task


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("the %s broke off; it begins again with the next request", task.get_name(), exc_info=fault)


async def finish() -> None:
    """The end of a process that serves requests."""
    for work in before_end:
        await work()
    await end()


async def end() -> None:
    """Leave what goes on without us, store all else as interrupted, then stop.

    The sweep first: what it adopted now would have to be left again at once.
    """
    await _end("sweep")
    await run.stop_all()
    try:
        await run.writer.settle()
    except DatabaseError:
        logger.exception("the database is away; these turns end without their last words: %s", run.spoken_for())
    tasks = [task for task in _background.values() if task.get_loop() is asyncio.get_running_loop()]
    _background.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await mirror.mirrors.end()
    await redis.close()
    await engines.close()
    db.close()


async def _end(name: str) -> None:
    task = _background.get(name)
    if task is not None and task.get_loop() is asyncio.get_running_loop():
        task.cancel()
        await asyncio.wait([task])


def install() -> None:
    """Run `finish` before daphne's reactor shuts down. Does nothing under another server."""
    if "twisted.internet.reactor" not in sys.modules:
        return
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    def last() -> Deferred[None]:
        return Deferred.fromFuture(asyncio.ensure_future(finish()))

    reactor.addSystemEventTrigger("before", "shutdown", last)
