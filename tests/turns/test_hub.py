"""A tab gets one frame at a time, and what it lacks in it, however slow it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop

from chat.rendering.live import LiveResponse
from chat.responses.events import parse_event
from chat.turns import hub, line
from chat.turns.hub import Behind, Gone, Hub, LiveTurn, Tab
from tests.dom import Page
from tests.upstream import text_events

WORDS = [f"word{number} " for number in range(200)]


class Watcher:
    """A tab that acknowledges only when told to."""

    def __init__(self) -> None:
        self.page = Page('<p><i id="t1-answer"></i><i id="t1-foot"></i></p>')
        self.frames: asyncio.Queue[str] = asyncio.Queue()
        self.tab = Tab(self._send, frame_seconds=0.0)
        self.task = asyncio.get_running_loop().create_task(self.tab.run())

    async def _send(self, frame: str) -> None:
        self.page.receive(frame)
        self.frames.put_nowait(frame)

    async def next(self) -> str:
        return await asyncio.wait_for(self.frames.get(), 5)

    def acknowledge(self) -> None:
        self.tab.acknowledge(self.page.frames)


@pytest_asyncio.fixture
async def watcher() -> AsyncIterator[Watcher]:
    watcher = Watcher()
    yield watcher
    watcher.task.cancel()


@pytest.fixture
def live() -> LiveTurn:
    live = Hub().open(1, "c")
    live.responses.append(LiveResponse(5))
    return live


def feed(live: LiveTurn, first: int, last: int) -> None:
    for event in text_events(WORDS)[first:last]:
        if live.responses[0].apply(parse_event(event)):
            live.changed()


async def test_the_first_frame_is_a_snapshot_of_all_that_there_is(live: LiveTurn, watcher: Watcher) -> None:
    feed(live, 0, 10)
    watcher.tab.watch(live)
    await watcher.next()
    assert "word6" in watcher.page.part("t1-answer")


async def test_nothing_is_sent_while_a_frame_is_not_acknowledged(live: LiveTurn, watcher: Watcher) -> None:
    watcher.tab.watch(live)
    await watcher.next()
    for step in range(3, 100):
        feed(live, step, step + 1)
        await asyncio.sleep(0)
    assert watcher.frames.empty()
    watcher.acknowledge()
    frame = await watcher.next()
    assert "word96" in watcher.page.part("t1-answer")
    assert len(frame) < 2000
    assert watcher.frames.empty()


async def test_an_acknowledgement_of_what_was_never_sent_is_ignored(live: LiveTurn, watcher: Watcher) -> None:
    watcher.tab.watch(live)
    await watcher.next()
    watcher.tab.acknowledge(1000)
    feed(live, 0, 10)
    await asyncio.sleep(0)
    assert watcher.frames.empty()


async def test_the_end_comes_with_the_last_text_and_then_nothing_more(live: LiveTurn, watcher: Watcher) -> None:
    hub = Hub()
    hub.turns[1] = live
    watcher.tab.watch(live)
    await watcher.next()
    watcher.acknowledge()
    feed(live, 0, len(text_events(WORDS)))
    live.responses[0].finish()
    hub.over(live, '<footer id="t1-foot" hx-swap-oob="true">end</footer>')
    await watcher.next()
    watcher.acknowledge()
    assert watcher.page.part("t1-foot").endswith(">end</footer>")
    assert "word199" in watcher.page.part("t1-answer")
    assert not live.tabs
    assert not hub.turns


async def test_a_tab_that_left_is_forgotten(live: LiveTurn, watcher: Watcher) -> None:
    watcher.tab.watch(live)
    watcher.tab.leave()
    assert not live.tabs


async def test_a_tab_that_looks_elsewhere_gets_no_more_of_the_turn(live: LiveTurn, watcher: Watcher) -> None:
    watcher.tab.watch(live)
    await watcher.next()
    watcher.acknowledge()
    watcher.tab.look("c")
    assert live.tabs
    watcher.tab.look("another")
    assert not live.tabs
    feed(live, 0, 10)
    watcher.tab.push("<p id='x'></p>")
    assert await watcher.next() == "<p id='x'></p>"


async def test_a_tab_whose_socket_closed_under_a_frame_is_forgotten(live: LiveTurn) -> None:
    async def closed(frame: str) -> None:
        raise Gone

    tab = Tab(closed)
    tab.watch(live)
    await asyncio.wait_for(tab.run(), 5)
    assert not live.tabs


async def test_a_page_in_the_background_waits_for_its_frames_until_it_is_back(
    live: LiveTurn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HIDDEN_FRAME_SECONDS", 3600.0)
    watcher.tab.watch(live)
    await watcher.next()
    watcher.tab.hide(True)
    watcher.acknowledge()
    for step in range(3, 100):
        feed(live, step, step + 1)
        await asyncio.sleep(0)
    assert watcher.frames.empty()
    watcher.tab.hide(False)
    await watcher.next()
    assert "word96" in watcher.page.part("t1-answer")


async def test_a_page_in_the_background_gets_a_frame_now_and_then(
    live: LiveTurn, watcher: Watcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "HIDDEN_FRAME_SECONDS", 0.05)
    watcher.tab.hide(True)
    watcher.tab.watch(live)
    for step in range(3, 10):
        feed(live, step, step + 1)
        await watcher.next()
        watcher.acknowledge()


async def test_two_tabs_at_different_speeds_end_with_the_same_page(live: LiveTurn, watcher: Watcher) -> None:
    slow = Watcher()
    for each in (watcher, slow):
        each.tab.watch(live)
        await each.next()
    total = len(text_events(WORDS))
    for step in range(total):
        feed(live, step, step + 1)
        watcher.acknowledge()
        if step % 50 == 0:
            slow.acknowledge()
        await asyncio.sleep(0)
    live.responses[0].finish()
    Hub().over(live, "<i id='t1-foot'></i>")
    while watcher.page.part("t1-answer") != slow.page.part("t1-answer") or live.tabs:
        for each in (watcher, slow):
            each.acknowledge()
        await asyncio.sleep(0)
    assert slow.page.frames < watcher.page.frames
    assert not slow.page.missed
    slow.task.cancel()


async def test_a_tab_that_acknowledges_nothing_does_not_fill_the_memory(watcher: Watcher) -> None:
    long = "x" * 1_000_000
    watcher.tab.push("<i>1</i>")
    await watcher.next()
    for _ in range(1_000):
        watcher.tab.push(long)
    with pytest.raises(Behind):
        await asyncio.wait_for(watcher.task, 5)
    assert sum(map(len, watcher.tab._once)) <= hub.WAITING_CHARACTERS


async def test_one_fragment_may_have_any_length(watcher: Watcher) -> None:
    watcher.tab.push("<i>1</i>")
    await watcher.next()
    watcher.tab.push("x" * (hub.WAITING_CHARACTERS + 1))
    watcher.acknowledge()
    assert len(await watcher.next()) > hub.WAITING_CHARACTERS


def test_a_wish_that_comes_in_the_last_moment_of_a_pause_harms_nobody() -> None:
    """Under uvloop, what waits for less than a millisecond is another kind of handle."""

    async def pushed_twice() -> list[str]:
        frames: list[str] = []
        both = asyncio.Event()

        async def send(frame: str) -> None:
            frames.append(frame)
            tab.acknowledge(len(frames))
            if len(frames) == 2:
                both.set()

        tab = Tab(send, frame_seconds=60.0)
        task = asyncio.get_running_loop().create_task(tab.run())
        tab.push("<p>one</p>")
        await asyncio.sleep(0)
        tab._frame_seconds = time.monotonic() - tab._sent_at + 0.0003
        tab.push("<p>two</p>")
        tab.wake()
        await asyncio.wait_for(both.wait(), 5)
        task.cancel()
        return frames

    assert uvloop.run(pushed_twice()) == ["<p>one</p>", "<p>two</p>"]


async def test_while_questions_wait_in_line_frames_come_less_often(
    watcher: Watcher, live: LiveTurn, monkeypatch: pytest.MonkeyPatch
) -> None:
    watcher.tab.watch(live)
    feed(live, 0, 10)
    await watcher.next()
    monkeypatch.setattr(line.questions, "waiting", 1)
    monkeypatch.setattr(hub, "RUSH_FRAME_SECONDS", 60.0)
    watcher.acknowledge()
    feed(live, 10, 12)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(watcher.frames.get(), 0.05)
    monkeypatch.setattr(line.questions, "waiting", 0)
    feed(live, 12, 14)
    await watcher.next()


class Clock:
    """Stands still unless it is told to go on."""

    now = 1_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(hub, "time", clock)
    return clock


async def paced(live: LiveTurn) -> Watcher:
    """A tab that has just got a frame, and has acknowledged it."""
    watcher = Watcher()
    watcher.tab._frame_seconds = 10.0
    watcher.tab.watch(live)
    feed(live, 0, 10)
    await watcher.next()
    watcher.acknowledge()
    return watcher


async def test_a_provider_is_read_when_the_next_frame_can_go(live: LiveTurn, clock: Clock) -> None:
    watcher = await paced(live)
    clock.now += 4.0
    feed(live, 10, 12)  # they wait for a frame, and what is read just before it goes with them
    assert live.pace() == pytest.approx(10 - 4 - 1)
    clock.now += live.pace()
    feed(live, 12, 14)
    assert live.pace() == 10.0
    assert "word10" in await watcher.next()
    assert "word10" in watcher.page.part("t1-answer")
    watcher.task.cancel()


async def test_a_frame_may_go_a_little_early_with_what_has_just_been_read(live: LiveTurn, clock: Clock) -> None:
    watcher = await paced(live)
    clock.now += 7.9
    feed(live, 10, 12)
    await asyncio.sleep(0)
    assert watcher.frames.empty()
    clock.now += 0.2
    feed(live, 12, 14)
    await watcher.next()
    watcher.task.cancel()


async def test_the_page_that_can_be_shown_more_first_sets_the_pace(live: LiveTurn, clock: Clock) -> None:
    first = await paced(live)
    clock.now += 5.0
    second = await paced(live)
    assert live.pace() == pytest.approx(10 - 5 - 1)
    for watcher in (first, second):
        watcher.task.cancel()


async def test_where_no_page_waits_the_provider_is_read_often_enough_to_lose_little(
    live: LiveTurn, clock: Clock
) -> None:
    assert live.pace() == hub.UNSEEN_SECONDS
    watcher = await paced(live)
    watcher.tab.hide(True)
    assert live.pace() == hub.UNSEEN_SECONDS
    live.listener = lambda response, event: None  # a page at another process
    assert live.pace() == 0.0
    watcher.task.cancel()
