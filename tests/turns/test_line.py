"""What comes together is taken a few at a time, in the order in which it came."""

from __future__ import annotations

import asyncio

from chat.turns.line import Line

AT_ONCE = 3


async def test_a_few_are_taken_at_a_time_and_in_order() -> None:
    full, going_on = asyncio.Event(), asyncio.Event()
    taken: list[int] = []
    line = Line(AT_ONCE)

    async def ask(number: int) -> None:
        async with line():
            taken.append(number)
            if len(taken) == AT_ONCE:
                full.set()
            await going_on.wait()

    async with asyncio.TaskGroup() as group:
        asks = [group.create_task(ask(number)) for number in range(3 * AT_ONCE)]
        await full.wait()
        for _ in asks:  # time for all others to come in, if they may
            await asyncio.sleep(0)
        assert taken == list(range(AT_ONCE))
        assert line.waiting == 2 * AT_ONCE
        asks[AT_ONCE].cancel()  # whose browser has left
        going_on.set()
    assert taken == [number for number in range(3 * AT_ONCE) if number != AT_ONCE]
    assert line.waiting == 0
