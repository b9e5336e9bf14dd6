"""One answer, one flat out, and two hundred at once: from the question to the words on the socket of the page.

Beside each, in the same run: `bare`, httpx over our transport at the provider itself, and `relay`, the least that can
stand between (`relay.py`). All figures are medians of several rounds, in which the kinds take turns.
"""

from __future__ import annotations

import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack

from .answers import Order
from .crowd import Asked, Outcome
from .figures import Figure, percentile
from .product import Product, people_at, stage

ROUNDS = 3
# No model says its first word sooner. Until then a page has its answer to the form, and watches.
THINKING_SECONDS = 0.2

QUESTIONS = 12  # of a round of `one`
FLOOD_WORDS = 2_000
FLOOD_ROUNDS = 5
STREAMS = 200
PER_SECOND = 20
SECONDS = 5
CPU_RATIO = 1.5
COMPLAINTS = 5  # of the server's log that are shown

FIRST_DELTA_ADDED_MS = 20
DELTAS_PER_SECOND = 10_000
P50_MS = 70
P99_MS = 250
FIRST_DELTA_P95_MS = 1000


def measure_one(rounds: int = ROUNDS, questions: int = QUESTIONS) -> Sequence[Figure]:
    """From the sent form to the first word at the page's socket, and what of it is not the provider's.

    `at_once` is the same with a provider that does not think: the first word is there before the page can ask for it.
    """
    added: dict[float, list[float]] = {THINKING_SECONDS: [], 0.0: []}
    bare: dict[float, list[float]] = {THINKING_SECONDS: [], 0.0: []}
    with stage() as ours, ours.product() as product, ExitStack() as stack:
        groups = {
            "bare": stack.enter_context(ours.people([{"url": ours.provider_url}])),
            "page": stack.enter_context(ours.people([product.sign_in("alice")])),
        }
        ours.run(groups["page"], [Asked(Order(0, 3, 50), 0)])  # the first one finds nothing loaded
        for _ in range(rounds):
            for after in added:
                first: dict[str, list[float]] = {"bare": [], "page": []}
                for _ in range(questions):
                    for kind, group in groups.items():
                        outcome = ours.run(group, [Asked(Order(0, 3, 50, after), 0)])
                        tell("one", outcome, product)
                        first[kind] += outcome.first_ms
                bare[after].append(percentile(first["bare"], 50))
                added[after].append(percentile(first["page"], 50) - bare[after][-1])
    at_once = statistics.median(added[0.0])
    return [
        Figure("first_delta_added_ms", statistics.median(added[THINKING_SECONDS]), "ms", at_most=FIRST_DELTA_ADDED_MS),
        Figure("first_delta_bare_ms", statistics.median(bare[THINKING_SECONDS]), "ms"),
        Figure("first_delta_at_once_added_ms", at_once, "ms"),
        Figure("first_delta_at_once_bare_ms", statistics.median(bare[0.0]), "ms"),
    ]


def measure_flood(rounds: int = FLOOD_ROUNDS, words: int = FLOOD_WORDS) -> Sequence[Figure]:
    """An answer that comes as fast as the provider can write it: words per second until the last is at the page."""
    rates: dict[str, list[float]] = {"page": [], "relay": [], "bare": []}
    complete = 0
    with stage() as ours, ours.product() as product, ours.relay() as relay, ExitStack() as stack:
        groups = {
            "page": stack.enter_context(ours.people(product.people(1))),
            "relay": stack.enter_context(ours.people(people_at(relay, 1))),
            "bare": stack.enter_context(ours.people([{"url": ours.provider_url}])),
        }
        for group in groups.values():
            ours.run(group, [Asked(Order(0, 100, 0), 0)])
        for _ in range(rounds):
            for kind, group in groups.items():
                outcome = ours.run(group, [Asked(Order(0, words, 0, THINKING_SECONDS), 0)])
                tell("flood", outcome, product)
                rates[kind].append(words / outcome.span_ms[0] * 1000 if outcome.complete else 0.0)
                if kind == "page":
                    complete += kept(product, outcome)
    return [
        Figure(
            "deltas_per_s",
            statistics.median(rates["page"]),
            "1/s",
            floor="deltas_per_s_bare",
            at_least=DELTAS_PER_SECOND,
        ),
        Figure("deltas_per_s_bare", statistics.median(rates["bare"]), "1/s"),
        Figure("deltas_per_s_relay", statistics.median(rates["relay"]), "1/s"),
        Figure("complete", complete, f"of {rounds}", at_least=rounds),
    ]


def measure_many(rounds: int = ROUNDS, streams: int = STREAMS, seconds: float = SECONDS) -> Sequence[Figure]:
    """Many answers at once. Each person has a page of a new chat, and watches.

    Twice: all asked within a second, whose words all count, those of the rush, too; and (`steady`) with answers that
    begin when everybody has asked and watches, which shows what the words alone cost.
    """
    runs: dict[str, list[Outcome]] = {"rush": [], "steady": [], "relay": []}
    complete: list[int] = []
    with stage() as ours, ours.product() as product, ours.relay() as relay:
        people = product.people(streams)
        for _ in range(rounds):
            with ours.people(people) as group:
                for kind, asked in (("rush", rush(streams, seconds)), ("steady", steady(streams, seconds))):
                    outcome = ours.run(group, asked, product.pid)
                    runs[kind].append(outcome)
                    complete.append(kept(product, outcome))
                    tell(f"many ({kind})", outcome, product)
            with ours.people(people_at(relay, streams)) as group:
                runs["relay"].append(ours.run(group, rush(streams, seconds), relay.pid))
        locked = product.locked
    return many_figures(runs, complete, streams, locked)


def many_figures(
    runs: Mapping[str, Sequence[Outcome]], complete: Sequence[int], streams: int, locked: int
) -> Sequence[Figure]:
    def median(kind: str, value: Callable[[Outcome], float]) -> float:
        return statistics.median(map(value, runs[kind]))

    cpu_bare = median("relay", lambda outcome: outcome.cpu_us_per_delta)
    first_bare = median("relay", lambda outcome: percentile(outcome.first_ms, 95))
    return [
        Figure("complete", min(complete), f"of {streams}", at_least=streams),
        Figure("locked", locked, "times", at_most=0),
        Figure("p50_ms", median("rush", lambda outcome: outcome.p50_ms), "ms", "p50_ms_bare", at_most=P50_MS),
        Figure("p50_ms_bare", median("relay", lambda outcome: outcome.p50_ms), "ms"),
        Figure("p50_ms_steady", median("steady", lambda outcome: outcome.p50_ms), "ms", "p50_ms_bare"),
        Figure("p99_ms", median("rush", lambda outcome: outcome.p99_ms), "ms", "p99_ms_bare", at_most=P99_MS),
        Figure("p99_ms_bare", median("relay", lambda outcome: outcome.p99_ms), "ms"),
        Figure("p99_ms_steady", median("steady", lambda outcome: outcome.p99_ms), "ms", "p99_ms_bare"),
        Figure(
            "first_delta_p95_ms",
            median("rush", lambda outcome: percentile(outcome.first_ms, 95)),
            "ms",
            "first_delta_p95_ms_bare",
            at_most=FIRST_DELTA_P95_MS,
        ),
        Figure("first_delta_p95_ms_bare", first_bare, "ms"),
        Figure(
            "cpu_us_per_delta",
            median("steady", lambda outcome: outcome.cpu_us_per_delta),
            "µs",
            "cpu_us_per_delta_bare",
            at_most=CPU_RATIO * cpu_bare,
        ),
        Figure("cpu_us_per_delta_bare", cpu_bare, "µs"),
    ]


def rush(streams: int, seconds: float) -> list[Asked]:
    """A question for each of so many people, all within a second."""
    words = round(seconds * PER_SECOND)
    return [
        Asked(Order(number, words, PER_SECOND, THINKING_SECONDS), number, number / streams) for number in range(streams)
    ]


def steady(streams: int, seconds: float) -> list[Asked]:
    """The same with answers that begin when everybody has asked and watches."""
    words = round(seconds * PER_SECOND)
    return [Asked(Order(number, words, PER_SECOND, None), number) for number in range(streams)]


def kept(product: Product, outcome: Outcome) -> int:
    """How many answers came whole, and are in the database whole."""
    return min(outcome.complete, product.whole(outcome.turns))


def tell(group: str, outcome: Outcome, *products: Product) -> None:
    """Say what went wrong with single answers, and what the servers' logs have about it."""
    for problem in outcome.problems:
        print(f"{group}: {problem}", file=sys.stderr)
    for product in products if outcome.problems else ():
        print(*product.complaints[-COMPLAINTS:], sep="\n", file=sys.stderr)
