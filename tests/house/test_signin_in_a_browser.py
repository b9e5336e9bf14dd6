"""The first steps of a person: the link, a password, out and in again."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from tests.house.browsing import Browser
from tests.house.serving import Server

pytestmark = pytest.mark.journey

PASSWORD = "violet anchor 93"


def test_a_link_signs_in_first_and_a_password_later(server: Server, browser: Browser) -> None:
    page = browser.page(width=390, height=844)
    page.goto(server.signin_link("alice"))
    expect(page.get_by_role("button", name="Sign in as alice")).to_be_focused()
    page.keyboard.press("Enter")
    page.wait_for_url(f"{server.url}/")

    page.goto(f"{server.url}/accounts/password/change/")
    expect(page).to_have_url(f"{server.url}/accounts/password/set/")
    page.locator("[name=password1]").fill(PASSWORD)
    page.locator("[name=password2]").fill(PASSWORD)
    page.get_by_role("button", name="Set password").click()
    expect(page.get_by_role("status")).to_contain_text("Password successfully set")

    page.goto(f"{server.url}/accounts/logout/")
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    page.get_by_label("Username").fill("alice")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(f"{server.url}/")


def test_a_link_does_not_swap_accounts_behind_a_persons_back(server: Server, browser: Browser) -> None:
    page = browser.page()
    page.goto(server.signin_link("alice"))
    page.get_by_role("button", name="Sign in as alice").click()
    page.wait_for_url(f"{server.url}/")
    page.goto(server.signin_link("bob"))
    expect(page.get_by_text("You are signed in as alice.")).to_be_visible()
    page.get_by_role("button", name="Sign in as bob").click()
    page.wait_for_url(f"{server.url}/")


def test_a_link_works_without_scripts_by_its_button(server: Server, browser: Browser) -> None:
    page = browser.page(java_script_enabled=False)
    page.goto(server.signin_link("alice"))
    page.get_by_role("button", name="Sign in as alice").click()
    page.wait_for_url(f"{server.url}/")


@pytest.mark.parametrize("path", ["accounts/login/", "accounts/signup/", "signin/forged/"])
def test_the_pages_fit_a_phone(server: Server, browser: Browser, path: str) -> None:
    browser.tolerate(r"status of 404")
    page = browser.page(width=390, height=844)
    page.goto(f"{server.url}/{path}")
    expect(page.get_by_role("main")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_browser_of_the_tests_hears_what_a_page_complains_about(server: Server, browser: Browser) -> None:
    page = browser.page()
    page.goto(f"{server.url}/accounts/login/")
    with page.expect_console_message(lambda message: message.text.startswith("CSP:")):
        page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=http://evil.example/x.png>')")
    with page.context.expect_event("weberror"):
        page.evaluate("setTimeout(() => { throw new Error('by design') })")
    heard = "\n".join(browser.unexpected())
    browser.tolerate("")
    assert "CSP: img-src blocked http://evil.example" in heard
    assert "uncaught: by design" in heard
