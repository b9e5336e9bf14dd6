"""What this process tells others of its running turns, as long as somebody there watches: the near side of a mirror.

A process whose tabs watch a turn that runs elsewhere publishes a wish on WISHES, and renews it. The process that runs
the turn hears it, and from then on writes into the turn's stream: a snapshot first, then each TELL_SECONDS what came,
neighbouring deltas as one. Entries are numbered, so that a gap shows; whoever finds one wishes for a snapshot again.
Nobody waits for Redis here: while it is away nothing is kept for it, and when it is back a snapshot says it all.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections import deque
from typing import Any

from chat.rendering.live import LiveResponse
from chat.responses.events import DELTAS, Delta, Event, PartialImage
from chat.responses.fold import Draft
from chat.turns import redis
from chat.turns.hub import Hub, LiveTurn, hub

logger = logging.getLogger(__name__)

WISHES = "chat:watched"
TELL_SECONDS = 0.04
AGAIN_SECONDS = 1.0
WISH_SECONDS = 15.0  # a wish that is not renewed is over
# Where others wish for more turns than this, each is told less often, and more at once: an entry costs both sides
# some 40 µs, nearly all of it redis-py's.
TOLD_AT_FULL_PACE = 30
TELL_SECONDS_AT_MOST = 0.2
TOLD_AT_MOST = 500  # turns; the row says the rest

# A stream holds what a watcher may be behind by, and no more: who is further behind gets a snapshot.
STREAM_ENTRIES = 250
STREAM_CHARACTERS = 4_000_000
STREAM_SECONDS = 60
ENTRY_CHARACTERS = 1_000_000  # of one entry; an answer that is longer is read from its row


def stream_key(turn_pk: int) -> str:
    return f"chat:turn:{turn_pk}"


def wish(turn_pk: int, *, anew: bool) -> str:
    """What a watcher publishes: go on telling, or begin with a snapshot."""
    return f"{turn_pk} anew" if anew else str(turn_pk)


class Telling:
    """One turn that is told. It collects between two entries what the provider sent."""

    def __init__(self, live: LiveTurn) -> None:
        self.live = live
        self.key = stream_key(live.pk)
        self._begin()
        self.wished()
        live.listener = self.note

    def _begin(self) -> None:
        # By its name a watcher knows that the numbers begin anew.
        self._name = uuid.uuid4().hex
        self._number = 0
        self._sizes: deque[int] = deque(maxlen=STREAM_ENTRIES)
        self._expires_at = 0.0
        self.wants_snapshot()

    def wished(self) -> None:
        self.until = time.monotonic() + WISH_SECONDS

    def wants_snapshot(self) -> None:
        """What came so far will be in it."""
        self._is_snapshot_due = True
        self._told: dict[int, Draft] = {}
        self._events: list[list[Any]] = []
        self._place: tuple[Any, ...] | None = None
        self._size = 0

    def note(self, response: LiveResponse, event: Event) -> None:
        """Called by the turn for each event that it has folded."""
        if self._is_snapshot_due:
            return
        if self._told.get(response.pk) is not response.draft:  # it is new, or begins anew
            self.wants_snapshot()
        elif isinstance(event, Delta):
            self._note_delta(response.pk, event)
        elif not isinstance(event, PartialImage) and type(event) is not Event:  # those change no answer
            self._place = None
            self._events.append([response.pk, {**event.raw, "type": event.type}])

    def _note_delta(self, pk: int, event: Delta) -> None:
        place = (pk, event.target, event.item_id, event.output_index, event.index)
        self._size += len(event.delta)
        if self._size > ENTRY_CHARACTERS:
            self.wants_snapshot()
        elif place == self._place:
            told = self._events[-1][1]
            told["delta"].append(event.delta)
            told["sequence_number"] = event.sequence_number
        else:
            self._place = place
            index_name = DELTAS[event.type][1]
            told = {"type": event.type, "sequence_number": event.sequence_number, "delta": [event.delta]}
            told |= {"item_id": event.item_id, "output_index": event.output_index, index_name: event.index}
            self._events.append([pk, told])

    def entry(self) -> str | None:
        """What there is to tell now, as JSON; None when there is nothing. Counts as told."""
        if self.live.foot is not None:
            told: dict[str, Any] = {"over": True}
        elif self._is_snapshot_due:
            told = {"snapshot": [_snapshot(response) for response in self.live.responses]}
            self._told = {r.pk: r.draft for r in self.live.responses if isinstance(r, LiveResponse)}
            self._is_snapshot_due = False
        elif self._events:
            for _, event in self._events:
                if isinstance(event.get("delta"), list):
                    event["delta"] = "".join(event["delta"])
            told = {"events": self._events}
        else:
            return None
        self._events, self._place, self._size = [], None, 0
        return self._numbered(told)

    def _numbered(self, told: dict[str, Any]) -> str:
        self._number += 1
        found = json.dumps({"name": self._name, "n": self._number, **told})
        if len(found) > ENTRY_CHARACTERS:
            found = json.dumps({"name": self._name, "n": self._number, "too_long": True})
            self.wants_snapshot()
            self.until = 0.0
        return found

    def write(self, pipeline: Any, entry: str) -> None:
        """Add the entry to the stream, and cut off what is more than anybody may be behind by."""
        if self._number == 1:
            pipeline.delete(self.key)
        self._sizes.append(len(entry))
        while sum(self._sizes) > STREAM_CHARACTERS and len(self._sizes) > 1:
            self._sizes.popleft()
        pipeline.xadd(self.key, {"told": entry}, maxlen=len(self._sizes), approximate=False)
        now = time.monotonic()
        if now > self._expires_at - STREAM_SECONDS / 2:
            self._expires_at = now + STREAM_SECONDS
            pipeline.expire(self.key, STREAM_SECONDS)

    def lost(self) -> None:
        """What was written last may have arrived or not."""
        self._begin()

    def end(self) -> None:
        if self.live.listener == self.note:
            self.live.listener = None


def _snapshot(response: Any) -> dict[str, Any]:
    if not isinstance(response, LiveResponse):
        return {"pk": response.pk}  # finished: its row has it
    draft = response.draft
    return {"pk": response.pk, "id": draft.response_id, "cursor": draft.cursor, "output": draft.output()}


class Teller:
    """Tells all turns of this process that others wish for, in one exchange with Redis each TELL_SECONDS."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tellings: dict[int, Telling] = {}
        self._task: asyncio.Task[None] | None = None
        self.is_deaf = False  # while Redis is away

    def wished(self, message: bytes) -> None:
        """Somebody watches. What does not run here is no business of ours."""
        words = message.decode("ascii", "replace").split()
        live = self._hub.turns.get(int(words[0])) if words and words[0].isdigit() else None
        if live is None:
            return
        telling = self._tellings.get(live.pk)
        if telling is None or telling.live is not live:
            if len(self._tellings) >= TOLD_AT_MOST:
                return
            self._tellings[live.pk] = Telling(live)
        else:
            telling.wished()
            if words[1:] == ["anew"]:
                telling.wants_snapshot()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run(), name="telling")
            self._task.add_done_callback(_ended)

    async def _run(self) -> None:
        while self._tellings:
            try:
                await self.tell()
            except redis.Away as away:
                logger.warning("Redis is away; turns cannot be told to other processes: %s", away)
                for telling in self._tellings.values():
                    telling.lost()
                await asyncio.sleep(AGAIN_SECONDS)
            seconds = TELL_SECONDS * max(1.0, len(self._tellings) / TOLD_AT_FULL_PACE)
            await asyncio.sleep(min(seconds, TELL_SECONDS_AT_MOST))

    async def tell(self) -> None:
        """Write what is new of each turn, and let go of those that are over or that nobody watches any more."""
        now = time.monotonic()
        pipeline = redis.client().pipeline(transaction=False)
        for pk, telling in list(self._tellings.items()):
            if (entry := telling.entry()) is not None:
                telling.write(pipeline, entry)
            if telling.live.foot is not None or telling.until < now:
                telling.end()
                del self._tellings[pk]
        if pipeline:
            with redis.answering():
                await pipeline.execute()

    async def close(self) -> None:
        """Tell what is over by now, and no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._tellings:
            await self.tell()
        for telling in self._tellings.values():
            telling.end()
        self._tellings.clear()


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("the telling of turns broke off; the next wish begins it again", exc_info=fault)


async def listen(hub: Hub = hub) -> None:
    """Hear what other processes wish for, and tell it, until cancelled."""
    teller = Teller(hub)
    try:
        while True:
            try:
                await _hear(teller)
            except redis.Away as away:
                if not teller.is_deaf:
                    logger.warning("Redis is away; wishes of other processes cannot be heard: %s", away)
                teller.is_deaf = True
                await asyncio.sleep(AGAIN_SECONDS)
    finally:
        try:
            await teller.close()
        except redis.Away:
            logger.warning("the ends of turns could not be told to other processes; they will read them")


async def _hear(teller: Teller) -> None:
    with redis.answering():
        async with redis.client().pubsub(ignore_subscribe_messages=True) as wishes:
            await wishes.subscribe(WISHES)
            teller.is_deaf = False
            while True:
                message = await wishes.get_message(timeout=WISH_SECONDS)
                if message is not None:
                    teller.wished(message["data"])
