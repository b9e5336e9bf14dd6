"""“Upload PDFs for summarization”: chosen at the file, answered with its pages, and checked by a click on one."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.files.chronicle import chronicle
from tests.house.browsing import Browser
from tests.house.serving import Server
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
    tab.finished()
    verdict = re.compile(r"^All \d+ cited statements were found on their page\.")
    expect(tab.last.locator(".checked")).to_have_text(verdict)
    cited = tab.answer.locator("a.page-ref").first
    expect(cited).to_be_visible()
    page = int(re.findall(r"\d+", cited.inner_text())[0])
    cited.click()
    preview = tab.page.get_by_role("dialog", name="struggle.pdf")
    expect(preview.locator("[data-page-number]")).to_have_value(str(page))
    expect(preview.get_by_role("img", name=f"Page {page}", exact=True)).to_be_visible()


def test_what_is_too_long_is_read_by_parts_before_everybodys_eyes(
    start_server: Callable[..., Server], browser: Browser, prepared_data: Path, tmp_path: Path
) -> None:
    browser.tolerate("status of 422")
    data = Path(shutil.copytree(prepared_data, tmp_path / "data"))
    with closing(sqlite3.connect(data / "chat.sqlite3")) as rows, rows:
        rows.execute("UPDATE chat_deployment SET context_window = 1500")
    tab = Tab.enter(browser.page(), start_server(data).admin_link)
    tab.attach(chronicle(tmp_path / "chronicle.pdf", 100))
    expect(tab.page.locator("#chips .chip--ready")).to_be_visible()
    tab.box.fill("Who was mayor?")
    tab.box.press("Enter")
    expect(tab.problem).to_contain_text("have it summarized, which works by parts")
    tab.page.get_by_role("button", name="Summarize chronicle.pdf").click()
    tab.page.get_by_role("button", name="Summarize", exact=True).click()
    reading = re.compile(r"^Reading pages? \d+.* of 100$")
    expect(tab.answer).to_have_text(reading)
    other = Tab(tab.page.context.new_page())
    other.page.goto(tab.page.url)
    expect(other.answer).to_have_text(reading)
    tab.page.reload()
    expect(tab.answer).to_have_text(reading)
    assert tab.stop() == ""
    assert other.finished("cancelled") == ""
