"""One browser, two people, one after the other."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey


@pytest.mark.parametrize("signs_out", [True, False])
def test_what_one_person_wrote_is_not_there_for_the_next(server: Server, browser: Browser, signs_out: bool) -> None:
    tab = Tab.enter(browser.page(), server.signin_link("first"))
    tab.box.fill("Between us")
    tab.page.reload()
    expect(tab.box).to_have_value("Between us")
    if signs_out:
        tab.sign_out()
        assert "Between us" not in tab.page.evaluate("JSON.stringify({...sessionStorage})")
    tab.page.goto(server.signin_link("second"))
    tab.page.get_by_role("button", name="Sign in as second").click()
    expect(tab.page.locator(".sidebar__name")).to_have_text("second")
    expect(tab.box).to_have_value("")
