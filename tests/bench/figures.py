"""What a group gives back, and how it is shown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """One measured number.

    `floor` is the name of the figure of the same group that this one is to be read against: the same work without us.
    `at_most` and `at_least` are promises; a figure without one is information.
    """

    name: str
    value: float
    unit: str = ""
    floor: str | None = None
    at_most: float | None = None
    at_least: float | None = None

    @property
    def promise(self) -> str:
        if self.at_most is not None:
            return f"at most {self.at_most:g}"
        return f"at least {self.at_least:g}" if self.at_least is not None else ""

    @property
    def is_kept(self) -> bool:
        return (self.at_most is None or self.value <= self.at_most) and (
            self.at_least is None or self.value >= self.at_least
        )


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that so many percent of them do not exceed. Where there are none: never."""
    if not values:
        return math.inf
    return sorted(values)[max(math.ceil(len(values) * percent / 100) - 1, 0)]


Results = Mapping[str, Sequence[Figure]]  # by group


def flat(results: Results) -> dict[str, float | None]:
    """`group.figure` to number, None for never: floors and promises are numbers of their own beside it."""
    numbers: dict[str, float | None] = {}
    for group, figure in _each(results):
        key = f"{group}.{figure.name}"
        numbers[key] = round(figure.value, 3) if math.isfinite(figure.value) else None
        for suffix, limit in (("at_most", figure.at_most), ("at_least", figure.at_least)):
            if limit is not None:
                numbers[f"{key}_{suffix}"] = limit
    return numbers


def table(results: Results) -> str:
    rows = [("figure", "value", "unit", "floor", "promise", "")]
    for group, figure in _each(results):
        floor = next((other.value for other in results[group] if other.name == figure.floor), None)
        verdict = ("kept" if figure.is_kept else "BROKEN") if figure.promise else ""
        shown = _number(floor) if floor is not None else ""
        rows.append((f"{group}.{figure.name}", _number(figure.value), figure.unit, shown, figure.promise, verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    right = {1, 3}
    lines = [
        "  ".join(cell.rjust(width) if i in right else cell.ljust(width) for i, (cell, width) in enumerate(cells))
        for cells in (list(zip(row, widths, strict=True)) for row in rows)
    ]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def broken(results: Results) -> list[str]:
    return [f"{group}.{figure.name}" for group, figure in _each(results) if not figure.is_kept]


def _each(results: Results) -> Iterable[tuple[str, Figure]]:
    return ((group, figure) for group, figures in results.items() for figure in figures)


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
