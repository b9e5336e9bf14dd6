"""Relays that break a promise, for the tests that say that it shows: `python -m tests.bench.broken PROVIDER_URL HOW`."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from . import relay

LATE_SECONDS = 0.3


class Losing(relay.Relay):
    """Loses one frame in ten."""

    sent = 0

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        self.sent += 1
        if self.sent % 10:
            await super().send(text_data)


class Silent(relay.Relay):
    """Says nothing at all."""

    async def answer(self, question: str) -> None:
        pass


class Twisting(relay.Relay):
    """Sends each pair of frames the wrong way round."""

    kept = ""

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        if self.kept or text_data == relay.END:
            await super().send(text_data)
            await super().send(self.kept)
            self.kept = ""
        else:
            self.kept = text_data or ""


class Late(relay.Relay):
    """Holds every frame back."""

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        await asyncio.sleep(LATE_SECONDS)
        await super().send(text_data)


class Busy(relay.Relay):
    """Does for each frame what nobody asked for."""

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        sum(range(100_000))
        await super().send(text_data)


class Greedy(relay.Relay):
    """Keeps a megabyte for each socket."""

    async def connect(self) -> None:
        self.kept = b"kept" * 250_000
        await super().connect()


class Fat(relay.Relay):
    """Sends ten kilobytes for each word."""

    async def send(self, text_data: str | None = None, bytes_data: bytes | None = None, close: bool = False) -> None:
        await super().send(f"{text_data}{' ' * 10_000}")


HOW: dict[str, Any] = {
    "losing": Losing,
    "silent": Silent,
    "twisting": Twisting,
    "late": Late,
    "busy": Busy,
    "greedy": Greedy,
    "fat": Fat,
}

if __name__ == "__main__":
    relay.main(HOW[sys.argv[2]])
