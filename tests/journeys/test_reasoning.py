"""What a model thinks, above its answer: folded, opened by keys while it grows, and the same after a reload."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.journeys.tab import Tab
from tests.journeys.test_parity import ANSWER_HTML

pytestmark = pytest.mark.journey

# As soon as there is a fold, open it as somebody would who waits with a finger on the key.
WATCH = """() => {
  window.seen = { labels: [], heights: [] };
  new MutationObserver(() => {
    const line = document.querySelector(".turn:last-of-type .segment--reasoning summary");
    if (!line) return;
    if (!window.seen.line) { line.focus(); line.click(); }
    window.seen.line ??= line;
    const label = line.textContent;
    if (label !== window.seen.labels.at(-1)) window.seen.labels.push(label);
    window.seen.heights.push(line.offsetHeight);
  }).observe(document.getElementById("main"), { childList: true, characterData: true, subtree: true });
}"""


@pytest.mark.seed("S1-32")
@pytest.mark.usefixtures("thinking")
def test_a_thought_is_followed_while_it_grows_and_is_there_after_a_reload(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(width=390)
    tab.page.evaluate(WATCH)
    answer = tab.ask("Repeat after me: high water")
    seen = tab.page.evaluate("window.seen")
    assert seen["labels"][0].startswith("Thinking…")
    assert "Thinking…Choosing how to answer" in seen["labels"]
    assert seen["labels"][-1] == "Reasoning"
    assert len(set(seen["heights"])) == 1, "the line pushed the answer down"
    # Opened and focused while it grew, it is still both.
    fold = tab.answer.locator("details.segment--reasoning")
    assert tab.page.evaluate("document.activeElement === window.seen.line && window.seen.line.parentElement.open")
    expect(fold.get_by_text("Reading the question")).to_be_visible()
    assert answer.index("Reading the question") < answer.index("high water")
    tab.page.keyboard.press("Enter")
    expect(fold.get_by_text("Reading the question")).to_be_hidden()
    streamed = tab.page.evaluate(ANSWER_HTML)
    tab.page.reload()
    tab.turns.last.wait_for()
    assert tab.page.evaluate(ANSWER_HTML) == streamed
    expect(fold).to_have_count(1)
    assert not tab.is_wider_than_its_window()


@pytest.mark.usefixtures("thinking")
def test_those_who_listen_hear_what_is_thought_of_and_not_what_is_folded_away(tab: Tab) -> None:
    heard = tab.page.locator("#announcer")
    tab.page.evaluate(
        """() => {
          window.heard = [];
          new MutationObserver((changes) => {
            for (const { addedNodes } of changes) for (const node of addedNodes) window.heard.push(node.textContent);
          }).observe(document.getElementById("announcer"), { childList: true });
        }"""
    )
    tab.ask("Repeat after me: low water")
    expect(heard).to_contain_text("Answer finished.")
    words = tab.page.evaluate("window.heard")
    assert "Thinking… Choosing how to answer" in words
    assert not [line for line in words if "No document is attached" in line]
    assert [line for line in words if "low water" in line]
