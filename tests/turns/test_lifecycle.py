"""What works in the background goes on working."""

from __future__ import annotations

import asyncio
import logging

import pytest

from chat.turns import lifecycle, run, sweep

pytestmark = pytest.mark.django_db(transaction=True)


async def test_what_broke_off_in_the_background_begins_again(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging.getLogger("chat"), "propagate", True)
    begun = asyncio.Queue[str]()
    broken = asyncio.Event()

    async def breaks() -> None:
        begun.put_nowait("writer")
        await broken.wait()
        raise ZeroDivisionError

    async def goes_on(spoken_for: object, adopt: object) -> None:
        begun.put_nowait("sweep")
        await asyncio.Event().wait()

    monkeypatch.setattr(run.writer, "run", breaks)
    monkeypatch.setattr(sweep, "run", goes_on)
    for _ in range(3):
        lifecycle.begin()
    assert {await begun.get(), await begun.get()} == {"writer", "sweep"}
    writer = next(task for task in asyncio.all_tasks() if task.get_name() == "writer")
    broken.set()
    await asyncio.wait([writer])
    assert "ZeroDivisionError" in caplog.text
    lifecycle.begin()
    assert await asyncio.wait_for(begun.get(), 5) == "writer"
    assert begun.empty()
    await lifecycle.end()


async def test_the_end_waits_for_the_requests_that_may_still_start_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    async def requests() -> None:
        await asyncio.sleep(0)
        order.append("requests")

    async def stop_all() -> None:
        order.append("runs")

    monkeypatch.setattr(lifecycle, "before_end", [requests])
    monkeypatch.setattr(run, "stop_all", stop_all)
    lifecycle.begin()
    await lifecycle.finish()
    assert order == ["requests", "runs"]
