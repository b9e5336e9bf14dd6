"""Files in the page: dropped, looked at page by page, cited, taken along again, deleted for good."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.files.makers import make_noise, make_pdf
from tests.house.browsing import Browser
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey

DROP = """(files) => {
  const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  for (const [name, text] of files) dataTransfer.items.add(new File([bytes(text)], name));
  const how = { dataTransfer, bubbles: true, cancelable: true };
  for (const type of ["dragover", "drop"]) document.getElementById("main").dispatchEvent(new DragEvent(type, how));
}"""

WATCH_PROGRESS = """() => {
  window.progress = {};
  new MutationObserver((changes) => {
    for (const { target } of changes) if (target.matches("progress")) (window.progress[target.ariaLabel] ??= []).push(target.value);
  }).observe(document.getElementById("chips"), { subtree: true, attributes: true, attributeFilter: ["value"] });
  document.getElementById("composer").dataset.sliceBytes = 50_000;
}"""


def test_files_are_dropped_looked_at_cited_taken_along_and_deleted(
    tab: Tab, browser: Browser, paper: Path, tmp_path: Path
) -> None:
    browser.tolerate("status of 422")  # chromium reports the refusal at the end in its console
    paper = paper.rename(paper.with_name("cited.pdf"))
    noise = make_noise(tmp_path / "noise.png", size=(400, 300))
    drops_three_and_takes_one_out(tab, [paper, noise, make_pdf(tmp_path / "unwanted.pdf", ["x"])], noise.stat().st_size)
    tab.ask("Summarize this PDF")
    looks_at_page_seven(tab)
    opens_a_cited_page(tab)
    looks_at_the_picture(tab)
    asked_in = tab.conversation_id
    takes_an_earlier_file_along(tab)
    deletes_it_for_good(tab, asked_in)


def drops_three_and_takes_one_out(tab: Tab, paths: list[Path], size: int) -> None:
    tab.page.evaluate(WATCH_PROGRESS)
    tab.page.evaluate(DROP, [[path.name, base64.b64encode(path.read_bytes()).decode()] for path in paths])
    expect(tab.page.locator("#chips .chip--ready")).to_have_count(3)
    told = tab.page.evaluate("window.progress")["Upload of noise.png"]
    assert len(set(told)) >= 3, "the progress was not told byte by byte"
    assert told == sorted(told)
    assert told[-1] == size
    tab.page.get_by_role("button", name="Remove unwanted.pdf").click()
    expect(tab.chips).to_have_count(2)


def looks_at_page_seven(tab: Tab) -> None:
    chip = tab.last.get_by_role("link", name="cited.pdf")
    chip.click()
    preview = tab.page.get_by_role("dialog", name="cited.pdf")
    number = preview.get_by_role("spinbutton", name="Page")
    expect(preview).to_contain_text("of 10")
    shows_page(preview, 1)
    assert preview.get_by_role("img").count() < 5, "pages out of sight are painted"
    number.fill("7")
    number.press("Enter")
    shows_page(preview, 7)
    preview.get_by_role("button", name="Next page").click()
    expect(number).to_have_value("8")
    tab.page.keyboard.press("ArrowLeft")
    expect(number).to_have_value("7")
    tab.page.keyboard.press("Escape")
    expect(preview).to_have_count(0)
    expect(chip).to_be_focused()


def shows_page(preview: Locator, number: int) -> None:
    picture = preview.get_by_role("img", name=f"Page {number}", exact=True)
    expect(picture).to_be_in_viewport()
    assert picture.evaluate("image => image.decode().then(() => image.currentSrc)").endswith("?width=800")


def opens_a_cited_page(tab: Tab) -> None:
    cited = tab.answer.locator("a.page-ref").last
    page = re.findall(r"\d+", cited.inner_text())[0]
    cited.click()
    preview = tab.page.get_by_role("dialog", name="cited.pdf")
    expect(preview.get_by_role("spinbutton", name="Page")).to_have_value(page)
    expect(preview.get_by_role("img", name=f"Page {page}", exact=True)).to_be_in_viewport()
    tab.page.mouse.click(3, 400)  # beside it
    expect(preview).to_have_count(0)


def looks_at_the_picture(tab: Tab) -> None:
    tab.last.get_by_role("link", name="noise.png").click()
    preview = tab.page.get_by_role("dialog", name="noise.png")
    image = preview.get_by_role("img")
    assert image.evaluate("image => image.decode().then(() => image.naturalWidth)") == 400
    zoom = preview.get_by_role("button", name="Show at its real size")
    zoom.click()
    expect(zoom).to_have_attribute("aria-pressed", "true")
    preview.get_by_role("button", name="Close").click()
    expect(preview).to_have_count(0)


def takes_an_earlier_file_along(tab: Tab) -> None:
    tab.new_chat()
    tab.page.get_by_role("button", name="Choose from your files").click()
    choices = tab.page.get_by_role("dialog", name="Your files")
    expect(choices.get_by_role("searchbox")).to_be_focused()
    choices.get_by_role("checkbox", name="noise.png").check()
    tab.page.keyboard.press("Shift+Tab")
    choices.get_by_role("searchbox").fill("cited")
    choices.get_by_role("checkbox", name="cited.pdf").check()
    expect(choices.get_by_role("checkbox", name="noise.png")).to_be_checked()
    choices.get_by_role("button", name="Attach 2 files").click()
    expect(choices).to_have_count(0)
    expect(tab.box).to_be_focused()
    expect(tab.chips).to_have_count(2)
    tab.page.get_by_role("button", name="Remove cited.pdf").click()
    expect(tab.chips).to_have_count(1)
    assert "400 × 300 pixels" in tab.ask("How large is it?")
    expect(tab.last.get_by_role("link", name="noise.png")).to_be_visible()


def deletes_it_for_good(tab: Tab, asked_in: str) -> None:
    page = tab.page
    page.locator(".sidebar__foot summary").click()
    page.get_by_role("link", name="Files", exact=True).click()
    expect(page).to_have_title("Files")
    page.get_by_role("searchbox").fill("cited")
    files = page.locator(".file")
    expect(files).to_have_count(1)  # what was taken out of a message stays
    expect(files).to_contain_text("10 pages")
    expect(files.locator(".file__places a")).to_have_count(1)
    files.get_by_role("link", name="Delete cited.pdf").click()
    asks = page.get_by_role("dialog", name="Delete “cited.pdf”?")
    expect(asks).to_contain_text("used in one conversation")
    expect(asks.get_by_role("button", name="Cancel")).to_be_focused()
    asks.get_by_role("button", name="Delete").click()
    expect(files).to_have_count(0)
    expect(asks).to_have_count(0)
    expect(page.get_by_text("Deleted “cited.pdf”.")).to_be_visible()
    page.get_by_role("searchbox").fill("noise")
    expect(files.locator(".file__places a")).to_have_count(2)
    tab.in_list(asked_in).get_by_role("link").click()
    gone = tab.last.locator(".chip--forgotten")
    expect(gone).to_contain_text("cited.pdf")
    expect(gone).to_contain_text("deleted")
    expect(gone.get_by_role("link")).to_have_count(0)
    expect(page.locator("body")).not_to_have_attribute("data-has-pdf", re.compile(".*"))
    tab.answer.locator("a.page-ref").first.click()
    expect(page.get_by_text("“cited.pdf” was deleted.")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)
