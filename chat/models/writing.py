"""In line to write: SQLite lets one connection write at a time, and whoever finds it busy sleeps, longer each time.

Those of this process wait in line instead, for questions and the progress of answers come by the hundred. Other
databases need no line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction

_turn_to_write = threading.RLock()


@contextmanager
def writing() -> Iterator[None]:
    """A transaction that writes. To be entered outside of any other one: who has the database must not wait for the line."""
    if connection.vendor != "sqlite":
        with transaction.atomic():
            yield
        return
    with _turn_to_write, transaction.atomic():
        yield
