"""The pages of a wrong address, a forbidden one, an old form and a fault: in the looks of the chat, and telling nothing."""

from __future__ import annotations

import uuid

import pytest
from django.test import Client

from chat.models import User
from chat.web import health
from tests.conftest import signed_in

pytestmark = pytest.mark.django_db


def page(answer: object, status: int) -> str:
    assert answer.status_code == status  # type: ignore[attr-defined]
    html = str(answer.content.decode())  # type: ignore[attr-defined]
    assert 'class="account__card"' in html
    assert 'href="/"' in html
    return html


def test_an_address_that_is_not_there_says_so(alice_client: Client) -> None:
    assert "There is nothing here" in page(alice_client.get(f"/c/{uuid.uuid4()}/"), 404)


def test_an_address_is_not_repeated_by_the_page_that_does_not_know_it(client: Client) -> None:
    assert "no-such-page" not in page(client.get("/no-such-page/"), 404)


def test_staff_without_rights_is_told_whom_to_ask(alice: User) -> None:
    User.objects.filter(pk=alice.pk).update(is_staff=True)
    assert "not open to you" in page(signed_in(alice).get("/admin/chat/conversation/"), 403)


def test_an_old_form_is_told_apart(alice: User) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice, backend="django.contrib.auth.backends.ModelBackend")
    assert "This page was too old" in page(client.post("/ask/", {}), 403)


def test_a_fault_shows_no_inside(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def break_down(*_: object) -> None:
        raise RuntimeError("sk-secret")

    monkeypatch.setattr(health.connection, "cursor", break_down)
    client.raise_request_exception = False
    html = page(client.get("/healthz"), 500)
    assert "sk-secret" not in html
    assert "RuntimeError" not in html
