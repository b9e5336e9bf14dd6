"""The chat on a real PostgreSQL: what holds on SQLite holds there, and an answer outlives a restart of the database."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest

from tests.bench.answers import Order
from tests.bench.product import child
from tests.house.people import FIELD, Person, words_in
from tests.house.postgresql import PostgreSQL
from tests.house.serving import ROOT, Server

POOL_SIZE = 4

# The rooms whose work is done in the database. Each is quick, and each needs rows that are really committed.
ESSENTIAL = [
    *("tests/models", "tests/conversations/test_ask.py", "tests/web/test_actions.py"),
    *(
        "tests/turns/test_run.py",
        "tests/turns/test_sweep.py",
        "tests/turns/test_ends.py",
        "tests/turns/test_odd_text.py",
    ),
]


@pytest.mark.timeout(300)
def test_the_suite_holds_on_postgresql(postgresql: PostgreSQL) -> None:
    # The cluster is thrown away, so the test database needs no dropping; pytest's cache is the outer run's.
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", "--reuse-db", *ESSENTIAL]
    done = subprocess.run(
        command,
        cwd=ROOT,
        env={**os.environ, "TESTS_DATABASE_URL": postgresql.url("suite")},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    report = done.stdout[-8000:]
    assert done.returncode == 0, report
    # The premise: it ran, and not on SQLite.
    assert " passed" in report
    assert "reads SQLite's plan" in report


@pytest.fixture(scope="module")
def provider_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with child("provider", str(tmp_path_factory.mktemp("provider") / "times")) as provider:
        yield f"http://127.0.0.1:{json.loads(provider.hello)['port']}/v1/"


@pytest.fixture(scope="module")
def database(postgresql: PostgreSQL) -> str:
    return postgresql.new_database()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, database: str, provider_url: str) -> Iterator[list[Server]]:
    """Two machines that start at once on an empty database."""

    def start(name: str) -> Server:
        return Server(
            tmp_path_factory.mktemp(name),
            DATABASE_URL=database,
            DATABASE_POOL_SIZE=str(POOL_SIZE),
            OPENAI_API_KEY="sk-none",
            OPENAI_BASE_URL=provider_url,
            OPENAI_MODELS="bench",
        )

    with ThreadPoolExecutor() as pool:
        servers = list(pool.map(start, ("here", "there")))
    yield servers
    for server in servers:
        server.stop()


@pytest.fixture
def server(servers: list[Server]) -> Server:
    return servers[0]


def test_of_two_that_start_at_once_one_prepares_the_database(servers: list[Server]) -> None:
    assert [server.process.poll() for server in servers] == [None, None]
    assert sum(server.output.count("Preparing the database") for server in servers) == 1


def rows(database: str, query: str, *params: Any) -> list[tuple[Any, ...]]:
    with psycopg.connect(database) as connection:
        return connection.execute(query, params).fetchall()


async def test_an_answer_outlives_a_restart_of_the_database(
    postgresql: PostgreSQL, database: str, server: Server
) -> None:
    order = Order(number=1, words=240, per_second=40)
    async with Person(server, "alice") as alice, alice.tab(server) as tab:
        pk = await alice.ask(server, order)
        await tab.watch(pk)
        await tab.until("w000060")
        await asyncio.to_thread(postgresql.stop, signal.SIGQUIT)  # as when it crashes
        await tab.until("w000100")  # the answer goes on without a database
        await asyncio.to_thread(postgresql.start)
        await tab.until('data-status="completed"')
        assert words_in(tab.text(pk)) == [f"w{number:06}" for number in range(order.words)]
        async with alice.tab(server) as late:
            await late.watch(pk)
            await late.until("data-status")
            assert late.answer(pk) == tab.answer(pk)
        assert (await alice.http.get(f"{server.url}/")).status_code == 200
    assert rows(database, "SELECT status FROM chat_response WHERE turn_id = %s", pk) == [("completed",)]
    assert server.process.poll() is None


async def test_a_few_connections_serve_many_people(database: str, server: Server) -> None:
    async with Person(server, "bob") as bob:
        pages = await asyncio.gather(*(bob.http.get(f"{server.url}/") for _ in range(10 * POOL_SIZE)))
        assert {page.status_code for page in pages} == {200}
        connected = rows(database, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()")
        # Of the two servers, and this look at them.
        assert connected[0][0] <= 2 * POOL_SIZE + 1


async def test_what_postgresql_cannot_hold_is_no_fault_of_the_server(server: Server) -> None:
    said = len(server.output)
    async with Person(server, "carol") as carol:
        form = dict(FIELD.findall((await carol.http.get(f"{server.url}/")).text))
        headers = {"Origin": server.url, "HX-Request": "true"}
        for values in ({"question": "a\0b"}, {"question": "c", "conversation": "\0"}, {"question": "d", "key": "\0"}):
            answer = await carol.http.post(f"{server.url}/ask/", data={**form, **values}, headers=headers)
            assert answer.status_code < 500, answer.text
        announced = await carol.http.post(
            f"{server.url}/files/", data={**form, "name": "\0.pdf", "size": "9"}, headers=headers
        )
        assert announced.status_code < 500
    assert "Traceback" not in server.output[said:]
