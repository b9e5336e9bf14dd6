"""People, the group of reviewers, and the first page."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat.admin.reviewers import GROUP, MAY_VIEW, make_group
from chat.models import Conversation, User
from tests.conftest import PASSWORD, signed_in

LIST = reverse("admin:chat_user_changelist")


@pytest.fixture
def peter_client(db: None) -> Client:
    """Peter manages people and is no superuser."""
    peter = User.objects.create_user("peter", password=PASSWORD, is_staff=True)
    peter.user_permissions.set(Permission.objects.filter(content_type__model="user"))
    return signed_in(peter)


def test_the_list_counts_conversations_in_a_fixed_number_of_queries(admin_client: Client, alice: User) -> None:
    Conversation.objects.create(owner=alice)
    Conversation.objects.create(owner=alice)

    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            page = admin_client.get(LIST)
        totals = {person.username: person.conversation_count for person in page.context["cl"].result_list}
        assert totals["alice"] == 2
        assert totals["admin"] == 0
        return len(captured)

    few = cost()
    for number in range(30):
        User.objects.create_user(f"person{number}")
    assert cost() == few


def test_people_are_sorted_by_their_conversations_once_each(admin_client: Client, alice: User) -> None:
    for _ in range(3):
        Conversation.objects.create(owner=alice)
    page = admin_client.get(LIST, {"o": "-5"})
    assert [person.username for person in page.context["cl"].result_list] == ["alice", "admin"]


def person_form(person: User, **fields: str) -> dict[str, str]:
    return {
        "username": person.username,
        "is_active": "on",
        "date_joined_0": "2026-01-01",
        "date_joined_1": "00:00",
    } | fields


def test_who_manages_people_hands_out_no_powers(peter_client: Client) -> None:
    peter = User.objects.get(username="peter")
    where = reverse("admin:chat_user_change", args=[peter.pk])
    assert peter_client.post(where, person_form(peter, is_superuser="on", first_name="P")).status_code == 302
    peter.refresh_from_db()
    assert peter.first_name == "P"
    assert peter.is_staff
    assert not peter.is_superuser


@pytest.mark.parametrize("who", ["rita", "admin_user"])
def test_who_manages_people_cannot_take_over_staff(
    request: pytest.FixtureRequest, peter_client: Client, who: str
) -> None:
    person: User = request.getfixturevalue(who)
    where = [person.pk]
    form = person_form(person, email="peter@evil.example")
    assert peter_client.post(reverse("admin:chat_user_change", args=where), form).status_code == 403
    password = {"password1": "another-good-one", "password2": "another-good-one", "usable_password": "true"}
    assert peter_client.post(reverse("admin:auth_user_password_change", args=where), password).status_code == 403
    assert peter_client.post(reverse("admin:chat_user_delete", args=where), {"post": "yes"}).status_code == 403
    person.refresh_from_db()
    assert person.check_password(PASSWORD)
    assert person.email == ""


def test_who_manages_people_changes_ordinary_accounts(peter_client: Client, alice: User) -> None:
    where = reverse("admin:chat_user_change", args=[alice.pk])
    assert peter_client.post(where, person_form(alice, email="alice@house.example")).status_code == 302
    alice.refresh_from_db()
    assert alice.email == "alice@house.example"


def test_a_person_with_conversations_is_not_deleted(admin_client: Client, alice: User) -> None:
    Conversation.objects.create(owner=alice)
    admin_client.post(reverse("admin:chat_user_delete", args=[alice.pk]), {"post": "yes"})
    assert User.objects.filter(pk=alice.pk).exists()
    assert Conversation.objects.exists()


# Sign-in links


def signin_link(client: Client, person: User) -> str:
    """The path of the link that the page shows."""
    page = client.post(reverse("admin:chat_user_signin_link", args=[person.pk]))
    assert page.status_code == 200
    assert page.headers["Cache-Control"].startswith("max-age=0")
    return urlsplit(page.context["link"]).path


def test_a_link_from_the_admin_signs_its_person_in_once(peter_client: Client, client: Client, alice: User) -> None:
    button = reverse("admin:chat_user_signin_link", args=[alice.pk])
    assert button in peter_client.get(reverse("admin:chat_user_change", args=[alice.pk])).content.decode()
    link = signin_link(peter_client, alice)
    client.post(link)
    assert client.session["_auth_user_id"] == str(alice.pk)
    assert Client().post(link).status_code == 410


@pytest.mark.parametrize("who", ["rita", "admin_user"])
def test_who_manages_people_makes_no_link_for_staff(
    request: pytest.FixtureRequest, peter_client: Client, who: str
) -> None:
    person: User = request.getfixturevalue(who)
    assert peter_client.post(reverse("admin:chat_user_signin_link", args=[person.pk])).status_code == 403


def test_a_link_is_made_by_post_and_by_those_who_change_people(
    peter_client: Client, rita_client: Client, alice_client: Client, alice: User
) -> None:
    where = reverse("admin:chat_user_signin_link", args=[alice.pk])
    assert peter_client.get(where).status_code == 405
    assert rita_client.post(where).status_code == 403
    assert alice_client.post(where).status_code == 302
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert peter_client.post(where).status_code == 404


# The group


def test_the_group_of_reviewers_is_there_from_the_start(db: None) -> None:
    names = set(Group.objects.get(name=GROUP).permissions.values_list("codename", flat=True))
    assert names == {f"view_{name}" for name in MAY_VIEW}


def test_a_member_of_the_group_who_is_staff_reads_conversations(alice: User) -> None:
    ruth = User.objects.create_user("ruth", password=PASSWORD, is_staff=True)
    client = signed_in(ruth)
    where = reverse("admin:chat_conversation_change", args=[Conversation.objects.create(owner=alice).pk])
    assert client.get(where).status_code == 403
    ruth.groups.add(Group.objects.get(name=GROUP))
    assert client.get(where).status_code == 200


def test_migrating_again_leaves_the_group_as_the_operator_left_it(db: None) -> None:
    group = Group.objects.get(name=GROUP)
    group.permissions.clear()
    make_group(apps.get_app_config("chat"))
    assert not group.permissions.exists()
    group.delete()
    make_group(apps.get_app_config("chat"))
    assert Group.objects.get(name=GROUP).permissions.count() == len(MAY_VIEW)


# The first page


def test_the_first_page_speaks_of_the_product(admin_client: Client) -> None:
    page = admin_client.get(reverse("admin:index")).content.decode()
    assert "Review and settings" in page
    assert "Django" not in page
    assert '<a href="/">Back to the chat</a>' in page


def test_a_reviewer_sees_nothing_to_add(rita_client: Client) -> None:
    page = rita_client.get(reverse("admin:index")).content.decode()
    assert reverse("admin:chat_conversation_changelist") in page
    assert "/add/" not in page
