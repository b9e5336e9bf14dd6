"""How figures are shown, and that a broken promise shows."""

from __future__ import annotations

from tests.bench.figures import Figure, broken, flat, table

RESULTS = {
    "paced": [
        Figure("cost", 12.3456, "µs", floor="cost_bare"),
        Figure("cost_bare", 10.0, "µs"),
        Figure("ratio", 1.23, at_most=1.3),
    ],
    "page": [Figure("rate", 4_321.0, "1/s", at_least=5_000)],
}


def test_numbers_and_promises_are_keys_of_one_level() -> None:
    assert flat(RESULTS) == {
        "paced.cost": 12.346,
        "paced.cost_bare": 10.0,
        "paced.ratio": 1.23,
        "paced.ratio_at_most": 1.3,
        "page.rate": 4_321.0,
        "page.rate_at_least": 5_000,
    }


def test_the_table_shows_the_floor_beside_the_figure() -> None:
    lines = [line.split() for line in table(RESULTS).splitlines()]
    assert ["paced.cost", "12.3", "µs", "10"] in lines
    assert ["paced.ratio", "1.23", "at", "most", "1.3", "kept"] in lines
    assert ["page.rate", "4,321", "1/s", "at", "least", "5000", "BROKEN"] in lines


def test_a_broken_promise_is_named() -> None:
    assert broken(RESULTS) == ["page.rate"]
