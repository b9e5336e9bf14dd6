"""Turns that run in another process, for the tabs of this one. One mirror a turn and process, however many tabs.

A mirror is a LiveTurn that is fed from elsewhere, so that a tab gets the same frames as beside the run. Its feed is the
turn's stream in Redis (`telling` writes it), read for all mirrors in one exchange each LISTEN_SECONDS. What has been
silent for a while, or has no Redis, is read from its row each ROW_SECONDS: that is behind by a second at most, never
wrong, and the only thing that says how a turn ended. Who may watch is decided before: see `web.socket`.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any

from django.db import DatabaseError
from django.template.loader import render_to_string

from chat.models import Response, Turn
from chat.rendering.answer import segments
from chat.rendering.live import LiveResponse
from chat.rendering.views import ToastView
from chat.responses.errors import BadStream
from chat.responses.events import parse_event
from chat.responses.fold import Draft
from chat.turns import redis
from chat.turns.db import in_db
from chat.turns.hub import Hub, LiveTurn, Tab, hub
from chat.turns.last_word import foot_of
from chat.turns.telling import WISHES, stream_key, wish

logger = logging.getLogger(__name__)

LISTEN_SECONDS = 0.04
ROW_SECONDS = 1.0
AGAIN_SECONDS = 1.0
WISH_SECONDS = 1.0  # between two wishes for a snapshot
RENEW_SECONDS = 5.0  # between two for more of the same
SILENT_SECONDS = 3.0  # a model may think for longer, but so may a message be lost
MIRRORED_AT_MOST = 500  # through Redis; the row says the rest
ENTRIES_AT_ONCE = 50

NEVER = float("-inf")


def gone_toast() -> str:
    """The same words for what is gone and for what is somebody else's."""
    toast = ToastView("That conversation is not there any more.")
    inner = render_to_string("chat/_toast.html", {"toast": toast})
    return f'<div id="toasts" hx-swap-oob="beforeend">{inner}</div>'


class Mirrored(LiveResponse):
    """A response that another process folds: it takes over drafts of theirs."""

    def become(self, draft: Draft) -> None:
        self.draft = draft
        self._reread()

    def length(self) -> int:
        return _length(self.draft.output())


def _length(output: Iterable[dict[str, Any]]) -> int:
    return sum(len(segment.text) for segment in segments(output))


class Lost(Exception):
    """What was heard does not follow on what was heard before."""


class Mirror:
    """One turn as another process carries it. It begins as its row was when somebody came to watch."""

    def __init__(self, turn: Turn) -> None:
        self.live = LiveTurn(turn.pk, str(turn.conversation_id))
        self.key = stream_key(turn.pk)
        self.heard_at = time.monotonic() if redis.is_used() else NEVER
        self.position: str | None = None  # in the stream; None before it was asked for
        self.wish_due = NEVER
        self._name = ""  # of the telling that is followed; "" until its snapshot is there
        self._number = 0
        self.is_over = False
        self._read(turn.responses.all(), whole=True)

    # From Redis

    @property
    def is_following(self) -> bool:
        return self._name != ""

    def lose(self) -> None:
        """Begin again with a snapshot. What is shown stays until it is there."""
        self._name = ""
        self.position = None

    def hear(self, position: str, entry: bytes) -> None:
        """Take in one entry of the stream. Whatever is wrong with it is mended by a snapshot."""
        self.position = position
        try:
            self._take(json.loads(entry))
        except Lost:
            self._name = ""
        except (ValueError, LookupError, TypeError, AttributeError, BadStream):
            # Another version of this program may say it in another way.
            logger.warning("turn %s: what its process tells is not understood", self.live.pk, exc_info=True)
            self._name = ""
            self.heard_at = NEVER

    def _take(self, told: dict[str, Any]) -> None:
        follows = told["name"] == self._name and told["n"] == self._number + 1
        if not follows and "snapshot" not in told and not self._is_last_word(told):
            raise Lost
        self._name, self._number = told["name"], told["n"]
        self.heard_at = time.monotonic()
        self.is_over = "over" in told
        if self._is_last_word(told):
            self.heard_at = NEVER
        elif "snapshot" in told:
            self._take_snapshot(told["snapshot"])
        else:
            known = {response.pk: response for response in self.live.responses}
            for pk, event in told["events"]:
                known[pk].apply(parse_event(event))
        self.live.changed()

    def _is_last_word(self, told: dict[str, Any]) -> bool:
        """That it is over, or too long to be told: the row has it."""
        return "over" in told or "too_long" in told

    def _take_snapshot(self, snapshot: list[dict[str, Any]]) -> None:
        for told in snapshot:
            if "output" in told:
                self._response(told["pk"]).become(Draft.restore(told["id"], told["output"], told["cursor"]))

    def _response(self, pk: int) -> Mirrored:
        for known in self.live.responses:
            if known.pk == pk:
                assert isinstance(known, Mirrored)
                return known
        self.live.responses.append(Mirrored(pk))
        return self._response(pk)

    # From the row

    def is_row_due(self, now: float) -> bool:
        return self.is_over or now - self.heard_at > SILENT_SECONDS

    def read(self, turn: Turn | None, foot: str | None) -> None:
        """Take over what the row says. `foot` is there when it says that the turn is over."""
        if turn is None:
            self.live.foot = f'<i id="t{self.live.pk}" hx-swap-oob="delete"></i>{gone_toast()}'
        elif foot is not None:
            self._read(turn.responses.all(), whole=True)
            self.live.foot = foot
        elif not self._read(turn.responses.all(), whole=False):
            return
        elif self.is_following:  # it went on, and nobody told
            self._name = ""
            self.wish_due = NEVER
        self.live.changed()

    def _read(self, rows: Iterable[Response], *, whole: bool) -> bool:
        """Whether there is something new. A row may be behind what was told: then it says nothing, but at the end."""
        is_new = False
        for row in rows:
            response = self._response(row.pk)
            output = row.output or []
            if whole or _length(output) > response.length():
                response.become(Draft.restore(row.response_id, output, row.cursor))
                is_new = True
            if not row.is_live:
                response.finish()
        return is_new


class Mirrors:
    """The mirrors of this process. All of it lives on one event loop, without locks."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._mirrors: dict[int, Mirror] = {}
        self._task: asyncio.Task[None] | None = None
        self._rows_wanted = asyncio.Event()
        self._is_alone = False

    def watch(self, tab: Tab, turn: Turn) -> None:
        """Show a running turn of another process. The tab must be allowed to see it."""
        mirror = self._mirrors.get(turn.pk)
        if mirror is None:
            mirror = self._mirrors[turn.pk] = Mirror(turn)
        tab.watch(mirror.live)
        self._keep_up()

    def _keep_up(self) -> None:
        loop = asyncio.get_running_loop()
        if self._task is None or self._task.done() or self._task.get_loop() is not loop:
            self._rows_wanted = asyncio.Event()
            self._task = loop.create_task(self._run(), name="mirrors", context=contextvars.Context())
            self._task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (fault := task.exception()) is None:
            return
        logger.error("the mirrors broke off; they begin again", exc_info=fault)
        asyncio.get_running_loop().call_later(AGAIN_SECONDS, self._keep_up)

    async def end(self) -> None:
        """Stop on this event loop; for shutdown."""
        task, self._task = self._task, None
        self._mirrors.clear()
        if task is not None and task.get_loop() is asyncio.get_running_loop():
            task.cancel()
            await asyncio.wait([task])

    async def _run(self) -> None:
        """Until nobody watches any more."""
        async with asyncio.TaskGroup() as group:
            rows = group.create_task(self._follow_rows())
            while self._mirrors:
                self._tidy()
                await self._follow_streams()
            rows.cancel()

    def _tidy(self) -> None:
        """Let go of what is over or watched by nobody, and of what this process carries itself by now."""
        for pk, mirror in list(self._mirrors.items()):
            here = self._hub.turns.get(pk)
            if here is not None:
                for tab in list(mirror.live.tabs):
                    tab.watch(here)
            if here is not None or mirror.live.foot is not None or not mirror.live.tabs:
                del self._mirrors[pk]

    # Streams

    async def _follow_streams(self) -> None:
        if not redis.is_used():
            await asyncio.sleep(ROW_SECONDS)
            return
        chosen = list(self._mirrors.values())[:MIRRORED_AT_MOST]
        try:
            await self._wish(chosen)
            await self._listen(chosen)
        except redis.Away as away:
            if not self._is_alone:
                logger.warning("Redis is away; turns of other processes are read from their rows: %s", away)
            self._is_alone = True
            for mirror in chosen:
                mirror.lose()
                mirror.wish_due = mirror.heard_at = NEVER
            self._rows_wanted.set()
            await asyncio.sleep(AGAIN_SECONDS)
        else:
            if self._is_alone:
                logger.warning("Redis is back; turns of other processes are mirrored again")
            self._is_alone = False
            await asyncio.sleep(LISTEN_SECONDS)

    async def _wish(self, mirrors: Sequence[Mirror]) -> None:
        """Say which turns are watched here. Who begins to listen does so from now on, not with what is long over."""
        now = time.monotonic()
        due = [mirror for mirror in mirrors if now >= mirror.wish_due]
        if not due:
            return
        new = [mirror for mirror in due if mirror.position is None]
        with redis.answering():
            if new:
                pipeline = redis.client().pipeline(transaction=False)
                for mirror in new:
                    pipeline.xrevrange(mirror.key, count=1)
                for mirror, newest in zip(new, await pipeline.execute(), strict=True):
                    mirror.position = newest[0][0].decode() if newest else "0-0"
            pipeline = redis.client().pipeline(transaction=False)
            for mirror in due:
                pipeline.publish(WISHES, wish(mirror.live.pk, anew=not mirror.is_following))
                mirror.wish_due = now + (RENEW_SECONDS if mirror.is_following else WISH_SECONDS)
            await pipeline.execute()

    async def _listen(self, mirrors: Sequence[Mirror]) -> None:
        places: dict[Any, Any] = {mirror.key: mirror.position for mirror in mirrors if mirror.position is not None}
        if not places:
            return
        with redis.answering():
            streams: Any = await redis.client().xread(places, count=ENTRIES_AT_ONCE)
        by_key = {mirror.key: mirror for mirror in mirrors}
        for key, entries in streams:
            mirror = by_key[key.decode()]
            followed = mirror.is_following
            for position, fields in entries:
                mirror.hear(position.decode(), fields[b"told"])
            if followed and not mirror.is_following:
                mirror.wish_due = NEVER
            if mirror.is_over:
                self._rows_wanted.set()

    # Rows

    async def _follow_rows(self) -> None:
        while True:
            self._rows_wanted.clear()
            now = time.monotonic()
            due = [mirror for mirror in self._mirrors.values() if mirror.is_row_due(now)]
            try:
                await self._read_rows(due)
            except DatabaseError:
                logger.exception("rows of turns could not be read; trying again")
            with suppress(TimeoutError):
                async with asyncio.timeout(ROW_SECONDS):
                    await self._rows_wanted.wait()

    async def _read_rows(self, mirrors: Sequence[Mirror]) -> None:
        if not mirrors:
            return
        found = await in_db(_rows, [mirror.live.pk for mirror in mirrors])
        for mirror in mirrors:
            turn, foot = found.get(mirror.live.pk, (None, None))
            mirror.read(turn, foot)


def _rows(pks: Sequence[int]) -> dict[int, tuple[Turn, str | None]]:
    turns = Turn.objects.with_answers().in_bulk(pks)
    return {pk: (turn, None if turn.is_live else foot_of(turn)) for pk, turn in turns.items()}


mirrors = Mirrors(hub)
