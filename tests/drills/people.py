"""People who ask while the product dies under them, as their browsers would.

A browser sends its form with a key, sends it again with the same key when nothing came back, keeps a socket open,
connects again when it is cut, and says then what it shows. What a tab was shown goes into the record of the question.
"""

from __future__ import annotations

import asyncio
import html
import itertools
import json
import random
import re
import time
import uuid
from collections.abc import Awaitable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

AWAY_SECONDS = 0.15  # between two attempts to reach a server that is not there
HIDDEN = re.compile(r'name="(csrfmiddlewaretoken|tab|key)" value="([^"]*)"')
ASK_URL = re.compile(r'hx-post="(\S*/ask/)"')


@dataclass(eq=False)
class Question:
    """What one form said, what came back, and what tabs were shown of its answer."""

    marker: str
    text: str
    words: int
    key: str
    model: str
    sent: int = 0  # how often the form was
    answers: list[int] = field(default_factory=list)  # HTTP status codes; none for a connection that broke
    turn: int | None = None
    refusal: str = ""
    is_stopped: bool = False
    shown: list[tuple[float, int]] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)
    ends: list[tuple[float, str]] = field(default_factory=list)  # as tabs were told

    @property
    def is_accepted(self) -> bool:
        return any(200 <= code < 300 for code in self.answers)


@dataclass
class Habits:
    """How often what happens. Shares of one."""

    double_submit: float = 0.15
    send_again: float = 0.75
    close_tab: float = 0.3
    second_tab: float = 0.2
    go_on: float = 0.35
    stop: float = 0.06


class Person:
    """A session and the tabs in it."""

    def __init__(self, name: str, url: str, dice: random.Random, models: Sequence[str]) -> None:
        self.name = name
        self.url = url
        self.dice = dice
        self.models = models
        self.http = httpx.AsyncClient(timeout=30, limits=httpx.Limits(max_keepalive_connections=None))
        self.habits = Habits()

    async def sign_in(self, link: str) -> None:
        link = self.url + urlsplit(link).path  # it names the process that made it
        page = await self.http.get(link)
        token = dict(HIDDEN.findall(page.text))["csrfmiddlewaretoken"]
        done = await self.http.post(link, data={"csrfmiddlewaretoken": token}, headers={"Origin": self.url})
        assert done.status_code == 302, done.text

    @property
    def cookies(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())


@dataclass
class Form:
    """The composer of a page that was loaded."""

    url: str
    page: str
    token: str
    tab: str
    key: str


class Drama:
    """The load: all questions of a drill, and the tabs that are open. `is_over` ends the asking, not the watching."""

    def __init__(self, url: str, people: Sequence[Person], deployments: Mapping[str, int], dice: random.Random) -> None:
        self.url = url
        self.people = people
        self.deployments = deployments
        self.dice = dice
        self.questions: list[Question] = []
        self.strange: list[str] = []
        self.is_over = False
        self._numbers = itertools.count(1)
        self._news = asyncio.Event()

    async def tab(self, person: Person) -> None:
        """One tab of a person: it asks, watches, asks on, or is closed and opened anew."""
        address = "/"
        while not self.is_over:
            form = await self._load(person, address)
            question = await self._ask(person, form)
            if question is None or question.turn is None:
                address = "/"
                continue
            conversation = self._conversation_of(form, question)
            watching = [self._watch(person, question, conversation, form.tab)]
            if self.dice.random() < person.habits.second_tab:
                watching.append(self._watch(person, question, conversation, "second"))
            if self.dice.random() < person.habits.stop:
                watching.append(self._stop(person, question, conversation))
            stays = await self._watched(person, watching)
            address = f"/c/{conversation}/" if stays and self.dice.random() < person.habits.go_on else "/"

    async def _watched(self, person: Person, watching: Sequence[Awaitable[None]]) -> bool:
        """False when the tab was closed before the end."""
        closes = self.dice.random() < person.habits.close_tab
        try:
            async with asyncio.timeout(self.dice.uniform(0.2, 2.0) if closes else None):
                await asyncio.gather(*watching)
        except TimeoutError:
            return False
        return True

    async def shows_for(self, seconds: float, since: float) -> None:
        """Wait until tabs are shown an answer that began so long ago and has not ended."""
        while self._shown_seconds(since) < seconds:
            self._news.clear()
            await self._news.wait()

    def _shown_seconds(self, since: float) -> float:
        """How long the answer has been growing that tabs watch since the longest time."""
        now = time.monotonic()
        growing = [
            shown[0][0]
            for question in self.questions
            if (shown := [step for step in question.shown if step[0] > since])
            and shown[-1][1] < question.words
            and shown[-1][0] > now - 0.5  # else its tab was closed, and it may have ended since
        ]
        return now - min(growing, default=now)

    # The form

    async def _load(self, person: Person, address: str) -> Form:
        page = await self._insistently(person, address)
        fields = dict(HIDDEN.findall(page.text))
        found = ASK_URL.search(page.text)
        if page.status_code != 200 or not found or "key" not in fields:
            self.strange.append(f"GET {address}: {page.status_code}")
            raise AssertionError(f"no form on {address}: {page.status_code}\n{page.text[:2000]}")
        return Form(html.unescape(found[1]), address, fields["csrfmiddlewaretoken"], fields["tab"], fields["key"])

    async def _insistently(self, person: Person, address: str) -> httpx.Response:
        """GET until there is an answer: somebody who presses reload."""
        while True:
            try:
                page = await person.http.get(self.url + address)
            except httpx.TransportError:
                await asyncio.sleep(AWAY_SECONDS)
                continue
            if page.status_code < 500:
                return page
            self.strange.append(f"GET {address}: {page.status_code}")
            await asyncio.sleep(AWAY_SECONDS)

    async def _ask(self, person: Person, form: Form) -> Question | None:
        """Send the form until it is answered, or given up. None when the drill is over before."""
        if self.is_over:
            return None
        question = self._new_question(person, form.key)
        self.questions.append(question)
        copies = 2 if self.dice.random() < person.habits.double_submit else 1
        await asyncio.gather(*(self._post(person, form, question) for _ in range(copies)))
        while not question.answers and self.dice.random() < person.habits.send_again:
            await asyncio.sleep(AWAY_SECONDS)
            await self._post(person, form, question)
        return question

    def _new_question(self, person: Person, key: str) -> Question:
        marker = f"q{next(self._numbers)}"
        words = int(min(400, self.dice.expovariate(1 / 90)) + 8)
        text = f"{marker} in {words} words, please."
        return Question(marker, text, words, uuid.UUID(key).hex, self.dice.choice(person.models))

    async def _post(self, person: Person, form: Form, question: Question) -> None:
        data = {
            "csrfmiddlewaretoken": form.token,
            "tab": form.tab,
            "key": form.key,
            "question": question.text,
            "deployment": str(self.deployments[question.model]),
        }
        question.sent += 1
        url = self.url
        headers = {"HX-Request": "true", "HX-Current-URL": url + form.page, "Origin": url, "Referer": url + form.page}
        try:
            answer = await person.http.post(url + form.url, data=data, headers=headers)
        except httpx.TransportError:
            return
        question.answers.append(answer.status_code)
        if answer.status_code == 422:
            question.refusal = re.sub(r"<[^>]+>", "", answer.text).strip()
        elif answer.is_success:
            self._learn(form, question, answer)
        else:
            self.strange.append(f"POST {form.url} ({question.marker}): {answer.status_code}")

    def _learn(self, form: Form, question: Question, answer: httpx.Response) -> None:
        turn = json.loads(answer.headers["HX-Trigger"])["asked"]["turn"]
        if question.turn not in (None, turn):
            self.strange.append(f"{question.marker}: one key, and the turns {question.turn} and {turn}")
        question.turn = turn
        if pushed := answer.headers.get("HX-Push-Url"):
            form.page = pushed

    def _conversation_of(self, form: Form, question: Question) -> str:
        found = re.search(r"/c/([0-9a-f-]{36})/", form.page)
        assert found, f"{question.marker} was accepted on {form.page}"
        return found[1]

    async def _stop(self, person: Person, question: Question, conversation: str) -> None:
        await asyncio.sleep(self.dice.uniform(0.3, 2.0))
        form = await self._load(person, f"/c/{conversation}/")
        question.is_stopped = True
        data = {"csrfmiddlewaretoken": form.token}
        url = self.url
        headers = {"HX-Request": "true", "Origin": url, "Referer": url + form.page}
        try:
            await person.http.post(f"{url}/c/{conversation}/stop/", data=data, headers=headers)
        except httpx.TransportError:
            return

    # The socket

    async def _watch(self, person: Person, question: Question, conversation: str, tab: str) -> None:
        """Watch until the page is told of the end, through as many sockets as that takes."""
        look = {"type": "look", "conversation": conversation}
        is_first = True
        while True:
            try:
                async with connect(
                    f"{self.url.replace('http', 'ws', 1)}/ws/?tab={tab}",
                    origin=self.url,  # type: ignore[arg-type]
                    additional_headers={"Cookie": person.cookies},
                    compression=None,
                    max_size=None,
                    open_timeout=30,
                    close_timeout=0.2,
                ) as socket:
                    await socket.send(json.dumps(look if is_first else {**look, "last": question.turn}))
                    await socket.send(json.dumps({"type": "watch", "turn": question.turn}))
                    is_first = False
                    if await self._read(socket, question):
                        return
            except (OSError, WebSocketException, TimeoutError):
                await asyncio.sleep(AWAY_SECONDS)

    async def _read(self, socket: ClientConnection, question: Question) -> bool:
        """Note what each frame shows; True when one tells of the end."""
        word = re.compile(rf"\b{question.marker}w(\d+)\b")
        end = re.compile(rf'id="t{question.turn}-foot"[^>]*data-status="(\w+)"')
        seen: set[int] = set()
        for number in itertools.count(1):
            frame = await socket.recv()
            now = time.monotonic()
            await socket.send(json.dumps({"type": "ack", "n": number}))
            assert isinstance(frame, str)
            if new := set(map(int, word.findall(frame))) - seen:
                seen |= new
                question.shown.append((now, max(seen)))
                self._news.set()
                if len(seen) != max(seen):
                    missing = sorted(set(range(1, max(seen))) - seen)
                    question.gaps.append(f"{question.marker}: shown up to word {max(seen)} without {missing[:5]}")
            if found := end.search(frame):
                question.ends.append((now, found[1]))
                return True
        raise AssertionError("unreachable")

    def tabs(self, each: int) -> Iterator[asyncio.Task[None]]:
        for person in self.people:
            for number in range(each):
                yield asyncio.create_task(self.tab(person), name=f"{person.name} {number}")
