"""Django's cache on Redis, so that guesses at a password are counted for all processes together.

While Redis is away each process counts for itself: sign-in goes on, and is still limited.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django.core.cache.backends.redis import RedisCache
from redis.exceptions import RedisError

logger = logging.getLogger("chat.cache")

AWAY = (RedisError, OSError)


class Plain:
    """JSON, since Django's own serializer is pickle: who writes to Redis must not run code here."""

    def dumps(self, value: Any) -> str:
        return json.dumps(value)

    def loads(self, stored: bytes) -> Any:
        return json.loads(stored)


class SharedCache(RedisCache):
    def __init__(self, server: str, params: dict[str, Any]) -> None:
        params = {**params, "OPTIONS": {"serializer": Plain(), **params.get("OPTIONS", {})}}
        super().__init__(server, params)
        self._is_away = False
        self._own = LocMemCache("while redis is away", {"KEY_PREFIX": params.get("KEY_PREFIX", "")})

    def get(self, key: str, default: Any = None, version: int | None = None) -> Any:
        return self._ask(lambda cache: cache.get(key, default, version))

    def add(self, key: str, value: Any, *args: Any, **kwargs: Any) -> bool:
        return bool(self._ask(lambda cache: cache.add(key, value, *args, **kwargs)))

    def set(self, key: str, value: Any, *args: Any, **kwargs: Any) -> None:
        self._ask(lambda cache: cache.set(key, value, *args, **kwargs))

    def delete(self, key: str, version: int | None = None) -> bool:
        return bool(self._ask(lambda cache: cache.delete(key, version)))

    def _ask(self, question: Callable[[Any], Any]) -> Any:
        try:
            answer = question(super())
        except AWAY as error:
            if not self._is_away:
                logger.warning(
                    "Redis is away (%s); this process counts attempts to sign in for itself", type(error).__name__
                )
            self._is_away = True
            return question(self._own)
        self._is_away = False
        return answer
