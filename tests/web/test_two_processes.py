"""Two server processes on one database and one Redis: a tab on one of them, and the run on the other."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import statistics
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.answers import Order, Times, text_of
from tests.bench.product import child
from tests.house.people import Person, Tab, words_in
from tests.house.redis import Redis, redis_server
from tests.house.serving import Server

GONE = "not there any more"


@pytest.fixture(scope="module")
def times(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("provider") / "times"


@pytest.fixture(scope="module")
def provider_url(times: Path) -> Iterator[str]:
    """A provider that answers at the pace that the question names, and notes when it sent each word."""
    with child("provider", str(times)) as provider:
        yield f"http://127.0.0.1:{json.loads(provider.hello)['port']}/v1/"


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@dataclass
class Two:
    """The process that is asked, and the one whose tabs watch."""

    here: Server
    there: Server


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, prepared_data: Path, redis: Redis, provider_url: str
) -> Iterator[Two]:
    data_dir = Path(shutil.copytree(prepared_data, tmp_path_factory.mktemp("two") / "data"))
    variables = {
        "REDIS_URL": redis.url,
        "OPENAI_API_KEY": "sk-none",
        "OPENAI_BASE_URL": provider_url,
        "OPENAI_MODELS": "bench",
    }
    with ExitStack() as stack:
        servers = []
        for _ in range(2):
            servers.append(Server(data_dir, **variables))
            stack.callback(servers[-1].stop)
        yield Two(*servers)


@pytest.fixture
def two(pair: Two, redis: Redis) -> Two:
    """All of them are up again, whatever a test did to them."""
    for each in (redis, pair.here, pair.there):
        if each.process.poll() is not None:
            each.start()
    return pair


@pytest.fixture
async def alice(two: Two) -> AsyncIterator[Person]:
    async with Person(two.here, "alice") as person:
        yield person


async def assert_whole(person: Person, tab: Tab, server: Server, pk: int, words: int) -> None:
    """What grew is what another tab gets that comes when all is over."""
    assert words_in(tab.text(pk)) == words_in(text_of(words))
    await assert_equals_what_is_stored(person, tab, server, pk)


async def assert_equals_what_is_stored(person: Person, tab: Tab, server: Server, pk: int) -> None:
    assert not [place for place in tab.page.missed if "title" not in place]
    async with person.tab(server) as late:
        await late.watch(pk)
        await late.until("data-status")
        assert late.frames == 1
        assert tab.answer(pk) == late.answer(pk)


def median_delay(tab: Tab, times: Path, order: Order) -> float:
    """In seconds, of the words that came one by one."""
    with Times(times) as sent:
        moments = list(sent.of(order.number, order.words))
    delays = [came - moments[number] for number, came in tab.came.items() if number > 10]
    assert len(delays) > order.words / 2
    return statistics.median(delays) / 1e9


@pytest.mark.quiet
async def test_an_answer_grows_in_a_tab_of_another_process(two: Two, alice: Person, times: Path) -> None:
    order = Order(number=1, words=120, per_second=40)
    async with alice.tab(two.there) as tab, alice.tab(two.there) as second:
        pk = await alice.ask(two.here, order)
        await tab.watch(pk)
        await second.watch(pk)
        await asyncio.gather(*(each.until('data-status="completed"') for each in (tab, second)))
        for each in (tab, second):
            await assert_whole(alice, each, two.there, pk, order.words)
            assert each.frames > 20
            assert median_delay(each, times, order) < 0.2


async def test_a_second_person_sees_nothing_of_it_at_either_process(two: Two, alice: Person) -> None:
    order = Order(number=2, words=60, per_second=30)
    async with Person(two.here, "mallory") as mallory:
        pk = await alice.ask(two.here, order)
        async with alice.tab(two.there) as tab, mallory.tab(two.there) as there, mallory.tab(two.here) as here:
            await tab.watch(pk)
            await tab.until("w000010")
            for stranger in (there, here):
                await stranger.watch(pk)
                await stranger.until(GONE)
            await tab.until('data-status="completed"')
            for stranger in (there, here):
                await stranger.watch(999_999)  # what had been on its way would come before this
                await stranger.until(GONE)
                assert not stranger.came
        page = await mallory.http.get(f"{two.there.url}/turns/{pk}/")
        assert "w000" not in page.text


async def test_redis_stopped_in_mid_stream_costs_no_word(two: Two, alice: Person, redis: Redis, times: Path) -> None:
    order = Order(number=3, words=150, per_second=30)
    async with alice.tab(two.there) as tab:
        pk = await alice.ask(two.here, order)
        await tab.watch(pk)
        await tab.until("w000020")
        await asyncio.to_thread(redis.stop)
        await tab.until('data-status="completed"')
        await assert_whole(alice, tab, two.there, pk, order.words)

        await asyncio.to_thread(redis.start)
        tab.came.clear()
        frames = tab.frames
        order = Order(number=4, words=150, per_second=30)
        pk = await alice.ask(two.here, order)
        await tab.watch(pk)
        await tab.until('data-status="completed"')
        await assert_whole(alice, tab, two.there, pk, order.words)
        assert tab.frames - frames > 30, "rows alone would make some five"


async def test_a_process_killed_in_mid_stream_leaves_no_tab_waiting(two: Two, alice: Person) -> None:
    async with alice.tab(two.there) as tab:
        pk = await alice.ask(two.here, Order(number=5, words=3000, per_second=30))
        await tab.watch(pk)
        await tab.until("w000040")
        await asyncio.to_thread(two.here.kill)
        await tab.until('data-status="interrupted"', seconds=60)
        assert "w000010" in tab.text(pk), "all but the last second was stored"
        await assert_equals_what_is_stored(alice, tab, two.there, pk)


async def test_an_idle_tab_stays_connected_and_hears_of_what_happens_at_the_other_process(
    two: Two, alice: Person
) -> None:
    """The default of redis-py ends every idle consumer after five seconds."""
    async with alice.tab(two.there) as tab:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(tab.socket.wait_closed(), 11)
        await alice.ask(two.here, Order(number=6, words=3, per_second=0))
        await tab.until('hx-get="/conversations/"')


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
async def test_a_process_that_ends_closes_its_sockets_with_a_code_on_which_pages_connect_again(
    two: Two, alice: Person, how: signal.Signals
) -> None:
    async with alice.tab(two.there) as tab:
        await asyncio.to_thread(two.there.stop, how)
        await asyncio.wait_for(tab.socket.wait_closed(), 10)
        assert tab.socket.close_code in (1001, 1006, 1012)
