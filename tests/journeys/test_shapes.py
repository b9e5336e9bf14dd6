"""What a page looks like with words, languages and windows that nobody chose for it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, expect

from tests.house.serving import Server
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey

ARABIC = "repeat exactly: لتعلم **بايثون** ابدأ بالأساسيات:\n\n1. المتغيرات\n2. الدوال\n\n```python\nprint(1)\n```\n\nAnd in English:\n\n- one"

MANY_COLUMNS = """repeat exactly: | Name | Version | Licence | Notes | Home |
|---|---|---|---|---|
| package-one | 1.0 | MIT | a note of several words that would stand one in each line | https://example.org/a/very/long/path/without/any/blank |"""

LONG_LABEL = """
from chat.models import Deployment, Provider
provider = Provider.objects.create(name="Long", dialect="generic", base_url="http://127.0.0.1:9/v1/", auth="none")
Deployment.objects.create(provider=provider, name="m", label="A model whose name is far longer than any telephone is wide")
"""


def direction(element: Locator) -> str:
    return str(element.evaluate("e => getComputedStyle(e).direction"))


def test_each_block_runs_in_the_direction_of_its_own_language(tab: Tab) -> None:
    tab.ask(ARABIC)
    assert direction(tab.answer.locator("p").first) == "rtl"
    assert direction(tab.answer.locator("ol")) == "rtl"
    assert direction(tab.answer.locator("pre")) == "ltr"
    assert direction(tab.answer.locator("ul")) == "ltr"
    tab.new_chat()
    tab.box.fill("مرحبا")
    assert direction(tab.box) == "rtl"


@pytest.mark.parametrize("width", [390, 1280])
def test_a_table_of_many_columns_scrolls_before_its_words_stand_one_in_a_line(
    open_tab: Callable[..., Tab], width: int
) -> None:
    tab = open_tab(width=width)
    tab.ask(MANY_COLUMNS)
    row = tab.answer.locator("tbody tr").bounding_box()
    assert row is not None
    assert row["height"] < 140
    assert not tab.is_wider_than_its_window()


def test_the_settings_stay_in_reach_beside_a_model_with_a_long_name(
    server: Server, open_tab: Callable[..., Tab]
) -> None:
    done = server.manage("shell", "--no-imports", "-c", LONG_LABEL)
    assert done.returncode == 0, done.stderr
    try:
        tab = open_tab(width=390, height=780)
        chooser = tab.page.get_by_label("Model")
        instructions = tab.page.get_by_role("button", name="Instructions for this conversation")
        for label in ("Embedded engine (no model)", "A model whose name is far longer than any telephone is wide"):
            chooser.select_option(label=label)
            expect(instructions).to_be_in_viewport(ratio=1)
    finally:
        server.manage(
            "shell",
            "--no-imports",
            "-c",
            "from chat.models import Provider; Provider.objects.get(name='Long').delete()",
        )


def test_a_new_conversation_in_a_low_window_begins_at_its_top(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(width=640, height=400)
    expect(tab.page.get_by_role("heading", name="What would you like to know?")).to_be_in_viewport()
