"""Which test starts when, where several workers share them: the longest first, those that have to be alone last.

A worker takes one unit after the other, in the order of the collection: a file with what its tests share, or one test
of a file whose tests are long. Between those that wait, for a browser or a server, come those that compute: there are
fewer cores than workers. Everything else follows in its random order, so that no worker is left with a long test at
the end.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import PurePosixPath
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.house.alone import is_quiet

# Files, and folders for those that are not named; the longest first.
WAITING = [
    "tests/scale/test_postgresql.py",
    "tests/journeys/test_main.py",
    "tests/web/test_two_processes.py",
    "tests/house/test_serve.py",
    "tests/bench/test_files.py",
    "tests/turns/test_deploy.py",
    "tests/journeys/test_writing.py",
    "tests/journeys/test_deploy.py",
    "tests/local/test_serve.py",
    "tests/admin/test_browser.py",
    "tests/drills/test_drill.py",
    "tests/scale/test_deploy.py",
    "tests/offline/test_serving.py",
    "tests/bench/test_promises.py",
    "tests/house/test_settings.py",
    "tests/house/test_signin_in_a_browser.py",
    "tests/scale",
    "tests/journeys",
    "tests/local",
    "tests/conformance",
]
COMPUTING = [
    "tests/rendering/test_live_markdown.py",
    "tests/responses/test_garbage.py",
    "tests/responses/test_fold_properties.py",
    "tests/responses/test_stream_properties.py",
    "tests/files/test_corpus.py",
    "tests/rendering/test_live.py",
    "tests/rendering/test_safety.py",
    "tests/bench/test_paced.py",
    "tests/turns/test_parts.py",
    "tests/responses/test_client_hostile.py",
    "tests/responses/test_recordings.py",
    "tests/turns/test_mirror.py",
    "tests/files/test_inspect.py",
    "tests/admin/test_connection.py",
    "tests/offline/test_schemas.py",
    "tests/responses/test_shapes.py",
    "tests/files/test_delivery.py",
]
# Of these each test is a unit: it is long, and shares with others at most what a worker has once.
APART = {
    "tests/journeys",
    "tests/responses/test_garbage.py",
    "tests/responses/test_fold_properties.py",
    "tests/responses/test_stream_properties.py",
}


def named_in(names: Sequence[str] | set[str], file: str) -> str | None:
    """The file or its folder, whichever is named."""
    return next((name for name in (file, str(PurePosixPath(file).parent)) if name in names), None)


def unit_of(nodeid: str) -> str:
    file = nodeid.partition("::")[0]
    return nodeid if named_in(APART, file) else file


def units(nodeids: Sequence[str]) -> list[list[str]]:
    """What follows each other and belongs together."""
    return [list(unit) for _, unit in groupby(nodeids, unit_of)]


def in_order(nodeids: Sequence[str]) -> list[str]:
    """The same tests, by units."""
    gathered: dict[str, list[str]] = {}
    for nodeid in nodeids:
        gathered.setdefault(unit_of(nodeid), []).append(nodeid)
    waiting = _longest_first(gathered, WAITING)
    computing = _longest_first(gathered, COMPUTING)
    rest = [unit for unit in gathered if unit not in {*waiting, *computing}]
    return [nodeid for unit in (*_spread(waiting, computing), *rest) for nodeid in gathered[unit]]


def _longest_first(gathered: dict[str, list[str]], names: list[str]) -> list[str]:
    found = {unit: name for unit in gathered if (name := named_in(names, unit.partition("::")[0]))}
    return sorted(found, key=lambda unit: names.index(found[unit]))


def _spread(*rows: list[str]) -> Iterator[str]:
    """Each row in its order, and all of them evenly mixed."""
    placed = [((place + 0.5) / len(row), unit) for row in rows for place, unit in enumerate(row)]
    return (unit for _, unit in sorted(placed, key=lambda pair: pair[0]))


@pytest.hookimpl(trylast=True)  # after the order was made random: within what is as long it stays so
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Quiet tests come last: anywhere else each would have all workers wait for the longest test that runs."""
    items.sort(key=is_quiet)
    if not hasattr(config, "workerinput"):
        return
    loud = {item.nodeid: item for item in items if not is_quiet(item)}
    items[: len(loud)] = [loud[nodeid] for nodeid in in_order(list(loud))]


class InOrder(LoadScopeScheduling):
    """Give the units out as they were collected."""

    def schedule(self) -> None:
        if self.collection is None:
            collected = units(next(iter(self.registered_collections.values())))
            self._unit = {nodeid: str(number) for number, unit in enumerate(collected) for nodeid in unit}
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return self._unit[nodeid]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> InOrder | None:
    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False
    return InOrder(config, log)
