"""A tab that nobody looks at: few frames, no reconnecting, and all of it at once when somebody does."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import CDPSession, WebSocketRoute, expect

from tests.journeys.tab import HAS_ARRIVED, PROSE, Tab, prose

pytestmark = pytest.mark.journey

SPAN = 4  # seconds
LENGTH = "[...document.querySelectorAll('.answer')].at(-1).textContent.length"
# Headless, each page counts as looked at.
LOOK = """(isHidden) => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => isHidden });
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => isHidden ? "hidden" : "visible" });
  document.dispatchEvent(new Event("visibilitychange"));
}"""


def busy_seconds(devtools: CDPSession) -> float:
    """What the page's main thread has worked so far."""
    found = devtools.send("Performance.getMetrics")["metrics"]
    return float(next(metric["value"] for metric in found if metric["name"] == "TaskDuration"))


@pytest.mark.quiet
def test_in_the_background_an_answer_costs_a_fraction_and_is_there_at_once_afterwards(tab: Tab) -> None:
    devtools = tab.page.context.new_cdp_session(tab.page)
    devtools.send("Performance.enable")
    tab.begin(prose(4_000))
    spent = []
    for is_hidden in (False, True):
        tab.page.evaluate(LOOK, is_hidden)
        tab.wait_for_text(tab.page.evaluate(LENGTH) + 20)
        busy, frames = busy_seconds(devtools), len(tab.frames)
        tab.page.wait_for_timeout(SPAN * 1_000)  # waiting for something would itself keep the page busy
        spent.append(((busy_seconds(devtools) - busy) / SPAN, (len(tab.frames) - frames) / SPAN))
    (visible, visible_frames), (hidden, hidden_frames) = spent
    print(f"main thread {visible:.1%} and {hidden:.1%}, frames a second {visible_frames:.1f} and {hidden_frames:.1f}")
    assert hidden_frames <= 1
    assert hidden_frames < visible_frames / 5
    assert hidden < visible / 2
    # Somebody looks again: what has come in the meantime is there before the next frame would have been due.
    length = tab.page.evaluate(LENGTH)
    tab.page.wait_for_function(HAS_ARRIVED, arg=length + 20)
    tab.page.wait_for_timeout(600)
    tab.page.evaluate(LOOK, False)
    tab.page.wait_for_function(HAS_ARRIVED, arg=tab.page.evaluate(LENGTH) + 40, timeout=1_000)
    assert PROSE[3_500:3_900] in tab.finished()


def test_in_the_background_a_lost_connection_is_made_anew_when_somebody_looks(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab()
    sockets: list[WebSocketRoute] = []

    def connect(socket: WebSocketRoute) -> None:
        sockets.append(socket)
        socket.connect_to_server()

    tab.page.route_web_socket(re.compile("/ws/"), connect)
    tab.page.reload()
    tab.begin(prose(1_500))
    tab.wait_for_text(100)
    tab.page.evaluate(LOOK, True)
    sockets[-1].close(code=1012)
    expect(tab.page.locator("#connection")).to_be_visible()
    assert len(sockets) == 1
    tab.page.evaluate(LOOK, False)
    assert PROSE[1_000:1_400] in tab.finished()
    assert len(sockets) == 2
