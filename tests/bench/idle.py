"""What a page costs that is open and at which nothing happens: two thousand sockets on one process."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

from .figures import Figure
from .machine import cpu_seconds, resident_bytes
from .product import Stage, people_at, stage

SOCKETS = 2_000
PEOPLE = 100
WARM_UP = 50
SETTLE_SECONDS = 1.0
WATCHED_SECONDS = 5.0
KB_PER_SOCKET = 100


def measure(sockets: int = SOCKETS, seconds: float = WATCHED_SECONDS) -> Sequence[Figure]:
    with stage() as ours:
        with ours.product() as product:
            people = [{**person, "idle": True} for person in product.people(PEOPLE)]
            # Signed in as few, with many tabs each: a session is read for each socket all the same.
            tabs = [people[number % PEOPLE] for number in range(sockets)]
            kb, percent = open_tabs(ours, product.pid, tabs, seconds)
        with ours.relay() as relay:
            bare, _ = open_tabs(ours, relay.pid, people_at(relay, sockets), 0.0)
    return [
        Figure("kb_per_socket", kb, "kB", floor="kb_per_socket_bare", at_most=KB_PER_SOCKET),
        Figure("kb_per_socket_bare", bare, "kB"),
        Figure("cpu_percent", percent, "% of a core"),
    ]


def open_tabs(ours: Stage, pid: int, tabs: Sequence[Mapping[str, Any]], seconds: float) -> tuple[float, float]:
    """What each of these sockets adds to the process in kilobytes, and the CPU time of all in percent."""
    with ours.people(tabs[:WARM_UP]):  # what the first ones load is there for all
        pass
    time.sleep(SETTLE_SECONDS)
    before = resident_bytes(pid)
    with ours.people(tabs):
        time.sleep(SETTLE_SECONDS)
        kb = (resident_bytes(pid) - before) / len(tabs) / 1000
        used = cpu_seconds(pid)
        time.sleep(seconds)
        percent = (cpu_seconds(pid) - used) / seconds * 100 if seconds else 0.0
    return kb, percent
