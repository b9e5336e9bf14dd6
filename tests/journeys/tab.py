"""One open page of the chat, in the words of whoever sits before it."""

from __future__ import annotations

import base64
import re
from pathlib import Path

from playwright.sync_api import Locator, Page, expect

from tests.offline.papers import TEXT

PROSE = " ".join(re.sub(r"^# .*$", "", TEXT, flags=re.MULTILINE).split())
LIVE = ".foot[data-live]"
ANSWER_SECONDS = 40

SAMPLE_GROWTH = """() => {
  window.growth = [];
  const sample = () => {
    const turn = document.querySelector(".turn:has([data-live])");
    const length = turn?.querySelector(".answer").textContent.trim().length ?? 0;
    if (length && length !== window.growth.at(-1)) window.growth.push(length);
  };
  window.sampler?.disconnect();
  window.sampler = new MutationObserver(sample);
  window.sampler.observe(document.body, { childList: true, characterData: true, subtree: true });
}"""

HAS_ARRIVED = """(least) => {
  const turn = [...document.querySelectorAll(".turn")].at(-1);
  return (turn?.querySelector(".answer").textContent.length ?? 0) >= least && turn.querySelector("[data-live]");
}"""


def prose(characters: int) -> str:
    """A question whose answer takes a while and can be told beforehand."""
    return f"Repeat after me: {PROSE[:characters].strip()}"


class Tab:
    def __init__(self, page: Page) -> None:
        self.page = page
        self.frames: list[str] = []
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: self.frames.append(str(frame))))

    @classmethod
    def enter(cls, page: Page, link: str) -> Tab:
        """Sign in by a link, as a person does: its page names the account, and Enter goes on."""
        tab = cls(page)
        page.goto(link)
        expect(page.get_by_role("button", name="Sign in as ")).to_be_focused()
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"//[^/]+/$"))
        expect(tab.box).to_be_visible()
        return tab

    @property
    def box(self) -> Locator:
        return self.page.get_by_role("textbox", name="Message", exact=True)

    @property
    def send_button(self) -> Locator:
        return self.page.get_by_role("button", name="Send", exact=True)

    @property
    def problem(self) -> Locator:
        return self.page.locator("#problem")

    @property
    def turns(self) -> Locator:
        return self.page.locator(".turn")

    @property
    def last(self) -> Locator:
        return self.turns.last

    @property
    def answer(self) -> Locator:
        return self.last.locator(".answer")

    @property
    def chips(self) -> Locator:
        return self.page.locator("#chips .chip")

    @property
    def conversation_id(self) -> str:
        return str(self.page.locator("#conversation").get_attribute("data-conversation"))

    @property
    def title(self) -> Locator:
        return self.page.locator(".topbar__title")

    def in_list(self, conversation_id: str) -> Locator:
        """The conversation's line in the sidebar."""
        return self.page.locator(f"#c-{conversation_id}")

    def new_chat(self) -> None:
        self.page.locator("#sidebar").get_by_role("link", name="New chat").click()
        expect(self.page.locator("#welcome")).to_be_visible()

    def begin(self, question: str) -> None:
        """Send a question; returns when its turn is in the page."""
        before = self.turns.count()
        self.box.fill(question)
        self.box.press("Enter")
        expect(self.turns).to_have_count(before + 1)
        if question:
            expect(self.last.locator(".question__text")).to_have_text(question)

    def ask(self, question: str) -> str:
        """Send a question and wait for all of its answer."""
        self.begin(question)
        return self.finished()

    def finished(self, status: str = "completed") -> str:
        """Wait until the last turn is over, with this status; its text."""
        foot = self.last.locator(".foot")
        expect(foot).to_have_attribute("data-status", status, timeout=ANSWER_SECONDS * 1000)
        return self.text()

    def text(self) -> str:
        """The last answer as it stands, whatever its white space."""
        return " ".join((self.answer.text_content() or "").split())

    def stop(self) -> str:
        """Stop the answer; the text that is kept."""
        self.page.get_by_role("button", name="Stop answering").click()
        return self.finished("cancelled")

    def wait_for_text(self, characters: int) -> str:
        """Wait until so much of the last answer is there, and it is still being written."""
        self.page.wait_for_function(HAS_ARRIVED, arg=characters)
        return self.text()

    def sample_growth(self) -> None:
        """From now on remember each length that the live answer has in the page."""
        self.page.evaluate(SAMPLE_GROWTH)

    def growth(self) -> list[int]:
        return list(self.page.evaluate("window.growth"))

    # Files

    def attach(self, *paths: Path) -> None:
        self.page.locator("#file-input").set_input_files(list(paths))

    def drop(self, path: Path, media_type: str) -> None:
        """Let a file fall on the page."""
        transfer = self.page.evaluate_handle(
            """([bytes, name, type]) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], name, { type }));
              return transfer;
            }""",
            [_base64(path), path.name, media_type],
        )
        for event in ("dragover", "drop"):
            self.page.locator("#main").dispatch_event(event, {"dataTransfer": transfer})

    def paste_image(self, path: Path) -> None:
        """Put a picture on the clipboard and press the keys that paste it."""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.page.evaluate(
            """async (bytes) => {
              const blob = new Blob([Uint8Array.from(atob(bytes), (c) => c.charCodeAt(0))], { type: "image/png" });
              await navigator.clipboard.write([new ClipboardItem({ "image/png": blob })]);
            }""",
            _base64(path),
        )
        self.box.press("Control+v")

    # Menus

    def choose(self, conversation_id: str, entry: str) -> None:
        """Open the menu of a conversation in the sidebar and choose from it."""
        self.page.bring_to_front()  # a tab in the background is painted once a second
        item = self.in_list(conversation_id)
        item.hover()
        item.locator("summary").click()
        item.get_by_role("button", name=entry, exact=True).click()

    def sign_out(self) -> None:
        self.page.locator(".sidebar__foot summary").click()
        self.page.get_by_role("button", name="Sign out").click()
        self.page.wait_for_url("**/accounts/login/")

    def is_wider_than_its_window(self) -> bool:
        return bool(self.page.evaluate("document.scrollingElement.scrollWidth > innerWidth"))


def _base64(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
