"""How many answers of twenty words a second one process carries before their words come late."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .figures import Figure
from .product import Stage, people_at, stage
from .streams import steady, tell

P99_MS = 300
SECONDS = 4.0
STEP = 50
MOST = 550
MOST_BARE = 750
GOAL = 300


def measure(
    most: int = MOST, most_bare: int = MOST_BARE, step: int = STEP, seconds: float = SECONDS
) -> Sequence[Figure]:
    with stage() as ours:
        with ours.product() as product:
            people = product.people(most)
            found = largest(lambda count: carries(ours, people[:count], product.pid, seconds), step, most)
            complaints = product.locked
        with ours.relay() as relay:
            bare = largest(
                lambda count: carries(ours, people_at(relay, count), relay.pid, seconds), 2 * step, most_bare
            )
    return [
        Figure("streams", found, floor="streams_bare", at_least=GOAL),
        Figure("streams_bare", bare),
        Figure("locked", complaints, "times", at_most=0),
    ]


def largest(holds: Callable[[int], bool], step: int, most: int) -> int:
    """The largest multiple of `step` up to `most` that holds, by halving; 0 when none does."""
    low, high = 0, most // step + 1
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle * step):
            low = middle
        else:
            high = middle
    return low * step


def carries(ours: Stage, people: Sequence[dict[str, object]], pid: int, seconds: float) -> bool:
    with ours.people(people) as group:
        outcome = ours.run(group, steady(len(people), seconds), pid)
    tell(f"limit, {len(people)} streams", outcome)
    return outcome.complete == len(people) and outcome.p99_ms <= P99_MS
