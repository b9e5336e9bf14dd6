"""What a POST does, and what it answers: a fragment for htmx, a redirect without it, a sentence when it cannot."""

from __future__ import annotations

import asyncio
import json
import re
import threading
import uuid
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.test import AsyncClient, Client
from django.test.utils import override_script_prefix
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat.conversations.ask import Asked
from chat.models import Attachment, Conversation, Deployment, Response, Status, Turn, User
from chat.turns import notices, run
from chat.web import actions
from tests.conftest import signed_in
from tests.dom import parse
from tests.rows import form, make_attachment, make_conversation, make_conversations, make_deployment, make_turn

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
TAB = "0123456789abcdef0123456789abcdef"
HOSTILE_QUESTIONS = ("Why?", "</textarea><script>alert(1)</script>\"'&", "{{ page.key }} {% csrf_token %} \\1 \\g<0>")


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return make_conversation(alice, deployment, turns=1)


@pytest.fixture(autouse=True)
def started(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What was given to be run; the runs themselves have tests of their own."""
    started: list[Asked] = []
    monkeypatch.setattr(run, "start", started.append)
    return started


@pytest.fixture(autouse=True)
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What the person's other tabs were told."""
    told: list[dict[str, Any]] = []

    async def tell(user_id: Any, message: dict[str, Any]) -> None:
        told.append(message)

    monkeypatch.setattr(notices, "_send", tell)
    return told


Post = Callable[..., HttpResponse]


@pytest.fixture
def post(alice_client: Client) -> Post:
    """Post as the page does."""

    def post(url: str, data: dict[str, Any] | None = None, **headers: str) -> HttpResponse:
        return alice_client.post(url, data or {}, headers={**HTMX, **headers})  # type: ignore[return-value]

    return post


Get = Callable[..., str]


@pytest.fixture
def get(alice_client: Client) -> Get:
    """The fragment that the page would get."""

    def get(url: str, **headers: str) -> str:
        return alice_client.get(url, headers={**HTMX, **headers}).content.decode()

    return get


def without_keys(html: str) -> str:
    """Without what is another one each time: the key of the form, and its token."""
    return re.sub(r'(name="(?:key|csrfmiddlewaretoken)" value=")[^"]+', r"\1", html).strip()


def to(name: str, conversation: Conversation) -> str:
    return reverse(name, args=[conversation.pk])


def refused(answer: HttpResponse, sentence: str) -> None:
    assert answer.status_code == 422
    assert answer.headers["HX-Retarget"] == "#problem"
    assert answer.headers["HX-Reswap"] == "innerHTML"
    assert sentence in answer.content.decode()
    assert "<" not in answer.content.decode()


def swaps(html: str) -> list[tuple[str, str | None]]:
    """The out-of-band swaps of an answer: where, and how."""
    return re.findall(r'<\w+ (?:[^>]*?)id="([^"]+)"[^>]*hx-swap-oob="([^"]*)"', html)


class TestAsk:
    def test_a_first_question_answers_with_its_conversation(
        self, post: Post, deployment: Deployment, started: list[Asked]
    ) -> None:
        answer = post("/ask/", form("Why is the sky blue?", instructions="Be brief."))
        conversation = Conversation.objects.get()
        html = answer.content.decode()
        assert answer.headers["HX-Push-Url"] == f"/c/{conversation.pk}/"
        assert json.loads(answer.headers["HX-Trigger"]) == {"asked": {"turn": conversation.head_id}}
        assert f'data-live="{conversation.head_id}"' in html
        assert "Why is the sky blue?" in html
        assert ("conversations", "innerHTML") in swaps(html)
        assert [asked.turn.pk for asked in started] == [conversation.head_id]
        assert conversation.instructions == "Be brief."

    @pytest.mark.parametrize(
        "others",
        [{}, {"label": '<b>The "other"</b>'}, {"input_price": 1, "output_price": 2}, {"code_interpreter": True}],
        ids=["one model", "a hostile name", "prices", "files of data"],
    )
    @pytest.mark.parametrize("background", ["", "on", "off"])
    def test_the_answer_to_a_first_question_is_what_a_reload_shows(
        self,
        others: dict[str, Any],
        background: str,
        post: Post,
        get: Get,
        deployment: Deployment,
        started: list[Asked],
    ) -> None:
        """Twice, with other values: most of it is rendered once."""
        other = make_deployment("m-2", **others) if others else deployment
        for question in HOSTILE_QUESTIONS:
            sent = form(question, instructions=question * 2, background=background, deployment=other.pk)
            answer = post("/ask/", sent, **{"X-Tab": TAB}).content.decode()
            page, _, listed = answer.partition('<nav id="conversations"')
            conversation = Conversation.objects.get(head=started[-1].turn)
            reloaded = get(f"/c/{conversation.pk}/", **{"X-Tab": TAB})
            assert without_keys(page) == without_keys(reloaded)
            assert f'id="c-{conversation.pk}"' in listed

    def test_a_line_of_the_list_is_the_same_when_it_is_new(
        self, post: Post, get: Get, alice_client: Client, deployment: Deployment, started: list[Asked]
    ) -> None:
        post("/ask/", form())
        day = re.search(r'id="conversations-today" data-day="([^"]+)"', alice_client.get("/").content.decode())
        assert day
        for question in HOSTILE_QUESTIONS:
            answer = post("/ask/", form(question), **{"X-Today": day[1]}).content.decode()
            _, _, item = answer.partition('<ul hx-swap-oob="afterbegin:#conversations-today">')
            listed = get("/conversations/")
            assert item.removesuffix("</ul>").strip() in listed

    def test_the_answer_to_a_further_question_is_what_a_reload_shows(
        self, post: Post, get: Get, conversation: Conversation, started: list[Asked]
    ) -> None:
        for question in HOSTILE_QUESTIONS:
            answer = post(to("ask_in", conversation), form(question)).content.decode()
            turn, _, _ = answer.partition('<input type="hidden" id="key"')
            assert turn.strip() in get(f"/c/{conversation.pk}/")
            Turn.objects.filter(pk=started[-1].turn.pk).update(status=Status.COMPLETED)

    def test_a_new_conversation_goes_on_top_of_todays_where_the_page_lists_such(
        self, post: Post, alice_client: Client, alice: User, deployment: Deployment, started: list[Asked]
    ) -> None:
        make_conversation(alice, deployment, turns=1)
        day = re.search(r'id="conversations-today" data-day="([^"]+)"', alice_client.get("/").content.decode())
        assert day
        html = post("/ask/", form("Why?"), **{"X-Today": day[1]}).content.decode()
        new = Conversation.objects.latest("last_activity_at")
        _, _, listed = html.partition('<ul hx-swap-oob="afterbegin:#conversations-today">')
        assert re.findall(r'class="conversation-item" id="c-([^"]+)"', listed) == [str(new.pk)]
        assert "conversations" not in dict(swaps(html))
        # After midnight the page lists under another day: all of it comes anew.
        html = post("/ask/", form("Why not?"), **{"X-Today": "2026-01-01"}).content.decode()
        assert ("conversations", "innerHTML") in swaps(html)

    def test_a_next_question_answers_with_its_turn_and_a_new_key(
        self, post: Post, conversation: Conversation, started: list[Asked]
    ) -> None:
        sent = form("And at night?")
        answer = post(to("ask_in", conversation), sent)
        html = answer.content.decode()
        turn = Turn.objects.latest("pk")
        assert "HX-Push-Url" not in answer.headers
        assert html.count("<article") == 1
        assert f'<article class="turn" id="t{turn.pk}">' in html
        assert re.findall(r'name="key" value="([^"]+)"', html) != [sent["key"]]
        assert [asked.turn for asked in started] == [turn]

    def test_the_sidebar_comes_along_only_where_its_order_changes(
        self, post: Post, alice: User, deployment: Deployment
    ) -> None:
        older, newest = (make_conversation(alice, deployment, turns=1) for _ in range(2))
        assert 'id="conversations"' not in post(to("ask_in", newest), form()).content.decode()
        assert 'id="conversations"' in post(to("ask_in", older), form()).content.decode()

    def test_the_newest_one_moves_under_today(self, post: Post, alice: User, deployment: Deployment) -> None:
        before = timezone.now() - timedelta(days=2)
        conversation = make_conversation(alice, deployment, turns=1, last_activity_at=before)
        html = post(to("ask_in", conversation), form()).content.decode()
        assert ">Today<" in html

    def test_the_same_form_again_answers_with_the_same_turn_and_runs_nothing(
        self, post: Post, conversation: Conversation, started: list[Asked], told: list[dict[str, Any]]
    ) -> None:
        sent = form()
        answers = [post(to("ask_in", conversation), sent) for _ in range(2)]
        pks = [json.loads(answer.headers["HX-Trigger"])["asked"]["turn"] for answer in answers]
        assert pks[0] == pks[1]
        assert Turn.objects.filter(question="Why?").count() == 1
        assert [asked.is_repeat for asked in started] == [False, True]
        assert len(told) == 1

    def test_the_same_first_form_again_leads_to_the_same_conversation(self, post: Post, deployment: Deployment) -> None:
        sent = form()
        addresses = {post("/ask/", sent).headers["HX-Push-Url"] for _ in range(2)}
        assert addresses == {f"/c/{Conversation.objects.get().pk}/"}

    def test_a_repeat_whose_conversation_was_deleted_is_404(self, post: Post, deployment: Deployment) -> None:
        sent = form()
        post("/ask/", sent)
        Conversation.objects.update(deleted_at=timezone.now())
        assert post("/ask/", sent).status_code == 404

    def test_files_go_with_it_once_each(self, post: Post, alice: User, conversation: Conversation) -> None:
        files = [make_attachment(alice, name, b"") for name in ("b.pdf", "a.pdf")]
        post(to("ask_in", conversation), form("", attachment=[str(f.pk) for f in (*files, files[0])]))
        shown = Turn.objects.with_answers().latest("pk")
        assert [file.name for file in shown.attachments.all()] == ["b.pdf", "a.pdf"]

    def test_a_model_can_be_chosen_with_the_first_question(self, post: Post, deployment: Deployment) -> None:
        other = make_deployment("other")
        post("/ask/", form(deployment=str(other.pk)))
        assert Conversation.objects.get().deployment == other

    def test_without_htmx_it_leads_to_the_conversation(self, alice_client: Client, deployment: Deployment) -> None:
        answer = alice_client.post("/ask/", form())
        assert (answer.status_code, answer["Location"]) == (302, f"/c/{Conversation.objects.get().pk}/")

    def test_other_tabs_are_told_of_a_new_conversation_and_of_a_turn(
        self, post: Post, conversation: Conversation, told: list[dict[str, Any]]
    ) -> None:
        post(to("ask_in", conversation), form(tab=TAB))
        turn = Turn.objects.latest("pk")
        added = {"type": "turn.added", "conversation": str(conversation.pk), "turn": turn.pk, "tab": TAB}
        assert told == [added]
        post("/ask/", form(tab=TAB))
        assert told[1:] == [{"type": "list.changed", "tab": TAB}]  # no tab shows it yet, that could lack the turn

    @pytest.mark.parametrize("deed", ["ask", "retry"])
    def test_other_tabs_are_told_of_one_that_moves_up_in_the_list(
        self, post: Post, alice: User, deployment: Deployment, told: list[dict[str, Any]], deed: str
    ) -> None:
        older, newest = (make_conversation(alice, deployment, turns=1) for _ in range(2))
        changed = {"type": "list.changed", "tab": TAB}
        for conversation, moves in ((newest, False), (older, True), (older, False)):
            told.clear()
            if deed == "ask":
                html = post(to("ask_in", conversation), form(tab=TAB)).content.decode()
            else:
                conversation.refresh_from_db()
                html = post(reverse("retry", args=[conversation.head_id]), **{"X-Tab": TAB}).content.decode()
            assert (changed in told) == moves
            assert ('id="conversations"' in html) == moves


class TestAskRefused:
    @pytest.mark.parametrize(
        ("sent", "sentence"),
        [
            (form("  "), "Write a message or attach a file"),
            (form("x" * 200_001), "200,000 fit"),
            ({"question": "Why?"}, "This form is broken"),
            (form(key="not-a-key"), "This form is broken"),
            (form(attachment="not-a-file"), "This form is broken"),
            (form(attachment=str(uuid.uuid4())), "no longer there"),
            (form(deployment="many"), "This form is broken"),
            (form(deployment="9" * 5000), "This form is broken"),
            (form(deployment="9" * 30), "no longer offered"),
            (form(instructions="x" * 20_001), "20,000 fit"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_a_sentence_beside_the_composer_and_nothing_is_kept(
        self, post: Post, deployment: Deployment, started: list[Asked], sent: dict[str, Any], sentence: str
    ) -> None:
        refused(post("/ask/", sent), sentence)
        assert not Conversation.objects.exists()
        assert not started

    def test_while_an_answer_is_written(self, post: Post, conversation: Conversation, started: list[Asked]) -> None:
        make_turn(conversation, status=Status.IN_PROGRESS)
        refused(post(to("ask_in", conversation), form()), "still being written")
        assert not started

    def test_too_long_even_to_be_read(self, post: Post, conversation: Conversation, started: list[Asked]) -> None:
        refused(post(to("ask_in", conversation), form("語" * 2_000_000)), "far too long; 200,000 characters fit")
        assert not started

    def test_the_name_of_a_file_is_words(self, post: Post, alice: User, deployment: Deployment) -> None:
        file = make_attachment(alice, "<b>x</b>.pdf", b"", status=Attachment.Status.CHECKING)
        refused(post("/ask/", form(attachment=str(file.pk))), "“&lt;b&gt;x&lt;/b&gt;.pdf” is not ready")

    def test_without_htmx_it_is_a_page(self, alice_client: Client, deployment: Deployment) -> None:
        answer = alice_client.post("/ask/", form(" "))
        assert answer.status_code == 422
        assert "<html" in answer.content.decode()
        assert "Write a message or attach a file first." in answer.content.decode()


class TestRetry:
    @pytest.fixture
    def failed(self, conversation: Conversation) -> Turn:
        return make_turn(conversation, "Second", "", status=Status.FAILED)

    def url(self, turn: Turn | int) -> str:
        return reverse("retry", args=[turn if isinstance(turn, int) else turn.pk])

    def test_the_new_turn_takes_the_old_ones_place(
        self, post: Post, failed: Turn, started: list[Asked], told: list[dict[str, Any]]
    ) -> None:
        answer = post(self.url(failed), {"tab": TAB})
        again = Turn.objects.latest("pk")
        assert (again.question, again.parent) == ("Second", failed.parent)
        assert f'<article class="turn" id="t{again.pk}">' in answer.content.decode()
        assert f't{failed.pk}"' not in answer.content.decode()
        assert [asked.turn for asked in started] == [again]
        assert (told[0]["type"], told[0]["tab"]) == ("turn.added", TAB)

    def test_only_the_last_turn_can_be_asked_again(self, post: Post, failed: Turn, started: list[Asked]) -> None:
        assert failed.parent
        refused(post(self.url(failed.parent)), "The conversation has gone on since")
        post(self.url(failed))
        refused(post(self.url(failed)), "The conversation has gone on since")
        assert len(started) == 1

    def test_not_while_it_is_answered(self, post: Post, conversation: Conversation, started: list[Asked]) -> None:
        running = make_turn(conversation, status=Status.QUEUED)
        refused(post(self.url(running)), "still being written")
        assert not started

    def test_without_htmx_it_leads_to_the_conversation(self, alice_client: Client, failed: Turn) -> None:
        answer = alice_client.post(self.url(failed))
        assert (answer.status_code, answer["Location"]) == (302, f"/c/{failed.conversation_id}/")

    @pytest.mark.parametrize("pk", ["999999", "9" * 30, "9" * 5000])
    def test_a_turn_that_is_none_is_404(self, post: Post, pk: str) -> None:
        assert post(f"/turns/{pk}/retry/").status_code == 404


class TestGoOn:
    @pytest.fixture
    def broken(self, conversation: Conversation) -> Turn:
        return make_turn(conversation, "Second", "Half of", status=Status.INTERRUPTED)

    def url(self, turn: Turn) -> str:
        return reverse("go_on", args=[turn.pk, turn.responses.earliest("order").pk])

    def test_the_turn_stays_with_its_text_and_is_answered_again(
        self, post: Post, broken: Turn, started: list[Asked], told: list[dict[str, Any]]
    ) -> None:
        html = post(self.url(broken), {"tab": TAB}).content.decode()
        assert f'<article class="turn" id="t{broken.pk}">' in html
        assert "Half of" in html
        assert f'data-live="{broken.pk}"' in html
        assert [asked.response.order for asked in started] == [1]
        assert {
            "type": "turn.changed",
            "conversation": str(broken.conversation_id),
            "turn": broken.pk,
            "tab": TAB,
        } in told

    def test_two_clicks_are_one(self, post: Post, broken: Turn, started: list[Asked]) -> None:
        pages = [post(self.url(broken)).content.decode() for _ in range(2)]
        assert pages[0] == pages[1]
        assert [asked.is_repeat for asked in started] == [False, True]
        assert broken.responses.count() == 2

    def test_what_cannot_be_gone_on_with_is_refused(self, post: Post, broken: Turn, started: list[Asked]) -> None:
        Turn.objects.update(status=Status.COMPLETED)
        Response.objects.update(status=Status.COMPLETED)
        refused(post(self.url(broken)), "cannot be gone on with")
        assert not started

    def test_without_htmx_it_leads_to_the_conversation(self, alice_client: Client, broken: Turn) -> None:
        answer = alice_client.post(self.url(broken))
        assert (answer.status_code, answer.headers["Location"]) == (302, to("conversation", broken.conversation))


class TestLimits:
    def test_a_person_has_so_many_answers_at_once(
        self, post: Post, alice: User, deployment: Deployment, settings: Settings, started: list[Asked]
    ) -> None:
        settings.RUNNING_PER_PERSON = 2
        for _ in range(2):
            assert post("/ask/", form()).status_code == 200
        refused(post("/ask/", form()), "2 answers are being written for you at the moment; wait for one, or stop one.")
        assert len(started) == Turn.objects.count() == 2

    @pytest.mark.parametrize("deed", ["ask", "retry", "go_on"])
    def test_a_process_has_so_many_runs_at_once(
        self, post: Post, conversation: Conversation, settings: Settings, monkeypatch: pytest.MonkeyPatch, deed: str
    ) -> None:
        turn = make_turn(conversation, status=Status.INTERRUPTED)
        urls = {
            "ask": to("ask_in", conversation),
            "retry": reverse("retry", args=[turn.pk]),
            "go_on": reverse("go_on", args=[turn.pk, turn.responses.get().pk]),
        }
        settings.RUNNING_PER_PROCESS = 3
        monkeypatch.setattr(run, "running", lambda: [1, 2, 3])
        refused(post(urls[deed], form()), "Very many answers are being written here")
        monkeypatch.setattr(run, "running", lambda: [1, 2])
        assert post(urls[deed], form()).status_code == 200


class TestStop:
    def test_a_run_of_this_process_is_told(
        self, post: Post, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = make_turn(conversation, status=Status.IN_PROGRESS)
        stopped: list[int] = []
        monkeypatch.setattr(run, "stop", lambda pk: stopped.append(pk) or True)
        assert post(to("stop", conversation)).status_code == 204
        assert stopped == [running.pk]
        running.refresh_from_db()
        assert running.status == Status.IN_PROGRESS, "its end is the run's to store"

    def test_one_that_nobody_carries_is_closed_and_keeps_its_text(self, post: Post, conversation: Conversation) -> None:
        running = make_turn(conversation, answer="Half", status=Status.IN_PROGRESS)
        post(to("stop", conversation))
        response = Response.objects.get(turn=running)
        assert (response.status, response.turn.status, response.text) == (Status.CANCELLED, Status.CANCELLED, "Half")

    def test_where_nothing_runs_nothing_happens(self, post: Post, conversation: Conversation) -> None:
        before = list(Response.objects.values())
        for _ in range(2):
            assert post(to("stop", conversation)).status_code == 204
        assert list(Response.objects.values()) == before

    def test_without_htmx_it_leads_back(self, alice_client: Client, conversation: Conversation) -> None:
        assert alice_client.post(to("stop", conversation))["Location"] == f"/c/{conversation.pk}/"


class TestRename:
    def test_the_line_becomes_a_form_and_the_form_a_line(
        self, post: Post, alice_client: Client, conversation: Conversation
    ) -> None:
        opened = alice_client.get(to("rename", conversation), headers=HTMX).content.decode()
        assert 'name="title" value="Talk"' in opened
        assert f'hx-target="#c-{conversation.pk}"' in opened
        html = post(to("rename", conversation), {"title": "  A better\n title "}).content.decode()
        assert f'<li class="conversation-item" id="c-{conversation.pk}">' in html
        assert f"#title-{conversation.pk}" in html or f'id="title-{conversation.pk}"' in html
        assert html.count("A better title") >= 2
        conversation.refresh_from_db()
        assert (conversation.title, conversation.titled_by_owner) == ("A better title", True)

    def test_giving_up_brings_the_line_back(self, alice_client: Client, conversation: Conversation) -> None:
        html = alice_client.get(to("item", conversation), headers=HTMX).content.decode()
        assert f'<li class="conversation-item" id="c-{conversation.pk}">' in html
        assert "<input" not in html

    @pytest.mark.parametrize("title", ["", "  \n", "\u3000"])
    def test_a_title_needs_a_character(self, post: Post, conversation: Conversation, title: str) -> None:
        refused(post(to("rename", conversation), {"title": title}), "at least one character")
        conversation.refresh_from_db()
        assert conversation.title == "Talk"

    def test_a_long_one_is_cut_where_the_column_ends(self, post: Post, conversation: Conversation) -> None:
        post(to("rename", conversation), {"title": "x" * 199 + " y" + "\0"})
        conversation.refresh_from_db()
        assert conversation.title == "x" * 199

    def test_other_tabs_are_told(self, post: Post, conversation: Conversation, told: list[dict[str, Any]]) -> None:
        post(to("rename", conversation), {"title": "Mine"})
        assert told == [{"type": "conversation.titled", "conversation": str(conversation.pk)}]

    def test_without_htmx(self, alice_client: Client, conversation: Conversation) -> None:
        assert alice_client.post(to("rename", conversation), {"title": "Mine"})["Location"] == f"/c/{conversation.pk}/"
        page = alice_client.post(to("rename", conversation), {"title": " "})
        assert (page.status_code, "at least one character" in page.content.decode()) == (422, True)

    def test_the_order_of_the_list_is_that_of_talking(self, post: Post, conversation: Conversation) -> None:
        before = conversation.last_activity_at
        post(to("rename", conversation), {"title": "Mine"})
        conversation.refresh_from_db()
        assert conversation.last_activity_at == before


class TestChoose:
    def test_model_and_instructions_are_kept_for_the_turns_to_come(
        self, post: Post, conversation: Conversation, deployment: Deployment
    ) -> None:
        other = make_deployment("other")
        sent = {"deployment": str(other.pk), "instructions": " Be brief.\r\nBe kind. "}
        assert post(to("choose", conversation), sent).status_code == 204
        conversation.refresh_from_db()
        assert (conversation.deployment, conversation.instructions) == (other, "Be brief.\nBe kind.")
        first = conversation.turns.get()
        assert first.deployment == deployment, "what was said stays said by whom it was"

    @pytest.mark.parametrize(("sent", "kept"), [("on", True), ("off", False), ("", None), ("perhaps", None)])
    def test_a_conversation_may_work_in_the_background_or_not(
        self, post: Post, conversation: Conversation, sent: str, kept: bool | None
    ) -> None:
        Conversation.objects.update(background=not kept)
        assert post(to("choose", conversation), {"background": sent}).status_code == 204
        assert Conversation.objects.get().background is kept
        post(to("choose", conversation), {"instructions": "Be brief."})
        assert Conversation.objects.get().background is kept
        post("/ask/", form(background=sent))
        assert Conversation.objects.latest("created_at").background is kept

    def test_what_is_not_sent_stays(self, post: Post, conversation: Conversation, deployment: Deployment) -> None:
        post(to("choose", conversation), {"instructions": "Be brief."})
        other = make_deployment("other")
        post(to("choose", conversation), {"deployment": str(other.pk)})
        conversation.refresh_from_db()
        assert (conversation.deployment, conversation.instructions) == (other, "Be brief.")
        post(to("choose", conversation), {"instructions": ""})
        conversation.refresh_from_db()
        assert (conversation.deployment, conversation.instructions) == (other, "")

    @pytest.mark.parametrize(
        ("sent", "sentence"),
        [({"deployment": "999999"}, "no longer offered"), ({"instructions": "x" * 20_001}, "20,000 fit")],
    )
    def test_what_cannot_be_changes_nothing(
        self, post: Post, conversation: Conversation, sent: dict[str, str], sentence: str
    ) -> None:
        before = Conversation.objects.values().get()
        refused(post(to("choose", conversation), {"instructions": "Be brief.", **sent}), sentence)
        assert Conversation.objects.values().get() == before

    def test_a_model_of_a_group_is_for_the_group(self, post: Post, alice: User, conversation: Conversation) -> None:
        special = make_deployment("special")
        special.groups.add(group := Group.objects.create(name="Researchers"))
        refused(post(to("choose", conversation), {"deployment": str(special.pk)}), "no longer offered")
        alice.groups.add(group)
        assert post(to("choose", conversation), {"deployment": str(special.pk)}).status_code == 204

    @pytest.mark.parametrize("choice", ["", "x", "-1", "9" * 5000], ids=lambda choice: choice[:9])
    def test_a_choice_that_is_none_leaves_the_model_as_it_is(
        self, post: Post, conversation: Conversation, choice: str
    ) -> None:
        before = conversation.deployment_id
        assert post(to("choose", conversation), {"deployment": choice}).status_code == 204
        conversation.refresh_from_db()
        assert conversation.deployment_id == before

    def test_without_htmx_it_leads_back(self, alice_client: Client, conversation: Conversation) -> None:
        assert alice_client.post(to("choose", conversation))["Location"] == f"/c/{conversation.pk}/"


class TestDelete:
    def test_it_goes_from_the_list_and_a_toast_brings_it_back(
        self, post: Post, alice_client: Client, alice: User, conversation: Conversation
    ) -> None:
        (other,) = make_conversations(alice, 1)
        html = post(to("delete", conversation)).content.decode()
        assert "Deleted “Talk”." in html
        assert to("restore", conversation) in html
        assert f'id="c-{conversation.pk}"' not in html
        assert f'id="c-{other.pk}"' in html
        assert alice_client.get(to("conversation", conversation)).status_code == 404

        html = post(to("restore", conversation)).content.decode()
        assert f'id="c-{conversation.pk}"' in html
        assert alice_client.get(to("conversation", conversation)).status_code == 200

    def test_the_list_comes_back_as_long_as_it_was(
        self, post: Post, alice: User, settings: Settings, conversation: Conversation
    ) -> None:
        settings.CONVERSATIONS_PER_PAGE = 2
        make_conversations(alice, 7)
        html = post(to("delete", conversation), **{"X-Listed": "5"}).content.decode()
        assert html.count('class="conversation-item"') == 6
        html = post(to("restore", conversation), **{"X-Listed": "0"}).content.decode()
        assert html.count('class="conversation-item"') == 2

    def test_the_reviewer_keeps_it(self, post: Post, conversation: Conversation) -> None:
        post(to("delete", conversation))
        assert Conversation.objects.get().turns.count() == 1

    @pytest.mark.parametrize("is_open", [True, False])
    def test_the_open_one_gives_way_to_a_new_chat(self, post: Post, conversation: Conversation, is_open: bool) -> None:
        shown = to("conversation", conversation) if is_open else "/"
        answer = post(to("delete", conversation), **{"HX-Current-URL": f"http://testserver{shown}"})
        assert (answer.headers.get("HX-Push-Url") == "/") == is_open
        assert ('<main id="main" hx-swap-oob="innerHTML">' in answer.content.decode()) == is_open

    @pytest.mark.parametrize(("looks_at", "opens"), [("/", True), (f"/c/{uuid.UUID(int=7)}/", False)])
    def test_undo_opens_it_again_where_the_person_still_sees_the_new_chat(
        self, post: Post, conversation: Conversation, looks_at: str, opens: bool
    ) -> None:
        shown = f"http://testserver{to('conversation', conversation)}"
        deleted = post(to("delete", conversation), **{"HX-Current-URL": shown}).content.decode()
        undo = f"{to('restore', conversation)}?open=1"
        assert undo in deleted
        answer = post(undo, **{"HX-Current-URL": f"http://testserver{looks_at}"})
        assert (answer.headers.get("HX-Push-Url") == to("conversation", conversation)) == opens
        assert (f'data-conversation="{conversation.pk}"' in answer.content.decode()) == opens

    def test_what_is_answered_there_is_stopped(
        self, post: Post, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        running = make_turn(conversation, status=Status.IN_PROGRESS)
        stopped: list[int] = []
        monkeypatch.setattr(run, "stop", lambda pk: stopped.append(pk) or True)
        post(to("delete", conversation))
        assert stopped == [running.pk]

    def test_twice_is_404_and_undo_twice_is_not(self, post: Post, conversation: Conversation) -> None:
        assert post(to("delete", conversation)).status_code == 200
        assert post(to("delete", conversation)).status_code == 404
        assert [post(to("restore", conversation)).status_code for _ in range(2)] == [200, 200]

    def test_other_tabs_are_told_of_both(
        self, post: Post, conversation: Conversation, told: list[dict[str, Any]]
    ) -> None:
        post(to("delete", conversation), **{"X-Tab": TAB})
        post(to("restore", conversation), **{"X-Tab": TAB})
        assert told == [{"type": "list.changed", "tab": TAB}] * 2

    def test_without_htmx(self, alice_client: Client, conversation: Conversation) -> None:
        assert alice_client.post(to("delete", conversation))["Location"] == "/"
        assert alice_client.post(to("restore", conversation))["Location"] == f"/c/{conversation.pk}/"


ACTIONS = ["ask_in", "stop", "choose", "delete", "restore"]


class TestDoors:
    @pytest.mark.parametrize("name", ["ask", "retry", *ACTIONS])
    def test_looking_changes_nothing(self, alice_client: Client, conversation: Conversation, name: str) -> None:
        args = {"ask": [], "retry": [conversation.head_id]}.get(name, [conversation.pk])
        before = (list(Conversation.objects.values()), list(Turn.objects.values()))
        for method in ("get", "head", "put", "delete", "options"):
            assert getattr(alice_client, method)(reverse(name, args=args)).status_code == 405
        assert (list(Conversation.objects.values()), list(Turn.objects.values())) == before

    @pytest.mark.parametrize("name", ["ask", "retry", "rename", *ACTIONS])
    def test_another_site_cannot_act_for_the_person(self, alice: User, conversation: Conversation, name: str) -> None:
        client = Client(enforce_csrf_checks=True)
        client.cookies = signed_in(alice).cookies
        args = {"ask": [], "retry": [conversation.head_id]}.get(name, [conversation.pk])
        before = (list(Conversation.objects.values()), list(Turn.objects.values()))
        for headers in ({}, HTMX):
            sent = client.post(reverse(name, args=args), form(title="Theirs"), headers=headers)
            assert sent.status_code == 403
        assert (list(Conversation.objects.values()), list(Turn.objects.values())) == before

    def test_the_pages_own_form_may(self, alice: User, deployment: Deployment) -> None:
        client = Client(enforce_csrf_checks=True)
        client.cookies = signed_in(alice).cookies
        page = client.get("/").content.decode()
        token = re.findall(r'name="csrfmiddlewaretoken" value="([^"]+)"', page)[0]
        key = re.findall(r'name="key" value="([^"]+)"', page)[0]
        sent = client.post("/ask/", {"question": "Why?", "key": key, "csrfmiddlewaretoken": token}, headers=HTMX)
        assert sent.status_code == 200

    @pytest.mark.parametrize("name", ["ask", *ACTIONS])
    def test_a_session_that_ended_sends_the_page_to_the_sign_in(
        self, client: Client, conversation: Conversation, name: str
    ) -> None:
        args = [] if name == "ask" else [conversation.pk]
        answer = client.post(reverse(name, args=args), form(), headers=HTMX)
        assert (answer.status_code, answer.headers["HX-Redirect"]) == (204, reverse("account_login"))


def test_where_a_server_says_that_the_site_is_mounted_is_so_for_that_request_alone(
    alice_client: Client, deployment: Deployment
) -> None:
    for mount in ("/there", ""):
        with override_script_prefix(f"{mount}/"):
            html = alice_client.post("/ask/", form(), headers=HTMX).content.decode()
        Turn.objects.update(status=Status.COMPLETED)
        assert f'data-files-url="{mount}/files/"' in html


def test_every_fragment_is_well_formed(post: Post, alice_client: Client, conversation: Conversation) -> None:
    """What a browser would repair silently, it repairs differently in the next place."""
    failed = make_turn(conversation, status=Status.FAILED)
    answers = [
        post(reverse("retry", args=[failed.pk])),
        post(to("rename", conversation), {"title": "A & B <c>"}),
        alice_client.get(to("rename", conversation), headers=HTMX),
        alice_client.get(to("conversation", conversation), headers=HTMX),
        post("/ask/", form("A & B <c>")),
        post(to("delete", conversation)),
        post(to("restore", conversation)),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert parse(answer.content.decode()).elements()


@pytest.mark.django_db(transaction=True)
async def test_a_question_is_answered_even_if_its_browser_leaves_while_it_is_stored(
    alice: User, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reload in the moment of sending: the server cancels the request, and the answer must still come."""
    stored, may_go_on = threading.Event(), threading.Event()
    ask = actions.asking.ask
    started: asyncio.Queue[Asked] = asyncio.Queue()
    monkeypatch.setattr(run, "start", started.put_nowait)

    def slow(*args: Any, **options: Any) -> Asked:
        asked = ask(*args, **options)
        stored.set()
        may_go_on.wait(5)
        return asked

    monkeypatch.setattr(actions.asking, "ask", slow)
    client = AsyncClient()
    await client.aforce_login(alice)
    form = {"question": "Why?", "key": str(uuid.uuid4())}
    request = asyncio.ensure_future(client.post("/ask/", form))
    await asyncio.to_thread(stored.wait, 5)
    request.cancel()
    may_go_on.set()
    await asyncio.wait([request], timeout=5)
    assert (await asyncio.wait_for(started.get(), 5)).turn.question == "Why?"
