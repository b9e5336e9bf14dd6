"""A browser that stops reading for twenty seconds while an answer floods in: what the server keeps for it.

The same answer is read first by somebody who keeps up: what it takes anyway is not the slow reader's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .answers import Order
from .crowd import Asked, Outcome
from .figures import Figure
from .product import Stage, people_at, stage
from .streams import kept, tell

WORDS = 21_000
PER_SECOND = 1_000
QUICKLY = 4_000
STOPPED = (0.5, 20.0)  # after so many seconds, for so many
BUFFER_BYTES = 64 * 1024  # of the system, on the reader's side; some megabytes else
GROWTH_MB = 5


def measure() -> Sequence[Figure]:
    with stage() as ours:
        with ours.product() as product:
            growth, outcome = grown(ours, product.people(1), product.pid)
            tell("slow", outcome, product)
            complete = kept(product, outcome)
        with ours.relay() as relay:
            bare, _ = grown(ours, people_at(relay, 1), relay.pid)
    return [
        Figure("growth_mb", growth, "MB", floor="growth_mb_bare", at_most=GROWTH_MB),
        Figure("growth_mb_bare", bare, "MB"),
        Figure("complete", complete, "of 1", at_least=1),
    ]


def grown(
    ours: Stage,
    people: Sequence[Mapping[str, Any]],
    pid: int,
    words: int = WORDS,
    stopped: tuple[float, float] = STOPPED,
) -> tuple[float, Outcome]:
    """By how many megabytes a process grows when its one reader stops, and what this one got in the end."""
    with ours.people(people, BUFFER_BYTES) as group:
        most = ours.run(group, [Asked(Order(0, words, QUICKLY), 0)], pid).most_bytes
        outcome = ours.run(group, [Asked(Order(0, words, PER_SECOND), 0)], pid, hold=stopped)
    return (outcome.most_bytes - most) / 1e6, outcome
