"""Begin and end of this process's part in running turns.

No server tells an ASGI application when it starts under daphne (no lifespan), so the first request does:
`begin()` is cheap and may be called on each. `install()` hooks the shutdown of daphne's reactor, since
daphne gives consumers no notice; under a server with lifespan events `end()` is called by those.
"""

from __future__ import annotations

import asyncio
import contextvars
import sys

from chat import engines
from chat.turns import db, run, sweep

_background: list[asyncio.Task[None]] = []


def begin() -> None:
    """Start writer and sweep on the running loop, once."""
    loop = asyncio.get_running_loop()
    if any(task.get_loop() is loop and not task.done() for task in _background):
        return
    _background.clear()
    for work in (run.writer.run(), sweep.run(run.running)):
        _background.append(loop.create_task(work, context=contextvars.Context()))


async def end() -> None:
    """Store what runs as interrupted, then stop."""
    await run.stop_all()
    tasks = [task for task in _background if task.get_loop() is asyncio.get_running_loop()]
    _background.clear()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await engines.close()
    db.close()


def install() -> None:
    """Run `end` before daphne's reactor shuts down. Does nothing under another server."""
    if "twisted.internet.reactor" not in sys.modules:
        return
    from twisted.internet import reactor
    from twisted.internet.defer import Deferred

    def finish() -> Deferred[None]:
        return Deferred.fromFuture(asyncio.ensure_future(end()))

    reactor.addSystemEventTrigger("before", "shutdown", finish)
