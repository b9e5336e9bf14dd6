from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.offline.app import OfflineEngine, create_app
from chat.offline.transport import OfflineTransport
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS

from .papers import darwin_pdf

Json = dict[str, Any]
Ask = Callable[..., Awaitable[Json]]


@dataclass
class Engine:
    """An engine, the product's client on it, and the bare HTTP beneath."""

    app: OfflineEngine
    client: Client
    http: httpx.AsyncClient


@pytest.fixture
async def make_engine() -> AsyncIterator[Callable[..., Awaitable[Engine]]]:
    async with AsyncExitStack() as stack:

        async def make(dialect: str = "openai", *, sent_key: str | None = None, **options: Any) -> Engine:
            app = create_app(dialect=dialect, **{"pace_seconds": 0.0, **options})
            stack.push_async_callback(app.aclose)
            transport = OfflineTransport(app)
            known = DIALECTS.get(dialect, DIALECTS["generic"])
            base = f"http://engine/{known.base_path}/"
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, base_url=base, timeout=60))
            client = Client(Endpoint(base, known, sent_key), http, max_retries=0)
            return Engine(app, client, http)

        yield make


@pytest.fixture
async def engine(make_engine: Callable[..., Awaitable[Engine]]) -> Engine:
    return await make_engine()


@pytest.fixture
def ask(engine: Engine) -> Ask:
    """Ask one question, `after` an earlier response or not, and return the response."""

    async def ask(*parts: str | Json, after: Json | None = None, **more: Any) -> Json:
        content = [{"type": "input_text", "text": part} if isinstance(part, str) else part for part in parts]
        body = {"model": "any", "input": [{"role": "user", "content": content}], **more}
        if after is not None:
            body["previous_response_id"] = after["id"]
        return await engine.client.create(body)

    return ask


@cache
def darwin_bytes() -> bytes:
    return darwin_pdf()


@pytest.fixture
def darwin() -> Json:
    """The ten-page PDF as an inline part."""
    return inline_file("darwin.pdf", darwin_bytes(), "application/pdf")


@pytest.fixture
def darwin_path(tmp_path: Path) -> Path:
    path = tmp_path / "darwin.pdf"
    path.write_bytes(darwin_bytes())
    return path


def inline_file(name: str, data: bytes, media_type: str) -> Json:
    encoded = base64.b64encode(data).decode()
    return {"type": "input_file", "filename": name, "file_data": f"data:{media_type};base64,{encoded}"}


def text_of(response: Json) -> str:
    texts = [part["text"] for item in response["output"] if item["type"] == "message" for part in item["content"]]
    return "".join(texts)
