"""Channels' layer within this process: rare events between the tabs that it serves."""

from __future__ import annotations

import time

from channels.layers import InMemoryChannelLayer

CLEANING_SECONDS = 5.0


class MemoryLayer(InMemoryChannelLayer):
    """Looks for what has expired now and then: by itself it does with each message, at all channels and groups."""

    _cleaned_at = float("-inf")

    def _clean_expired(self) -> None:
        now = time.monotonic()
        if now - self._cleaned_at >= CLEANING_SECONDS:
            self._cleaned_at = now
            super()._clean_expired()
