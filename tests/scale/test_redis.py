"""Channels' layer and the cache on a real Redis: shared by processes, and silent instead of broken while it is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.core.cache.backends.base import BaseCache

from chatsite import scale
from chatsite.cache import SharedCache
from chatsite.layer import RedisLayer
from tests.house.redis import Redis

HELLO = {"type": "hello"}


def layer_for(redis: Redis) -> RedisLayer:
    return RedisLayer(**scale.channel_layer(redis.url)["CONFIG"])


@contextmanager
def cache_for(redis: Redis) -> Iterator[BaseCache]:
    config = scale.cache(redis.url)
    cache = SharedCache(config.pop("LOCATION"), config)
    yield cache
    for pool in cache._cache._pools.values():
        pool.disconnect()


@pytest.fixture
async def layers(redis: Redis) -> AsyncIterator[list[Any]]:
    """Two, as two processes have them."""
    layers = [layer_for(redis), layer_for(redis)]
    yield layers
    for layer in layers:
        await layer.flush()


async def until_heard(sender: Any, layer: Any, channel: str) -> None:
    """Send until it comes: a layer finds out by itself when Redis is back."""
    hearing = asyncio.ensure_future(layer.receive(channel))
    async with asyncio.timeout(15):
        while not hearing.done():
            await sender.group_send("people", HELLO)
            await asyncio.wait([hearing], timeout=0.2)
    assert hearing.result() == HELLO


async def test_an_event_reaches_the_tabs_of_another_process_and_no_others(layers: list[Any]) -> None:
    here, there = layers
    channel, other = await there.new_channel(), await there.new_channel()
    await there.group_add("people", channel)
    await there.group_add("others", other)
    await here.group_send("people", HELLO)
    assert await asyncio.wait_for(there.receive(channel), 5) == HELLO
    await here.group_send("others", {"type": "last"})
    assert await asyncio.wait_for(there.receive(other), 5) == {"type": "last"}


async def test_who_listens_hears_nothing_for_a_while_and_is_not_hung_up_on(
    redis: Redis, layers: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    here, there = layers
    channel = await there.new_channel()
    await there.group_add("people", channel)
    await until_heard(here, there, channel)
    await asyncio.to_thread(redis.stop)
    late = await there.new_channel()  # a page is opened
    await there.group_add("people", late)
    for _ in range(50):
        await here.group_send("people", HELLO)  # and others ask
    await asyncio.to_thread(redis.start)
    await until_heard(here, there, late)
    await until_heard(here, there, channel)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING and "away" in record.message]
    assert 1 <= len(said) <= 2  # once for each of the two
    assert redis.url not in caplog.text


def test_attempts_are_counted_together_and_while_redis_is_away_by_each(redis: Redis) -> None:
    with cache_for(redis) as here, cache_for(redis) as there:
        assert_counted_together(redis, here, there)


def assert_counted_together(redis: Redis, here: BaseCache, there: BaseCache) -> None:
    assert here.add("attempts", [1.5], 60)
    assert not there.add("attempts", [2.5], 60)
    assert there.get("attempts") == [1.5]
    redis.stop()
    assert here.get("attempts") is None
    here.set("attempts", [3.5], 60)
    assert here.get("attempts") == [3.5]
    assert here.delete("attempts")
    redis.start()
    there.set("attempts", [4.5], 60)
    assert here.get("attempts") == [4.5]
