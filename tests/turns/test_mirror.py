"""A turn that runs elsewhere, for the tabs of this process: two hubs, a real Redis between them, one database."""

from __future__ import annotations

import asyncio
import json
import random
import signal
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from chat.models import Response, Status, Turn, User
from chat.rendering.answer import response_html
from chat.rendering.live import LiveResponse
from chat.rendering.views import foot_view, render_foot
from chat.responses.events import Event, parse_event
from chat.turns import mirror, redis, telling
from chat.turns.hub import Hub, LiveTurn, Tab
from chat.turns.mirror import Mirror, Mirrors
from chat.turns.telling import Telling
from tests.dom import Page
from tests.house.redis import Redis, redis_server
from tests.recordings import RECORDINGS, Recording
from tests.responses.wire import beginning_of, events_of
from tests.rows import make_conversation, make_deployment, make_turn
from tests.upstream import text_events

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = [f"word{number} " for number in range(300)]


@pytest.fixture(scope="module")
def real_redis() -> Iterator[Redis]:
    with redis_server() as server:
        yield server


@pytest.fixture
def running(transactional_db: None, alice: User) -> Turn:
    conversation = make_conversation(alice, make_deployment(), turns=0)
    return make_turn(conversation, "Why?", "", status=Status.IN_PROGRESS)


class Run:
    """A turn that runs in a process: its hub, and what it stores."""

    def __init__(self, turn: Turn, pk: int) -> None:
        self.hub = Hub()
        self.turn = turn
        self.live = self.hub.open(turn.pk, str(turn.conversation_id))
        self.response = LiveResponse(pk)
        self.live.responses.append(self.response)
        self._events = [parse_event(event) for event in text_events(WORDS)]
        self._next = 0

    def take(self, *events: Event) -> None:
        for event in events:
            self.live.take(self.response, event)

    def go_on(self, count: int) -> str:
        """Take in so many events more, and return the last word that they brought."""
        self.take(*self._events[self._next : self._next + count])
        self._next = min(self._next + count, len(self._events))
        return str(getattr(self._events[self._next - 1], "delta", "")).strip()

    async def store(self, status: Status = Status.IN_PROGRESS) -> None:
        rows = Response.objects.filter(pk=self.response.pk)
        await rows.aupdate(output=self.response.draft.output(), status=status, text=self.response.draft.text())
        await Turn.objects.filter(pk=self.turn.pk).aupdate(status=status)

    async def finish(self) -> None:
        self.go_on(len(self._events))
        await self.store(Status.COMPLETED)
        self.response.finish()
        self.hub.over(self.live, "<i>told here alone</i>")


class Watching:
    """A tab that puts each frame into its page and acknowledges it."""

    def __init__(self, turn: Turn) -> None:
        self.pk = turn.pk
        self.page = Page(f'<main><div id="t{turn.pk}-answer"></div><i id="t{turn.pk}-foot"></i></main>')
        self.tab = Tab(self._send, frame_seconds=0.0)
        self.task = asyncio.get_running_loop().create_task(self.tab.run())
        self._news = asyncio.Event()

    async def _send(self, frame: str) -> None:
        self.page.receive(frame)
        self.tab.acknowledge(self.page.frames)
        self._news.set()

    @property
    def answer(self) -> str:
        return self.page.part(f"t{self.pk}-answer")

    async def until(self, *words: str, seconds: float = 10) -> None:
        """Wait until the page says all of this."""
        try:
            async with asyncio.timeout(seconds):
                while not all(word in self.page.root.html() for word in words):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            raise AssertionError(f"{words} did not come. The page: {self.page.root.html()[-500:]}") from None


async def until(is_so: Callable[[], bool | Awaitable[bool]]) -> None:
    async with asyncio.timeout(10):
        while True:
            found = is_so()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


async def assert_equals_a_reload(watching: Watching) -> None:
    turn = await Turn.objects.with_answers().aget(pk=watching.pk)
    stored = "".join(response_html(response) for response in turn.responses.all())
    assert watching.answer == Page(f'<div id="t{turn.pk}-answer" class="answer">{stored}</div>').part(
        f"t{turn.pk}-answer"
    )
    foot = await sync_to_async(lambda: render_foot(foot_view(turn, is_new=True, oob=True)))()
    shown = watching.page.part(f"t{turn.pk}-foot")
    assert shown == Page(foot.replace(' hx-swap-oob="true"', "")).part(f"t{turn.pk}-foot")
    assert not watching.page.missed


@pytest_asyncio.fixture
async def run(running: Turn) -> Run:
    return Run(running, (await running.responses.aget()).pk)


async def loaded(turn: Turn) -> Turn:
    """As `web.access.turn_for` gives it."""
    return await Turn.objects.with_answers().aget(pk=turn.pk)


@pytest_asyncio.fixture
async def there(run: Run) -> AsyncIterator[Mirrors]:
    """The mirrors of the process that watches."""
    mirrors = Mirrors(Hub())
    yield mirrors
    await mirrors.end()


@pytest_asyncio.fixture
async def told(real_redis: Redis, run: Run, settings: Any, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Redis]:
    """The process that runs the turn tells it through Redis."""
    with suppress(subprocess.TimeoutExpired):  # a test before may have killed it
        real_redis.process.wait(0.1)
        await asyncio.to_thread(real_redis.start)
    settings.REDIS_URL = real_redis.url
    for module in (mirror, telling):
        monkeypatch.setattr(module, "AGAIN_SECONDS", 0.05)
    await redis.client().flushall()
    listener = asyncio.get_running_loop().create_task(telling.listen(run.hub))
    await until(hears)
    yield real_redis
    listener.cancel()
    with suppress(asyncio.CancelledError):
        await listener
    await redis.close()


async def hears() -> bool:
    return dict(await redis.client().pubsub_numsub(telling.WISHES)) == {telling.WISHES.encode(): 1}


@pytest.fixture
def no_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a turn runs, nothing is read from rows: what arrives has come through Redis."""
    monkeypatch.setattr(mirror, "SILENT_SECONDS", 3600.0)
    monkeypatch.setattr(mirror, "ROW_SECONDS", 3600.0)


@pytest.mark.usefixtures("told", "no_rows")
class TestThroughRedis:
    async def test_the_answer_grows_and_ends_as_it_is_stored(self, run: Run, there: Mirrors) -> None:
        run.go_on(20)
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until("word16")
        for _ in range(5):
            await watching.until(run.go_on(20))
        await run.finish()
        await watching.until("completed", WORDS[-1].strip())
        await assert_equals_a_reload(watching)
        watching.task.cancel()

    async def test_many_tabs_have_one_mirror_between_them(self, run: Run, there: Mirrors) -> None:
        tabs = [Watching(run.turn) for _ in range(3)]
        for watching in tabs:
            there.watch(watching.tab, await loaded(run.turn))
        word = run.go_on(20)
        for watching in tabs:
            await watching.until(word)
        (live,) = {position.live for watching in tabs for position in watching.tab._positions.values()}
        assert live.tabs == {watching.tab for watching in tabs}
        await run.finish()
        for watching in tabs:
            await watching.until("completed")
            await assert_equals_a_reload(watching)
            watching.task.cancel()

    async def test_neighbouring_deltas_go_as_one(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(10))
        before = await redis.client().xlen(telling.stream_key(run.turn.pk))
        await watching.until(run.go_on(200))
        assert await redis.client().xlen(telling.stream_key(run.turn.pk)) == before + 1
        watching.task.cancel()

    @pytest.mark.parametrize(
        "entry", [b"{", b"[]", b'{"name": "another", "n": 7, "events": []}', b'{"name": "x"}', b'{"n": 3, "over": 1}']
    )
    async def test_what_does_not_follow_is_mended(self, run: Run, there: Mirrors, entry: bytes) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        await redis.client().xadd(telling.stream_key(run.turn.pk), {"told": entry})
        await watching.until(run.go_on(20))
        await run.finish()
        await watching.until("completed")
        await assert_equals_a_reload(watching)
        watching.task.cancel()

    async def test_entries_that_went_missing_are_mended(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        run.live.listener.__self__._number += 1  # type: ignore[union-attr]
        await watching.until(run.go_on(20))
        assert "word20 " in watching.answer
        watching.task.cancel()

    async def test_an_answer_that_begins_anew_does_so_elsewhere(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        run.response.restart()
        run.take(*map(parse_event, text_events(["Otherwise"], response_id="resp_2")))
        await watching.until("Otherwise")
        assert "word" not in watching.answer
        watching.task.cancel()

    async def test_a_further_response_of_the_turn_comes_too(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        row = await Response.objects.acreate(turn=run.turn, order=1, status=Status.IN_PROGRESS)
        run.response = LiveResponse(row.pk)
        run.live.responses.append(run.response)
        run.take(*map(parse_event, text_events(["Further"], response_id="resp_2")))
        await watching.until("Further", "word16")
        watching.task.cancel()

    async def test_nobody_is_told_before_somebody_watches_nor_long_after(
        self, run: Run, there: Mirrors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run.go_on(20)
        assert run.live.listener is None
        monkeypatch.setattr(telling, "WISH_SECONDS", 0.3)
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        watching.tab.leave()
        await until(lambda: run.live.listener is None)
        watching.task.cancel()

    async def test_a_run_that_comes_to_this_process_takes_its_tabs_along(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        here = there._hub.open(run.turn.pk, str(run.turn.conversation_id))
        here.responses.append(LiveResponse(run.response.pk))
        for event in text_events(["Here now"]):
            here.take(here.responses[0], parse_event(event))
        await watching.until("Here now")
        assert here.tabs == {watching.tab}
        watching.task.cancel()

    async def test_an_answer_that_is_too_long_to_be_told_is_read(
        self, run: Run, there: Mirrors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(telling, "ENTRY_CHARACTERS", 3_000)
        monkeypatch.setattr(mirror, "ROW_SECONDS", 0.05)
        run.go_on(250)
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        word = run.go_on(20)
        await until(lambda: run.live.listener is None)
        await run.store()
        await watching.until(word)
        await run.finish()
        await watching.until("completed")
        await assert_equals_a_reload(watching)
        watching.task.cancel()


class TestWithoutRedis:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mirror, "ROW_SECONDS", 0.02)

    async def test_the_row_is_read_until_it_ends(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        for _ in range(3):
            word = run.go_on(20)
            await run.store()
            await watching.until(word)
        frames, sent = watching.page.frames, watching.page.bytes
        word = run.go_on(2)
        await run.store()
        await watching.until(word)
        assert watching.page.bytes - sent < 300 * (watching.page.frames - frames), "what has arrived is not sent again"
        await run.finish()
        await watching.until("completed")
        await assert_equals_a_reload(watching)
        watching.task.cancel()

    @pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
    async def test_a_redis_that_is_away_or_silent_is_done_without(
        self, told: Redis, run: Run, there: Mirrors, caplog: pytest.LogCaptureFixture, how: signal.Signals
    ) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        told.process.send_signal(how)
        word = run.go_on(20)
        await run.store()
        await watching.until(word)
        await run.finish()
        await watching.until("completed")
        await assert_equals_a_reload(watching)
        assert "read from their rows" in caplog.text
        told.process.send_signal(signal.SIGCONT)
        watching.task.cancel()

    async def test_a_redis_that_comes_back_is_used_again(
        self, told: Redis, run: Run, there: Mirrors, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        watching = Watching(run.turn)
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        await asyncio.to_thread(told.kill)
        word = run.go_on(20)
        await run.store()
        await watching.until(word)
        await asyncio.to_thread(told.start)
        await watching.until(run.go_on(20))  # nothing of this is stored
        watching.task.cancel()

    async def test_what_is_shown_does_not_shrink_to_a_row_that_is_behind(
        self, told: Redis, run: Run, there: Mirrors
    ) -> None:
        watching = Watching(run.turn)
        run.go_on(10)
        await run.store()
        there.watch(watching.tab, await loaded(run.turn))
        await watching.until(run.go_on(20))
        (live,) = {position.live for position in watching.tab._positions.values()}
        await asyncio.to_thread(told.kill)
        reads = 0
        read = Mirror.read

        def counted(self: Mirror, turn: Turn | None, foot: str | None) -> None:
            nonlocal reads
            reads += 1
            read(self, turn, foot)

        Mirror.read, before = counted, live.html()  # type: ignore[method-assign]
        try:
            await until(lambda: reads >= 3)
        finally:
            Mirror.read = read  # type: ignore[method-assign]
        assert live.html() == before
        watching.task.cancel()

    async def test_a_row_that_vanishes_leaves_the_page(self, run: Run, there: Mirrors) -> None:
        watching = Watching(run.turn)
        watching.page = Page(f'<main><p id="t{run.turn.pk}">{watching.page.root.html()}</p><i id="toasts"></i></main>')
        there.watch(watching.tab, await loaded(run.turn))
        await Turn.objects.all().adelete()
        await watching.until("not there any more")
        assert f'id="t{run.turn.pk}"' not in watching.page.root.html()
        watching.task.cancel()


@pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)
def test_every_recording_looks_the_same_in_its_mirror(recording: Recording, running: Turn) -> None:
    """Whatever is told together, and wherever a snapshot comes between."""
    pk = running.responses.get().pk
    rng = random.Random(recording.name)
    for _ in range(3):
        live = LiveTurn(running.pk, "c", [LiveResponse(pk)])
        live.responses[0].draft = beginning_of(recording.name)
        told = Telling(live)
        seen = Mirror(Turn.objects.with_answers().get(pk=running.pk))
        for event in [*events_of(recording.name), None]:
            if event is not None:
                live.take(live.responses[0], event)
            if rng.random() < 0.03:
                told.wants_snapshot()
            if (event is None or rng.random() < 0.3) and (entry := told.entry()) is not None:
                seen.hear("1-1", entry.encode())
                assert seen.is_following
                assert seen.live.responses[0].draft.output() == live.responses[0].draft.output()
        for each in (live, seen.live):
            each.responses[0].finish()
        assert seen.live.html() == live.html()


def test_a_stream_keeps_no_more_than_a_watcher_may_be_behind_by(running: Turn, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bounded in entries and in characters."""
    monkeypatch.setattr(telling, "STREAM_CHARACTERS", 2_000)
    kept: list[int] = []

    class Pipeline:
        def delete(self, key: str) -> None:
            kept.clear()

        def expire(self, key: str, seconds: int) -> None:
            assert seconds <= 60

        def xadd(self, key: str, fields: dict[str, str], maxlen: int, approximate: bool) -> None:
            assert not approximate
            kept.append(len(fields["told"]))
            del kept[:-maxlen]

    live = LiveTurn(running.pk, "c", [LiveResponse(5)])
    told = Telling(live)
    for event in text_events(["x" * 100] * 400):
        live.take(live.responses[0], parse_event(event))
        if (entry := told.entry()) is not None:
            told.write(Pipeline(), entry)
            assert len(kept) <= telling.STREAM_ENTRIES
            assert sum(kept) <= 2_000 or len(kept) == 1


def test_what_waits_to_be_told_is_bounded(running: Turn) -> None:
    live = LiveTurn(running.pk, "c", [LiveResponse(5)])
    told = Telling(live)
    told.entry()
    for event in text_events(["x" * 10_000] * 300, done=False):
        live.take(live.responses[0], parse_event(event))
    assert len(json.dumps(told._events, default=str)) < 2 * telling.ENTRY_CHARACTERS
