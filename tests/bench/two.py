"""Two processes on one PostgreSQL and one Redis, where a third of the tabs watch at the process that was not asked.

All processes share the machine as it comes: with databases beside the servers there are no cores to give away.
"""

from __future__ import annotations

import secrets
import statistics
from collections.abc import Sequence
from typing import Any, Protocol

from tests.house.postgresql import postgresql_server
from tests.house.redis import redis_server

from .crowd import Outcome
from .figures import Figure
from .product import stage
from .streams import kept, steady, tell

ROUNDS = 3
STREAMS = 200
SECONDS = 5.0
P99_MS = 500
ELSEWHERE = 3  # one tab in so many


class Served(Protocol):
    port: int


def measure(rounds: int = ROUNDS, streams: int = STREAMS, seconds: float = SECONDS) -> Sequence[Figure]:
    outcomes: list[Outcome] = []
    complete: list[int] = []
    with postgresql_server() as postgresql, redis_server() as redis, stage() as ours:
        shared = {
            "DATABASE_URL": postgresql.new_database(),
            "REDIS_URL": redis.url,
            "SECRET_KEY": secrets.token_urlsafe(64),
        }
        with ours.product(pinned=False, **shared) as first, ours.product(pinned=False, **shared) as second:
            people = spread(first.people(streams), first, second)
            for _ in range(rounds):
                with ours.people(people) as group:
                    outcomes.append(ours.run(group, steady(streams, seconds)))
                complete.append(kept(first, outcomes[-1]))
                tell("two", outcomes[-1], first, second)
    return figures(outcomes, complete, streams)


def spread(people: Sequence[dict[str, Any]], first: Served, second: Served) -> list[dict[str, Any]]:
    """Half of the people ask at each process; of both halves a third watches at the other one."""
    ports = (first.port, second.port)
    return [
        {
            **person,
            "port": ports[number % 2],
            "socket_port": ports[(number + (number // 2 % ELSEWHERE == 0)) % 2],
        }
        for number, person in enumerate(people)
    ]


def figures(outcomes: Sequence[Outcome], complete: Sequence[int], streams: int) -> Sequence[Figure]:
    def median(values: Sequence[float]) -> float:
        return statistics.median(values)

    return [
        Figure("complete", min(complete), f"of {streams}", at_least=streams),
        Figure("p50_ms", median([each.elsewhere_p50_ms for each in outcomes]), "ms", floor="p50_ms_all"),
        Figure("p50_ms_all", median([each.p50_ms for each in outcomes]), "ms"),
        Figure("p99_ms", median([each.elsewhere_p99_ms for each in outcomes]), "ms", "p99_ms_all", at_most=P99_MS),
        Figure("p99_ms_all", median([each.p99_ms for each in outcomes]), "ms"),
    ]
