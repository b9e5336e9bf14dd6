"""The full search for cycles waits until nothing is answered."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from chat.turns import garbage


class Knot:
    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def _no_search_by_itself(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(garbage, "CALM_SECONDS", 0)
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def test_a_full_search_waits_until_nothing_is_answered() -> None:
    found = _old_knot()
    is_busy = True
    looked = asyncio.Event()

    def busy() -> bool:
        looked.set()
        return is_busy

    searching = asyncio.create_task(garbage.run(busy))
    await looked.wait()
    assert not found.is_set()
    is_busy = False
    async with asyncio.timeout(10):
        await found.wait()
    searching.cancel()


async def test_where_little_has_happened_nothing_is_searched() -> None:
    found = asyncio.Event()
    weakref.finalize(Knot(), found.set)
    searching = asyncio.create_task(garbage.run(lambda: False))
    for _ in range(10):
        await asyncio.sleep(0)
    assert not found.is_set()
    searching.cancel()


def _old_knot() -> asyncio.Event:
    """A cycle that lived too long for the quick searches, after so many of them that a full one is due; if it is found."""
    knot, found = Knot(), asyncio.Event()
    weakref.finalize(knot, found.set)
    for _ in range(garbage.CALM_OLD):
        gc.collect(1)
    return found
