"""Quiet tests run alone, the others beside each other."""

from __future__ import annotations

import fcntl
import threading
from pathlib import Path

from tests.house.alone import turn


def is_locked(lock: Path, how: int) -> bool:
    with lock.open("w") as file:
        try:
            fcntl.flock(file, how | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_tests_run_beside_each_other_but_a_quiet_one_alone(tmp_path: Path) -> None:
    room = tmp_path / "room"
    with turn(tmp_path, alone=False), turn(tmp_path, alone=False):
        assert is_locked(room, fcntl.LOCK_EX)
        assert not is_locked(room, fcntl.LOCK_SH)
    with turn(tmp_path, alone=True):
        assert is_locked(room, fcntl.LOCK_SH)
    assert not is_locked(room, fcntl.LOCK_EX)


def test_who_waits_to_be_alone_comes_before_those_who_come_later(tmp_path: Path) -> None:
    was_alone = threading.Event()

    def quiet() -> None:
        with turn(tmp_path, alone=True):
            was_alone.set()

    with turn(tmp_path, alone=False):
        waiting = threading.Thread(target=quiet)
        waiting.start()
        while not is_locked(tmp_path / "gate", fcntl.LOCK_EX):
            pass
        assert not was_alone.is_set()
    with turn(tmp_path, alone=False):
        assert was_alone.is_set()
    waiting.join()
