"""A sign-in link works once, also when two browsers follow it at the same moment."""

from __future__ import annotations

import threading

import pytest
from django.db import connections

from chat.models import User

pytestmark = pytest.mark.django_db


def test_a_nonce_is_traded_once_for_another(alice: User) -> None:
    first = alice.signin_nonce
    assert alice.consume_signin_nonce(first)
    assert not alice.consume_signin_nonce(first)
    stored = User.objects.get(pk=alice.pk).signin_nonce
    assert stored == alice.signin_nonce != first
    assert alice.consume_signin_nonce(stored)


def test_nonces_and_tokens_are_ones_own(alice: User, bob: User) -> None:
    assert alice.signin_nonce != bob.signin_nonce
    assert alice.signin_token() != bob.signin_token()
    assert not alice.consume_signin_nonce(bob.signin_nonce)


def test_a_token_does_not_show_the_password_or_a_session(alice: User) -> None:
    assert alice.password not in alice.signin_token()


@pytest.mark.django_db(transaction=True)
def test_of_many_who_follow_one_link_at_once_one_comes_in(alice: User) -> None:
    nonce = alice.signin_nonce
    barrier = threading.Barrier(6)
    came_in: list[bool] = []

    def follow() -> None:
        somebody = User.objects.get(pk=alice.pk)
        barrier.wait(10)
        try:
            came_in.append(somebody.consume_signin_nonce(nonce))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=follow) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(came_in) == [False] * 5 + [True]
