"""The socket of one tab: it says what the tab looks at, and gets frames of fragments back.

From the browser: {"type": "look", "conversation": id}, {"type": "watch", "turn": pk}, {"type": "ack", "n": frames},
{"type": "hidden", "is": true} when the page goes into the background, and false when it is back, {"type": "ping"}
when it has heard nothing for a while: some frame is the answer.
The first "look" of a connection has "last", the turn that the page ends with: what was asked elsewhere since then comes.
To the browser: HTML whose top-level elements are out-of-band swaps. `hub.Tab` decides what and when.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
import re
import time
import uuid
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any

from channels.consumer import get_handler_name
from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings
from django.contrib.auth import HASH_SESSION_KEY, SESSION_KEY
from django.http import Http404
from django.template.loader import render_to_string

from chat.models import Conversation, Turn, User
from chat.rendering.views import render_turn, turn_view
from chat.turns import notices, short
from chat.turns.db import in_db
from chat.turns.hub import Gone, Tab, hub
from chat.turns.mirror import gone_toast, mirrors
from chat.turns.short import ShortWay
from chat.web.access import conversation_for, is_live_for, turn_for
from chat.web.actions import title_swap

logger = logging.getLogger(__name__)

SIGNED_OUT = 4401
# The answer to {"type": "ping"}, which a page sends when it has heard nothing for a while.
SIGN_OF_LIFE = '<div id="nowhere" hx-swap-oob="innerHTML"></div>'
BROKEN = 4500  # daphne raises on 1011, which would say it, and the tab would stand still
SESSION_CHECK_SECONDS = 60.0
MIRRORED_AT_MOST = 50  # for one tab

_ACKNOWLEDGEMENT = re.compile(rb'\{"type":"ack","n":([0-9]{1,15})\}')


class TabSocket(AsyncWebsocketConsumer):
    """One per open page. It never waits inside a handler for long: the tab's own task sends the frames."""

    async def connect(self) -> None:
        self.user: User | None = self.scope.get("user")
        if self.user is None or not self.user.is_authenticated:
            await self.accept()
            await self.close(SIGNED_OUT)
            return
        self.looking = ""
        self.name = self._tab_name()
        self.short: ShortWay | None = self.scope.get("extensions", {}).get(short.NAME)
        self.tab = Tab(self._send_directly if self.short else self._send_frame)
        self.checked_at = time.monotonic()
        await self.channel_layer.group_add(notices.person_group(self.user.pk), self.channel_name)
        await self.accept()
        if self.short is not None:
            self.short.heard = self._heard
        self.sender = asyncio.get_running_loop().create_task(self.tab.run(), context=contextvars.Context())
        self.sender.add_done_callback(self._sender_ended)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def heard() -> Any:
            # Twenty times a second a page acknowledges a frame. What has to be awaited for a message costs
            # Channels two tasks and a hop through its one database thread; this costs neither. From a server of ours
            # they do not come this way at all.
            while self._is_acknowledgement(message := await receive()):
                pass
            return message

        try:
            await super().__call__(scope, heard, send)
        finally:
            # A server that ends, or finds the socket too slow to close, cancels it without `disconnect`.
            self._let_go()

    def _let_go(self) -> None:
        if not hasattr(self, "tab"):
            return
        self.tab.leave()
        if self.short is not None:
            self.short.heard = None
        if hasattr(self, "sender"):
            self.sender.cancel()

    async def disconnect(self, code: int) -> None:
        if not hasattr(self, "tab") or self.user is None:
            return
        self._let_go()
        await self.channel_layer.group_discard(notices.person_group(self.user.pk), self.channel_name)

    async def dispatch(self, message: dict[str, Any]) -> None:
        """As Channels' own, without its look at old connections in another thread: who asks the database here does that."""
        handler = getattr(self, get_handler_name(message), None)
        if handler is None:
            raise ValueError(f"no handler for {message['type']!r}")
        await handler(message)

    async def _send_frame(self, html: str) -> None:
        try:
            await self.base_send({"type": "websocket.send", "text": html})
        except (RuntimeError, OSError) as closed:
            # What daphne and uvicorn raise between the browser's leaving and `disconnect`.
            raise Gone from closed

    def _send_directly(self, html: str) -> None:
        assert self.short is not None
        try:
            self.short.send_text(html)
        except RuntimeError as closed:
            raise Gone from closed

    def _heard(self, text: bytes) -> bool:
        if (found := _ACKNOWLEDGEMENT.fullmatch(text)) is None:
            return False
        self.tab.acknowledge(int(found[1]))
        return True

    def _sender_ended(self, sender: asyncio.Task[None]) -> None:
        """A tab without a sender would stand still: close, so that the page connects again and catches up."""
        if sender.cancelled() or (fault := sender.exception()) is None:
            return
        logger.error("a tab's frames broke off", exc_info=fault)
        self.closing = asyncio.get_running_loop().create_task(self.close(BROKEN))

    def _is_acknowledgement(self, message: dict[str, Any]) -> bool:
        if message["type"] != "websocket.receive" or not hasattr(self, "tab"):
            return False
        match _message(message.get("text")):
            case {"type": "ack", "n": int(count)}:
                self.tab.acknowledge(count)
                return True
        return False

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        match _message(text_data):
            case {"type": "hidden", "is": bool(is_hidden)}:
                self.tab.hide(is_hidden)
            case {"type": "ping"}:
                self.tab.push(SIGN_OF_LIFE)
            case {"type": "watch", "turn": int(pk)}:
                await self.watch(pk)
            case {"type": "look", "conversation": str(conversation), "last": int(last)}:
                await self.look(conversation, last)
            case {"type": "look", "conversation": str(conversation)}:
                await self.look(conversation)

    async def look(self, conversation: str, last: int | None = None) -> None:
        """The tab shows another conversation now, or a new one ("")."""
        self.looking = ""
        self.tab.look(conversation)
        if not await self._is_still_signed_in() or not conversation:
            return
        if last is None and hub.is_of(self._person.pk, conversation):
            self.looking = conversation
            return
        try:
            found = await in_db(conversation_for, self._person, uuid.UUID(conversation))
        except (Http404, ValueError):
            self.refuse()
            return
        self.looking = conversation
        if last is not None and (missed := await database_sync_to_async(_missed_turns)(found, last)):
            self.tab.push(missed)

    @property
    def _person(self) -> User:
        assert self.user is not None  # or the socket was closed while it opened
        return self.user

    async def watch(self, pk: int) -> None:
        """Show a turn from now on: a snapshot first, then what is newer."""
        if not await self._is_still_signed_in():
            return
        # What was just asked here is known to be theirs: each page asks for each answer that it watches.
        live = hub.turns.get(pk)
        if live is not None and live.owner_id == self._person.pk:
            self.tab.watch(live)
            return
        try:
            is_live = await in_db(is_live_for, self._person, pk)
        except (Http404, OverflowError):
            self.refuse()
            return
        # The hub is asked last: between the database's word and this one the run may have ended.
        live = hub.turns.get(pk)
        if live is not None:
            self.tab.watch(live)
        elif is_live:
            if self.tab.watches() < MIRRORED_AT_MOST:
                mirrors.watch(self.tab, await in_db(turn_for, self._person, pk))
        else:
            self.tab.push(await database_sync_to_async(_whole_turn)(pk))

    def refuse(self) -> None:
        self.tab.push(gone_toast())

    # Rare events, over the channel layer

    async def conversation_titled(self, event: dict[str, Any]) -> None:
        if not await self._is_still_signed_in():
            return
        with suppress(Http404):
            self.tab.push(await database_sync_to_async(_titled)(self._person, uuid.UUID(event["conversation"])))

    async def turn_added(self, event: dict[str, Any]) -> None:
        """Another tab asked something in the conversation that this one shows."""
        if (turn := await self._turn_of_another_tab(event)) is not None:
            self.tab.push(await database_sync_to_async(_added_turn)(turn))

    async def turn_changed(self, event: dict[str, Any]) -> None:
        """Another tab had an answer gone on with that this one shows as over."""
        if (turn := await self._turn_of_another_tab(event)) is not None:
            self.tab.push(await database_sync_to_async(_whole_turn)(turn.pk))

    async def _turn_of_another_tab(self, event: dict[str, Any]) -> Turn | None:
        if event["tab"] == self.name or event["conversation"] != self.looking or not await self._is_still_signed_in():
            return None
        try:
            turn: Turn = await database_sync_to_async(turn_for)(self.user, event["turn"])
        except Http404:
            return None
        return turn

    async def list_changed(self, event: dict[str, Any]) -> None:
        if event["tab"] != self.name and await self._is_still_signed_in():
            self.tab.push(render_to_string("chat/_refresh_list.html"))

    async def person_signed_out(self, event: dict[str, Any]) -> None:
        self.checked_at = 0.0
        await self._is_still_signed_in()

    async def _is_still_signed_in(self) -> bool:
        """A socket outlives the session that opened it; look again now and then."""
        if time.monotonic() - self.checked_at < SESSION_CHECK_SECONDS:
            return True
        self.checked_at = time.monotonic()
        if await database_sync_to_async(_session_is_valid)(self.scope["session_key"], self.user):
            return True
        await self.close(SIGNED_OUT)
        return False

    def _tab_name(self) -> str:
        query = self.scope.get("query_string", b"").decode("ascii", "replace")
        return next((part[4:] for part in query.split("&") if part.startswith("tab=")), "")


def _message(text: str | None) -> Any:
    """What the browser said, or None when it is not a message of ours."""
    try:
        return json.loads(text or "null")
    except (ValueError, RecursionError):
        return None


def _titled(user: User, pk: uuid.UUID) -> str:
    return title_swap(conversation_for(user, pk))


def _whole_turn(pk: int) -> str:
    view = turn_view(Turn.objects.with_answers().get(pk=pk))
    return render_turn(view).replace(f'id="t{pk}"', f'id="t{pk}" hx-swap-oob="true"', 1)


def _added_turn(turn: Turn) -> str:
    """The new turn at the end, in place of the version that it takes the place of."""
    older = Turn.objects.filter(conversation=turn.conversation, parent=turn.parent, pk__lt=turn.pk)
    gone = "".join(f'<i id="t{pk}" hx-swap-oob="delete"></i>' for pk in older.values_list("pk", flat=True))
    # Named by its conversation: a page that went on to another one while this was on its way has no such place.
    place = f"beforeend:#turns-{turn.conversation_id}"
    return f'{gone}<div hx-swap-oob="{place}">{render_turn(turn_view(turn))}</div>'


def _missed_turns(conversation: Conversation, last: int) -> str:
    """What the conversation has gone on with since the turn `last`; nothing when a page could not show it without a gap."""
    if conversation.head_id is None or conversation.head_id <= last:
        return ""
    path = Turn.objects.path_ids(conversation.head_id, settings.TURNS_PER_PAGE)
    if last not in path and not _was_replaced(conversation, last, path):
        return ""
    rows = Turn.objects.with_answers().in_bulk([pk for pk in path if pk > last])
    return "".join(_added_turn(rows[pk]) for pk in sorted(rows))


def _was_replaced(conversation: Conversation, pk: int, path: Sequence[int]) -> bool:
    """Whether another version of the turn is on the path."""
    turn = conversation.turns.filter(pk=pk).first()
    return turn is not None and conversation.turns.filter(parent=turn.parent_id, pk__in=path).exists()


def _session_is_valid(session_key: str | None, user: User) -> bool:
    store = import_module(settings.SESSION_ENGINE).SessionStore(session_key)
    current = User.objects.filter(pk=user.pk, is_active=True).first()
    if current is None or str(store.get(SESSION_KEY)) != str(user.pk):
        return False
    return bool(store.get(HASH_SESSION_KEY) == current.get_session_auth_hash())
