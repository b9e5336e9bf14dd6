"""Without a mouse, and on a narrow screen."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey

WIDE = """repeat exactly: | one | two | three | four | five | six | seven | eight |
|---|---|---|---|---|---|---|---|
| a-rather-long-cell | a-rather-long-cell | a-rather-long-cell | a-rather-long-cell | a-rather-long-cell | x | y | z |

```python
a_name_of_a_function_that_does_not_end(with_an_argument="and another one", and_more="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx")
```

https://example.org/a/path/without/any/blank/that/is/much/longer/than/a/telephone/is/wide/and/then/some/more/of/it"""


def tab_until(page: Page, what: str, *, presses: int = 400) -> None:
    """Press Tab until the element that matches `what` has the focus.

    Each conversation of the journeys before this one is two stops on the way.
    """
    for _ in range(presses):
        if page.evaluate("(what) => document.activeElement.matches(what)", what):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab does not reach {what}")


def test_everything_can_be_reached_and_closed_by_keys(tab: Tab) -> None:
    page = tab.page
    expect(tab.box).to_be_focused()
    page.keyboard.type("repeat after me: first line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("second line")
    expect(tab.turns).to_have_count(0)
    expect(tab.box).to_have_value("repeat after me: first line\nsecond line")
    page.keyboard.press("Enter")
    assert tab.finished().startswith("first line second line")
    expect(tab.box).to_be_focused()
    expect(tab.box).to_have_value("")
    line = f"#c-{tab.conversation_id}"

    # From the top of the page: the link over the navigation comes first.
    page.reload()
    expect(tab.box).to_be_focused()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("Tab")
    tab_until(page, ".skip-link")
    page.keyboard.press("Enter")
    expect(tab.box).to_be_focused()
    tab_until(page, f"{line} .conversation-item__link")
    tab_until(page, f"{line} summary")

    # A menu: Enter opens, arrows walk, Escape closes and gives the focus back.
    page.keyboard.press("Enter")
    menu = page.locator(line).get_by_role("button", name="Rename")
    expect(menu).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(menu).to_be_focused()
    page.keyboard.press("Escape")
    expect(menu).to_be_hidden()
    expect(page.locator(f"{line} summary")).to_be_focused()

    # Renaming: Escape gives it up.
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    name = page.locator(line).get_by_role("textbox", name="Title")
    expect(name).to_be_focused()
    page.keyboard.type("not this")
    page.keyboard.press("Escape")
    expect(name).to_have_count(0)
    expect(page.locator(line)).not_to_contain_text("not this")

    # A dialog: Escape closes it.
    page.evaluate("document.activeElement.blur()")
    tab_until(page, "[data-open-dialog]")
    page.keyboard.press("Enter")
    dialog = page.get_by_role("dialog", name="Instructions")
    expect(dialog).to_be_visible()
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    tab_until(page, "#question")


def test_escape_in_the_message_box_stops_the_answer(tab: Tab) -> None:
    tab.begin("Write a long text of about 3000 tokens")
    tab.wait_for_text(40)
    tab.box.press("Escape")
    tab.finished("cancelled")
    expect(tab.last.locator(".problem")).to_contain_text("You stopped this answer.")


def test_on_a_phone_the_drawer_opens_and_closes_and_nothing_is_wider_than_the_screen(
    open_tab: Callable[..., Tab],
) -> None:
    tab = open_tab(width=390, height=780, has_touch=True, is_mobile=True)
    page = tab.page
    assert not tab.is_wider_than_its_window()
    tab.begin(WIDE)
    tab.finished()
    expect(tab.answer.locator("table")).to_be_visible()
    expect(tab.answer.locator("pre")).to_be_visible()
    table, code = tab.answer.locator("table"), tab.answer.locator("pre")
    scrolls = "e => [e, e.parentElement].some(x => x.scrollWidth > x.clientWidth + 40)"
    assert table.evaluate(scrolls), "the premise: the table is wider than the screen"
    assert code.evaluate(scrolls), "the premise: the code is wider than the screen"
    assert not tab.is_wider_than_its_window()
    for part in (tab.box, tab.send_button, tab.title):
        box = part.bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390

    drawer = page.locator("#sidebar")
    opener = page.get_by_role("button", name="Show the list of conversations")
    expect(drawer).not_to_be_in_viewport()
    opener.tap()
    expect(drawer).to_be_in_viewport()
    assert not tab.is_wider_than_its_window()
    page.keyboard.press("Escape")
    expect(drawer).not_to_be_in_viewport()
    expect(opener).to_be_focused()
    opener.tap()
    page.locator("#sidebar").get_by_role("link", name="New chat").tap()
    expect(page.locator("#welcome")).to_be_visible()
    expect(drawer).not_to_be_in_viewport()
