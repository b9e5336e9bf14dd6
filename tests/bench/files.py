"""Fifty megabytes come in, and go up to a provider, while others read their answers: memory, stalls, and delays.

Beside each figure the same stretch of time without the file. The answers of others are few, so that all of the delay that
a file brings shows in them: also what it takes of the machine. So the same file also comes in at another server beside ours,
as the floor of what it can cost them.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sqlite3
import statistics
import sys
import time
import uuid
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.asyncio.client import connect
from websockets.typing import Origin

from tests.files.makers import make_pdf
from tests.house.serving import ROOT
from tests.turns.sink import seen, sink

from .answers import Order
from .crowd import HOST, PAGE_HEADERS, Asked, Outcome
from .figures import Figure
from .machine import TICKS, cpu_seconds
from .product import Product, Stage, stage

MEGABYTE = 1024 * 1024
SIZE = 50 * MEGABYTE - 4096  # and some, for the pages around it
LINE = 100_000_000 / 8  # bytes a second of a good line, on which the file comes in
RATE = 50 * MEGABYTE  # what the provider reads in a second: a line of 400 Mbit/s, used up
STREAMS, PER_SECOND, SECONDS = 10, 20, 4
ROUNDS = 3
TICK = 1 / TICKS
QUESTION = "What is in it?"

GROWTH_MB = 64
STALL_MS = 50
RATIO = 1.5


@dataclass(frozen=True)
class Round:
    """Answers alone, then beside the file. `stall_ms` is of the event loop, where that was asked.

    `elsewhere_p99_ms` is of answers while the file comes in at another server of the same machine.
    """

    growth_mb: float
    quiet_p99_ms: float
    busy_p99_ms: float
    complete: int
    files: int
    stall_ms: float = 0.0
    late_ms: float = 0.0
    quiet_late_ms: float = 0.0
    elsewhere_p99_ms: float = 0.0

    @property
    def ratio(self) -> float:
        return self.busy_p99_ms / self.quiet_p99_ms

    @property
    def ratio_elsewhere(self) -> float:
        return self.elsewhere_p99_ms / self.quiet_p99_ms


def measure(rounds: int = ROUNDS) -> Sequence[Figure]:
    with stage() as ours, stage() as theirs:
        coming = coming_in(ours, rounds, theirs)
    with stage() as ours:
        going = going_up(ours, rounds)
    figures = [
        Figure("in_stall_ms", median(coming, "stall_ms"), "ms", at_most=STALL_MS),
        Figure("in_late_ms", median(coming, "late_ms"), "ms", "in_late_ms_bare"),
        Figure("in_late_ms_bare", median(coming, "quiet_late_ms"), "ms"),
        Figure("in_p99_ratio_bare", median(coming, "ratio_elsewhere"), ""),
    ]
    for name, seen_rounds in (("in", coming), *going.items()):
        figures += [
            Figure(f"{name}_growth_mb", max(one.growth_mb for one in seen_rounds), "MB", at_most=GROWTH_MB),
            Figure(f"{name}_p99_ratio", median(seen_rounds, "ratio"), "", f"{name}_p99_ratio_bare", at_most=RATIO),
            Figure(f"{name}_p99_ms_bare", median(seen_rounds, "quiet_p99_ms"), "ms"),
            Figure(f"{name}_complete", min(one.complete for one in seen_rounds), f"of {STREAMS}", at_least=STREAMS),
        ]
    return figures


def median(rounds: Sequence[Round], name: str) -> float:
    return statistics.median(getattr(one, name) for one in rounds)


def answers(ours: Stage, group: str) -> Outcome:
    words = PER_SECOND * SECONDS
    return ours.run(group, [Asked(Order(number, words, PER_SECOND, None), number) for number in range(STREAMS)])


class Peak:
    """How far a process grows from here on, at its highest."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._memory("VmRSS")
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # the peak begins anew

    def growth_mb(self) -> float:
        return (self._memory("VmHWM") - self._before) / MEGABYTE

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self._pid}/status").read_text()
        return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))


# It comes in


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
        "tests.bench.uploader",
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


def coming_in(ours: Stage, rounds: int, theirs: Stage | None = None) -> list[Round]:
    with ExitStack() as running:
        product = running.enter_context(ours.product(pinned=False))
        other = running.enter_context(theirs.product(pinned=False)) if theirs else None
        return asyncio.run(_coming_in(ours, product, large_pdf(ours.folder / "large.pdf"), rounds, other))


async def _coming_in(ours: Stage, product: Product, path: Path, rounds: int, other: Product | None) -> list[Round]:
    *watching, uploading, pinging = product.people(STREAMS + 2)
    elsewhere = other.people(1) if other else []
    found: list[Round] = []
    with ours.people(watching) as group:
        await asyncio.to_thread(answers, ours, group)  # the first ones find nothing loaded
        for person in (uploading, *elsewhere):
            await upload(person, path, 0)
        async with pinged(pinging, product.pid) as delays:
            for _ in range(rounds):
                delays.clear()
                quiet = await asyncio.to_thread(answers, ours, group)
                floor = max(late for late, _ in delays)
                beside = quiet
                for person in elsewhere:
                    beside, _ = await asyncio.gather(
                        asyncio.to_thread(answers, ours, group), upload(person, path, SECONDS - 1, LINE)
                    )
                delays.clear()
                peak = Peak(product.pid)
                busy, done = await asyncio.gather(
                    asyncio.to_thread(answers, ours, group), upload(uploading, path, SECONDS - 1, LINE)
                )
                assert set(done["said"]) == {"50.0 MB, 2 pages"}
                found.append(
                    Round(
                        growth_mb=peak.growth_mb(),
                        quiet_p99_ms=quiet.p99_ms,
                        busy_p99_ms=busy.p99_ms,
                        complete=min(quiet.complete, busy.complete),
                        files=len(done["took"]),
                        stall_ms=max(work for _, work in delays) * 1000,
                        late_ms=max(late for late, _ in delays) * 1000,
                        quiet_late_ms=floor * 1000,
                        elsewhere_p99_ms=beside.p99_ms,
                    )
                )
    return found


# It goes up


class Asking:
    """Somebody with one large file, who asks about it again and again."""

    def __init__(self, product: Product, url: str, folder: Path) -> None:
        (person,) = product.people(1)
        self._url = url
        self._data = product.server.data_dir
        address = f"http://127.0.0.1:{product.port}"
        self._http = httpx.Client(base_url=address, headers=PAGE_HEADERS, trust_env=False, timeout=60)
        page = self._http.get("/", headers={"Cookie": f"sessionid={person['cookie']}"})
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text
        cookies = f"sessionid={person['cookie']}; csrftoken={page.cookies['csrftoken']}"
        self._headers = {"Cookie": cookies, "X-CSRFToken": token[1]}
        self._deployment = self.sql("SELECT id FROM chat_deployment WHERE name = 'far'")
        self._file = self._upload(make_pdf(folder / "large.pdf", ["A page."]).read_bytes())
        self._grow()

    def close(self) -> None:
        self._http.close()

    def has_it_sent(self, policy: str) -> None:
        able = f'{{"max_inline_file_bytes": {2 * SIZE}, "max_upload_bytes": {2 * SIZE}}}'
        self.sql(f"UPDATE chat_provider SET file_policy = '{policy}', capabilities = '{able}' WHERE name = 'Far'")

    def sql(self, command: str) -> Any:
        """The first field of the first row. What no page can set is set past them."""
        with closing(sqlite3.connect(self._data / "chat.sqlite3", timeout=20, isolation_level=None)) as rows:
            row = rows.execute(command).fetchone()
        return row[0] if row else None

    def _upload(self, content: bytes) -> str:
        form = {"name": "large.pdf", "size": str(len(content))}
        chip = self._http.post("/files/", data=form, headers=self._headers).text
        found = re.search(r'data-upload-url="(/files/([^/]+)/slice/)"', chip)
        assert found, chip
        offset = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
        answer = self._http.put(found[1], content=content, headers={**self._headers, **offset})
        assert "chip--ready" in answer.text
        return found[2]

    def _grow(self) -> None:
        """Fifty megabytes more, behind its back: how they come in is measured elsewhere."""
        stored = self.sql("SELECT file FROM chat_attachment WHERE name = 'large.pdf'")
        with (self._data / "media" / stored).open("ab") as file:
            for _ in range(-(-SIZE // MEGABYTE)):
                file.write(os.urandom(MEGABYTE))
            size = file.tell()
        self.sql(f"UPDATE chat_attachment SET size = {size} WHERE name = 'large.pdf'")

    def ask_until(self, moment: float) -> int:
        """How often the whole file went up."""
        before = self._times()
        while time.monotonic() < moment:
            self._ask()
            while (status := self._status()) in ("queued", "in_progress"):
                time.sleep(0.02)
            assert status == "completed"
            self.sql("DELETE FROM chat_providerfile")
        return self._times() - before

    def _status(self) -> str:
        return str(self.sql(f"SELECT status FROM chat_turn WHERE question = '{QUESTION}' ORDER BY id DESC"))

    def _times(self) -> int:
        return sum(request["size"] > SIZE for request in seen(self._url))

    def _ask(self) -> None:
        fields = {"question": QUESTION, "key": str(uuid.uuid4()), "attachment": self._file}
        answer = self._http.post("/ask/", data={**fields, "deployment": str(self._deployment)}, headers=self._headers)
        assert answer.status_code == 302, answer.text[:500]


def going_up(ours: Stage, rounds: int) -> dict[str, list[Round]]:
    """By the way on which the file goes: inside the request, or as a file of its own."""
    far = {"RESPONSES_NAME": "Far", "RESPONSES_DIALECT": "openai", "RESPONSES_MODELS": "far"}
    found: dict[str, list[Round]] = {}
    with (
        sink(rate=RATE) as url,
        ours.product(pinned=False, RESPONSES_BASE_URL=url, **far) as product,
        closing(Asking(product, url, ours.folder)) as person,
        ours.people(product.people(STREAMS)) as group,
    ):
        answers(ours, group)
        for policy, name in (("inline", "inline"), ("file_id", "by_id")):
            person.has_it_sent(policy)
            person.ask_until(time.monotonic() + 0.01)
            found[name] = [_beside(ours, group, product, person) for _ in range(rounds)]
    return found


def _beside(ours: Stage, group: str, product: Product, person: Asking) -> Round:
    quiet = answers(ours, group)
    peak = Peak(product.pid)
    with ThreadPoolExecutor(1) as beside:
        sending = beside.submit(person.ask_until, time.monotonic() + SECONDS - 1)
        busy = answers(ours, group)
        times = sending.result()
    complete = min(quiet.complete, busy.complete)
    return Round(peak.growth_mb(), quiet.p99_ms, busy.p99_ms, complete, times)
