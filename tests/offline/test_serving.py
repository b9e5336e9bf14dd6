"""The command, as its own process, asked by the product's client over a real port."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from django.core.management import CommandError, call_command

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import ConnectionLost, Unauthorized
from chat.responses.fold import Draft

from .conftest import Json, text_of

ROOT = Path(__file__).resolve().parents[2]
READY_SECONDS = 30
TALK = {"model": "any", "input": "repeat after me: one two three"}


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
        question = {"type": "input_text", "text": "Summarize this PDF"}
        content = [question, darwin] if DIALECTS[dialect].pdf_input else [{**question, "text": "17 + 4"}]
        draft = Draft()
        async with client.stream({"model": "any", "input": [{"role": "user", "content": content}]}) as stream:
            async for event in stream:
                draft.apply(event)
        assert draft.status == "completed"
        assert ("Summary of darwin.pdf (10 pages)" if DIALECTS[dialect].pdf_input else "21") in draft.text()
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


async def test_faults_of_the_command_line_strike_over_the_port_as_they_do_in_process(tmp_path: Path) -> None:
    faults = ["drop after 700 bytes", "drop", "429 with retry-after-ms: 1", "pass", "stall 0.2 seconds"]
    options = [word for fault in faults for word in ("--fault", fault)]
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async with (
        served(tmp_path, "--port", "0", "--pace", "0", "--faults-from-header", *options) as (url, _),
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        async with http.stream("POST", f"{url}responses", json={**TALK, "stream": True}) as reply:
            came = b""
            chunks = reply.aiter_raw()
            while len(came) < 700:
                came += await anext(chunks)
            assert len(came) == 700
            with pytest.raises(httpx.RemoteProtocolError):
                await anext(chunks)
        client = Client(Endpoint(url, DIALECTS["openai"]), http, sleep=sleep, jitter=lambda: 0.0)
        assert "one two three" in text_of(await client.create(TALK))
        assert waits == [0.0, 0.001]
        before = time.monotonic()
        assert "one two three" in text_of(await client.create(TALK))
        assert time.monotonic() - before >= 0.2
        own = await http.post(f"{url}responses", json=TALK, headers={"x-engine-fault": "503 as html"})
        assert (own.status_code, own.headers["content-type"]) == (503, "text/html")


async def test_a_signal_ends_the_streams_that_run(tmp_path: Path) -> None:
    async with (
        served(tmp_path, "--port", "0", "--pace", "0.01", "--dialect", "vllm", "--store", "--lag", "0.2") as (
            url,
            process,
        ),
        httpx.AsyncClient(trust_env=False, timeout=30) as http,
    ):
        client = Client(Endpoint(url, DIALECTS["vllm"]), http)
        before = time.monotonic()
        background = {"model": "any", "input": "write a text of 20000 words", "background": True}
        assert (await http.post(f"{url}responses", json=background)).json()["status"] == "queued"
        assert time.monotonic() - before >= 0.2
        draft = Draft()

        async def read() -> None:
            async with client.stream({"model": "any", "input": "write a text of 20000 words"}) as stream:
                async for event in stream:
                    draft.apply(event)
                    if event.type == "response.output_text.delta" and process.returncode is None:
                        process.terminate()

        with pytest.raises(ConnectionLost):
            await read()
        assert not draft.is_terminal
        assert await asyncio.wait_for(process.wait(), READY_SECONDS) == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--fault", "explode"], "“explode” is no fault. A fault is"),
        (["--dialect", "llamacpp", "--store"], "A server of the dialect llamacpp keeps no responses"),
    ],
)
def test_options_that_make_no_sense_are_told(options: list[str], said: str) -> None:
    with pytest.raises(CommandError, match=said):
        call_command("offline_engine", "--port", "0", *options)


def test_the_help_tells_what_a_fault_is(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call_command("offline_engine", "--help")
    told = capsys.readouterr().out
    assert "drop [after N bytes | after N events]" in told
    assert "/api/projects/NAME/openai/v1/" in told
