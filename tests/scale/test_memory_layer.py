"""The layer of a single process lets messages expire as Channels' own does, without looking at all of them each time."""

from __future__ import annotations

import asyncio

import pytest

from chatsite import memory
from chatsite.memory import MemoryLayer


async def test_messages_that_nobody_takes_expire_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("channels.layers.time.time", lambda: now[0])
    monkeypatch.setattr("chatsite.memory.time.monotonic", lambda: now[0])
    layer = MemoryLayer(expiry=1)
    await layer.group_add("person", "tab")
    await layer.group_send("person", {"type": "hint"})
    now[0] += 2
    await layer.group_send("nobody", {"type": "hint"})
    assert layer.channels["tab"].qsize() == 1  # expired, and not looked at yet
    now[0] += memory.CLEANING_SECONDS
    await layer.group_send("nobody", {"type": "hint"})
    assert not layer.channels
    assert not layer.groups["person"]


async def test_a_message_arrives() -> None:
    layer = MemoryLayer()
    await layer.group_add("person", "tab")
    await layer.group_send("person", {"type": "hint"})
    async with asyncio.timeout(5):
        assert await layer.receive("tab") == {"type": "hint"}
