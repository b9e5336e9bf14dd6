"""Who is signed in: by the session and the person that each request reads, as Django itself reads them."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY
from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.models import User
from chatsite.sessions import SessionStore
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db

PAGE = "/accounts/password/change/"


@pytest.fixture
def client(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    assert client.get(PAGE).status_code == 200
    return client


def is_signed_in(client: Client) -> bool:
    response = client.get(PAGE)
    assert response.status_code in (200, 302)
    return bool(response.status_code == 200)


def test_each_store_reads_what_the_other_one_wrote(alice: User) -> None:
    for written, read in [(db.SessionStore, SessionStore), (SessionStore, db.SessionStore)]:
        store = written()
        store["kept"] = "ä%s'"
        store.create()
        assert dict(read(store.session_key).items()) == {"kept": "ä%s'"}


def test_an_expired_session_is_none(client: Client) -> None:
    key = client.session.session_key
    Session.objects.update(expire_date=timezone.now() + timedelta(seconds=60))
    assert is_signed_in(client)
    Session.objects.update(expire_date=timezone.now() - timedelta(seconds=1))
    for kind in (SessionStore, db.SessionStore):
        store = kind(key)
        assert (dict(store.items()), store.session_key) == ({}, None)
    assert not is_signed_in(client)


@pytest.mark.parametrize("key", ["", "short", "nosuchkey" * 4, "' OR '1'='1' --", "%s%s%s%s%s"])
def test_a_key_that_nobody_has_is_no_session(client: Client, key: str) -> None:
    client.cookies["sessionid"] = key
    assert not is_signed_in(client)
    assert Session.objects.count() == 1


def test_who_is_not_active_or_is_gone_is_nobody(client: Client, alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_active=False)
    assert not is_signed_in(client)
    User.objects.filter(pk=alice.pk).update(is_active=True)
    assert is_signed_in(client)
    alice.delete()
    assert not is_signed_in(client)


def test_a_new_password_ends_the_session(client: Client, alice: User) -> None:
    alice.set_password("another one")
    alice.save()
    assert not is_signed_in(client)


def test_sessions_hold_the_name_of_djangos_backend(alice: User) -> None:
    """They did before, and go on to be good: another name would sign everybody out."""
    client = Client()
    client.post("/accounts/login/", {"login": "alice", "password": PASSWORD})
    assert client.session[BACKEND_SESSION_KEY] == "django.contrib.auth.backends.ModelBackend"
    with CaptureQueriesContext(connection) as queries:
        assert is_signed_in(client)
    assert [query["sql"].split(" WHERE ")[0].split(" FROM ")[1] for query in queries][:2] == [
        '"django_session"',
        '"chat_user"',
    ]
