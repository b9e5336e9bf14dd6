"""The command, as its own process, asked by the product's client over a real port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import Unauthorized
from chat.responses.fold import Draft

from .conftest import Json, text_of

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30


@asynccontextmanager
async def served(tmp_path: Path, *options: str) -> AsyncIterator[tuple[str, asyncio.subprocess.Process]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "manage.py",
        "offline_engine",
        *options,
        cwd=ROOT,
        env={**os.environ, "DATA_DIR": str(tmp_path), "DOTENV": os.devnull, "TMPDIR": str(tmp_path)},
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), READY_SECONDS)).decode()
        assert line.startswith("ready on http://127.0.0.1:"), line
        yield line.removeprefix("ready on ").strip(), process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), READY_SECONDS)


@pytest.mark.parametrize("dialect", ["openai", "ofox"])
async def test_the_engine_serves_a_port_and_stops_when_told(tmp_path: Path, darwin: Json, dialect: str) -> None:
    async with (
        served(tmp_path, "--port", "0", "--dialect", dialect, "--pace", "0.001", "--key", "right") as (url, process),
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        client = Client(Endpoint(url, DIALECTS[dialect], "right"), http)
        content = [{"type": "input_text", "text": "Summarize this PDF"}, darwin]
        draft = Draft()
        async with client.stream({"model": "any", "input": [{"role": "user", "content": content}]}) as stream:
            async for event in stream:
                draft.apply(event)
        assert draft.status == "completed"
        assert "Summary of darwin.pdf (10 pages)" in draft.text()
        with pytest.raises(Unauthorized):
            await Client(Endpoint(url, DIALECTS[dialect], "wrong"), http).create({"model": "any", "input": "hi"})
        process.send_signal(signal.SIGINT if dialect == "ofox" else signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), READY_SECONDS) == 0


async def test_a_large_file_goes_up_over_the_port_and_leaves_with_the_process(tmp_path: Path) -> None:
    big = tmp_path / "big.txt"
    big.write_bytes(b"The quick brown fox jumps over the lazy dog again and again. " * 200_000)
    async with (
        served(tmp_path, "--port", "0") as (url, process),
        httpx.AsyncClient(trust_env=False, timeout=60) as http,
    ):
        client = Client(Endpoint(url, DIALECTS["openai"]), http)
        file = await client.upload_file(big, "big.txt", "text/plain", "assistants")
        assert file["bytes"] == big.stat().st_size
        part = {"type": "input_file", "file_id": file["id"]}
        told = await client.create({"model": "any", "input": [{"role": "user", "content": [part]}]})
        assert "The quick brown fox" in text_of(told)
        assert list(tmp_path.glob("embedded-engine-*/*"))
        process.terminate()
        assert await asyncio.wait_for(process.wait(), READY_SECONDS) == 0
    assert list(tmp_path.glob("embedded-engine-*")) == []


async def test_a_port_that_is_taken_is_said(tmp_path: Path) -> None:
    async with served(tmp_path, "--port", "0") as (url, _):
        port = url.rsplit(":", 1)[1].split("/")[0]
        second = await asyncio.create_subprocess_exec(
            sys.executable,
            "manage.py",
            "offline_engine",
            "--port",
            port,
            cwd=ROOT,
            env={**os.environ, "DATA_DIR": str(tmp_path), "DOTENV": os.devnull},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        _, errors = await asyncio.wait_for(second.communicate(), READY_SECONDS)
        assert second.returncode == 1
        assert f"Cannot listen on 127.0.0.1 port {port}" in errors.decode()
