"""Files on their way up: several at once, each in its own state, and none that a lost connection ends."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Route, expect

from tests.files.makers import make_noise, make_pdf
from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.tab import Tab
from tests.journeys.test_network import AWAY

pytestmark = pytest.mark.journey

SLICES = "**/slice/"
IN_SMALL_SLICES = "document.getElementById('composer').dataset.sliceBytes = 100000"


def test_three_at_once_are_watched_one_is_taken_out_and_two_are_sent(
    server: Server, tab: Tab, browser: Browser, tmp_path: Path
) -> None:
    browser.tolerate("ERR_|status of 422")
    first = make_pdf(tmp_path / "first.pdf", ["The harbour froze in January, and no ship came in before March."])
    second = make_pdf(tmp_path / "second.pdf", ["The harbour was open all winter."])
    (tmp_path / "notes.pdf").write_bytes(b"\0No PDF at all.")
    held: dict[str, Route] = {}
    # Each waits once: what is asked again goes through.
    tab.page.route(
        SLICES,
        lambda route: route.continue_() if route.request.url in held else held.update({route.request.url: route}),
    )
    tab.box.fill("When did ships come?")

    tab.attach(first, second, tmp_path / "notes.pdf")
    expect(tab.chips).to_have_count(3)
    for number in range(3):
        expect(tab.chips.nth(number)).to_contain_text(re.compile("Uploading|Checking"))
        expect(tab.chips.nth(number)).to_have_attribute("data-upload-url", re.compile("slice"))
    addresses = [f"{server.url}{chip.get_attribute('data-upload-url')}" for chip in tab.chips.all()]
    tab.page.evaluate("0")  # by now each has asked, and what it asked is held
    assert sorted(held) == sorted(addresses)
    expect(tab.send_button).to_be_disabled()

    held[addresses[0]].abort("connectionfailed")
    expect(tab.chips.nth(0)).to_contain_text("Paused; goes on by itself")
    expect(tab.chips.nth(0)).to_have_class("chip chip--paused")
    tab.chips.nth(1).get_by_role("button", name="Remove second.pdf").click()
    expect(tab.chips).to_have_count(2)
    held[addresses[2]].continue_()
    expect(tab.chips.nth(1)).to_contain_text("“notes.pdf” is of a kind that cannot be read here")
    expect(tab.chips.nth(1)).to_have_class("chip chip--refused")
    tab.page.evaluate("document.dispatchEvent(new CustomEvent('connection:try'))")
    expect(tab.chips.nth(0)).to_contain_text("1 page")
    expect(tab.box).to_have_value("When did ships come?")
    tab.send_button.click()
    assert "March" in tab.finished()
    expect(tab.last.locator(".question .chip")).to_have_count(1)
    expect(tab.chips).to_have_count(0)


def test_an_upload_that_a_restart_cuts_at_37_percent_goes_on_by_itself(
    start_server: Callable[..., Server], browser: Browser, tmp_path: Path
) -> None:
    browser.tolerate(AWAY)
    server = start_server()
    tab = Tab.enter(browser.page(), server.admin_link)
    picture = make_noise(tmp_path / "noise.png", size=(800, 600))
    size = picture.stat().st_size
    offsets: list[int] = []

    def cut(route: Route) -> None:
        is_first_beyond = all(offset < 0.37 * size for offset in offsets)
        offsets.append(int(route.request.headers["upload-offset"]))
        if is_first_beyond and offsets[-1] >= 0.37 * size:
            server.stop()
        route.continue_()

    tab.page.evaluate(IN_SMALL_SLICES)
    tab.page.route(SLICES, cut)
    tab.attach(picture)
    expect(tab.chips).to_contain_text("Paused; goes on by itself")
    stopped_at = offsets[-1]
    assert 0.37 * size <= stopped_at < 0.37 * size + 100_000
    server.start()
    expect(tab.chips).to_contain_text("800 × 600")

    assert sorted(set(offsets)) == list(range(0, size, 100_000)), "nothing went up twice but the slice that was cut"
    stored = tab.page.request.get(server.url + str(tab.chips.locator("a").first.get_attribute("href"))).body()
    assert hashlib.sha256(stored).hexdigest() == hashlib.sha256(picture.read_bytes()).hexdigest()


def test_a_message_takes_so_many_files_and_no_more(tab: Tab, tmp_path: Path) -> None:
    tab.page.evaluate("document.getElementById('composer').dataset.maxFiles = 1")
    paths = [make_pdf(tmp_path / name, ["x"]) for name in ("one.pdf", "two.pdf")]
    tab.attach(*paths)
    expect(tab.chips.nth(1)).to_contain_text("“two.pdf” is one too many: a message takes 1 files.")
    expect(tab.chips.nth(0)).to_contain_text("1 page")


def test_without_javascript_a_small_file_goes_with_the_question(open_tab: Callable[..., Tab], tmp_path: Path) -> None:
    tab = open_tab(java_script_enabled=False)
    tab.box.fill("When did ships come?")
    tab.page.get_by_label("One file of up to 2 MB:").set_input_files(
        make_pdf(tmp_path / "harbour.pdf", ["The harbour froze in January, and no ship came in before March."])
    )
    tab.page.get_by_role("button", name="Send with this file").click()
    tab.page.wait_for_url("**/c/*/")
    expect(tab.last.locator(".question__text")).to_have_text("When did ships come?")
    expect(tab.last.locator(".question .chip")).to_contain_text("harbour.pdf")
    for _ in range(20):  # a page without scripts is looked at again by hand
        if tab.last.locator(".foot[data-status=completed]").count():
            break
        tab.page.reload()
    expect(tab.answer).to_contain_text("March")
