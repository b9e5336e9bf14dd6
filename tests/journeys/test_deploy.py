"""The server is restarted in the middle of an answer that works in the background: the page ends with all of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from playwright.sync_api import expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.engines import Engine
from tests.journeys.tab import PROSE, Tab, prose

pytestmark = pytest.mark.journey


@pytest.mark.parametrize("how", ["deploy", "crash"])
def test_an_open_page_gets_the_whole_answer_through_a_restart(
    how: str, start_engine: Callable[..., Engine], start_server: Callable[..., Server], browser: Browser
) -> None:
    engine = start_engine(pace=0.05)
    server = start_server(**engine.variables())
    with closing(sqlite3.connect(server.data_dir / "chat.sqlite3")) as database, database:
        database.execute("UPDATE chat_deployment SET background = 1")
    tab = Tab.enter(browser.page(), server.signin_link("alice"))
    browser.tolerate(r"WebSocket connection|\[object Event\]")  # while the server restarts
    tab.begin(prose(900))
    before = tab.wait_for_text(30)
    if how == "deploy":
        server.stop()
    else:
        server.kill()
    server.start()
    whole = tab.finished()
    assert whole.startswith(before)
    assert whole.startswith(PROSE[:900].strip())
    assert whole.count(before) == 1
    expect(tab.page.locator(".problem")).to_have_count(0)
    tab.page.reload()
    assert tab.finished() == whole
