"""A line at a door: of much that comes at once a few are taken at a time, in their order.

Work on all of it together would make each as late as the last one, and the words of the running answers with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakKeyDictionary

QUESTIONS_AT_ONCE = 8
"""While one waits for the database or the provider, others go on. Of 200 that came within a second, all of 4, 8 and 16
at once had the last ones begin as soon; with 32 the words of the first ones came three times as late."""

ENDS_AT_ONCE = 2
"""While one is stored the next is made ready. Of 300 answers that ended together the very last words came 150 to 250 ms late,
and with all ends at once 360 to 400: the thread of the database left the loop no time for them."""


class Line:
    """One for each event loop. `waiting`: how many stand in it."""

    def __init__(self, at_once: int) -> None:
        self.waiting = 0
        self._at_once = at_once
        self._places: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()

    @asynccontextmanager
    async def __call__(self) -> AsyncIterator[None]:
        """To be held while one is dealt with."""
        places = self._places.setdefault(asyncio.get_running_loop(), asyncio.Semaphore(self._at_once))
        self.waiting += 1
        try:
            await places.acquire()
        finally:
            self.waiting -= 1
        try:
            yield
        finally:
            places.release()


questions = Line(QUESTIONS_AT_ONCE)
ends = Line(ENDS_AT_ONCE)
