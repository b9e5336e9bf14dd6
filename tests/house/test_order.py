"""Long tests first and one by one, files whole."""

from __future__ import annotations

from tests.house import order
from tests.house.serving import ROOT

JOURNEYS = [f"tests/journeys/test_files.py::test_{number}" for number in range(3)]
GARBAGE = [f"tests/responses/test_garbage.py::test_{number}" for number in range(2)]
SERVE = [f"tests/house/test_serve.py::test_{number}" for number in range(2)]
SHORT = ["tests/web/test_pages.py::TestOne::test_1", "tests/web/test_pages.py::test_2", "tests/test_engines.py::test_1"]


def test_the_files_that_are_named_exist() -> None:
    assert [name for name in {*order.WAITING, *order.COMPUTING, *order.APART} if not (ROOT / name).exists()] == []


def test_the_longest_come_first_and_between_those_that_wait_come_those_that_compute() -> None:
    collected = [SHORT[0], GARBAGE[0], SERVE[0], JOURNEYS[0], SHORT[2], SHORT[1], *JOURNEYS[1:], GARBAGE[1], SERVE[1]]
    found = order.in_order(collected)
    assert found == [*SERVE, GARBAGE[0], *JOURNEYS[:2], GARBAGE[1], JOURNEYS[2], *SHORT]


def test_a_unit_is_a_file_or_a_long_test() -> None:
    assert order.units([*SERVE, *JOURNEYS, *SHORT]) == [
        SERVE,
        *([journey] for journey in JOURNEYS),
        SHORT[:2],
        SHORT[2:],
    ]


def test_a_file_whose_quiet_tests_come_last_is_two_units() -> None:
    assert order.units([SHORT[0], SHORT[2], SHORT[1]]) == [[SHORT[0]], [SHORT[2]], [SHORT[1]]]
