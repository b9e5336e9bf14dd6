"""A file of 50 MB comes in, and goes up, at a real server in little memory, while others get their answers.

How late those are is measured by `make bench`, where nothing else runs.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.files import GROWTH_MB, STREAMS, Round, coming_in, going_up
from tests.bench.product import Stage, stage


@pytest.fixture
def ours(prepared_data: Path) -> Iterator[Stage]:
    with stage() as ours:
        shutil.copytree(prepared_data, ours.folder / "data")
        yield ours


def check(one: Round) -> None:
    assert one.files >= 1
    assert one.complete == STREAMS
    assert one.growth_mb <= GROWTH_MB


def test_fifty_megabytes_come_in(ours: Stage) -> None:
    for one in coming_in(ours, 1):
        check(one)


def test_fifty_megabytes_go_up(ours: Stage) -> None:
    found = going_up(ours, 1)
    assert set(found) == {"inline", "by_id"}
    for rounds in found.values():
        check(*rounds)
