"""Notes on parts of a long document, and a summary of such notes."""

from __future__ import annotations

import re

from chat.conversations import summary
from chat.files import portions

from .conftest import Ask, text_of

PAGES = [
    "The mill at Winmarsta burned down in 1683. A report of 1700 counts forty weavers near the mill of Winmarsta.",
    "In 1721 the council of Gorden built a granary because of the long war. Nobody in Gorden paid for it gladly.",
    "After a drought the orchard beside the river Ostrel was sold. The shepherds moved to the hills above Belfel.",
]


async def test_notes_are_statements_with_their_pages_and_nothing_else(ask: Ask) -> None:
    (portion,) = portions.cut(["", "", *PAGES], 1_000)
    text = text_of(await ask(f"{portions.heading('a.pdf')}\n\n{portion.text}", summary.noting(100)))
    lines = text.splitlines()
    assert 2 <= len(lines) <= 4
    assert all(re.fullmatch(r"- [A-Z].+\. \(p\.\u00a0[345]\)", line) for line in lines), text
    assert portions.kept_notes(text, 3, 5, ["", "", *PAGES]) == lines


async def test_a_summary_of_notes_keeps_their_pages_and_headings(ask: Ask) -> None:
    notes = [
        "### Fires *of* old",
        "- The mill at Winmarsta burned down in the year 1683. (p. 12)",
        "- Nobody knows who lit the candle in the stable of Ostrel. (p. 14)",
        "### Trade",
        "- Weavers bought forty granaries from the council of Gorden. (p. 120)",
        "- Falling prices ruined two breweries beside the river Halwin. (p. 210)",
        "- After an earthquake the harbour moved to the northern shore. (p. 288)",
        "- Printers described the new calendar in a letter to the king. (p. 299)",
    ]
    told = text_of(await ask(portions.notes_text("a.pdf", 300, notes), "Summarize “a.pdf” in detail."))
    assert "Summary of a.pdf (300 pages)" in told
    assert len(set(portions.cited(told))) >= 4
    for page, said in ((12, "burned down"), (210, "Falling prices"), (288, "earthquake"), (299, "calendar")):
        assert all((said in line) == (f"(p.\u00a0{page})" in line) for line in told.splitlines() if "(p." in line)
    condensed = text_of(await ask(portions.notes_text("a.pdf", 300, notes), summary.condensing(30)))
    assert re.fullmatch(r"(### .+\n)?- .+ \(p\.\u00a0\d+\)", condensed), condensed


async def test_documents_are_compared_with_their_names(ask: Ask) -> None:
    notes = ["- The mill at Winmarsta burned down in the year 1683. (p. 12)"] * 2
    texts = [portions.notes_text(name, 30, notes) for name in ("a.pdf", "b.pdf")]
    told = text_of(await ask(*texts, "Compare “a.pdf” and “b.pdf”."))
    assert "(a.pdf, p.\u00a012)" in told
    assert "(b.pdf, p.\u00a012)" in told
