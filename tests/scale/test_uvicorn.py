"""`chatsite.asgi:application` under a server that is not ours, with its own beginning and end."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.answers import Order
from tests.bench.product import child
from tests.house.people import Person, words_in
from tests.house.services import Service
from tests.house.serving import ROOT, environment, manage


class Uvicorn(Service):
    ready = "Uvicorn running on"

    def __init__(self, data_dir: Path, **variables: str) -> None:
        self.env = environment(data_dir, **variables)
        command = [sys.executable, "-m", "uvicorn", "chatsite.asgi:application", "--port", "0", "--workers", "1"]
        as_told = ["--no-proxy-headers", "--timeout-graceful-shutdown", "5"]  # by the README
        super().__init__([*command, *as_told], cwd=ROOT, env=self.env)
        self.url = self.output.partition("Uvicorn running on ")[2].split()[0]

    def signin_link(self, name: str) -> str:
        done = manage("signin_link", name, "--create", env=self.env)
        assert done.returncode == 0, done.stderr
        return f"{self.url}/signin/" + done.stdout.strip().partition("/signin/")[2]


@pytest.fixture
def data_dir(prepared_data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(prepared_data, tmp_path / "data"))


@pytest.fixture
def uvicorn(data_dir: Path, tmp_path: Path) -> Iterator[Uvicorn]:
    with child("provider", str(tmp_path / "times")) as provider:
        provider_url = f"http://127.0.0.1:{json.loads(provider.hello)['port']}/v1/"
        variables = {"OPENAI_API_KEY": "sk-none", "OPENAI_BASE_URL": provider_url, "OPENAI_MODELS": "bench"}
        prepared = manage("prepare", env=environment(data_dir, **variables))
        assert prepared.returncode == 0, prepared.stderr
        server = Uvicorn(data_dir, **variables)
        yield server
        server.stop()


def words(count: int) -> list[str]:
    return [f"w{number:06}" for number in range(count)]


async def test_it_answers_over_a_socket_and_ends_with_the_text_stored(uvicorn: Uvicorn, data_dir: Path) -> None:
    whole, in_flight = Order(number=1, words=150, per_second=100), Order(number=2, words=2000, per_second=50)
    async with Person(uvicorn, "alice") as alice, alice.tab(uvicorn) as tab:
        pk = await alice.ask(uvicorn, whole)
        await tab.watch(pk)
        await tab.until('data-status="completed"')
        assert words_in(tab.text(pk)) == words(whole.words)

        pk = await alice.ask(uvicorn, in_flight)
        await tab.watch(pk)
        await tab.until("w000100")
        began = time.monotonic()
        await asyncio.to_thread(uvicorn.stop)
        # Not by our own patience: the server closed the socket, and the answer was stored before that took effect.
        assert time.monotonic() - began < 10
        await tab.socket.wait_closed()
        assert tab.socket.close_code == 1012  # "service restart": pages come back
        shown = len(words_in(tab.text(pk)))
    with sqlite3.connect(data_dir / "chat.sqlite3") as database:
        stored = database.execute("SELECT status, output FROM chat_response WHERE turn_id = ?", [pk]).fetchall()
    database.close()
    ((status, output),) = stored
    assert status == "interrupted"
    assert shown >= 100
    kept = words_in(output)
    assert kept == words(len(kept))
    assert len(kept) >= shown
    assert uvicorn.process.returncode in (0, -signal.SIGTERM)
    assert "Traceback" not in uvicorn.output, uvicorn.output
