"""A file of 50 MB comes in at a real server: in little memory, and nobody else's answer waits for it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.typing import Origin

from tests.bench.answers import Order
from tests.bench.crowd import HOST, Asked, Outcome
from tests.bench.machine import TICKS, cpu_seconds, resident_bytes
from tests.bench.product import Product, Stage, stage
from tests.house.serving import ROOT

pytestmark = pytest.mark.quiet

MEGABYTE = 1024 * 1024
SIZE = 50 * MEGABYTE - 4096  # and some, for the pages around it
MOST_GROWTH_MB = 64
MOST_STALL_MS = 50
TICK = 1 / TICKS
# A page is told of new words no more often than so: what comes later by less, nobody can see.
MOST_LATER_MS = 50
LINE = 100_000_000 / 8  # bytes a second of a good line; the other rounds go as fast as this machine can
STREAMS, PER_SECOND, SECONDS = 10, 20, 3


def large_pdf(path: Path) -> Path:
    """Two pages, and fifty megabytes attached to them that cannot be packed."""
    text = b"BT /F1 24 Tf 72 700 Td (The harbour froze in January.) Tj ET"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Resources<</Font<</F1 5 0 R>>>>/Contents 6 0 R>>"
    objects = [
        b"<</Type/Catalog/Pages 2 0 R>>",
        b"<</Type/Pages/Count 2/Kids[3 0 R 4 0 R]>>",
        page,
        page,
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(text), text),
        b"<</Length %d>>stream\n%s\nendstream" % (SIZE, os.urandom(SIZE)),
    ]
    places = []
    with path.open("wb") as file:
        file.write(b"%PDF-1.4\n")
        for number, content in enumerate(objects, start=1):
            places.append(file.tell())
            file.write(b"%d 0 obj%s endobj\n" % (number, content))
        table = file.tell()
        rows = b"".join(b"%010d 00000 n \n" % place for place in places)
        file.write(b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, rows))
        file.write(b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, table))
    return path


async def upload(person: dict[str, Any], path: Path, seconds: float, rate: float = 0) -> dict[str, Any]:
    order = json.dumps({**person, "path": str(path), "seconds": seconds, "rate": rate})
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.files.uploader",
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    told, _ = await process.communicate(order.encode() + b"\n")
    assert process.returncode == 0
    return dict(json.loads(told))


@asynccontextmanager
async def pinged(person: dict[str, Any], pid: int) -> AsyncIterator[list[tuple[float, float]]]:
    """How long the server's event loop takes to answer a ping, again and again; nothing else answers those.

    Beside it how much of that time the server worked, to a tick: the loop can have stalled for no longer. In the rest
    the machine gave it no time: of a gap of 160 ms with 2 ms of work in it the server knows nothing.
    """
    # The name that the server answers to leads nowhere: it is for the headers alone.
    headers = {"X-Forwarded-Proto": "https", "Cookie": f"sessionid={person['cookie']}"}
    delays: list[tuple[float, float]] = []
    loop = asyncio.get_running_loop()
    async with connect(
        f"ws://{HOST}/ws/?tab=ping",
        additional_headers=headers,
        host="127.0.0.1",
        port=person["port"],
        origin=Origin(f"https://{HOST}"),
        proxy=None,
    ) as socket:

        async def ping() -> None:
            while True:
                began, used = loop.time(), cpu_seconds(pid)
                await (await socket.ping())
                late = loop.time() - began
                delays.append((late, min(late, cpu_seconds(pid) - used + TICK)))
                await asyncio.sleep(0.002)

        task = asyncio.create_task(ping())
        try:
            yield delays
        finally:
            task.cancel()


def memory(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))


def answers(ours: Stage, group: str) -> Outcome:
    words = PER_SECOND * SECONDS
    return ours.run(group, [Asked(Order(number, words, PER_SECOND, None), number) for number in range(STREAMS)])


class Round(dict[str, float]):
    """The figures of one stretch of time: answers alone, then beside uploads."""

    @property
    def is_kept(self) -> bool:
        return self["stall"] <= MOST_STALL_MS and self["busy"] <= self["quiet"] + MOST_LATER_MS


async def rounds(ours: Stage, product: Product, path: Path) -> list[Round]:
    """Twice, or four times where the machine had something else to do: what the server does, it does each time."""
    *watching, uploading, pinging = product.people(STREAMS + 2)
    seen: list[Round] = []
    with ours.people(watching) as group:
        await asyncio.to_thread(answers, ours, group)  # the first ones find nothing loaded
        await upload(uploading, path, 0)
        async with pinged(pinging, product.pid) as delays:
            for rate in (0, LINE, 0, LINE):
                if len(seen) == 2 and all(one.is_kept for one in seen):
                    break
                delays.clear()
                quiet = await asyncio.to_thread(answers, ours, group)
                floor = max(delays)[0]
                delays.clear()
                before = resident_bytes(product.pid)
                Path(f"/proc/{product.pid}/clear_refs").write_text("5")  # the peak begins anew
                busy, done = await asyncio.gather(
                    asyncio.to_thread(answers, ours, group), upload(uploading, path, SECONDS - 1, rate)
                )
                growth = memory(product.pid, "VmHWM") - before
                assert quiet.complete == busy.complete == STREAMS
                assert set(done["said"]) == {"50.0 MB, 2 pages"}
                seen.append(
                    Round(
                        rate=rate / MEGABYTE,
                        uploads=len(done["took"]),
                        seconds=min(done["took"]),
                        growth=growth / MEGABYTE,
                        floor=floor * 1000,
                        late=max(delays)[0] * 1000,
                        stall=max(work for _, work in delays) * 1000,
                        quiet=quiet.p99_ms,
                        busy=busy.p99_ms,
                    )
                )
    return seen


def test_fifty_megabytes_come_in_beside_the_answers_of_others(tmp_path: Path) -> None:
    path = large_pdf(tmp_path / "large.pdf")
    with stage() as ours, ours.product(pinned=False) as product:
        seen = asyncio.run(rounds(ours, product, path))

    for one in seen:
        print({name: round(value, 1) for name, value in one.items()})
    assert max(one["growth"] for one in seen) <= MOST_GROWTH_MB
    assert min(one["stall"] for one in seen) <= MOST_STALL_MS
    assert min(one["busy"] - one["quiet"] for one in seen) <= MOST_LATER_MS
