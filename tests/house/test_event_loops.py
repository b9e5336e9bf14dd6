"""Asynchronous tests and those that drive a browser run in one process, in any order."""

from __future__ import annotations

import asyncio

import pytest

from chat.models import User
from tests.house.browsing import Browser

pytestmark = pytest.mark.django_db(transaction=True)


async def test_an_asynchronous_test_has_its_own_loop(alice: User) -> None:
    await asyncio.sleep(0)
    assert await User.objects.filter(pk=alice.pk).aexists()


@pytest.mark.journey
def test_a_browser_leaves_no_loop_behind(browser: Browser) -> None:
    assert browser.page().evaluate("1 + 1") == 2


def test_a_plain_test_may_ask_the_database(alice: User) -> None:
    assert User.objects.filter(pk=alice.pk).exists()
