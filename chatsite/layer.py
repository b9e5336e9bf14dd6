"""Channels' layer on Redis: rare events between the tabs of all processes, and no more than that.

What it carries is always in the database as well, so an event that is lost costs a reload, while an error that came up
from here would cost a question. Without Redis the layer is therefore silent, and says so once in the log.
"""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from channels_redis.pubsub import RedisPubSubChannelLayer, RedisPubSubLoopLayer, RedisSingleShardConnection
from redis.exceptions import RedisError

logger = logging.getLogger("chat.layer")

AWAY = (RedisError, OSError)
PAUSE_SECONDS = 1.0


class RedisLayer(RedisPubSubChannelLayer):
    def _get_layer(self) -> Any:
        loop = asyncio.get_running_loop()
        if loop not in self._layers:
            layer = super()._get_layer()  # hooks the end of the loop as well
            layer._shards = [Shard(shard.host, layer) for shard in layer._shards]
        return self._layers[loop]


class Shard(RedisSingleShardConnection):
    """The connection to one Redis, which may be away."""

    def __init__(self, host: dict[str, Any], channel_layer: RedisPubSubLoopLayer) -> None:
        super().__init__(host, channel_layer)
        self._wanted: set[str] = set()
        self._away_until = 0.0

    async def publish(self, channel: str, message: bytes) -> None:
        # Whoever posts a question waits for this: one of them a second finds out that Redis is still away.
        if time.monotonic() < self._away_until:
            return
        try:
            await super().publish(channel, message)
        except AWAY as error:
            self._note_away(error)

    async def subscribe(self, channel: str) -> None:
        self._wanted.add(channel)
        if time.monotonic() < self._away_until:
            return
        try:
            await super().subscribe(channel)
        except AWAY as error:
            self._note_away(error)

    async def unsubscribe(self, channel: str) -> None:
        self._wanted.discard(channel)
        try:
            await super().unsubscribe(channel)
        except AWAY as error:
            self._subscribed_to.discard(channel)
            self._note_away(error)

    async def flush(self) -> None:
        self._wanted.clear()
        await super().flush()

    async def _do_receiving(self) -> None:
        while True:
            try:
                for channel in self._wanted - self._subscribed_to:
                    await super().subscribe(channel)
                if not self._pubsub.subscribed:
                    await asyncio.sleep(PAUSE_SECONDS)
                    continue
                # After a lost connection this connects and subscribes again by itself.
                self._receive_message(await self._pubsub.get_message(ignore_subscribe_messages=True, timeout=1))
                self._note_back()
            except AWAY as error:
                self._note_away(error)
                await asyncio.sleep(PAUSE_SECONDS)

    def _note_away(self, error: Exception) -> None:
        if not self._away_until:
            logger.warning("Redis is away (%s); tabs of other processes hear nothing until it is back", _kind(error))
        self._away_until = time.monotonic() + PAUSE_SECONDS
        self._ensure_redis()
        self._ensure_receiver()

    def _note_back(self) -> None:
        if self._away_until:
            logger.warning("Redis is back")
            self._away_until = 0.0


def _kind(error: Exception) -> str:
    """The error without its text, which may name the address with its password."""
    return type(error).__name__
