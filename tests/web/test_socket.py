"""The socket of a tab: what it is shown, what it is told, and when it is closed."""

from __future__ import annotations

import asyncio
import json
import re
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from channels.db import database_sync_to_async
from channels.layers import channel_layers
from channels.testing import WebsocketCommunicator
from django.contrib.auth import get_user
from django.test import Client
from django.urls import reverse

from chat.models import Conversation, Deployment, Response, Status, Turn, User
from chat.rendering.answer import response_html
from chat.rendering.live import LiveResponse
from chat.responses.events import parse_event
from chat.turns import mirror, notices, sweep
from chat.turns.hub import LiveTurn, hub
from chat.web import socket as sockets
from chatsite.asgi import routes
from tests.conftest import PASSWORD, signed_in
from tests.dom import Page, parse
from tests.rows import make_conversation, make_deployment, make_turn
from tests.upstream import text_events

pytestmark = pytest.mark.django_db(transaction=True)


class BrowserTab:
    """One open page: what its socket brings goes into `page`, and each frame is acknowledged."""

    def __init__(self, client: Client, name: str, page: str = "<main></main>") -> None:
        cookie = "; ".join(f"{key}={morsel.value}" for key, morsel in client.cookies.items())
        headers = [(b"cookie", cookie.encode()), (b"origin", b"http://localhost"), (b"host", b"localhost")]
        self.socket = WebsocketCommunicator(routes, f"/ws/?tab={name}", headers=headers)
        self.page = Page(f'<body>{page}<div id="toasts"></div></body>')

    async def say(self, **message: Any) -> None:
        await self.socket.send_to(text_data=json.dumps(message))

    async def frame(self) -> str:
        """The next frame, put into the page."""
        frame = await self.socket.receive_from(5)
        self.page.receive(frame)
        await self.say(type="ack", n=self.page.frames)
        return frame

    async def code(self) -> int:
        """The code that the server closes with; frames before that are passed over."""
        while True:
            message = await self.socket.receive_output(5)
            if message["type"] == "websocket.close":
                return int(message["code"])

    async def has_heard(self) -> None:
        """Wait until all that was said before has been dealt with."""
        await self.say(type="watch", turn=999_999)
        assert "not there any more" in await self.frame()


Open = Callable[..., Awaitable[BrowserTab]]


@pytest_asyncio.fixture
async def open_tab() -> AsyncIterator[Open]:
    tabs: list[BrowserTab] = []

    async def open_tab(client: Client, name: str = "t1", page: str = "<main></main>") -> BrowserTab:
        tab = BrowserTab(client, name, page)
        connected, _ = await tab.socket.connect(5)
        assert connected
        tabs.append(tab)
        return tab

    yield open_tab
    for tab in tabs:
        await tab.socket.disconnect()
    channel_layers.backends.clear()


@pytest.fixture
def deployment(transactional_db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return make_conversation(alice, deployment, turns=1)


@pytest.fixture
def running(conversation: Conversation) -> Turn:
    return make_turn(conversation, "Why?", "Half an", status=Status.IN_PROGRESS)


def shown(turn: Turn) -> str:
    """The place of a turn in the page before anything has arrived."""
    return (
        f'<main><article id="t{turn.pk}"><div id="t{turn.pk}-answer"></div>'
        f'<footer id="t{turn.pk}-foot" data-live="{turn.pk}"></footer></article></main>'
    )


class TestRunningHere:
    @pytest.fixture
    def live(self, running: Turn) -> Any:
        response = running.responses.get()
        live = hub.open(running.pk, str(running.conversation_id))
        live.responses.append(LiveResponse(response.pk))
        yield live
        live.tabs.clear()
        hub.over(live, "")

    def tell(self, live: LiveTurn, events: list[dict[str, Any]]) -> None:
        for event in events:
            live.responses[0].apply(parse_event(event))
        live.changed()

    async def test_what_was_asked_here_is_known_to_be_theirs_without_asking_the_database(
        self,
        alice_client: Client,
        alice: User,
        open_tab: Open,
        running: Turn,
        live: LiveTurn,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def asked(*_: Any) -> None:
            raise AssertionError("the database was asked")

        live.owner_id = alice.pk
        for door in ("conversation_for", "is_live_for"):
            monkeypatch.setattr(sockets, door, asked)
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="look", conversation=live.conversation_id)
        await tab.say(type="watch", turn=running.pk)
        assert f"t{running.pk}-answer" in await tab.frame()

    async def test_what_somebody_else_asked_here_is_refused(
        self, bob_client: Client, alice: User, open_tab: Open, running: Turn, live: LiveTurn
    ) -> None:
        live.owner_id = alice.pk
        tab = await open_tab(bob_client, page=shown(running))
        for message in ({"type": "look", "conversation": live.conversation_id}, {"type": "watch", "turn": running.pk}):
            await tab.say(**message)
            assert "not there any more" in await tab.frame()
        assert not live.tabs

    async def test_a_snapshot_comes_first_and_then_what_grows(
        self, alice_client: Client, open_tab: Open, running: Turn, live: LiveTurn
    ) -> None:
        events = text_events(["First.\n\n", "Second", " block.\n\n", "Third"])
        self.tell(live, events[:5])
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        first = await tab.frame()
        assert "First." in first
        assert "Second" in first
        self.tell(live, events[5:6])
        second = await tab.frame()
        assert "block." in second
        assert "First." not in second, "what has arrived is not sent again"
        self.tell(live, events[6:])
        live.responses[0].finish()
        hub.over(live, f'<footer id="t{running.pk}-foot" hx-swap-oob="true" data-status="completed"></footer>')
        while "completed" not in tab.page.part(f"t{running.pk}-foot"):
            await tab.frame()
        assert not tab.page.missed
        pk = live.responses[0].pk
        whole = Response(pk=pk, output=live.responses[0].draft.output())
        assert tab.page.part(f"r{pk}") == Page(response_html(whole)).part(f"r{pk}")

    async def test_watching_again_begins_anew(
        self, alice_client: Client, open_tab: Open, running: Turn, live: LiveTurn
    ) -> None:
        self.tell(live, text_events(["First."], done=False))
        tab = await open_tab(alice_client, page=shown(running))
        for _ in range(2):
            await tab.say(type="watch", turn=running.pk)
            assert "First." in await tab.frame()

    async def test_a_tab_that_acknowledges_nothing_gets_one_frame(
        self, alice_client: Client, open_tab: Open, running: Turn, live: LiveTurn
    ) -> None:
        events = text_events(["one ", "two ", "three"], done=False)
        tab = await open_tab(alice_client)
        await tab.say(type="watch", turn=running.pk)
        await tab.socket.receive_from(5)
        self.tell(live, events)
        assert await tab.socket.receive_nothing(0.2)
        await tab.say(type="ack", n=1)
        assert "one two three" in await tab.socket.receive_from(5)

    async def test_a_tab_that_leaves_is_forgotten(
        self, alice_client: Client, open_tab: Open, running: Turn, live: LiveTurn
    ) -> None:
        tab = await open_tab(alice_client)
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        assert len(live.tabs) == 1
        await tab.socket.disconnect()
        assert not live.tabs


class TestOver:
    async def test_a_finished_turn_comes_whole_in_its_place(
        self, alice_client: Client, open_tab: Open, conversation: Conversation
    ) -> None:
        turn = await database_sync_to_async(make_turn)(conversation, "Why <b>?", "Because *so*.")
        tab = await open_tab(alice_client, page=shown(turn))
        await tab.say(type="watch", turn=turn.pk)
        frame = await tab.frame()
        (article,) = parse(frame).elements()
        assert (article.tag, article.attributes["hx-swap-oob"]) == ("article", "true")
        assert "Why &lt;b&gt;?" in frame
        assert "<em>so</em>" in tab.page.part(f"t{turn.pk}")
        assert 'data-status="completed"' in tab.page.part(f"t{turn.pk}-foot")
        assert not tab.page.missed


class TestRunningElsewhere:
    @pytest.fixture(autouse=True)
    def soon(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(mirror, "ROW_SECONDS", 0.01)
        yield
        mirror.mirrors._mirrors.clear()

    async def test_the_row_is_followed_until_it_ends(self, alice_client: Client, open_tab: Open, running: Turn) -> None:
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        assert "Half an" in await tab.frame()
        assert f'data-live="{running.pk}"' in tab.page.part(f"t{running.pk}-foot")
        response = await Response.objects.aget(turn=running)
        response.output[0]["content"][0]["text"] = "Half an answer"
        await response.asave()
        assert "Half" not in await tab.frame(), "what has arrived is not sent again"
        assert "Half an answer" in tab.page.part(f"t{running.pk}-answer")
        await database_sync_to_async(sweep.close)(response, Status.INTERRUPTED)
        assert 'data-status="interrupted"' in await tab.frame()
        assert "Try again" in tab.page.part(f"t{running.pk}-foot")
        assert not tab.page.missed
        await asyncio.wait_for(self.ended(), 5)

    async def test_one_that_vanishes_is_let_go(self, alice_client: Client, open_tab: Open, running: Turn) -> None:
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        await Conversation.objects.all().adelete()
        await asyncio.wait_for(self.ended(), 5)
        await tab.has_heard()

    async def test_one_that_vanishes_leaves_the_page(self, alice_client: Client, open_tab: Open, running: Turn) -> None:
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        await Conversation.objects.all().adelete()
        assert "not there any more" in await tab.frame()
        assert "data-live" not in tab.page.root.html(), "the page would wait for ever"

    async def test_a_tab_that_the_server_drops_leaves_no_task(self, alice_client: Client, running: Turn) -> None:
        """At its own end, and when a socket closes too slowly, a server cancels it without a word."""
        tab = BrowserTab(alice_client, "t1", shown(running))
        await tab.socket.connect(5)
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        (sender,) = [task for task in asyncio.all_tasks() if "Tab.run" in repr(task.get_coro())]
        (mirrors,) = self.followers()
        tab.socket.future.cancel()
        _, pending = await asyncio.wait([sender, mirrors], timeout=5)
        assert not pending

    async def test_watching_twice_follows_once(self, alice_client: Client, open_tab: Open, running: Turn) -> None:
        tab = await open_tab(alice_client, page=shown(running))
        for _ in range(3):
            await tab.say(type="watch", turn=running.pk)
        await tab.say(type="watch", turn=999_999)
        while "not there any more" not in await tab.frame():
            pass
        (turn,) = mirror.mirrors._mirrors.values()
        assert len(turn.live.tabs) == len(self.followers()) == 1

    async def test_a_tab_that_comes_back_at_once_is_followed_again(
        self, alice_client: Client, open_tab: Open, running: Turn
    ) -> None:
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        await tab.say(type="look", conversation="")
        await tab.say(type="look", conversation=str(running.conversation_id))
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        response = await Response.objects.aget(turn=running)
        await database_sync_to_async(sweep.close)(response, Status.INTERRUPTED)
        assert 'data-status="interrupted"' in await tab.frame()

    async def test_a_tab_that_leaves_follows_no_more(self, alice_client: Client, open_tab: Open, running: Turn) -> None:
        tab = await open_tab(alice_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        await tab.frame()
        await tab.socket.disconnect()
        await asyncio.wait_for(self.ended(), 5)

    async def test_one_tab_cannot_have_everything_followed(
        self, alice_client: Client, open_tab: Open, running: Turn, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sockets, "MIRRORED_AT_MOST", 1)
        another = await database_sync_to_async(make_turn)(running.conversation, "Why?", status=Status.IN_PROGRESS)
        tab = await open_tab(alice_client, page=shown(running))
        for turn in (running, another):
            await tab.say(type="watch", turn=turn.pk)
        await tab.frame()
        await tab.has_heard()
        assert list(mirror.mirrors._mirrors) == [running.pk]

    async def test_a_stranger_is_refused_and_nothing_is_followed(
        self, bob_client: Client, open_tab: Open, running: Turn
    ) -> None:
        tab = await open_tab(bob_client, page=shown(running))
        await tab.say(type="watch", turn=running.pk)
        assert "not there any more" in await tab.frame()
        assert "Half an" not in tab.page.root.html()
        assert not mirror.mirrors._mirrors

    def followers(self) -> list[asyncio.Task[Any]]:
        return [task for task in asyncio.all_tasks() if "Mirrors._run" in repr(task.get_coro())]

    async def ended(self) -> None:
        await asyncio.gather(*self.followers())
        assert not mirror.mirrors._mirrors


async def test_a_page_in_the_background_is_left_alone_until_it_is_back(
    alice: User, alice_client: Client, open_tab: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat.turns.hub.HIDDEN_FRAME_SECONDS", 3600.0)
    tab = await open_tab(alice_client)
    await tab.say(type="hidden", **{"is": True})
    await tab.has_heard()
    await notices.list_changed(alice.pk, "another")
    assert await tab.socket.receive_nothing(0.2)
    await tab.say(type="hidden", **{"is": "no"})
    assert await tab.socket.receive_nothing(0.2)
    await tab.say(type="hidden", **{"is": False})
    assert "hx-get" in await tab.frame()


async def test_a_page_that_heard_nothing_for_a_while_gets_a_sign_of_life(alice_client: Client, open_tab: Open) -> None:
    tab = await open_tab(alice_client, page='<main></main><div id="nowhere">here</div>')
    assert await tab.socket.receive_nothing(0.2)
    await tab.say(type="ping")
    await tab.frame()
    assert not tab.page.missed
    assert tab.page.part("nowhere") == '<div id="nowhere"></div>'


class TestComingBack:
    """A tab that lost its socket for a while says which turn it ends with."""

    async def test_what_was_asked_elsewhere_meanwhile_comes_in_order(
        self, alice_client: Client, open_tab: Open, conversation: Conversation
    ) -> None:
        last = conversation.head_id
        newer = [await database_sync_to_async(make_turn)(conversation, f"Question {n}") for n in range(3)]
        tab = await open_tab(
            alice_client, page=f'<main><div id="turns-{conversation.pk}"><article id="t{last}"></article></div></main>'
        )
        await tab.say(type="look", conversation=str(conversation.pk), last=last)
        await tab.frame()
        shown = re.findall(r'<article[^>]* id="t(\d+)"', tab.page.part(f"turns-{conversation.pk}"))
        assert [int(pk) for pk in shown] == [last, *(turn.pk for turn in newer)]
        assert not tab.page.missed

    async def test_a_version_made_elsewhere_takes_the_place_of_the_one_that_is_shown(
        self, alice_client: Client, open_tab: Open, conversation: Conversation
    ) -> None:
        first = await Turn.objects.aget(pk=conversation.head_id)
        older = await database_sync_to_async(make_turn)(conversation, "Why?")
        again = await database_sync_to_async(make_turn)(conversation, "Why?", parent=first)
        articles = "".join(f'<article id="t{turn.pk}"></article>' for turn in (first, older))
        tab = await open_tab(alice_client, page=f'<main><div id="turns-{conversation.pk}">{articles}</div></main>')
        await tab.say(type="look", conversation=str(conversation.pk), last=older.pk)
        await tab.frame()
        shown = re.findall(r'<article[^>]* id="t(\d+)"', tab.page.part(f"turns-{conversation.pk}"))
        assert [int(pk) for pk in shown] == [first.pk, again.pk]

    async def test_a_page_that_is_too_old_gets_no_gap(
        self, alice_client: Client, open_tab: Open, conversation: Conversation, settings: Any
    ) -> None:
        settings.TURNS_PER_PAGE = 2
        last = conversation.head_id
        for number in range(3):
            await database_sync_to_async(make_turn)(conversation, f"Question {number}")
        tab = await open_tab(alice_client)
        await tab.say(type="look", conversation=str(conversation.pk), last=last)
        await tab.has_heard()
        assert tab.page.frames == 1

    @pytest.mark.parametrize("last", ["head", None, "x", 10**30, -1])
    async def test_nothing_comes_when_nothing_is_missing_or_said(
        self, alice_client: Client, open_tab: Open, conversation: Conversation, last: Any
    ) -> None:
        tab = await open_tab(alice_client)
        last = conversation.head_id if last == "head" else last
        if last == -1:
            await Conversation.objects.aupdate(head=None)
        await tab.say(type="look", conversation=str(conversation.pk), last=last)
        await tab.has_heard()
        assert tab.page.frames == 1

    async def test_a_stranger_gets_none_of_it(
        self, bob_client: Client, open_tab: Open, conversation: Conversation
    ) -> None:
        tab = await open_tab(bob_client)
        await tab.say(type="look", conversation=str(conversation.pk), last=1)
        assert "not there any more" in await tab.frame()
        await tab.has_heard()
        assert tab.page.frames == 2


class TestTold:
    async def test_a_new_title_is_shown_in_page_and_list(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation
    ) -> None:
        pk = conversation.pk
        page = f'<main><h1 id="title-{pk}">Old</h1><span id="c-{pk}-title">Old</span><i id="nowhere"></i></main>'
        tab = await open_tab(alice_client, page=page)
        await Conversation.objects.aupdate(title="New & <better>")
        await notices.titled(alice.pk, pk)
        frame = await tab.socket.receive_from(5)
        assert "New &amp; &lt;better&gt;" in frame
        assert f"title-{pk}" in frame
        assert f"c-{pk}-title" in frame

    async def test_a_turn_asked_in_another_tab_appears_at_the_end(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        tab = await open_tab(alice_client, page=f'<main><div id="turns-{conversation.pk}"></div></main>')
        await tab.say(type="look", conversation=str(conversation.pk))
        await tab.has_heard()
        await notices.turn_added(alice.pk, conversation.pk, running.pk, "another")
        await tab.frame()
        assert f'data-live="{running.pk}"' in tab.page.part(f"turns-{conversation.pk}")
        assert not tab.page.missed

    async def test_one_that_comes_after_the_person_went_on_finds_no_place_there(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        tab = await open_tab(alice_client, page=f'<main><div id="turns-{uuid.uuid4()}">elsewhere</div></main>')
        await tab.say(type="look", conversation=str(conversation.pk))
        await tab.has_heard()
        await notices.turn_added(alice.pk, conversation.pk, running.pk, "another")
        await tab.frame()
        assert [missed.split("#")[-1] for missed in tab.page.missed] == [f"turns-{conversation.pk}"]
        assert f"t{running.pk}" not in tab.page.root.html()

    async def test_a_version_takes_the_place_of_the_one_before(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        again = await database_sync_to_async(make_turn)(conversation, "Why?", parent=running.parent)
        page = f'<main><div id="turns-{conversation.pk}"><article id="t{running.parent_id}"></article><article id="t{running.pk}"></article></div></main>'
        tab = await open_tab(alice_client, page=page)
        await tab.say(type="look", conversation=str(conversation.pk))
        await tab.has_heard()
        await notices.turn_added(alice.pk, conversation.pk, again.pk, "another")
        await tab.frame()
        assert re.findall(r'<article[^>]* id="(t\d+)"', tab.page.part(f"turns-{conversation.pk}")) == [
            f"t{running.parent_id}",
            f"t{again.pk}",
        ]

    async def test_an_answer_that_goes_on_is_live_again_in_other_tabs(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        page = f'<main><div id="turns-{conversation.pk}"><article id="t{running.pk}">as it was</article></div></main>'
        tab = await open_tab(alice_client, page=page)
        await tab.say(type="look", conversation=str(conversation.pk))
        await tab.has_heard()
        await notices.turn_changed(alice.pk, conversation.pk, running.pk, "another")
        await tab.frame()
        assert f'data-live="{running.pk}"' in tab.page.part(f"t{running.pk}")
        assert "as it was" not in tab.page.root.html()
        assert not tab.page.missed

    async def test_the_tab_that_asked_is_not_told(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        tab = await open_tab(alice_client, "mine")
        await tab.say(type="look", conversation=str(conversation.pk))
        await notices.turn_added(alice.pk, conversation.pk, running.pk, "mine")
        await notices.list_changed(alice.pk, "mine")
        await tab.has_heard()
        assert tab.page.frames == 1

    async def test_a_tab_that_shows_another_conversation_is_not_told_of_a_turn(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        tab = await open_tab(alice_client)
        for looking in (str((await Conversation.objects.acreate(owner=alice)).pk), ""):
            await tab.say(type="look", conversation=str(conversation.pk))
            await tab.say(type="look", conversation=looking)
            await tab.has_heard()
            frames = tab.page.frames
            await notices.turn_added(alice.pk, conversation.pk, running.pk, "another")
            await tab.has_heard()
            assert tab.page.frames == frames + 1

    async def test_a_list_that_changed_is_asked_for_again(
        self, alice_client: Client, open_tab: Open, alice: User
    ) -> None:
        tab = await open_tab(alice_client, page='<main><nav id="conversations">old</nav><div id="errand"></div></main>')
        await notices.list_changed(alice.pk, "another")
        await tab.frame()
        assert 'hx-get="/conversations/" hx-target="#conversations"' in tab.page.part("errand")
        assert "old" in tab.page.part("conversations")

    async def test_nobody_else_is_told(
        self, bob_client: Client, open_tab: Open, alice: User, conversation: Conversation, running: Turn
    ) -> None:
        tab = await open_tab(bob_client)
        await tab.say(type="look", conversation=str(conversation.pk))
        assert "not there any more" in await tab.frame()
        await notices.titled(alice.pk, conversation.pk)
        await notices.turn_added(alice.pk, conversation.pk, running.pk, "another")
        await notices.list_changed(alice.pk, "another")
        await tab.has_heard()
        assert tab.page.frames == 2

    async def test_what_was_deleted_meanwhile_is_not_told(
        self, alice_client: Client, open_tab: Open, alice: User, conversation: Conversation
    ) -> None:
        tab = await open_tab(alice_client)
        await notices.titled(alice.pk, uuid.uuid4())
        await tab.has_heard()
        assert tab.page.frames == 1


class TestSignedOut:
    async def test_signing_out_closes_the_tabs_of_that_session_at_once(
        self, alice: User, alice_client: Client, open_tab: Open
    ) -> None:
        elsewhere = await database_sync_to_async(signed_in)(alice)
        here, there = await open_tab(alice_client, "t1"), await open_tab(elsewhere, "t2")
        assert (await sync_to_async(alice_client.post)(reverse("account_logout"))).status_code == 302
        assert await here.code() == sockets.SIGNED_OUT
        await there.has_heard()

    async def test_so_does_signing_out_of_the_admin(self, admin_client: Client, open_tab: Open) -> None:
        tab = await open_tab(admin_client)
        assert (await sync_to_async(admin_client.post)(reverse("admin:logout"))).status_code in (200, 302)
        assert await tab.code() == sockets.SIGNED_OUT

    async def test_signing_out_still_says_so_and_ends_the_session(self, alice_client: Client) -> None:
        page = await sync_to_async(alice_client.post)(reverse("account_logout"), follow=True)
        assert "signed out" in page.content.decode()
        assert not (await sync_to_async(get_user)(alice_client)).is_authenticated  # type: ignore[arg-type]

    async def test_a_new_password_closes_the_tabs_of_other_sessions(
        self, alice: User, alice_client: Client, open_tab: Open
    ) -> None:
        elsewhere = await database_sync_to_async(signed_in)(alice)
        tab = await open_tab(elsewhere)
        new = {"oldpassword": PASSWORD, "password1": "violet anchor 93", "password2": "violet anchor 93"}
        answer = await sync_to_async(alice_client.post)(reverse("account_change_password"), new)
        assert answer.status_code == 302
        assert await tab.code() == sockets.SIGNED_OUT

    @pytest.mark.parametrize("message", ["watch", "look", "titled", "list_changed"])
    @pytest.mark.parametrize("how", ["session", "account", "password"])
    async def test_without_a_notice_the_next_look_finds_out(
        self,
        alice: User,
        alice_client: Client,
        open_tab: Open,
        conversation: Conversation,
        monkeypatch: pytest.MonkeyPatch,
        message: str,
        how: str,
    ) -> None:
        tab = await open_tab(alice_client)
        await database_sync_to_async(self.revoke)(alice_client, how)
        await tab.has_heard()  # within the minute nobody asks
        monkeypatch.setattr(sockets, "SESSION_CHECK_SECONDS", 0.0)
        match message:
            case "watch":
                await tab.say(type="watch", turn=conversation.head_id)
            case "look":
                await tab.say(type="look", conversation=str(conversation.pk))
            case "titled":
                await notices.titled(alice.pk, conversation.pk)
            case "list_changed":
                await notices.list_changed(alice.pk, "another")
        output = await tab.socket.receive_output(5)
        assert output == {"type": "websocket.close", "code": sockets.SIGNED_OUT}

    def revoke(self, client: Client, how: str) -> None:
        alice = User.objects.get(username="alice")
        if how == "session":
            client.session.delete()
        elif how == "account":
            User.objects.filter(pk=alice.pk).update(is_active=False)
        else:
            alice.set_password("another")
            alice.save()


async def test_what_the_socket_cannot_send_closes_it_so_that_the_page_connects_anew(
    alice_client: Client, alice: User, open_tab: Open, monkeypatch: pytest.MonkeyPatch, conversation: Conversation
) -> None:
    tab = await open_tab(alice_client)

    def broken(self: object) -> str:
        raise ZeroDivisionError

    monkeypatch.setattr("chat.turns.hub.Tab._frame", broken)
    await notices.list_changed(alice.pk, "another")
    # Daphne sends none but these; of others it makes an exception, and the page would wait for ever.
    assert 3000 <= await tab.code() <= 4999
