"""What a GET shows, and what it costs."""

from __future__ import annotations

import re
import statistics
import time
from collections.abc import Callable, Iterator

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from pytest_django import Settings

from chat.models import Conversation, Deployment, Provider, Status, Turn, User
from chat.models.conversations import TurnAttachment
from chat.web.pages import OFFLINE_SUGGESTIONS, SUGGESTIONS
from tests.rows import make_attachment, make_conversation, make_conversations, make_deployment, make_turn

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
HOSTILE = """<script>alert(1)</script><img src=x onerror=alert(2)>"'&{{ 7777*7777 }}"""


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return make_conversation(alice, deployment, turns=2)


def address(conversation: Conversation) -> str:
    return reverse("conversation", args=[conversation.pk])


def html_of(client: Client, url: str, **headers: str) -> str:
    page = client.get(url, headers=headers)
    assert page.status_code == 200, url
    return page.content.decode()


def made_anew(html: str) -> str:
    """The page without what each answer makes anew: tokens, form keys, names of tabs."""
    return re.sub(r'(name="(?:csrfmiddlewaretoken|key|tab)" value=)"[^"]*"', r"\1", html).strip()


def turns_in(html: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'<article class="turn" id="t(\d+)"', html)]


class TestHome:
    def test_a_new_chat_shows_a_composer_the_models_and_suggestions(
        self, alice_client: Client, deployment: Deployment
    ) -> None:
        make_deployment("big", label="The big one")
        html = html_of(alice_client, "/")
        assert '<form class="composer" id="composer" method="post" action="/ask/"' in html
        assert re.search(rf'<option value="{deployment.pk}" selected>m-1</option>', html)
        assert "The big one" in html
        assert SUGGESTIONS[0] in html
        assert "No model is connected" not in html
        assert "Your conversations will be listed here." in html

    def test_without_a_model_the_embedded_engine_says_what_it_is(self, alice_client: Client) -> None:
        provider = Provider.objects.create(name="E", dialect="offline", source=Provider.Source.EMBEDDED)
        Deployment.objects.create(provider=provider, name="embedded", is_default=True)
        html = html_of(alice_client, "/")
        assert "No model is connected. The embedded engine answers" in html
        assert OFFLINE_SUGGESTIONS[0] in html

    def test_each_page_has_a_form_key_and_a_tab_of_its_own(self, alice_client: Client, deployment: Deployment) -> None:
        pages = [html_of(alice_client, "/") for _ in range(2)]
        for pattern in (r'name="key" value="([0-9a-f-]{36})"', r'name="tab" value="([0-9a-f]{32})"'):
            found = [re.findall(pattern, page) for page in pages]
            assert [len(values) for values in found] == [1, 1]
            assert found[0] != found[1]

    def test_only_staff_is_shown_the_way_to_the_admin(self, alice_client: Client, rita_client: Client) -> None:
        assert "/admin/" not in html_of(alice_client, "/")
        assert "/admin/" in html_of(rita_client, "/")


class TestConversation:
    def test_it_shows_questions_and_answers_in_order(self, alice_client: Client, conversation: Conversation) -> None:
        html = html_of(alice_client, address(conversation))
        places = [html.index(text) for text in ("Question 0", "Answer 0 with", "Question 1", "Answer 1 with")]
        assert places == sorted(places)
        assert "<title>Talk</title>" in html
        assert f'action="{address(conversation)}ask/"' in html
        assert "3 tokens in, 5 out" in html
        assert 'aria-current="page"' in html

    def test_htmx_gets_the_middle_of_the_page_alone(self, alice_client: Client, conversation: Conversation) -> None:
        for url in ("/", address(conversation)):
            part, whole = (made_anew(html_of(alice_client, url, **headers)) for headers in (HTMX, {}))
            assert part.startswith('<section class="conversation')
            assert 'id="sidebar"' not in part
            before, middle, _ = whole.partition(part)
            assert middle
            assert before.rstrip().endswith("hx-history-elt>")

    def test_a_page_that_htmx_restores_from_history_is_whole(
        self, alice_client: Client, conversation: Conversation
    ) -> None:
        html = html_of(alice_client, address(conversation), **HTMX, **{"HX-History-Restore-Request": "true"})
        assert html.startswith("<!doctype html>")
        assert 'id="sidebar"' in html

    def test_only_the_path_to_the_head_is_shown(self, alice_client: Client, conversation: Conversation) -> None:
        head = conversation.head
        assert head is not None
        sibling = make_turn(conversation, "Another version", parent=head.parent)
        assert turns_in(html_of(alice_client, address(conversation))) == [head.parent_id, sibling.pk]

    def test_a_running_answer_says_which_turn_to_watch(self, alice_client: Client, conversation: Conversation) -> None:
        turn = make_turn(conversation, answer="Half", status=Status.IN_PROGRESS)
        html = html_of(alice_client, address(conversation))
        assert f'data-live="{turn.pk}"' in html
        assert html.count("data-live") == 1

    def test_a_failed_last_answer_can_be_asked_again_an_earlier_one_cannot(
        self, alice_client: Client, conversation: Conversation
    ) -> None:
        earlier = make_turn(conversation, status=Status.FAILED, error={"message": "The earlier sentence."})
        last = make_turn(conversation, status=Status.FAILED, error={"message": "The last sentence."})
        html = html_of(alice_client, address(conversation))
        assert "The earlier sentence." in html
        assert "The last sentence." in html
        assert reverse("retry", args=[last.pk]) in html
        assert reverse("retry", args=[earlier.pk]) not in html

    def test_the_model_of_the_conversation_is_chosen_while_it_is_offered(
        self, alice_client: Client, alice: User, deployment: Deployment
    ) -> None:
        other = make_deployment("other")
        conversation = make_conversation(alice, other, turns=1)
        assert f'<option value="{other.pk}" selected>' in html_of(alice_client, address(conversation))
        Deployment.objects.filter(pk=other.pk).update(enabled=False)
        assert f'<option value="{deployment.pk}" selected>' in html_of(alice_client, address(conversation))

    def test_a_deleted_one_is_gone(self, alice_client: Client, conversation: Conversation) -> None:
        assert alice_client.post(address(conversation) + "delete/").status_code == 302
        assert alice_client.get(address(conversation)).status_code == 404


class TestEarlierTurns:
    @pytest.fixture
    def long(self, alice: User, deployment: Deployment) -> Conversation:
        return make_conversation(alice, deployment, turns=65)

    def stretches(self, client: Client, url: str, link: str) -> Iterator[list[int]]:
        while url:
            html = html_of(client, url, **HTMX)
            yield turns_in(html)
            found = re.search(link, html)
            url = found[1].replace("&amp;", "&") if found else ""

    @pytest.mark.parametrize(
        "link", [r'hx-get="([^"]*\?before=\d+)"', r'href="([^"]*\?before=\d+)"'], ids=["htmx", "links"]
    )
    def test_the_stretches_are_the_whole_without_a_gap_or_a_repeat(
        self, alice_client: Client, long: Conversation, link: str
    ) -> None:
        stretches = list(self.stretches(alice_client, address(long), link))
        assert [len(stretch) for stretch in stretches] == [20, 20, 20, 5]
        together = [pk for stretch in reversed(stretches) for pk in stretch]
        assert together == list(long.turns.order_by("pk").values_list("pk", flat=True))

    def test_a_turn_that_is_asked_meanwhile_shifts_nothing(self, alice_client: Client, long: Conversation) -> None:
        stretches = []
        for stretch in self.stretches(alice_client, address(long), r'hx-get="([^"]*\?before=\d+)"'):
            stretches.append(stretch)
            make_turn(long)
        together = [pk for stretch in reversed(stretches) for pk in stretch]
        assert together == list(long.turns.order_by("pk").values_list("pk", flat=True)[:65])

    def test_just_a_page_full_offers_no_earlier_ones(self, alice_client: Client, alice: User) -> None:
        conversation = make_conversation(alice, turns=20)
        html = html_of(alice_client, address(conversation))
        assert len(turns_in(html)) == 20
        assert "Earlier messages" not in html

    def test_before_the_first_there_is_nothing(self, alice_client: Client, long: Conversation) -> None:
        first = long.turns.order_by("pk")[0]
        assert html_of(alice_client, f"{address(long)}turns/?before={first.pk}").strip() == ""

    @pytest.mark.parametrize("before", ["x", "-1", "1.5", "9" * 18, "9" * 400, "٣", "1 OR 1=1"])
    def test_a_cursor_that_is_none_is_404(self, alice_client: Client, long: Conversation, before: str) -> None:
        for url in (address(long), address(long) + "turns/"):
            assert alice_client.get(url, {"before": before}).status_code == 404

    def test_a_turn_of_another_conversation_is_no_cursor(
        self, alice_client: Client, long: Conversation, conversation: Conversation
    ) -> None:
        assert alice_client.get(f"{address(long)}turns/?before={conversation.head_id}").status_code == 404


class TestCost:
    def queries(self, client: Client, url: str, **headers: str) -> int:
        with CaptureQueriesContext(
            connection,
        ) as captured:
            assert client.get(url, headers=headers).status_code == 200
        return len(captured)

    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
    def test_more_turns_on_the_page_take_no_more_queries(
        self, alice_client: Client, alice: User, deployment: Deployment, headers: dict[str, str]
    ) -> None:
        counts = []
        for turns in (3, 20):
            conversation = make_conversation(alice, deployment, turns=turns)
            for turn in conversation.turns.all():
                TurnAttachment.objects.create(turn=turn, attachment=make_attachment(alice, content=b""))
            assert len(turns_in(html_of(alice_client, address(conversation)))) == turns, "the premise"
            counts.append(self.queries(alice_client, address(conversation), **headers))
        assert counts[0] == counts[1] <= 10

    def test_more_conversations_in_the_sidebar_take_no_more_queries(self, alice_client: Client, alice: User) -> None:
        make_deployment()
        counts = []
        for more in (5, 45):
            make_conversations(alice, more)
            counts.append(self.queries(alice_client, "/"))
        assert counts[0] == counts[1] <= 5

    def test_more_models_take_no_more_queries(self, alice_client: Client, deployment: Deployment) -> None:
        before = self.queries(alice_client, "/")
        for number in range(5):
            make_deployment(f"more-{number}", provider=f"Provider {number}")
        assert self.queries(alice_client, "/") == before

    @pytest.mark.quiet
    def test_two_thousand_turns_open_in_at_most_twice_the_time_of_twenty(
        self, alice_client: Client, alice: User, deployment: Deployment, record_property: Callable[[str, object], None]
    ) -> None:
        short, long = (make_conversation(alice, deployment, turns=turns) for turns in (20, 2000))
        took: dict[int, list[float]] = {20: [], 2000: []}
        for number in range(14):
            for turns, conversation in ((20, short), (2000, long)):
                began = time.perf_counter()
                html = html_of(alice_client, address(conversation))
                if number >= 2:  # the first ones fill the caches
                    took[turns].append(time.perf_counter() - began)
                assert len(turns_in(html)) == 20
        few, many = (statistics.median(took[turns]) * 1000 for turns in (20, 2000))
        print(f"\nopening 20 turns: {few:.1f} ms; 2,000 turns: {many:.1f} ms; ratio {many / few:.2f}")
        record_property("milliseconds", (few, many))
        assert many <= 2 * few

    @pytest.mark.quiet
    def test_a_path_costs_what_is_asked_of_it_and_not_what_there_is(self, alice: User, deployment: Deployment) -> None:
        short, long = (make_conversation(alice, deployment, turns=turns).head_id for turns in (21, 2000))
        assert short
        assert long
        took = []
        for head in (short, long):
            times = []
            for _ in range(30):
                began = time.perf_counter()
                assert len(Turn.objects.path_ids(head, 21)) == 21
                times.append(time.perf_counter() - began)
            took.append(statistics.median(times) * 1e6)
        print(f"\n21 ids of 21 turns: {took[0]:.0f} us; of 2,000: {took[1]:.0f} us")
        assert took[1] <= 2 * took[0] + 50


class TestSafe:
    @pytest.fixture
    def hostile(self, alice: User) -> Conversation:
        """Everything that people name or say is an attack."""
        deployment = make_deployment(HOSTILE, label=HOSTILE)
        User.objects.filter(pk=alice.pk).update(first_name=HOSTILE, last_name="")
        conversation = make_conversation(alice, deployment, instructions=f"</textarea>{HOSTILE}")
        Conversation.objects.update(title=HOSTILE)
        conversation.refresh_from_db()
        turn = make_turn(
            conversation, HOSTILE, HOSTILE, status=Status.FAILED, error={"message": HOSTILE}, model=HOSTILE
        )
        file = make_attachment(alice, HOSTILE, b"")
        TurnAttachment.objects.create(turn=turn, attachment=file)
        return conversation

    def test_hostile_words_stay_words(self, alice_client: Client, hostile: Conversation) -> None:
        urls = ["/", address(hostile), f"{address(hostile)}rename/", f"{address(hostile)}item/", "/conversations/"]
        for url in urls:
            for headers in ({}, HTMX):
                html = html_of(alice_client, url, **headers)
                assert "alert(1)" in html, f"the premise: {url} shows it"
                assert "<script>" not in html
                assert not re.search(r"<img[^>]*(src=x|onerror)", html)
                assert "</textarea>&lt;script" not in html
                assert "60481729" not in html, "a template was rendered from words"

    def test_no_page_has_inline_script_style_or_handler(self, alice_client: Client, hostile: Conversation) -> None:
        for url in ("/", address(hostile), "/conversations/"):
            html = html_of(alice_client, url)
            assert re.findall(r"<script(?![^>]*\bsrc=)[^>]*>", html) == []
            assert "<style" not in html
            tags = re.findall(r"<[a-z][^>]*>", re.sub(r"&lt;.*?&gt;", "", html))
            assert tags
            for tag in tags:
                bare = re.sub(r'"[^"]*"', '""', tag)
                assert not re.search(r"\s(style|on[a-z]+)\s*=", bare), tag
                assert "javascript:" not in tag

    @pytest.mark.parametrize("headers", [{}, HTMX], ids=["page", "fragment"])
    def test_the_policy_admits_nothing_inline_and_nothing_foreign(
        self, alice_client: Client, conversation: Conversation, headers: dict[str, str]
    ) -> None:
        for url in ("/", address(conversation), f"{address(conversation)}turns/", "/conversations/"):
            page = alice_client.get(url, headers=headers)
            policy = dict(d.strip().partition(" ")[::2] for d in page.headers["Content-Security-Policy"].split(";"))
            assert policy["default-src"] == "'none'"
            assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
            assert policy["img-src"] == "'self' data: blob:"
            assert policy["base-uri"] == policy["frame-ancestors"] == "'none'"
            assert policy["form-action"] == "'self'"
            assert "unsafe" not in page.headers["Content-Security-Policy"]
            assert page.headers["X-Frame-Options"] == "DENY"
            assert page.headers["X-Content-Type-Options"] == "nosniff"
            assert page.headers["Referrer-Policy"] == "same-origin"

    def test_nobody_keeps_a_copy(self, alice_client: Client, conversation: Conversation) -> None:
        url = address(conversation)
        for private in ("/", url, f"{url}turns/", "/conversations/", f"{url}rename/", f"{url}item/"):
            kept = alice_client.get(private, headers=HTMX).headers.get("Cache-Control", "")
            assert "no-store" in kept, private
            assert "private" in kept, private

    def test_cookies_are_not_for_scripts_or_other_sites(self, alice: User) -> None:
        client = Client()
        client.post(reverse("signin", args=[alice.signin_token()]))
        cookie = client.cookies["sessionid"]
        assert cookie["httponly"]
        assert cookie["samesite"] == "Lax"


@pytest.mark.parametrize("name", ["home", "conversation", "turns", "conversations", "item"])
def test_what_is_shown_is_not_posted_to(alice_client: Client, conversation: Conversation, name: str) -> None:
    url = reverse(name, args=[conversation.pk] if name in ("conversation", "turns", "item") else [])
    for method in ("post", "put", "delete", "patch"):
        assert getattr(alice_client, method)(url).status_code == 405
    assert alice_client.head(url).status_code == 200


@pytest.mark.parametrize(
    ("dialect", "fields", "offers"),
    [("openai", {}, True), ("openai", {"keeps_responses": False}, False), ("ofox", {}, False)],
)
def test_working_in_the_background_is_offered_where_a_model_can(
    alice: User, alice_client: Client, dialect: str, fields: dict[str, bool], offers: bool
) -> None:
    conversation = make_conversation(alice, make_deployment(dialect=dialect, **fields), background=False)
    for url in ("/", reverse("conversation", args=[conversation.pk])):
        page = alice_client.get(url).content.decode()
        assert ('name="background"' in page) == offers
    assert ('<option value="off" selected>' in page) == offers


def test_an_upload_knows_the_limits_of_this_server(alice_client: Client, settings: Settings) -> None:
    settings.FILE_MAX_BYTES, settings.FILE_SLICE_BYTES = 12345, 678
    html = html_of(alice_client, "/")
    assert 'data-max-bytes="12345"' in html
    assert 'data-slice-bytes="678"' in html
