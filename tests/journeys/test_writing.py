"""Writing: drafts, double clicks, two tabs of one conversation, and a server that dies in mid-stream."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.tab import PROSE, Tab, prose

pytestmark = pytest.mark.journey


def test_a_draft_outlives_a_reload_and_a_look_elsewhere(tab: Tab) -> None:
    tab.ask("repeat after me: one")
    talk = tab.conversation_id
    tab.box.fill("Half a thought\nin two lines")
    tab.page.reload()
    expect(tab.box).to_have_value("Half a thought\nin two lines")
    tab.new_chat()
    expect(tab.box).to_have_value("")
    tab.in_list(talk).get_by_role("link").click()
    expect(tab.box).to_have_value("Half a thought\nin two lines")
    tab.box.press("Enter")
    expect(tab.turns).to_have_count(2)
    tab.finished()
    tab.page.reload()
    expect(tab.turns).to_have_count(2)
    expect(tab.box).to_have_value("")


def test_a_double_click_on_send_makes_one_turn(tab: Tab) -> None:
    requests: list[str] = []
    tab.page.on("request", lambda request: requests.append(f"{request.method} {request.url}"))
    tab.box.fill("repeat after me: once")
    tab.send_button.dblclick()
    expect(tab.turns).to_have_count(1)
    tab.finished()
    tab.box.fill("repeat after me: once more")
    # Faster than any hand: two submits before the first is answered.
    tab.page.evaluate("const f = document.getElementById('composer'); f.requestSubmit(); f.requestSubmit();")
    expect(tab.turns).to_have_count(2)
    tab.finished()
    tab.page.reload()
    expect(tab.turns).to_have_count(2)
    assert len([sent for sent in requests if re.fullmatch(r"POST \S+/ask/", sent)]) == 2


def test_enter_before_the_page_is_ready_sends_once_it_is(tab: Tab) -> None:
    held: list[Route] = []
    tab.page.route(
        "**/composer*.js", lambda route: held.append(route) if "early" not in route.request.url else route.continue_()
    )
    tab.page.goto(tab.page.url, wait_until="commit")
    tab.box.fill("repeat after me: early")
    tab.box.press("Enter")
    expect(tab.box).to_have_value("repeat after me: early")
    expect(tab.turns).to_have_count(0)
    for route in held:
        route.continue_()
    expect(tab.turns).to_have_count(1)
    assert tab.finished().startswith("early")


def test_what_is_asked_in_one_tab_streams_in_the_other(open_tab: Callable[..., Tab]) -> None:
    first = open_tab()
    first.ask("repeat after me: tide and time")
    talk = first.conversation_id
    second = open_tab(f"/c/{talk}/", beside=first)
    expect(second.turns).to_have_count(1)
    second.sample_growth()
    first.begin(prose(700))
    expect(second.turns).to_have_count(2)
    seen = second.wait_for_text(100)
    expect(second.send_button).to_be_hidden()
    assert first.finished() == second.finished()
    assert second.text().startswith(seen)
    assert len(second.growth()) >= 5
    first.choose(talk, "Rename")
    name = first.in_list(talk).get_by_role("textbox", name="Title")
    name.fill("Named in the first tab")
    name.press("Enter")
    for tab in (first, second):
        expect(tab.title).to_have_text("Named in the first tab")
        expect(tab.in_list(talk).get_by_role("link")).to_have_text("Named in the first tab")
        expect(tab.page).to_have_title("Named in the first tab")
    # The other way round, and in a tab that shows something else: the made-up title arrives there too.
    second.new_chat()
    second.ask("repeat after me: gulls over the harbour")
    other = second.conversation_id
    expect(second.title).to_have_text("Repeat after me")
    expect(first.in_list(other).get_by_role("link")).to_have_text("Repeat after me")
    first.choose(other, "Delete")
    expect(second.in_list(other)).to_have_count(0)


def test_what_is_asked_elsewhere_while_the_connection_is_lost_comes_with_it(
    open_tab: Callable[..., Tab], browser: Browser
) -> None:
    first = open_tab()
    first.ask("repeat after me: ebb")
    second = open_tab(beside=first)
    connections: list[WebSocketRoute] = []
    away = False

    def connect(socket: WebSocketRoute) -> None:
        connections.append(socket)
        if away:
            socket.close(code=1011)
        else:
            socket.connect_to_server()

    second.page.route_web_socket(re.compile("/ws/"), connect)
    second.page.goto(first.page.url)
    expect(second.turns).to_have_count(1)
    away = True
    connections[-1].close(code=1011)
    expect(second.page.locator("#connection")).to_be_visible()
    first.ask("repeat after me: flood")
    expect(second.turns).to_have_count(1)
    away = False
    expect(second.turns).to_have_count(2)
    second.finished()
    expect(second.answer).to_contain_text("flood")
    # Both ways lead to the same page, and what is asked here now comes once.
    second.ask("repeat after me: slack water")
    for tab in (first, second):
        expect(tab.turns).to_have_count(3)
        expect(tab.answer).to_contain_text("slack water")


def test_what_was_shown_outlives_a_killed_server_and_the_turn_ends_as_interrupted(
    start_server: Callable[..., Server], browser: Browser
) -> None:
    server = start_server()
    tab = Tab.enter(browser.page(), server.admin_link)
    tab.begin(prose(6000))
    # What is on the page now was stored at most a second later: by the time that much more has come.
    seen = tab.wait_for_text(300)
    tab.wait_for_text(len(seen) + 450)
    browser.tolerate(r"WebSocket connection|\[object Event\]|ERR_CONNECTION")
    server.kill()
    expect(tab.page.locator("#connection")).to_be_visible()
    server.start()
    started = time.monotonic()
    # The page finds the server again by itself, and is told how the turn ended.
    expect(tab.page.locator("#connection")).to_be_hidden()
    kept = tab.finished("interrupted")
    assert time.monotonic() - started < 30
    assert kept.startswith(seen)
    assert PROSE[5000:5500] not in kept
    expect(tab.last.locator(".problem")).to_contain_text(re.compile("interrupted", re.IGNORECASE))
    tab.page.reload()
    assert tab.finished("interrupted") == kept
    tab.last.get_by_role("button", name="Try again").click()
    tab.wait_for_text(100)
    expect(tab.turns).to_have_count(1)
