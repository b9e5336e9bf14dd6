"""The one thread through which runs touch the database.

Bare tasks under Channels share a single thread with every consumer, where one slow query delays all.
Runs have their own; its order is first come, first served, so a final state can never be overtaken by
an earlier progress write. The connection stays open between calls (reconnecting costs more than the
write) and is dropped after an operational error, so that a restarted database is met with a new one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

from django.db import InterfaceError, OperationalError, connections

P = ParamSpec("P")
R = TypeVar("R")

_thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="turns-db")


async def in_db(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Run a sync function with database access in the runs' own thread."""

    def call() -> R:
        try:
            return function(*args, **kwargs)
        except (OperationalError, InterfaceError):
            connections.close_all()
            raise

    return await asyncio.get_running_loop().run_in_executor(_thread, call)


def close() -> None:
    """Give the thread's connection back, at shutdown and at the end of a test."""
    _thread.submit(connections.close_all).result()
