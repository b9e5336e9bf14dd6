"""The people who ask and watch, all in one process: `python -m tests.bench.crowd FILE`. Lines of JSON in and out.

A person does what the page does: loads it, opens its socket, says what it looks at, sends the form with its token and
key, watches the turn that comes back, and acknowledges each frame. FILE (`answers.Times`) says when each word was sent.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import sys
import time
from array import array
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
import uvloop

from chat.responses.transport import open_http
from tests.dom import Page

from .answers import WORD, Order, Times
from .figures import percentile
from .machine import cpu_seconds, resident_bytes
from .sockets import Refused, Socket, open_socket

HOST = "bench.example"
PAGE_HEADERS = {"Host": HOST, "Origin": f"https://{HOST}", "X-Forwarded-Proto": "https"}
SAMPLE_SECONDS = 0.05
OPENED_AT_ONCE = 20
OPENED_AT_MOST = 3  # times, one after the other
ASKED_AT_ONCE = 8
ASK_SECONDS = 0.15  # that each question may take where few are asked at a time

_FIELD = {name: re.compile(rf'name="{name}" value="([^"]*)"') for name in ("csrfmiddlewaretoken", "tab", "key")}
_ACTION = re.compile(r'<form class="composer"[^>]* action="([^"]+)"')
_DAY = re.compile(r'data-day="([^"]+)"')
_LIVE = re.compile(r'data-live="(\d+)"')
_STATUS = re.compile(rb'data-status="(\w+)"')


@dataclass
class Asked:
    """One question of a run: who asks it, and how long after the run has begun."""

    order: Order
    person: int
    at: float = 0.0


@dataclass
class Seen:
    """What came of one answer, and when."""

    order: Order
    is_elsewhere: bool = False
    began: int = 0
    next: int = 0
    has_gap: bool = False
    status: str = ""
    turn: int = 0
    problem: str = ""
    shown: str = ""  # of the turn, before anything comes over the socket
    frames: list[str] | None = None  # kept where the page is looked at in the end
    arrived: Any = field(default_factory=lambda: array("q"))
    watched: asyncio.Event = field(default_factory=asyncio.Event)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    def take(self, html: bytes) -> None:
        """Words that were seen before may come again: an open block is sent anew."""
        now = time.monotonic_ns()
        for found in WORD.findall(html):
            number = int(found)
            if number == self.next:
                self.next += 1
                self.arrived.append(now)
            elif number > self.next:
                self.has_gap = True
        if b"data-status" in html and (status := _STATUS.search(html)):
            self.status = status[1].decode()
            self.end()

    def end(self) -> None:
        self.watched.set()
        self.over.set()

    @property
    def is_complete(self) -> bool:
        arrived = self.next == self.order.words and not self.has_gap and self.status == "completed"
        return arrived and not self.problem

    def look_at_page(self) -> None:
        """Put the frames into the page as a browser does: each word has to stand there once, in order."""
        if self.frames is None or not self.turn:
            return
        assert self.shown, "the form's answer holds no turn"
        page = Page(self.shown)
        for frame in self.frames:
            page.receive(frame)
        words = [int(word) for word in WORD.findall(page.part(f"t{self.turn}-answer").encode())]
        if words != list(range(self.order.words)):
            self.problem = f"the page shows {len(words)} words, and not each of {self.order.words} once and in order"


class Person:
    """Somebody who asks. What arrives is taken down in the `Seen` of the newest question."""

    is_elsewhere = False  # the socket is at another process than the one that is asked

    def __init__(self) -> None:
        self.socket: Socket | None = None
        self._seen: Seen | None = None

    async def open(self, buffer_bytes: int) -> None:
        """`buffer_bytes` bounds what the system keeps when a reader stops; 0: as usual."""

    async def ask(self, seen: Seen) -> None:
        """Ask, and return when the question has been taken."""
        raise NotImplementedError

    def hold(self) -> None:
        """Read nothing any more, as a browser that stands still."""
        assert self.socket is not None
        self.socket.transport.pause_reading()

    def go_on(self) -> None:
        assert self.socket is not None
        self.socket.transport.resume_reading()

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()


class AtThePage(Person):
    """A person at a page of the product. `socket_port` is another one where their socket ends up at another process.

    Who is `idle` opens the socket of a page that is there already, and asks nothing.
    """

    def __init__(
        self, http: aiohttp.ClientSession, cookie: str, port: int, socket_port: int = 0, idle: bool = False
    ) -> None:
        super().__init__()
        self._http = http
        self._cookies = {"sessionid": cookie}
        self._address = f"http://127.0.0.1:{port}"
        self._socket_port = socket_port or port
        self._is_idle = idle
        self.is_elsewhere = self._socket_port != port
        self._form: dict[str, str] = {}
        self._action = "/ask/"
        self._today = ""
        self._frames = 0

    @property
    def _headers(self) -> dict[str, str]:
        return {**PAGE_HEADERS, "Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items())}

    async def open(self, buffer_bytes: int) -> None:
        """Load the page of a new chat, and open its socket."""
        if not self._is_idle:
            await self._load()
        self.socket = await open_socket(
            self._socket_port,
            f"/ws/?tab={self._form.get('tab', '')}",
            self._headers,
            self._frame,
            buffer_bytes=buffer_bytes,
        )
        self._say(type="look", conversation="")

    async def _load(self) -> None:
        async with self._http.get(f"{self._address}/", headers=self._headers, allow_redirects=False) as page:
            assert page.status == 200, f"the page came with {page.status}"
            html = await page.text()
            self._cookies.update({name: morsel.value for name, morsel in page.cookies.items()})
        self._read_form(html)

    async def ask(self, seen: Seen) -> None:
        self._seen = seen
        seen.began = time.monotonic_ns()
        headers = {**self._headers, "HX-Request": "true", "HX-Current-URL": f"https://{HOST}/", "X-Today": self._today}
        form = {**self._form, "question": seen.order.question}
        async with self._http.post(f"{self._address}{self._action}", headers=headers, data=form) as answer:
            html = await answer.text()
            if answer.status != 200:
                seen.problem = f"{answer.status}: {html[:200]}"
                seen.end()
                return
            address = answer.headers.get("HX-Push-Url", "")
        self._read_form(html)
        if address:
            self._say(type="look", conversation=address.strip("/").removeprefix("c/"))
        # The page may have been told of several turns: the one that it shows last is the one that was asked.
        if live := _LIVE.findall(html):
            seen.turn = int(live[-1])
            turn = re.search(rf'<article class="turn" id="t{seen.turn}".*?</article>', html, re.DOTALL)
            seen.shown = turn[0] if turn else ""
            self._say(type="watch", turn=seen.turn)
        else:
            seen.take(html.encode())

    def _frame(self, socket: Socket, html: bytes) -> None:
        if (seen := self._seen) is not None:
            seen.take(html)
            if seen.frames is not None:
                seen.frames.append(html.decode())
            # The first thing that comes of a watched turn is all of it that there is.
            if not seen.watched.is_set() and seen.turn and b'id="t%d-answer"' % seen.turn in html:
                seen.watched.set()
        self._frames += 1
        socket.send(b'{"type":"ack","n":%d}' % self._frames)

    def _say(self, **message: Any) -> None:
        assert self.socket is not None
        self.socket.send(json.dumps(message).encode())

    def _read_form(self, html: str) -> None:
        for name, pattern in _FIELD.items():
            if found := pattern.search(html):
                self._form[name] = found[1]
        if action := _ACTION.search(html):
            self._action = action[1]
        if day := _DAY.search(html):
            self._today = day[1]


class AtTheRelay(Person):
    """A person at the bare relay: a socket, and nothing else."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self._port = port

    async def open(self, buffer_bytes: int) -> None:
        self.socket = await open_socket(self._port, "/", {}, self._frame, buffer_bytes=buffer_bytes)

    async def ask(self, seen: Seen) -> None:
        self._seen = seen
        seen.began = time.monotonic_ns()
        assert self.socket is not None
        self.socket.send(seen.order.question.encode())
        seen.watched.set()

    def _frame(self, socket: Socket, html: bytes) -> None:
        if self._seen is not None:
            self._seen.take(html)


class Bare(Person):
    """Nobody in between: httpx over our transport, at the provider itself."""

    def __init__(self, http: httpx.AsyncClient, url: str) -> None:
        super().__init__()
        self._http = http
        self._url = url

    async def ask(self, seen: Seen) -> None:
        body = {"model": "bench", "input": seen.order.question, "stream": True}
        seen.began = time.monotonic_ns()
        async with self._http.stream("POST", f"{self._url}responses", json=body) as response:
            rest = b""
            async for chunk in response.aiter_raw():
                data, _, rest = (rest + chunk).rpartition(b"\n")
                seen.take(data)
        seen.take(b'data-status="completed"')


class Meter:
    """What some processes have used, at moments: CPU seconds and resident bytes."""

    def __init__(self, pids: Sequence[int]) -> None:
        self._pids = pids
        self._samples: list[tuple[int, float, int]] = []

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Meter]:
        self._look()
        task = asyncio.get_running_loop().create_task(self._run())
        try:
            yield self
        finally:
            task.cancel()
            self._look()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(SAMPLE_SECONDS)
            self._look()

    def _look(self) -> None:
        used = sum(map(cpu_seconds, self._pids))
        self._samples.append((time.monotonic_ns(), used, sum(map(resident_bytes, self._pids))))

    def cpu_between(self, start: int, end: int) -> tuple[float, int, int]:
        """CPU seconds of the widest stretch of samples within, and where it begins and ends."""
        inside = [sample for sample in self._samples if start <= sample[0] <= end]
        if len(inside) < 2:
            return 0.0, start, start
        return inside[-1][1] - inside[0][1], inside[0][0], inside[-1][0]

    def most_bytes(self) -> int:
        return max(sample[2] for sample in self._samples)


@dataclass
class Outcome:
    """What a run came to. The delays are from a word's sending to its arrival, in milliseconds.

    Those `elsewhere` are of people whose socket is at another process than the one that they asked. `first_ms` is from
    the sent form to the first word, `span_ms` from the first word sent to the last one seen. CPU time is counted while
    all answers are coming.
    """

    complete: int
    turns: dict[int, int]
    p50_ms: float
    p99_ms: float
    elsewhere_p50_ms: float
    elsewhere_p99_ms: float
    first_ms: list[float]
    span_ms: list[float]
    cpu_us_per_delta: float
    most_bytes: int
    problems: list[str]


class Crowd:
    """Groups of people, by name."""

    def __init__(self, times: Times, pages: aiohttp.ClientSession, http: httpx.AsyncClient) -> None:
        self._times = times
        self._pages = pages
        self._http = http
        self._groups: dict[str, list[Person]] = {}

    async def open(self, group: str, people: list[dict[str, Any]], buffer_bytes: int = 0) -> int:
        """Bring people to where they ask; those of one kind of place are named by what they need there."""
        gate = asyncio.Semaphore(OPENED_AT_ONCE)

        async def come(person: Person) -> None:
            async with gate:
                for patience in reversed(range(OPENED_AT_MOST)):
                    try:
                        return await person.open(buffer_bytes)
                    except Refused:  # a busy server takes too long; a page tries again, too
                        if not patience:
                            raise
                        await asyncio.sleep(1)

        members = [self._person(**one) for one in people]
        await asyncio.gather(*map(come, members))
        self._groups.setdefault(group, []).extend(members)
        return len(members)

    def _person(self, **where: Any) -> Person:
        match where:
            case {"cookie": _}:
                return AtThePage(self._pages, **where)
            case {"port": port}:
                return AtTheRelay(port)
            case {"url": url}:
                return Bare(self._http, url)
        raise ValueError(f"nobody asks at {where}")

    async def leave(self, group: str) -> int:
        members = self._groups.pop(group)
        for person in members:
            person.close()
        await asyncio.gather(*(person.socket.closed.wait() for person in members if person.socket is not None))
        return len(members)

    async def run(
        self,
        group: str,
        asked: list[dict[str, Any]],
        pids: list[int],
        hold: Sequence[float],
        patience: float,
        provider: str,
    ) -> dict[str, Any]:
        """Ask all of it, and wait until every answer is over.

        `hold`: after how many seconds everybody stops to read, and for how many. Where the answers begin together, few
        ask at a time, as fast as they may, and `provider` is told when everybody watches.
        """
        questions = [Asked(Order(**one["order"]), one["person"], one["at"]) for one in asked]
        seens = []
        for question in questions:
            self._times.forget(question.order.number, question.order.words)
            seens.append(Seen(question.order, self._groups[group][question.person].is_elsewhere))
        seens[0].frames = []  # one of all: it takes its time
        members = self._groups[group]
        latest = max(question.at + question.order.seconds for question in questions) + sum(hold)
        besides = [_hold(members, *hold)] if hold else []
        together = any(question.order.after is None for question in questions)
        if together:
            besides.append(self._begin_together(f"{provider}together/{len(questions)}", seens))
            latest += len(questions) * ASK_SECONDS
        gate = asyncio.Semaphore(ASKED_AT_ONCE if together else len(questions))
        async with Meter(pids).running() as meter:
            try:
                async with asyncio.timeout(latest + patience):
                    asks = (_ask(members[q.person], q, seen, gate) for q, seen in zip(questions, seens, strict=True))
                    await asyncio.gather(*asks, *besides)
            except TimeoutError:  # what has not come by now shows as incomplete
                await self._tell(f"{provider}silence")
        seens[0].look_at_page()
        return asdict(self._outcome(seens, meter))

    async def _begin_together(self, address: str, seens: Sequence[Seen]) -> None:
        for seen in seens:
            await seen.watched.wait()
        await self._tell(address)

    async def _tell(self, address: str) -> None:
        async with self._pages.get(address) as answer:
            assert answer.status == 204, answer.status

    def _outcome(self, seens: list[Seen], meter: Meter) -> Outcome:
        sent = {seen.order.number: self._times.of(seen.order.number, seen.order.words) for seen in seens}
        begun = [seen for seen in seens if seen.arrived]
        start = max((seen.arrived[0] for seen in begun), default=0)
        end = min((sent[seen.order.number][len(seen.arrived) - 1] for seen in begun), default=0)
        used, start, end = meter.cpu_between(start, end)
        delays, elsewhere, settled = [], [], 0
        for seen in begun:
            for at, arrived in zip(sent[seen.order.number], seen.arrived, strict=False):
                delays.append((arrived - at) / 1e6)
                settled += start <= at < end
            if seen.is_elsewhere:
                elsewhere += delays[-len(seen.arrived) :]
        return Outcome(
            complete=sum(seen.is_complete for seen in seens),
            turns={seen.turn: seen.order.words for seen in seens if seen.turn},
            p50_ms=percentile(delays, 50),
            p99_ms=percentile(delays, 99),
            elsewhere_p50_ms=percentile(elsewhere, 50),
            elsewhere_p99_ms=percentile(elsewhere, 99),
            first_ms=[(seen.arrived[0] - seen.began) / 1e6 for seen in begun],
            span_ms=[(seen.arrived[-1] - sent[seen.order.number][0]) / 1e6 for seen in begun],
            cpu_us_per_delta=used / settled * 1e6 if settled else math.inf,
            most_bytes=meter.most_bytes(),
            problems=[_problem(seen) for seen in seens if not seen.is_complete][:5],
        )


async def _ask(person: Person, question: Asked, seen: Seen, gate: asyncio.Semaphore) -> None:
    await asyncio.sleep(question.at)
    async with gate:
        await person.ask(seen)
    await seen.over.wait()


async def _hold(members: Iterable[Person], after: float, seconds: float) -> None:
    await asyncio.sleep(after)
    for person in members:
        person.hold()
    await asyncio.sleep(seconds)
    for person in members:
        person.go_on()


def _problem(seen: Seen) -> str:
    order = "out of order" if seen.has_gap else "in order"
    return seen.problem or f"{seen.next} of {seen.order.words} words {order}, then {seen.status or 'silence'}"


async def main(path: Path) -> None:
    loop = asyncio.get_running_loop()
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
    ) as pages:
        with Times(path) as times:
            async with open_http() as http:
                crowd = Crowd(times, pages, http)
                print("ready", flush=True)
                while line := await loop.run_in_executor(None, sys.stdin.readline):
                    deed, arguments = json.loads(line)
                    print(json.dumps(await getattr(crowd, deed)(**arguments)), flush=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
