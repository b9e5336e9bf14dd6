"""“Upload PDFs for summarization”: chosen at the file, answered with its pages, and checked by a click on one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.house.browsing import Browser
from tests.journeys.tab import Tab
from tests.offline.papers import darwin_pdf

pytestmark = pytest.mark.journey


def test_a_summary_is_chosen_at_the_file_and_its_pages_open(tab: Tab, browser: Browser, tmp_path: Path) -> None:
    browser.tolerate("status of 422")  # chromium reports each refusal in its console
    paper = tmp_path / "struggle.pdf"
    paper.write_bytes(darwin_pdf())
    tab.attach(paper)
    tab.page.get_by_role("button", name="Summarize struggle.pdf").click()
    dialog = tab.page.get_by_role("dialog", name="Summarize “struggle.pdf”")
    expect(dialog.get_by_role("radio", name="Short")).to_be_focused()
    expect(dialog.get_by_role("radio", name="Compare")).to_have_count(0)
    dialog.get_by_role("radio", name="Detailed").check()
    language = dialog.get_by_label("Language")
    language.fill("12")
    language.press("Enter")
    expect(dialog.get_by_role("alert")).to_have_text(
        "Name the language of the summary in a word or two, such as German."
    )
    language.fill("English")
    dialog.get_by_role("button", name="Summarize", exact=True).click()
    expect(dialog).to_have_count(0)
    expect(tab.last).to_contain_text("Summarize “struggle.pdf” in detail, in English.")
    expect(tab.chips).to_have_count(0)
    cited = tab.answer.locator("a.page-ref").first
    expect(cited).to_be_visible()
    page = int(re.findall(r"\d+", cited.inner_text())[0])
    cited.click()
    preview = tab.page.get_by_role("dialog", name="struggle.pdf")
    expect(preview.locator("[data-page-number]")).to_have_value(str(page))
    expect(preview.get_by_role("img", name=f"Page {page}", exact=True)).to_be_visible()
