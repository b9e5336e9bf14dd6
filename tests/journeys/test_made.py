"""What the model makes: a chart shows, opens large, and is saved with the data behind it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey


def test_a_chart_of_the_code_interpreter_shows_and_is_saved_with_its_data(
    open_tab: Callable[..., Tab], tmp_path: Path
) -> None:
    tab = open_tab()
    tab.ask("Make a bar chart of 3, 5, 9")
    chart = tab.last.locator("img.made__picture")
    expect(chart).to_have_js_property("complete", True)
    assert chart.evaluate("image => image.naturalWidth") == 960
    link = tab.answer.get_by_role("link", name="chart.png")
    expect(link).to_have_attribute("href", f"{chart.get_attribute('src')}?download")

    with tab.page.expect_download() as saved:
        tab.last.locator(".made a[download]").first.click()
    assert saved.value.suggested_filename == "chart.png"
    saved.value.save_as(tmp_path / "chart.png")
    with Image.open(tmp_path / "chart.png") as image:
        assert image.size == (960, 540)
    with tab.page.expect_download() as saved:
        tab.answer.get_by_role("link", name="data.csv").click()
    saved.value.save_as(tmp_path / "data.csv")
    assert (tmp_path / "data.csv").read_text().split() == ["name,value", "1,3", "2,5", "3,9"]

    tab.last.get_by_text("Show as a table").click()
    expect(tab.last.locator(".made__rows td")).to_have_text(["1", "3", "2", "5", "3", "9"])
    chart.click()
    expect(tab.page.get_by_role("dialog").locator("img").first).to_be_visible()
    tab.page.keyboard.press("Escape")

    streamed = tab.last.locator(".answer").inner_html()
    tab.page.reload()
    tab.last.wait_for()
    assert tab.last.locator(".answer").inner_html() == streamed
