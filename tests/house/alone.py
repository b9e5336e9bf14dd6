"""Tests that measure time run while no other does: those marked `quiet` have the machine to themselves.

Workers share a lock, each test beside the others and a quiet one alone. A test that waits for the lock holds the gate
before it, so that the others cannot keep a quiet test out for ever.
"""

from __future__ import annotations

import fcntl
import shutil
import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = pytest.StashKey[str]()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell a worker where the locks are: one folder for all workers of this run, and for no other run's."""
    if FOLDER not in node.config.stash:
        node.config.stash[FOLDER] = folder = tempfile.mkdtemp(prefix="responses-chat-locks-")
        node.config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    node.workerinput["locks"] = node.config.stash[FOLDER]


def is_quiet(item: pytest.Item) -> bool:
    return item.get_closest_marker("quiet") is not None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Around everything that a test does, its fixtures and its time limit included."""
    folder = getattr(item.config, "workerinput", {}).get("locks")
    if folder is None:
        return (yield)  # without workers each test is alone
    with turn(Path(folder), alone=is_quiet(item)):
        return (yield)


@contextmanager
def turn(folder: Path, *, alone: bool) -> Iterator[None]:
    """Wait for one's turn: beside others, or alone."""
    with (folder / "gate").open("w") as gate, (folder / "room").open("w") as room:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(room, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        try:
            yield
        finally:
            # Closing is not enough while a process that the test forked has the file open, too.
            fcntl.flock(room, fcntl.LOCK_UN)
