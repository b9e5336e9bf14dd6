"""One llama.cpp with SmolLM2 for all tests here, as an operator starts it."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from chat.management.llamacpp import NoModel, model_file, require_engine
from chat.management.local import Served, look
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.transport import open_http
from tests.house.needs import missing
from tests.house.serving import ROOT, STOP_SECONDS, environment

KEY = "sk-of-this-machine"
FREE_SECONDS = 10.0


class LocalServer:
    """`manage.py local_model` on a free port."""

    def __init__(self, folder: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "local_model"],
            cwd=ROOT,
            env=environment(folder, LOCAL_API_KEY=KEY),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        said = self.process.stdout.readline()
        found = re.fullmatch(r"ready on (http://127\.0\.0\.1:\d+/v1/)\n", said)
        if not found:
            self.stop()
        assert found, f"the model's server said {said!r}"
        self.url = found[1]

    def stop(self) -> int:
        self.process.terminate()
        assert self.process.stdout
        self.process.stdout.close()
        return self.process.wait(STOP_SECONDS)

    def served(self) -> Served:
        return look(self.url, KEY)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> httpx.Response:
        """What the server itself says, with nothing of ours in between."""
        headers = {"Authorization": f"Bearer {KEY}"}
        return httpx.request(method, self.url + path, json=body, headers=headers, timeout=60)

    def busy_slots(self) -> int:
        return sum(slot["is_processing"] for slot in self.ask("GET", "../slots").json())

    async def seconds_until_idle(self) -> float:
        """How long it goes on writing, once nobody listens any more."""
        began = time.monotonic()
        while await asyncio.to_thread(self.busy_slots):
            assert time.monotonic() - began < FREE_SECONDS, "nobody listens, and it still writes"
            await asyncio.sleep(0.02)
        return time.monotonic() - began


def require_model() -> None:
    try:
        require_engine()
        model_file()
    except NoModel as without:
        missing(str(without))


@pytest.fixture(scope="session")
def llama(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalServer]:
    require_model()
    server = LocalServer(tmp_path_factory.mktemp("llama"))
    yield server
    server.stop()


@pytest_asyncio.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    http = open_http()
    yield http
    await http.aclose()


@pytest.fixture
def client(llama: LocalServer, http: httpx.AsyncClient) -> Client:
    return Client(Endpoint(llama.url, DIALECTS["llamacpp"], KEY), http)
