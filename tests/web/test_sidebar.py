"""The list of conversations: grouped by day as the person counts days, paged without slips."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.test.utils import override_script_prefix
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat.models import Conversation, User
from chat.web import sidebar
from tests.rows import make_conversation, make_conversations

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
NOW = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """Half an hour before midnight in London (on summer time already), and morning in Tokyo."""
    monkeypatch.setattr(timezone, "now", lambda: NOW)
    return NOW


def talk(owner: User, at: datetime, title: str) -> Conversation:
    conversation = make_conversation(owner, last_activity_at=at)
    Conversation.objects.filter(pk=conversation.pk).update(title=title)
    return conversation


def listed(client: Client, url: str = "/conversations/") -> str:
    page = client.get(url, headers=HTMX)
    assert page.status_code == 200
    return page.content.decode()


def days(html: str) -> dict[str, list[str]]:
    """Titles by the heading that they stand under; "" for those above all headings."""
    found: dict[str, list[str]] = {}
    heading = ""
    for label, title in re.findall(r'<h2 class="conversations__day">([^<]*)|-title">([^<]*)</span></a>', html):
        heading = label or heading
        if title:
            found.setdefault(heading, []).append(title)
    return found


def ids(html: str) -> list[str]:
    return re.findall(r'<li class="conversation-item" id="c-([0-9a-f-]{36})"', html)


def next_url(html: str) -> str:
    found = re.search(r'class="conversations__more" hx-get="([^"]*)"', html)
    return found[1].replace("&amp;", "&") if found else ""


class TestDays:
    @pytest.mark.parametrize(
        ("ago", "heading"),
        [
            (timedelta(), "Today"),
            (timedelta(hours=23), "Today"),
            (timedelta(hours=24), "Yesterday"),
            (timedelta(days=2), "Previous 7 days"),
            (timedelta(days=7), "Previous 7 days"),
            (timedelta(days=8), "Previous 30 days"),
            (timedelta(days=30), "Previous 30 days"),
            (timedelta(days=31), "February 2026"),
            (timedelta(days=365), "March 2025"),
            (-timedelta(days=1), "Today"),
        ],
    )
    def test_each_stands_under_its_day(
        self, alice_client: Client, alice: User, now: datetime, ago: timedelta, heading: str
    ) -> None:
        talk(alice, now - ago, "Talk")
        assert days(listed(alice_client)) == {heading: ["Talk"]}

    def test_the_newest_come_first_and_a_heading_once(self, alice_client: Client, alice: User, now: datetime) -> None:
        for hours in (30, 1, 2, 40):
            talk(alice, now - timedelta(hours=hours), f"{hours} hours ago")
        assert list(days(listed(alice_client)).items()) == [
            ("Today", ["1 hours ago", "2 hours ago"]),
            ("Yesterday", ["30 hours ago", "40 hours ago"]),
        ]
        assert listed(alice_client).count("conversations__day") == 2

    @pytest.mark.parametrize(
        ("zone", "heading"),
        [
            ("Asia/Tokyo", "Yesterday"),  # asked 8 on the 31st there, while it is the 1st
            ("America/Los_Angeles", "Today"),
            ("UTC", "Today"),
            ("", "Today"),
        ],
    )
    def test_days_begin_where_the_person_is(
        self, alice_client: Client, alice: User, now: datetime, zone: str, heading: str
    ) -> None:
        talk(alice, now - timedelta(hours=10), "Talk")
        alice_client.cookies[sidebar.TIMEZONE_COOKIE] = zone
        assert days(listed(alice_client)) == {heading: ["Talk"]}

    @pytest.mark.parametrize(
        "lie", ["Mars/Olympus", "../../etc/passwd", "/etc/localtime", "x" * 4000, "Asia/Tokyo\x00"]
    )
    def test_a_zone_that_is_none_is_passed_over(
        self, alice_client: Client, alice: User, now: datetime, settings: Settings, lie: str
    ) -> None:
        talk(alice, now - timedelta(hours=10), "Talk")
        alice_client.cookies[sidebar.TIMEZONE_COOKIE] = lie
        assert days(listed(alice_client)) == {"Today": ["Talk"]}

    def test_the_servers_zone_is_taken_where_the_browser_names_none(
        self, alice_client: Client, alice: User, now: datetime, settings: Settings
    ) -> None:
        talk(alice, now - timedelta(hours=10), "Talk")
        settings.TIME_ZONE = "Asia/Tokyo"
        assert days(listed(alice_client)) == {"Yesterday": ["Talk"]}


class TestPaging:
    @pytest.mark.parametrize(
        ("listed", "shown"),
        [("", 2), ("0", 2), ("2", 2), ("3", 4), ("7", 6), ("-1", 2), ("99999", 6), ("9" * 99, 2), ("²", 2)],
    )
    def test_a_page_that_had_more_gets_as_much_again(
        self, alice_client: Client, alice: User, settings: Settings, listed: str, shown: int
    ) -> None:
        settings.CONVERSATIONS_PER_PAGE = 2
        make_conversations(alice, 6)
        html = alice_client.get("/conversations/", headers={**HTMX, "X-Listed": listed.encode().decode("latin1")})
        assert len(ids(html.content.decode())) == shown

    def pages(self, client: Client) -> list[str]:
        found, url = [], "/conversations/"
        while url:
            found.append(listed(client, url))
            url = next_url(found[-1])
        return found

    def test_the_pages_are_the_whole_without_a_gap_or_a_repeat(self, alice_client: Client, alice: User) -> None:
        made = make_conversations(alice, 95)
        pages = [ids(page) for page in self.pages(alice_client)]
        assert [len(page) for page in pages] == [40, 40, 15]
        assert [pk for page in pages for pk in page] == [str(c.pk) for c in made]

    def test_those_of_the_same_moment_are_told_apart(self, alice_client: Client, alice: User) -> None:
        made = make_conversations(alice, 95, apart=timedelta())
        found = [pk for page in self.pages(alice_client) for pk in ids(page)]
        assert len(found) == 95
        assert set(found) == {str(c.pk) for c in made}

    def test_one_that_moves_up_meanwhile_makes_nobody_slip(self, alice_client: Client, alice: User) -> None:
        made = make_conversations(alice, 60)
        first = listed(alice_client)
        Conversation.objects.filter(pk=made[50].pk).update(last_activity_at=timezone.now() + timedelta(minutes=1))
        make_conversation(alice)
        second = ids(listed(alice_client, next_url(first)))
        assert second == [str(c.pk) for c in made[40:] if c != made[50]]

    def test_a_page_full_offers_no_more(self, alice_client: Client, alice: User) -> None:
        make_conversations(alice, 40)
        assert next_url(listed(alice_client)) == ""

    def test_a_continuation_repeats_no_heading(self, alice_client: Client, alice: User, now: datetime) -> None:
        for conversation in make_conversations(alice, 60):
            conversation.last_activity_at = now - timedelta(hours=30)
            conversation.save()
        make_conversations(alice, 5)
        first = listed(alice_client)
        second = listed(alice_client, next_url(first))
        assert first.count(">Yesterday<") == 1
        assert "conversations__day" not in second
        assert len(ids(second)) == 25

    def test_a_continuation_names_the_days_that_follow(self, alice_client: Client, alice: User, now: datetime) -> None:
        make_conversations(alice, 50, apart=timedelta(hours=1))
        first = listed(alice_client)
        second = days(listed(alice_client, next_url(first)))
        assert list(days(first)) == ["Today", "Yesterday"]
        assert list(second) == ["", "Previous 7 days"]

    def test_after_the_last_one_there_is_nothing_not_even_a_greeting(self, alice_client: Client, alice: User) -> None:
        (only,) = make_conversations(alice, 1)
        after = f"{only.last_activity_at.isoformat()}_{only.pk}"
        page = alice_client.get("/conversations/", {"after": after}, headers=HTMX)
        assert page.content.decode().strip() == ""

    def test_without_scripts_the_link_leads_to_a_whole_page(self, alice_client: Client, alice: User) -> None:
        made = make_conversations(alice, 45)
        page = alice_client.get(next_url(listed(alice_client))).content.decode()
        assert page.startswith("<!doctype html>")
        assert ids(page) == [str(c.pk) for c in made[40:]]

    @pytest.mark.parametrize(
        "after",
        [
            "x",
            "_",
            "2026-01-01T00:00:00+00:00",
            "2026-01-01T00:00:00+00:00_x",
            f"2026-01-01T00:00:00_{uuid.UUID(int=7)}",
            f"2026-13-01T00:00:00+00:00_{uuid.UUID(int=7)}",
            f"0001-01-01T00:00:00+14:00_{uuid.UUID(int=7)}",
            f"9999-12-31T23:59:59-12:00_{uuid.UUID(int=7)}",
        ],
    )
    def test_a_cursor_that_is_none_is_404(self, alice_client: Client, after: str) -> None:
        assert alice_client.get("/conversations/", {"after": after}, headers=HTMX).status_code == 404

    def test_a_heading_from_the_address_is_never_shown(self, alice_client: Client, alice: User) -> None:
        make_conversations(alice, 2)
        page = alice_client.get("/conversations/", {"day": "<b>Free money</b>"}).content.decode()
        assert "Free money" not in page


class TestWhose:
    def test_only_ones_own_and_none_that_are_deleted(self, alice_client: Client, alice: User, bob: User) -> None:
        mine = talk(alice, timezone.now(), "Mine")
        talk(bob, timezone.now(), "Theirs")
        gone = talk(alice, timezone.now(), "Gone")
        alice_client.post(f"/c/{gone.pk}/delete/")
        assert ids(listed(alice_client)) == [str(mine.pk)]

    def test_one_without_a_title_has_a_name_still(self, alice_client: Client, alice: User) -> None:
        talk(alice, timezone.now(), "")
        assert days(listed(alice_client)) == {"Today": ["New conversation"]}


def test_a_page_does_not_walk_through_the_time_zone_files(
    alice_client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    alice_client.get("/")
    walks: list[str] = []
    monkeypatch.setattr(sidebar.zoneinfo, "available_timezones", lambda: walks.append("a walk") or set())
    alice_client.get("/")
    assert walks == []


@pytest.mark.parametrize("prefix", ["/", "/chat/"])
def test_the_address_of_a_conversation_is_that_of_its_page_wherever_the_site_is(prefix: str) -> None:
    pk = uuid.uuid4()
    with override_script_prefix(prefix):
        assert sidebar.conversation_url(pk) == reverse("conversation", args=[pk])
        assert sidebar.conversation_url(pk).startswith(f"{prefix}c/")
