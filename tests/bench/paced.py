"""CPU time of a hundred answers that stream in at the pace of a model, against clients that do less or are not ours.

Each client is a process of its own, and they take turns: what disturbs one round disturbs all of them.
    bare      httpx over the transport of `open_http()`, `aiter_raw()` and nothing else: the floor
    ours      the same, through `Client.stream`: events
    fold      the same, and folded into a Draft
    openai    the `openai` package with the HTTP client that it comes with
    httpx     as bare, over the transport that httpx comes with
    heavy     ours with a load on each event; only for the test that says that the promise can break
Measured is what the process spends (user and system) while deltas come, divided by the deltas.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import uvloop

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.events import Delta
from chat.responses.fold import Draft
from chat.responses.transport import open_http

from .figures import Figure
from .upstream import serving

MAX_RATIO_BARE = 1.3
MAX_RATIO_OPENAI = 0.5
ROUNDS = 3
SETTLE_SECONDS = 0.2  # after all streams have begun
SECONDS_TO_SPARE = 60
TIMED = 10  # one stream in so many looks at its delays: looking costs

Began = Callable[[], Awaitable[None]]
Reader = Callable[[str, "list[int] | None", Began], Awaitable[None]]


@dataclass(frozen=True)
class Load:
    """What comes in: so many streams at once, each with so many deltas a second."""

    streams: int = 100
    per_second: float = 20
    seconds: float = 5


WARM_UP = Load(streams=10, seconds=0.2)


@dataclass(frozen=True)
class Spent:
    cpu_us_per_event: float
    delay_ms_p50: float
    delay_ms_p99: float


_run_numbers = itertools.count()


def measure(load: Load = Load(), rounds: int = ROUNDS) -> Sequence[Figure]:
    kinds = ("bare", "ours", "fold", "openai", "httpx")
    spent: dict[str, list[Spent]] = {kind: [] for kind in kinds}
    with racing(kinds) as race:
        for _ in range(rounds):
            for kind in kinds:
                spent[kind].append(race(kind, load))

    def median(kind: str, name: str = "cpu_us_per_event") -> float:
        return statistics.median(float(getattr(one, name)) for one in spent[kind])

    figures = [
        Figure("cpu_us_per_event", median("ours"), "µs", floor="cpu_us_per_event_bare"),
        Figure("cpu_us_per_event_fold", median("fold"), "µs", floor="cpu_us_per_event_bare"),
        Figure("cpu_us_per_event_bare", median("bare"), "µs"),
        Figure("cpu_us_per_event_openai", median("openai"), "µs"),
        Figure("cpu_us_per_event_httpx", median("httpx"), "µs"),
        Figure("ratio_bare", median("ours") / median("bare"), at_most=MAX_RATIO_BARE),
        Figure("ratio_bare_fold", median("fold") / median("bare")),
        Figure("ratio_openai", median("ours") / median("openai"), at_most=MAX_RATIO_OPENAI),
    ]
    for name in ("delay_ms_p50", "delay_ms_p99"):
        for kind in kinds:
            floor = None if kind == "bare" else f"{name}_bare"
            figures.append(Figure(name if kind == "ours" else f"{name}_{kind}", median(kind, name), "ms", floor))
    return figures


@contextmanager
def racing(kinds: Iterable[str]) -> Iterator[Callable[[str, Load], Spent]]:
    """Processes of these clients, warm and waiting; each call lets one of them run once."""
    with ExitStack() as stack:
        port = stack.enter_context(serving())
        clients = {kind: stack.enter_context(_client(kind)) for kind in kinds}

        def race(kind: str, load: Load) -> Spent:
            name = f"{load.per_second}/{load.seconds}/{next(_run_numbers)}"
            return clients[kind](f"http://127.0.0.1:{port}/{name}/v1/", load)

        for kind in clients:
            race(kind, WARM_UP)
        yield race


@contextmanager
def _client(kind: str) -> Iterator[Callable[[str, Load], Spent]]:
    with subprocess.Popen(
        [sys.executable, "-m", __name__, kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        orders, answers = process.stdin, process.stdout
        assert orders is not None
        assert answers is not None

        def run(url: str, load: Load) -> Spent:
            orders.write(json.dumps({"url": url, "load": asdict(load)}) + "\n")
            orders.flush()
            answer = answers.readline()
            assert answer, f"the client {kind} ended"
            return Spent(**json.loads(answer))

        assert answers.readline() == "ready\n"
        yield run


# In the process of a client


async def _take_part(read: Reader, url: str, load: Load) -> Spent:
    """Read all streams of one run; look at the CPU clock before the first delta and after the last one.

    The streams close a while after their last delta. When the first of them has, a client that lags behind has read
    the deltas, too.
    """
    missing = load.streams
    all_began, first_ended = asyncio.Event(), asyncio.Event()

    async def began() -> None:
        nonlocal missing
        missing -= 1
        if not missing:
            all_began.set()

    async def take(delays: list[int] | None) -> None:
        await read(url, delays, began)
        first_ended.set()

    delays: list[int] = []
    async with asyncio.timeout(load.seconds + SECONDS_TO_SPARE), asyncio.TaskGroup() as readers:
        for number in range(load.streams):
            readers.create_task(take(None if number % TIMED else delays))
        await all_began.wait()
        await asyncio.sleep(SETTLE_SECONDS)
        before = time.process_time()
        await _go(url)
        await first_ended.wait()
        after = time.process_time()
    events = load.streams * round(load.per_second * load.seconds)
    percentiles = statistics.quantiles(delays, n=100)
    return Spent((after - before) / events * 1e6, percentiles[49] / 1e6, percentiles[98] / 1e6)


async def _go(url: str) -> None:
    parts = urlsplit(url)
    _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(f"GET {parts.path}go HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
    await writer.drain()
    writer.close()


def _body() -> dict[str, Any]:
    return {"model": "gpt-4.1-mini", "input": "Tell me the time, again and again.", "stream": True}


def _ours(http: httpx.AsyncClient, *, fold: bool = False, load: int = 0) -> Reader:
    async def read(url: str, delays: list[int] | None, began: Began) -> None:
        client = Client(Endpoint(url, DIALECTS["openai"], key="sk-none"), http)
        async with client.stream(_body()) as events:
            await began()
            if delays is None and not (fold or load):
                async for _ in events:
                    pass
                return
            draft = Draft()
            async for event in events:
                if fold:
                    draft.apply(event)
                for _ in range(load):
                    json.dumps(event.raw)
                if delays is not None and isinstance(event, Delta):
                    delays.append(time.monotonic_ns() - int(event.delta))

    return read


def _bare(http: httpx.AsyncClient) -> Reader:
    async def read(url: str, delays: list[int] | None, began: Began) -> None:
        async with http.stream("POST", f"{url}responses", json=_body()) as response:
            await began()
            if delays is None:
                async for _ in response.aiter_raw():
                    pass
                return
            async for chunk in response.aiter_raw():
                now = time.monotonic_ns()
                for part in chunk.split(b'"delta":"')[1:]:
                    delays.append(now - int(part.partition(b'"')[0]))

    return read


def _openai(stack: AsyncExitStack) -> Reader:
    import openai  # takes more than a second, and only this client needs it

    clients: dict[str, openai.AsyncOpenAI] = {}

    async def read(url: str, delays: list[int] | None, began: Began) -> None:
        if url not in clients:
            clients[url] = openai.AsyncOpenAI(base_url=url, api_key="sk-none")
            stack.push_async_callback(clients[url].close)
        events = await clients[url].responses.create(**_body())
        await began()
        async for event in events:
            if delays is not None and event.type == "response.output_text.delta":
                delays.append(time.monotonic_ns() - int(event.delta))

    return read


async def _reader(kind: str, stack: AsyncExitStack) -> Reader:
    if kind == "openai":
        return _openai(stack)
    if kind == "httpx":
        limits, timeout = httpx.Limits(max_connections=None), httpx.Timeout(10, read=600)
        return _bare(await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=timeout)))
    http = await stack.enter_async_context(open_http())
    match kind:
        case "bare":
            return _bare(http)
        case "ours":
            return _ours(http)
        case "fold":
            return _ours(http, fold=True)
        case "heavy":
            return _ours(http, load=20)
    raise SystemExit(f"There is no client {kind}.")


async def _main(kind: str) -> None:
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        read = await _reader(kind, stack)
        print("ready", flush=True)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            print(json.dumps(asdict(await _take_part(read, order["url"], Load(**order["load"])))), flush=True)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
