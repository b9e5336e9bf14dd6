"""Some pages of a long PDF instead of all of it, chosen in the composer."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.files.makers import make_pdf
from tests.house.browsing import Browser
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey


def test_pages_are_chosen_and_take_the_place_of_the_whole(tab: Tab, browser: Browser, tmp_path: Path) -> None:
    browser.tolerate("status of 422")  # chromium reports each refusal in its console
    tab.attach(make_pdf(tmp_path / "tales.pdf", [f"Tale {number} is about a fox." for number in range(1, 31)]))
    tab.page.get_by_role("button", name="Choose pages of tales.pdf").click()
    dialog = tab.page.get_by_role("dialog", name="Which pages of")
    pages = dialog.get_by_label("First and last page")
    expect(pages).to_be_focused()
    pages.fill("25-31")
    pages.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text(
        "“tales.pdf” has the pages 1 to 30. Write two of them, such as 1-10."
    )
    pages.fill("7-8")
    pages.press("Enter")
    expect(dialog).to_have_count(0)
    expect(tab.chips).to_have_count(1)
    expect(tab.chips).to_contain_text("tales (pages 7-8).pdf")
    expect(tab.page.locator("#question")).to_be_focused()
    tab.ask("Who wrote it?")
    expect(tab.last.get_by_role("link", name="tales (pages 7-8).pdf")).to_be_visible()
    expect(tab.answer).to_contain_text("tales (pages 7-8).pdf")
