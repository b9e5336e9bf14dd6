"""The promises about streams and pages: that the figures follow from what happened, and that what is broken shows.

The loads are tiny. What the product promises is measured by `make bench`; here it is measured that it can be.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.bench import idle, limit, slow, two
from tests.bench.answers import Order
from tests.bench.crowd import Asked, Outcome, Seen
from tests.bench.figures import broken, percentile
from tests.bench.product import Child, Product, Stage, people_at, stage
from tests.bench.streams import many_figures, rush, steady

GOOD = Outcome(
    complete=200,
    turns={},
    p50_ms=10,
    p99_ms=60,
    elsewhere_p50_ms=10,
    elsewhere_p99_ms=60,
    first_ms=[300.0] * 190 + [900.0] * 10,
    span_ms=[],
    cpu_us_per_delta=140,
    most_bytes=0,
    problems=[],
)
FLOOR = replace(GOOD, p50_ms=1, p99_ms=3, cpu_us_per_delta=100)


def found(complete: int = 200, locked: int = 0, **changes: Any) -> list[str]:
    """What is broken when all is well but for these."""
    runs = {"rush": [replace(GOOD, **changes)], "steady": [replace(GOOD, **changes)], "relay": [FLOOR]}
    return broken({"many": many_figures(runs, [200, complete], 200, locked)})


def test_all_promises_of_many_streams_can_be_kept() -> None:
    assert found() == []


@pytest.mark.parametrize(
    ("changes", "figure"),
    [
        ({"complete": 199}, "complete"),
        ({"locked": 1}, "locked"),
        ({"p50_ms": 71}, "p50_ms"),
        ({"p99_ms": 251}, "p99_ms"),
        ({"p99_ms": math.inf}, "p99_ms"),
        ({"first_ms": [300.0] * 180 + [1001.0] * 20}, "first_delta_p95_ms"),
        ({"first_ms": []}, "first_delta_p95_ms"),
        ({"cpu_us_per_delta": 151}, "cpu_us_per_delta"),
        ({"cpu_us_per_delta": math.inf}, "cpu_us_per_delta"),
    ],
)
def test_each_promise_of_many_streams_can_break(changes: dict[str, Any], figure: str) -> None:
    assert found(**changes) == [f"many.{figure}"]


def test_each_promise_of_two_processes_can_break() -> None:
    assert broken({"two": two.figures([GOOD, GOOD, GOOD], [200, 200, 200], 200)}) == []
    assert broken({"two": two.figures([GOOD], [200, 199], 200)}) == ["two.complete"]
    late = replace(GOOD, elsewhere_p99_ms=501)
    assert broken({"two": two.figures([GOOD, late, late], [200], 200)}) == ["two.p99_ms"]
    assert broken({"two": two.figures([GOOD, GOOD, late], [200], 200)}) == []


@pytest.mark.parametrize("most", range(12))
def test_the_limit_is_the_largest_number_that_holds(most: int) -> None:
    asked: list[int] = []

    def holds(streams: int) -> bool:
        asked.append(streams)
        return streams <= most * 50

    assert limit.largest(holds, 50, 550) == most * 50
    assert len(asked) <= 4, "each answer takes a while"


def test_a_percentile_is_a_value_that_was_measured() -> None:
    assert percentile(range(1, 201), 50) == 100
    assert percentile(range(1, 201), 99) == 198
    assert percentile([7.0], 99) == 7
    assert percentile([], 50) == math.inf


TURN = '<article class="turn" id="t7"><div class="answer" id="t7-answer"></div></article>'
FOOT = '<footer id="t7-foot" data-status="completed"></footer>'


def seen(*frames: str) -> Seen:
    """An answer of three words that came in these frames."""
    seen = Seen(Order(0, 3, 0), turn=7, shown=TURN, frames=[*frames, FOOT])
    for frame in seen.frames or ():
        seen.take(frame.encode())
    seen.look_at_page()
    return seen


def test_an_answer_is_whole_when_the_page_shows_each_word_once() -> None:
    first, rest = "<p hx-swap-oob='beforeend:#t7-answer'>w000000 </p>", "w000001 w000002"
    assert seen(first, f"<p hx-swap-oob='beforeend:#t7-answer'>{rest}</p>").is_complete
    assert seen(first, f"<div id='t7-answer' hx-swap-oob='true'>w000000 {rest}</div>").is_complete, "sent anew"
    twice = seen(first, f"<p hx-swap-oob='beforeend:#t7-answer'>w000000 {rest}</p>")
    assert twice.next == 3
    assert not twice.is_complete
    assert not seen(first, f"<p hx-swap-oob='beforeend:#elsewhere'>{rest}</p>").is_complete
    assert not seen(first, "<p hx-swap-oob='beforeend:#t7-answer'>w000002</p>").is_complete


@pytest.fixture(scope="module")
def ours(prepared_data: Path) -> Iterator[Stage]:
    with stage() as ours:
        shutil.copytree(prepared_data, ours.folder / "data")
        yield ours


@pytest.fixture(scope="module")
def product(ours: Stage) -> Iterator[Product]:
    with ours.product() as product:
        yield product


@pytest.mark.quiet
def test_what_the_product_does_is_seen(ours: Stage, product: Product) -> None:
    with ours.people(product.people(3)) as group:
        for asked in (rush(3, 0.5), steady(3, 1)):
            outcome = ours.run(group, asked, product.pid)
            words = asked[0].order.words
            assert outcome.problems == []
            assert outcome.complete == 3
            assert list(outcome.turns.values()) == [words] * 3
            assert product.whole(outcome.turns) == 3
            assert product.whole(dict.fromkeys(outcome.turns, words + 1)) == 0, "another text is not this one"
            assert 0 < outcome.p50_ms <= outcome.p99_ms
            assert len(outcome.first_ms) == 3
        # The words come over a second.
        assert all(900 < span < 5000 for span in outcome.span_ms)
        assert 0 < outcome.cpu_us_per_delta < math.inf
    assert product.locked == 0


def test_who_signs_in_by_a_link_asks_like_everybody(ours: Stage, product: Product) -> None:
    with ours.people([product.sign_in("alice")]) as group:
        assert ours.run(group, [Asked(Order(0, 40, 0), 0)]).complete == 1, product.complaints


@pytest.mark.quiet
def test_what_is_open_and_what_is_stopped_costs_little(ours: Stage, product: Product) -> None:
    person = product.people(1)
    kb, _ = idle.open_tabs(ours, product.pid, [{**person[0], "idle": True}] * 60, 0)
    assert kb < idle.KB_PER_SOCKET
    growth, outcome = slow.grown(ours, person, product.pid, 1500, (0.1, 1.5))
    assert growth < slow.GROWTH_MB
    assert outcome.complete == 1, product.complaints


@pytest.mark.quiet
def test_what_is_kept_for_open_and_stopped_pages_shows(ours: Stage) -> None:
    with ours.relay("greedy", module="broken") as relay:
        kb, _ = idle.open_tabs(ours, relay.pid, people_at(relay, 60), 0)
        assert kb > idle.KB_PER_SOCKET
    with ours.relay("fat", module="broken") as relay:
        growth, outcome = slow.grown(ours, people_at(relay, 1), relay.pid, 1500, (0.1, 1.5))
        assert growth > slow.GROWTH_MB
        assert outcome.complete == 1, "and all of it comes in the end"


@pytest.mark.quiet
def test_a_process_carries_what_comes_in_time(ours: Stage, product: Product) -> None:
    assert limit.carries(ours, product.people(2), product.pid, 0.5)


@dataclass
class Process:
    port: int


def test_a_third_of_the_tabs_watches_where_nobody_asked() -> None:
    people = two.spread([{}] * 12, Process(1), Process(2))
    assert [person["port"] for person in people] == [1, 2] * 6
    elsewhere = [person for person in people if person["port"] != person["socket_port"]]
    assert sorted(person["port"] for person in elsewhere) == [1, 1, 2, 2]


def test_without_us_in_between_a_word_takes_less(ours: Stage) -> None:
    with ours.people([{"url": ours.provider_url}]) as group:
        outcome = ours.run(group, [Asked(Order(0, 20, 100, 0.2), 0)])
    assert outcome.complete == 1
    assert outcome.first_ms[0] > 200, "the provider thinks first"


@pytest.fixture(scope="module")
def relay(ours: Stage) -> Iterator[Child]:
    with ours.relay() as relay:
        yield relay


def test_a_run_that_is_given_up_leaves_nothing_behind(ours: Stage, relay: Child) -> None:
    with (
        ours.relay("silent", module="broken") as silent,
        ours.people([*people_at(relay, 2), *people_at(silent, 1)]) as group,
    ):
        outcome = ours.run(group, steady(3, 0.5), patience=0.5)
    assert outcome.problems == ["0 of 10 words in order, then silence"] * 3, "all wait for the third"
    with ours.people(people_at(relay, 2)) as group:
        assert ours.run(group, steady(2, 0.5)).complete == 2


@pytest.fixture(scope="module")
def well(ours: Stage, relay: Child) -> Outcome:
    """What comes of a relay that does nothing wrong."""
    with ours.people(people_at(relay, 2)) as group:
        return ours.run(group, steady(2, 1), relay.pid)


@pytest.mark.quiet
@pytest.mark.parametrize(("how", "complete"), [("losing", 0), ("twisting", 0), ("late", 2), ("busy", 2)])
def test_what_is_broken_shows(ours: Stage, well: Outcome, how: str, complete: int) -> None:
    with ours.relay(how, module="broken") as relay:
        with ours.people(people_at(relay, 2)) as group:
            ill = ours.run(group, steady(2, 1), relay.pid)
        if how == "late":
            assert not limit.carries(ours, people_at(relay, 2), relay.pid, 0.5)
            assert ill.p50_ms > 250
    assert well.complete == 2
    assert ill.complete == complete
    assert len(ill.problems) == 2 - complete
    if how == "busy":
        assert ill.cpu_us_per_delta > 1.5 * well.cpu_us_per_delta
