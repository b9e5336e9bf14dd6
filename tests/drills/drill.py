"""The loop of the drill: a load, a random moment, a kill; and at the end the verdict.

The dice are seeded, so that a drill that found something can be repeated with the same habits and moments; the rest is
up to the machine.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.drills.people import Drama, Person
from tests.drills.product import DATABASE, SERVE, Product, read_rows
from tests.drills.upstream import serving
from tests.drills.verdict import SETTLE_SECONDS, TERMINAL, Death, Record

NAMES = ("alice", "bob", "charlie", "rita")
TABS_EACH = 3
MODELS = ("steady", "lasting")
STARTING_SECONDS = 1.6  # a kill may fall anywhere in a start
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """How a drill goes. Shares of one; seconds."""

    kills: int = 20
    seed: int = 0
    while_starting: float = 0.3
    shutdowns: float = 0.15
    shortest_life: float = 0.0
    longest_life: float = 1.8
    settle_seconds: float = SETTLE_SECONDS
    tabs_seconds: float = 8.0  # for the tabs to be told, when all is stored
    command: Sequence[str] = SERVE


async def drill(plan: Plan, data_dir: Path) -> Record:
    """Run the drill on this data folder, which may be empty."""
    with serving() as port:
        product = Product(data_dir, plan.command, **provider_variables(port))
        await product.launch()
        try:
            return await _drill(plan, product, port)
        finally:
            await product.end(signal.SIGKILL)


def provider_variables(port: int) -> dict[str, str]:
    """The same provider twice: as one that keeps what is said, and as one that does not."""
    url = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": f"{url}/kept/v1/",
        "OPENAI_API_KEY": "sk-drill",
        "OPENAI_MODELS": ",".join(MODELS),
        "RESPONSES_BASE_URL": f"{url}/stateless/v1/",
        "RESPONSES_DIALECT": "generic",
        "RESPONSES_MODELS": "stateless",
    }


async def _drill(plan: Plan, product: Product, port: int) -> Record:
    dice = random.Random(plan.seed)
    await product.ready()
    people = [Person(name, product, random.Random(dice.random()), [*MODELS, "stateless"]) for name in NAMES]
    for person, link in zip(people, await asyncio.to_thread(product.signin_links, NAMES), strict=True):
        await person.sign_in(link)
    drama = Drama(product, people, product.deployments(), random.Random(dice.random()))
    tabs = list(drama.tabs(TABS_EACH))
    deaths: list[Death] = []
    began = time.monotonic()
    while sum(death.how == signal.SIGKILL for death in deaths) < plan.kills:
        deaths.append(await _life_and_death(plan, product, dice, began))
        began = time.monotonic()
        await product.launch()
    await product.ready()
    await asyncio.sleep(plan.longest_life / 2)
    drama.is_over = True
    settled = await _settled(product, began + plan.settle_seconds)
    done, waiting = await asyncio.wait(tabs, timeout=plan.tabs_seconds)
    for tab in waiting:
        tab.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    faults = [f"{tab.get_name()}: {fault!r}" for tab in done if (fault := tab.exception())]
    deaths.append(await _end(product, began))
    async with httpx.AsyncClient() as http:
        accounts = (await http.get(f"http://127.0.0.1:{port}/account")).json()
    for person in people:
        await person.http.aclose()
    return Record(
        questions=drama.questions,
        deaths=deaths,
        rows=product.rows(),
        accounts={account["marker"]: account for account in accounts},
        output=product.output,
        strange=[*drama.strange, *faults],
        tabs_left_waiting=[f"{tab.get_name()} still waits for an end" for tab in waiting],
        settled_seconds=settled - began,
    )


async def _life_and_death(plan: Plan, product: Product, dice: random.Random, began: float) -> Death:
    if dice.random() < plan.while_starting and product.starts > 1:
        await asyncio.sleep(dice.uniform(0, STARTING_SECONDS))
    else:
        await product.ready()
        await asyncio.sleep(dice.uniform(plan.shortest_life, plan.longest_life))
    how = signal.SIGTERM if dice.random() < plan.shutdowns else signal.SIGKILL
    return await _end(product, began, how)


async def _end(product: Product, began: float, how: signal.Signals = signal.SIGTERM) -> Death:
    served, at = product.serves, time.monotonic()
    code = await product.end(how)
    if how == signal.SIGTERM:
        # Until its end it goes on to show, and has to store that, too.
        at = time.monotonic()
    return Death(began, at, how, served, product.rows(), code)


async def _settled(product: Product, deadline: float) -> float:
    """When the last run had its end; or the deadline."""
    while time.monotonic() < deadline:
        rows = await asyncio.to_thread(read_rows, product.data_dir / DATABASE)
        if all(row.status in TERMINAL for row in rows):
            return time.monotonic()
        await asyncio.sleep(POLL_SECONDS)
    return deadline
