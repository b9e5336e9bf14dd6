"""A line at the door: of many questions that come at once a few are taken at a time, in their order.

Work on all of them together would make each as late as the last one, and the words of the first answers with it.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from weakref import WeakKeyDictionary

AT_ONCE = 8
"""While one waits for the database or the provider, others go on. With 3 of 200 that came within a second the last ones
waited twice as long, with 16 the words of the first ones were late by half as much again."""

_lines: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()


def in_line() -> AbstractAsyncContextManager[None]:
    """To be held from the check of a question to the answer to its form."""
    loop = asyncio.get_running_loop()
    return _lines.setdefault(loop, asyncio.Semaphore(AT_ONCE))
