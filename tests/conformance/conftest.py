"""The `openai` package as a client of the engine on a port. After each test everything that came back is checked."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, OpenAI

from tests.journeys.engines import Engine
from tests.offline.conftest import darwin_bytes

from .strict import check
from .wiretap import Wiretap

KEY = "the-key-of-the-resource"

Serve = Callable[[str], Engine]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """The engine as a server, one a dialect for all tests."""
    engines: dict[str, Engine] = {}

    def serve(dialect: str) -> Engine:
        if dialect not in engines:
            engines[dialect] = Engine(tmp_path_factory.mktemp(dialect), dialect, pace=0.0, options=("--key", KEY))
        return engines[dialect]

    yield serve
    for engine in engines.values():
        engine.stop()


@pytest.fixture
def tap() -> Iterator[Wiretap]:
    """What OpenAI's and Azure's wires send has to be strictly valid, in every test."""
    tap = Wiretap()
    yield tap
    for exchange in tap.exchanges:
        check(exchange)


@pytest.fixture
def http_client(tap: Wiretap) -> Iterator[httpx2.Client]:
    with httpx2.Client(transport=tap.sync_transport()) as http:
        yield http


@pytest.fixture
def client(serve: Serve, http_client: httpx2.Client) -> OpenAI:
    """As OpenAI's own address is used."""
    return OpenAI(base_url=serve("openai").url, api_key=KEY, http_client=http_client, max_retries=0)


@pytest.fixture
def azure_url(serve: Serve) -> str:
    """https://YOUR-RESOURCE-NAME.openai.azure.com/openai/v1/ of the documents."""
    return serve("azure").url.replace("/v1/", "/openai/v1/")


@pytest.fixture
def azure(azure_url: str, http_client: httpx2.Client) -> OpenAI:
    """As a resource of Azure is used with a key."""
    return OpenAI(base_url=azure_url, api_key=KEY, http_client=http_client, max_retries=0)


@pytest.fixture
async def async_azure(azure_url: str, tap: Wiretap) -> AsyncIterator[AsyncOpenAI]:
    async with httpx2.AsyncClient(transport=tap.async_transport()) as http:
        yield AsyncOpenAI(base_url=azure_url, api_key=KEY, http_client=http, max_retries=0)


@pytest.fixture
def gateway(serve: Serve) -> Iterator[OpenAI]:
    """A stateless gateway. It sends so few fields that nothing of it is valid strictly; the package copes."""
    with httpx2.Client() as http:
        yield OpenAI(base_url=serve("ofox").url, api_key=KEY, http_client=http, max_retries=0)


@pytest.fixture
def foundry(serve: Serve, http_client: httpx2.Client) -> OpenAI:
    """A project of Microsoft Foundry."""
    base_url = serve("foundry").url.replace("/v1/", "/api/projects/team/openai/v1/")
    return OpenAI(base_url=base_url, api_key=KEY, http_client=http_client, max_retries=0)


@pytest.fixture
def pdf(tmp_path: Path) -> Path:
    """nucleus_sampling.pdf of the documents; ours has ten pages about the struggle for existence."""
    path = tmp_path / "darwin.pdf"
    path.write_bytes(darwin_bytes())
    return path


def texts(output: Any) -> str:
    return "".join(part.text for item in output if item.type == "message" for part in item.content)
