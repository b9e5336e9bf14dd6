"""A connection that breaks, falls silent or comes back to another process: the page mends itself and lacks nothing."""

from __future__ import annotations

import datetime
import re
import time
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Route, WebSocketRoute, expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.tab import HAS_ARRIVED, PROSE, Tab, prose
from tests.journeys.test_parity import ANSWER_HTML
from tests.journeys.wire import Wire, wire_to

pytestmark = pytest.mark.journey

LOST = "Connection lost. Trying again…"
BACK = "Back. Nothing was lost."
# What a browser and htmx say of a server that cannot be reached.
AWAY = r"WebSocket connection|\[object \w+\]|ERR_|Failed to load resource"
CUTS = 50
ENOUGH = 4_800
LENGTH = "[...document.querySelectorAll('.answer')].at(-1).textContent.length"


@pytest.fixture
def wire(server: Server, browser: Browser) -> Iterator[Wire]:
    browser.tolerate(AWAY)
    with wire_to(int(server.url.rpartition(":")[2])) as wire:
        yield wire


@pytest.fixture
def wired(wire: Wire, open_tab: Callable[..., Tab]) -> Tab:
    """A tab that reaches the server by the wire alone."""
    tab = open_tab()
    tab.page.goto(wire.url)
    expect(tab.box).to_be_visible()
    return tab


def assert_equals_a_reload(tab: Tab) -> None:
    shown = tab.page.evaluate(ANSWER_HTML), tab.title.inner_text(), tab.last.locator(".foot").inner_text()
    tab.page.reload()
    tab.turns.last.wait_for()
    assert shown == (tab.page.evaluate(ANSWER_HTML), tab.title.inner_text(), tab.last.locator(".foot").inner_text())


def test_a_connection_that_is_cut_fifty_times_in_one_answer_loses_nothing(wired: Tab, wire: Wire) -> None:
    wired.begin(f"Repeat after me: {PROSE[:ENOUGH]}\n\n```\n{PROSE[:600]}\n```\n\n- one\n- **two**")
    cuts = seen = 0
    while cuts < CUTS:
        wired.wait_for_text(seen + 1)
        seen = wired.page.evaluate(LENGTH)
        # None where the text was on its way already when the last one was cut.
        cuts += wire.cut() > 0
    assert wired.last.locator(".foot[data-live]").count() == 1, "the answer was over before the last cut"
    assert PROSE[ENOUGH - 900 : ENOUGH - 100] in wired.finished()
    expect(wired.title).to_have_text("Repeat after me")
    assert_equals_a_reload(wired)


def test_a_connection_that_falls_silent_is_noticed_and_made_anew(wired: Tab, wire: Wire) -> None:
    wired.begin(prose(5_500))
    wired.wait_for_text(200)
    wire.fall_silent()
    silent = time.monotonic()
    before = wire.connections
    at_least = wired.page.evaluate(LENGTH) + 400  # more than was on its way
    wired.page.wait_for_function(HAS_ARRIVED, arg=at_least)
    assert time.monotonic() - silent < 20
    assert wire.connections > before
    assert PROSE[4_900:5_400] in wired.finished()
    expect(wired.title).to_have_text("Repeat after me")  # it comes from the model, after the answer
    wire.cut()  # the browser kept other connections that fell silent, and would use them
    assert_equals_a_reload(wired)


def test_an_answer_goes_on_behind_a_restarted_server_and_says_where_it_was_cut(
    start_server: Callable[..., Server], browser: Browser
) -> None:
    browser.tolerate(AWAY)
    server = start_server()
    tab = Tab.enter(browser.page(), server.admin_link)
    tab.begin(prose(5_000))
    seen = tab.wait_for_text(300)
    server.stop()
    expect(tab.page.locator("#connection")).to_contain_text(LOST)
    expect(tab.page.get_by_role("button", name="Try now")).to_be_visible()
    assert tab.text().startswith(seen)
    server.start()
    expect(tab.page.locator("#connection")).to_contain_text(BACK)
    expect(tab.page.locator("#connection")).to_be_hidden()
    kept = tab.finished("interrupted")
    assert kept.startswith(seen)
    expect(tab.last.get_by_role("button", name="Try again")).to_be_visible()
    assert_equals_a_reload(tab)
    assert tab.text() == kept
    expect(tab.last.get_by_role("button", name="Continue")).to_be_visible()


def test_who_does_not_want_to_wait_tries_at_once(wired: Tab, wire: Wire) -> None:
    wired.page.clock.install()
    wired.page.add_init_script(
        "window.opened = new Promise((told) => document.addEventListener('connection:open', told, { once: true }))"
        ".then(() => true)"
    )
    wired.page.reload()
    assert wired.page.evaluate("window.opened")  # a page that is still loading has no connection to lose
    wired.page.clock.pause_at(datetime.datetime.now() + datetime.timedelta(hours=1))
    wired.page.evaluate(
        "window.lost = new Promise((told) => document.addEventListener('connection:lost', told, { once: true }))"
        ".then(() => true), 0"
    )
    wire.refuse()
    wire.cut()
    assert wired.page.evaluate("window.lost")
    wired.page.clock.run_for(1_500)
    expect(wired.page.locator("#connection")).to_contain_text(LOST)
    # The clock stands: by itself the page would never try again.
    wire.accept()
    wired.page.get_by_role("button", name="Try now").click()
    expect(wired.page.locator("#connection")).to_contain_text(BACK)


def test_a_message_that_could_not_be_sent_stays_and_is_sent_once(wired: Tab, wire: Wire) -> None:
    wired.ask("repeat after me: the first")
    wired.page.route("**/ask/", lambda route: route.abort("connectionfailed"))
    wired.box.fill("repeat after me: the second")
    wired.box.press("Enter")
    expect(wired.problem).to_contain_text("Your message is kept here.")
    expect(wired.box).to_have_value("repeat after me: the second")
    wired.page.unroute("**/ask/")
    # This time it arrives, and the answer is lost on its way back.
    arrived = []

    def lose_the_answer(route: Route) -> None:
        arrived.append(route.fetch().status)
        route.fulfill(status=503)

    wired.page.route("**/ask/", lose_the_answer)
    wired.problem.get_by_role("button", name="Send again").click()
    expect(wired.problem).to_contain_text("Your message is kept here.")
    assert arrived == [200]
    wired.page.unroute("**/ask/")
    wired.problem.get_by_role("button", name="Send again").click()
    expect(wired.box).to_have_value("")
    expect(wired.problem).to_be_empty()
    expect(wired.turns).to_have_count(2)
    assert "the second" in wired.finished()
    wired.page.reload()
    expect(wired.turns).to_have_count(2)


def test_offline_is_said_and_the_message_stays(tab: Tab) -> None:
    tab.ask("repeat after me: the first")
    tab.page.context.set_offline(True)
    expect(tab.page.locator("#connection")).to_contain_text("You are offline.")
    expect(tab.page.get_by_role("button", name="Try now")).to_be_hidden()
    tab.box.fill("repeat after me: the second")
    tab.box.press("Enter")
    expect(tab.problem).to_contain_text("You are offline. Your message is kept here")
    expect(tab.turns).to_have_count(1)
    tab.page.context.set_offline(False)
    expect(tab.page.locator("#connection")).to_contain_text(BACK)
    tab.problem.get_by_role("button", name="Send again").click()
    expect(tab.turns).to_have_count(2)
    assert "the second" in tab.finished()


@pytest.mark.parametrize("code", [1000, 1001, 1005, 1011, 1012, 1013, 4000])
def test_the_page_comes_back_after_every_close_code(code: int, open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    tab.ask("repeat after me: the first")
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    tab.page.route_web_socket(re.compile("/ws/"), connect)
    tab.page.reload()
    tab.begin(prose(900))
    tab.wait_for_text(100)
    sockets[-1].close(code=code) if code != 1005 else sockets[-1].close()
    assert PROSE[:850] in tab.finished()
    assert len(sockets) == 2
    expect(tab.page.locator("#connection")).to_be_hidden()


@pytest.mark.usefixtures("thinking")
def test_a_fold_that_was_opened_stays_open_when_the_connection_comes_back(wired: Tab, wire: Wire) -> None:
    wired.begin(prose(1_500))
    wired.last.locator("details.segment").first.wait_for()
    wired.last.locator("details.segment > summary").first.click()
    wired.wait_for_text(300)
    opened = wired.last.locator("details.segment[open]")
    expect(opened).to_have_count(1)
    before = wire.connections
    assert wire.cut()
    wired.wait_for_text(wired.page.evaluate(LENGTH) + 200)
    assert wire.connections > before
    expect(opened).to_have_count(1)
    wired.finished()
    expect(opened).to_have_count(1)


def test_a_title_that_changed_meanwhile_comes_with_the_connection(wired: Tab, wire: Wire, server: Server) -> None:
    other = Tab(wired.page.context.new_page())
    wired.ask("repeat after me: a tide")
    other.page.goto(f"{server.url}/c/{wired.conversation_id}/")
    wire.refuse()
    wire.cut()
    expect(wired.page.locator("#connection")).to_contain_text(LOST)
    other.choose(wired.conversation_id, "Rename")
    name = other.in_list(wired.conversation_id).get_by_role("textbox", name="Title")
    name.fill("High water")
    name.press("Enter")
    expect(other.title).to_have_text("High water")
    wire.accept()
    # The page pauses longer after each attempt in vain; how many there were depends on how long the renaming took.
    expect(wired.title).to_have_text("High water")
    expect(wired.in_list(wired.conversation_id).get_by_role("link")).to_have_text("High water")
