"""What streamed into a real browser is what a reload shows, to the last element."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.serving import ROOT
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey

CORPUS = ROOT / "tests" / "rendering" / "corpus"
DOCUMENTS = ["table_long", "table_aligned", "nested_lists", "tasks", "fences", "math_dollar", "late_references"]

ANSWER_HTML = """() => {
  const copy = [...document.querySelectorAll(".answer")].at(-1).cloneNode(true);
  for (const element of copy.querySelectorAll("[class*=htmx-]"))
    for (const name of [...element.classList].filter((name) => name.startsWith("htmx-"))) element.classList.remove(name);
  copy.normalize();
  return copy.innerHTML;
}"""


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_that_streamed_equals_its_reload(name: str, tab: Tab) -> None:
    text = Path(CORPUS / f"{name}.md").read_text().strip()[:1200]
    tab.ask(f"Repeat after me: {text}")
    streamed = tab.page.evaluate(ANSWER_HTML)
    kinds = {frame.split(" ", 1)[0] for frame in tab.frames if "hx-swap-oob" in frame}
    tab.page.reload()
    tab.turns.last.wait_for()
    assert streamed == tab.page.evaluate(ANSWER_HTML)
    assert streamed.count('class="b"') > 1
    if name.startswith("table"):
        assert kinds & {"<tr", "<tbody"}, "no row travelled by itself: this test shows nothing about tables"
