"""The loop of the drill: a load, a random moment, a kill; and at the end the three accounts.

The dice are seeded, so that a drill that found something can be repeated with the same habits and moments; the rest is
up to the machine.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.drills.people import Drama, Person
from tests.drills.product import Product
from tests.drills.proxy import round_robin
from tests.drills.store import PostgreSQL, Row, SQLite, Store
from tests.drills.upstream import serving
from tests.drills.verdict import SETTLE_SECONDS, TERMINAL, Death, Record
from tests.house.serving import Launch, launch_python

NAMES = ("alice", "bob", "charlie", "rita")
TABS_EACH = 3
BACKGROUND = "background"
KEPT_MODELS = ("steady", "lasting", BACKGROUND)
STATELESS_MODEL = "stateless"
POLL_SECONDS = 0.5


@dataclass(frozen=True)
class Plan:
    """How a drill goes. Shares of one; seconds."""

    kills: int = 20
    seed: int = 0
    while_starting: float = 0.35
    shutdowns: float = 0.12
    longest_life: float = 1.6
    until_shown: float = 0.0  # live until tabs were shown text for so long, however slow the machine is
    settle_seconds: float = SETTLE_SECONDS
    tabs_seconds: float = 8.0  # for the tabs to be told, when all is stored
    launch: Launch = launch_python
    starting_seconds: float = 1.6  # a kill may fall anywhere in a start
    # Two processes on these, instead of one on SQLite.
    database_url: str = ""
    redis_url: str = ""


@dataclass
class Site:
    """What is under test: one process, or several that share everything; and the address where people find it."""

    products: Sequence[Product]
    store: Store
    url: str

    @property
    def output(self) -> str:
        return "".join(product.output for product in self.products)

    @property
    def last_start(self) -> float:
        return max(product.began for product in self.products)


async def drill(plan: Plan, data_dir: Path) -> Record:
    """Run the drill on this data folder, which may be empty."""
    with serving() as port:
        products = _products(plan, data_dir, port)
        try:
            for product in products:
                await product.launch()
                await product.ready()
            async with AsyncExitStack() as stack:
                url = products[0].url
                if len(products) > 1:
                    url = await stack.enter_async_context(round_robin([product.address for product in products]))
                store = PostgreSQL(plan.database_url) if plan.database_url else SQLite(data_dir)
                return await _drill(plan, Site(products, store, url), port)
        finally:
            for product in products:
                await product.end(signal.SIGKILL)


def _products(plan: Plan, data_dir: Path, port: int) -> list[Product]:
    variables = provider_variables(port)
    if not plan.database_url:
        return [Product(data_dir, plan.launch, **variables)]
    shared = {**variables, "DATABASE_URL": plan.database_url, "REDIS_URL": plan.redis_url}
    return [Product(data_dir, plan.launch, **shared) for _ in range(2)]


def provider_variables(port: int) -> dict[str, str]:
    """The same provider twice: as one that keeps what is said, and as one that does not."""
    url = f"http://127.0.0.1:{port}"
    return {
        "OPENAI_BASE_URL": f"{url}/kept/v1/",
        "OPENAI_API_KEY": "sk-drill",
        "OPENAI_MODELS": ",".join(KEPT_MODELS),
        "RESPONSES_BASE_URL": f"{url}/stateless/v1/",
        "RESPONSES_DIALECT": "generic",
        "RESPONSES_MODELS": STATELESS_MODEL,
    }


async def _drill(plan: Plan, site: Site, port: int) -> Record:
    dice = random.Random(plan.seed)
    models = [*KEPT_MODELS, STATELESS_MODEL]
    people = [Person(name, site.url, random.Random(dice.random()), models) for name in NAMES]
    for person, link in zip(people, await asyncio.to_thread(site.products[0].signin_links, NAMES), strict=True):
        await person.sign_in(link)
    site.store.work_in_background(BACKGROUND)
    drama = Drama(site.url, people, site.store.deployments(), random.Random(dice.random()))
    tabs = list(drama.tabs(TABS_EACH))
    deaths = await _killed_again_and_again(plan, site, drama, dice)
    await asyncio.sleep(plan.longest_life / 2)
    drama.is_over = True
    settled_at, settled_rows = await _settled(site, site.last_start + plan.settle_seconds)
    done, waiting = await asyncio.wait(tabs, timeout=plan.tabs_seconds)
    for tab in waiting:
        tab.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    faults = [f"{tab.get_name()}: {fault!r}" for tab in done if (fault := tab.exception())]
    deaths += [await _end(site, product, signal.SIGTERM) for product in site.products]
    async with httpx.AsyncClient() as http:
        accounts = (await http.get(f"http://127.0.0.1:{port}/account")).json()
    for person in people:
        await person.http.aclose()
    return Record(
        questions=drama.questions,
        deaths=deaths,
        rows=site.store.left(),
        accounts={account["marker"]: account for account in accounts},
        output=site.output,
        strange=[*drama.strange, *faults],
        tabs_left_waiting=[f"{tab.get_name()} still waits for an end" for tab in waiting],
        settled_seconds=settled_at - site.last_start,
        settled_rows=settled_rows,
    )


async def _killed_again_and_again(plan: Plan, site: Site, drama: Drama, dice: random.Random) -> list[Death]:
    deaths: list[Death] = []
    for how, while_starting in _rounds(plan, dice):
        product = dice.choice(site.products)
        if while_starting:
            await asyncio.sleep(dice.uniform(0, plan.starting_seconds))
        else:
            await product.ready()
            await asyncio.sleep(dice.uniform(0, plan.longest_life))
            await drama.shows_for(plan.until_shown, product.began)
        deaths.append(await _end(site, product, how))
        await product.launch()
    for product in site.products:
        await product.ready()
    return deaths


def _rounds(plan: Plan, dice: random.Random) -> list[tuple[signal.Signals, bool]]:
    """How each life ends, and whether it may end before it serves: so many of each, in any order."""
    hows = [signal.SIGKILL] * plan.kills + [signal.SIGTERM] * round(plan.kills * plan.shutdowns)
    early = round(len(hows) * plan.while_starting)
    moments = [True] * early + [False] * (len(hows) - early)
    dice.shuffle(hows)
    dice.shuffle(moments)
    return list(zip(hows, moments, strict=True))


async def _end(site: Site, product: Product, how: signal.Signals) -> Death:
    served, at = product.serves, time.monotonic()
    code = await product.end(how)
    if how == signal.SIGTERM:
        # Until its end it goes on to show, and has to store that, too.
        at = time.monotonic()
    await asyncio.sleep(site.store.telling_seconds)
    return Death(product.began, at, how, served, site.store.left(), code)


async def _settled(site: Site, deadline: float) -> tuple[float, list[Row]]:
    """When the last run had its end, or the deadline, and what was stored then."""
    while True:
        rows, now = await asyncio.to_thread(site.store.rows), time.monotonic()
        if now >= deadline or all(row.status in TERMINAL for row in rows):
            return now, rows
        await asyncio.sleep(POLL_SECONDS)
