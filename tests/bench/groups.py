"""The groups of figures, in the order in which they are measured. A new group is a module and a line here."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from . import files, idle, limit, paced, slow, streams, two
from .figures import Figure

GROUPS: dict[str, Callable[[], Sequence[Figure]]] = {
    "paced": paced.measure,  # the CPU of a hundred answers that stream in
    "one": streams.measure_one,  # from the question to the first word at the page
    "flood": streams.measure_flood,  # an answer that comes flat out
    "many": streams.measure_many,  # two hundred answers at once
    "two": two.measure,  # the same on two processes with PostgreSQL and Redis
    "idle": idle.measure,  # the memory of two thousand open pages
    "slow": slow.measure,  # the memory that a stopped browser costs
    "files": files.measure,  # fifty megabytes come in and go up beside the answers of others
    "limit": limit.measure,  # how many answers one process carries
}
