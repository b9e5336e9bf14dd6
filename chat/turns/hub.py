"""The live state of the turns that run in this process, and the tabs that watch them.

A tab is a position and at most one frame in flight: it gets what it lacks when it has acknowledged the
last frame, and about one frame each FRAME_SECONDS, or less often where many watch. A slow tab gets fewer,
larger frames, and memory does not grow with its slowness. The provider is read at the same pace (`LiveTurn.pace`). All of it lives on one event loop, without locks.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chat.rendering.live import LiveResponse, Seen
from chat.responses.events import Event
from chat.turns import line

FRAME_SECONDS = 0.045
HIDDEN_FRAME_SECONDS = 2.0  # for a page that is in the background
UNSEEN_SECONDS = 0.15  # between two looks at what the provider has sent, where no page waits for it
RUSH_FRAME_SECONDS = 0.15  # at least, while questions wait in line: what fewer frames save is theirs
# That one process serves at that pace: where more watch at once, their frames come less often and bring more.
TABS_AT_FULL_PACE = 75
SLOWEST = 4.5  # times as long, however many they are: more would be seen as a stutter
# Of that time, what a frame may come early: words that have just been read are not to wait for the next one.
EARLY = 0.2

# What may wait for a tab that acknowledges nothing. A page asks for what it shows, once; this is far more.
WAITING_CHARACTERS = 4_000_000


@dataclass(eq=False)
class LiveTurn:
    """A running turn. `foot` is the HTML of its end, set once it is over and stored."""

    pk: int
    conversation_id: str
    responses: list[LiveResponse] = field(default_factory=list)
    tabs: set[Tab] = field(default_factory=set)
    owner_id: int | None = None  # of the conversation, where it is known without asking for it
    foot: str | None = None
    sent: asyncio.Event = field(default_factory=asyncio.Event)  # to the provider; or it is over
    listener: Callable[[LiveResponse, Event], None] | None = None  # tells other processes, while one watches

    def take(self, response: LiveResponse, event: Event) -> None:
        """Fold what came from the provider, and wake the tabs when there is something new to see."""
        is_new = response.apply(event)
        if self.listener is not None:
            self.listener(response, event)
        if is_new:
            self.changed()

    def changed(self) -> None:
        for tab in self.tabs:
            tab.wake()

    def pace(self) -> float:
        """Seconds until the next frame of any page: what the provider sends until then is shown, and may be read, together.

        Little enough that of a process that is killed no more than a second of text is lost.
        """
        if self.listener is not None:  # each process on the way to a page has a pace of its own
            return 0.0
        return min([tab.pace() for tab in self.tabs if not tab.is_hidden], default=UNSEEN_SECONDS)

    def html(self) -> str:
        return "".join(response.html() for response in self.responses)


@dataclass
class Position:
    """What one tab has of one turn."""

    live: LiveTurn
    seen: dict[int, Seen] = field(default_factory=dict)
    is_new: bool = True

    def fragments(self) -> str:
        if self.is_new:
            self.is_new = False
            self.seen = {response.pk: response.seen_now() for response in self.live.responses}
            found = f'<div class="answer" id="t{self.live.pk}-answer" hx-swap-oob="true">{self.live.html()}</div>'
        else:
            found = "".join(self._of(response) for response in self.live.responses)
        return found + (self.live.foot or "")

    def _of(self, response: LiveResponse) -> str:
        seen = self.seen.get(response.pk)
        if seen is not None:
            return response.fragments(seen)
        self.seen[response.pk] = response.seen_now()
        return f'<div hx-swap-oob="beforeend:#t{self.live.pk}-answer">{response.html()}</div>'


_watching: set[Tab] = set()
"""The tabs of this process that somebody looks at, and that get frames of a running turn."""


class Gone(Exception):
    """The socket closed under a frame."""


class Behind(Exception):
    """More waits for the page than it will ever show: it has to begin anew."""


class Tab:
    """One open page. `send` puts a frame on its socket and returns at once, or raises Gone."""

    def __init__(self, send: Callable[[str], Awaitable[None] | None], frame_seconds: float = FRAME_SECONDS) -> None:
        self._send = send
        self._frame_seconds = frame_seconds
        self._positions: dict[int, Position] = {}
        self._once: list[str] = []
        self._waiting = 0
        self.is_hidden = False
        self._is_woken = False
        self._sent = 0
        self._acked = 0
        self._sent_at = float("-inf")
        self._rests: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0

    def watch(self, live: LiveTurn) -> None:
        """Begin with one snapshot, then only what is newer. Watching again sends the snapshot again."""
        self._positions[live.pk] = Position(live)
        live.tabs.add(self)
        self._count()
        self.wake()

    def look(self, conversation_id: str) -> None:
        """The page shows this conversation now: turns of others are of no more use to it."""
        for position in list(self._positions.values()):
            if position.live.conversation_id != conversation_id:
                self._drop(position)

    def watches(self) -> int:
        """How many turns it is shown."""
        return len(self._positions)

    def hide(self, is_hidden: bool) -> None:
        """The page is in the background: nobody sees each word there. When it is back, it gets all at once."""
        self.is_hidden = is_hidden
        self._count()
        self._go_on()

    def push(self, html: str) -> None:
        """Send fragments once: a title, a new turn, a notice. For rare things only.

        A page that asks and asks, and acknowledges nothing, ends `run` with Behind.
        """
        if self._is_behind():
            return
        self._waiting += len(html)
        self._once.append(html)
        if self._is_behind():
            self._once.clear()
        self.wake()

    def _refuse_to_fall_behind(self) -> None:
        if self._is_behind():
            raise Behind

    def _is_behind(self) -> bool:
        # One fragment may have any length: a turn is as long as it is.
        return self._waiting > WAITING_CHARACTERS and len(self._once) != 1

    def acknowledge(self, count: int) -> None:
        """The browser has dealt with the first `count` frames."""
        if self._acked < count <= self._sent:
            self._acked = count
            self._go_on()

    def wake(self) -> None:
        self._is_woken = True
        self._go_on()

    def leave(self) -> None:
        for position in list(self._positions.values()):
            self._drop(position)

    async def run(self) -> None:
        """Send frames until cancelled, or until the browser is gone. Raises Behind."""
        try:
            while True:
                await self._until_due()
                self._is_woken = False
                self._refuse_to_fall_behind()
                frame = self._frame()
                if not frame:
                    continue
                self._sent += 1
                self._sent_at = time.monotonic()
                if (sending := self._send(frame)) is not None:
                    await sending
        except Gone:
            self.leave()
        finally:
            if self._timer is not None:
                self._timer.cancel()

    async def _until_due(self) -> None:
        """Sleep until there is something to send, the last frame is acknowledged, and its time is over.

        All three wake `run` once, together: with hundreds of tabs the wake-ups are what costs.
        """
        while not self._is_due():
            self._rests = asyncio.get_running_loop().create_future()
            try:
                await self._rests
            finally:
                self._rests = None

    def _go_on(self) -> None:
        if self._rests is not None and not self._rests.done() and self._is_due():
            self._rests.set_result(None)

    def _is_due(self) -> bool:
        if self._is_behind():
            return True
        if not self._is_woken or self._acked < self._sent:
            return False
        spacing = self._spacing()
        left = self._left(spacing)
        if left <= 0:
            return True
        self._look_again_in(left + spacing * EARLY)
        return False

    def _left(self, spacing: float) -> float:
        """Seconds until the next frame may go."""
        return self._sent_at + spacing * (1 - EARLY) - time.monotonic()

    def _spacing(self) -> float:
        """Seconds between two frames."""
        if self.is_hidden:
            return HIDDEN_FRAME_SECONDS
        paced = self._frame_seconds * min(max(1.0, len(_watching) / TABS_AT_FULL_PACE), SLOWEST)
        return max(paced, RUSH_FRAME_SECONDS) if line.questions.waiting else paced

    def pace(self) -> float:
        """Seconds until there is a use for more words: those that are here now go at once, or wait for a frame that may
        still bring more.
        """
        spacing = self._spacing()
        left = self._left(spacing)
        return spacing if left <= 0 else left + spacing * EARLY / 2

    def _look_again_in(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        at = loop.time() + seconds
        if self._timer is not None:
            # Kept here: what uvloop gives for less than a millisecond does not know its time.
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = loop.call_later(seconds, self._timed)

    def _timed(self) -> None:
        self._timer = None
        self._go_on()

    def _drop(self, position: Position) -> None:
        position.live.tabs.discard(self)
        del self._positions[position.live.pk]
        self._count()

    def _count(self) -> None:
        if self._positions and not self.is_hidden:
            _watching.add(self)
        else:
            _watching.discard(self)

    def _frame(self) -> str:
        found = self._once
        self._once = []
        self._waiting = 0
        for position in list(self._positions.values()):
            found.append(position.fragments())
            if position.live.foot is not None:
                self._drop(position)
        return "".join(found)


class Hub:
    """Running turns by their key, and the tabs by the conversation that they show."""

    def __init__(self) -> None:
        self.turns: dict[int, LiveTurn] = {}
        self._latest: dict[str, LiveTurn] = {}  # by conversation

    def open(self, pk: int, conversation_id: str, owner_id: int | None = None) -> LiveTurn:
        live = LiveTurn(pk, conversation_id, owner_id=owner_id)
        self.turns[pk] = self._latest[conversation_id] = live
        return live

    def over(self, live: LiveTurn, foot: str) -> None:
        """The turn is stored: tell its tabs, and let go of it. Later tabs read the database."""
        live.foot = foot
        live.sent.set()
        self.turns.pop(live.pk, None)
        if self._latest.get(live.conversation_id) is live:
            del self._latest[live.conversation_id]
        live.changed()

    def is_of(self, owner_id: int, conversation_id: str) -> bool:
        """Whether this person is being answered here, in this conversation of theirs."""
        live = self._latest.get(conversation_id)
        return live is not None and live.owner_id == owner_id


hub = Hub()
