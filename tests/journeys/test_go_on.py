"""An answer breaks off, and goes on when somebody asks for it; in a second tab, too, and after a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.engines import Engine
from tests.journeys.tab import Tab, prose

pytestmark = pytest.mark.journey


def test_an_answer_that_broke_off_goes_on_where_it_stopped(
    start_engine: Callable[..., Engine], start_server: Callable[..., Server], browser: Browser
) -> None:
    # The first question, the title that it gives, and then the one that breaks off.
    engine = start_engine(options=("--fault", "pass twice", "--fault", "drop after 40 events"))
    server = start_server(**engine.variables())
    tab = Tab.enter(browser.page(), server.signin_link("alice"))
    tab.ask("Repeat after me: hello")
    tab.begin(prose(600))
    half = tab.finished("interrupted")
    assert half
    other = Tab(tab.page.context.new_page())
    other.page.goto(tab.page.url)
    assert other.finished("interrupted") == half
    button = tab.last.get_by_role("button", name="Continue")
    button.dblclick()
    whole = tab.finished()
    assert whole.startswith(half)
    assert len(whole) > len(half)
    expect(tab.turns).to_have_count(2)
    expect(tab.last.locator(".response")).to_have_count(2)
    expect(tab.page.get_by_role("button", name="Continue")).to_have_count(0)
    assert other.finished() == whole
    expect(other.turns).to_have_count(2)
    tab.page.reload()
    assert tab.finished() == whole
    expect(tab.problem).to_be_empty()
