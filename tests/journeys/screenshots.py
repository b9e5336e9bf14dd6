"""Take the README's pictures: `python -m tests.journeys.screenshots`. Not a test; `make screenshots` runs it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from fpdf import FPDF
from playwright.sync_api import Page

from tests.house.browsing import Browsers, chromium_path
from tests.house.serving import ROOT, Server

TARGET = ROOT / ".github" / "screenshots"
PROSE = ROOT / "tests" / "offline" / "struggle_for_existence.txt"
SHOWCASE = "Show me what Markdown looks like here"


def make_pdf(folder: Path) -> Path:
    """A document of real prose, as somebody would upload it."""
    path = folder / "struggle-for-existence.pdf"
    document = FPDF(format="A4")
    document.set_auto_page_break(True, margin=25)
    document.add_page()
    document.set_font("Times", size=12)
    text = PROSE.read_text().encode("latin-1", "replace").decode("latin-1")
    document.multi_cell(0, 6, text)
    document.output(str(path))
    return path


def ask(page: Page, question: str, pdf: Path | None = None) -> None:
    turns = page.locator("article.turn").count()
    if pdf is not None:
        page.set_input_files("#file-input", str(pdf))
        page.wait_for_selector("#chips .chip--ready")
    page.fill("#question", question)
    page.keyboard.press("Enter")
    page.wait_for_function("n => document.querySelectorAll('article.turn').length > n", arg=turns)
    page.wait_for_selector("article.turn:last-of-type footer[data-status]", timeout=60_000)


def take(page: Page, name: str) -> None:
    page.wait_for_function("document.fonts.status === 'loaded'")
    page.mouse.move(0, 0)
    page.screenshot(path=TARGET / f"{name}.png", animations="disabled")


def main() -> None:
    path = chromium_path()
    assert path, "pictures need chromium; on Debian: apt-get install chromium"
    TARGET.mkdir(parents=True, exist_ok=True)
    browsers = Browsers(path)
    with tempfile.TemporaryDirectory() as folder, browsers.browser() as browser:
        server = Server(Path(folder) / "data")
        pdf = make_pdf(Path(folder))
        page = browser.page()
        page.goto(server.admin_link)
        page.get_by_role("button", name="Sign in as admin").click()
        page.wait_for_selector("#question")
        ask(page, SHOWCASE)
        page.goto(server.url)
        page.wait_for_selector("#question")
        ask(page, "Summarize this PDF", pdf)
        state = page.context.storage_state()
        address = page.url
        for scheme in ("light", "dark"):
            for device, width, height in (("desktop", 1280, 860), ("phone", 390, 780)):
                shown = browser.context(width=width, height=height, color_scheme=scheme, storage_state=state).new_page()
                shown.goto(address)
                shown.wait_for_selector("footer[data-status]")
                shown.locator(".question").last.scroll_into_view_if_needed()
                take(shown, f"chat-{device}-{scheme}")
                shown.goto(f"{server.url}/admin/chat/conversation/")
                shown.locator("#result_list tbody tr a").first.click()
                shown.wait_for_load_state()
                take(shown, f"admin-{device}-{scheme}")
        server.stop()
    browsers.stop()


if __name__ == "__main__":
    main()
