"""Python's search for cycles, kept out of the way of the words: a full one holds up every answer.

With 200 answers on their way it takes a quarter of a second, and by itself Python would begin one every other second.
What is there from the start is therefore never looked at again, and full searches wait until nothing is answered, or
until there is much to find.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable

YOUNG = 10_000
"""New objects until the youngest are looked at: most of a question's are gone by then."""
MIDDLE = 2
OLD = 10
"""Searches of the middle-aged ones until a full one begins by itself; each stands for some 70 questions."""
CALM_OLD = 3
CALM_SECONDS = 1.0


def set_aside() -> None:
    """To be called once, when everything is imported."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)


async def run(is_busy: Callable[[], bool]) -> None:
    """Search when it holds nobody up."""
    while True:
        await asyncio.sleep(CALM_SECONDS)
        if not is_busy() and gc.get_count()[2] >= CALM_OLD:
            gc.collect()
