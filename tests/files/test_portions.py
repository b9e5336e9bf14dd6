"""Long documents are cut where pages end, and of notes only those are kept that name a page that was read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.files import portions
from chat.files.portions import Portion, cut, cut_notes, kept_notes, most_tokens


class TestCut:
    def test_pages_that_fit_together_stay_together(self) -> None:
        assert cut(["One", "", "Three"], 100) == [Portion(1, 3, "[page 1]\nOne\n\n[page 3]\nThree")]

    def test_it_is_cut_where_a_page_ends(self) -> None:
        found = cut(["a" * 60, "b" * 60, "c" * 60], 50)
        assert [(portion.first, portion.last) for portion in found] == [(1, 2), (3, 3)]

    def test_a_page_that_is_too_long_is_cut_at_blanks_and_keeps_its_mark(self) -> None:
        found = cut(["x", "word " * 100, "y"], 50)
        assert {(portion.first, portion.last) for portion in found[1:-1]} == {(2, 2)}
        assert all(portion.text.startswith("[page 2]\nword") for portion in found[1:-1])
        assert not any("wor\n" in portion.text or portion.text.endswith("wor") for portion in found)

    def test_there_may_be_nothing_to_read(self) -> None:
        assert cut(["", " \n"], 50) == []
        assert portions.without_text(["", "x", " "]) == [1, 3]

    @given(st.lists(st.text(alphabet="ab é漢😀\n", max_size=300), max_size=12), st.integers(20, 200))
    def test_nothing_is_lost_and_nothing_too_long(self, pages: list[str], tokens: int) -> None:
        found = cut(pages, tokens)
        assert all(most_tokens(portion.text) <= tokens for portion in found)
        told = "".join(portion.text for portion in found)
        assert sorted("".join(told.split())) == sorted(
            "".join(
                "".join(f"[page{n}]" * told.count(f"[page {n}]\n") + text for n, text in enumerate(pages, 1)).split()
            )
        )


class TestNotes:
    PAGES = ("", "", "It rains in Gorden since 1721.", "Forty weavers left Winmarsta.", "在一七二一年修建了糧倉和橋樑")

    def test_statements_and_the_headings_above_them_are_kept_once(self) -> None:
        said = (
            "Here are the notes:\n\n**One**\n* It rains (p. 3).\n- It is late [p. 4]\n- It rains (p. 3).\n### Empty\n"
        )
        assert kept_notes(said, 3, 5, self.PAGES) == ["### One", "- It rains (p. 3).", "- It is late [p. 4]"]

    def test_a_page_that_was_not_read_is_made_up(self) -> None:
        said = "It rains (p. 3)\nIt snows (p. 9)\nBoth (pp. 4–9)"
        assert kept_notes(said, 3, 5, self.PAGES) == ["- It rains (p. 3)"]

    def test_what_is_not_cited_gets_the_page_that_says_it_or_goes(self) -> None:
        said = "1. Weavers left Winmarsta early. In 1721 it rains, since Gorden is wet.\nThe document is about weather.\n修建了糧倉"
        assert kept_notes(said, 3, 5, self.PAGES) == [
            "- Weavers left Winmarsta early. (p. 4)",
            "- In 1721 it rains, since Gorden is wet. (p. 3)",
            "- 修建了糧倉 (p. 5)",
        ]
        assert kept_notes(said, 3, 3, self.PAGES) == ["- In 1721 it rains, since Gorden is wet. (p. 3)"]

    @pytest.mark.parametrize(
        ("said", "stands"),
        [
            ("Weavers left", True),
            ("Some forty weavers settled", True),
            ("Some hundred weavers settled", False),
            ("40 weavers left", True),
            ("In 1721 weavers left", False),
            ("", False),
        ],
    )
    def test_half_of_the_words_and_each_number_have_to_stand_there(self, said: str, stands: bool) -> None:
        assert portions.stands_in(portions.words_in(said), portions.words_in(self.PAGES[3])) == stands

    def test_words_are_read_as_they_are_meant(self) -> None:
        assert portions.words_in("ﬁnd 1,234.5 １７２１") == {"find", "1234", "5", "1721"}

    def test_nothing_said_is_nothing_kept(self) -> None:
        assert kept_notes("", 1, 2, self.PAGES) == kept_notes("### Only a title", 1, 2, self.PAGES) == []

    def test_some_are_left_out_all_over(self) -> None:
        notes = ["### A", "- 1", "### B", "- 2", "- 3", "- 4", "### C", "- 5", "- 6"]
        assert portions.thinned(notes, 0.5) == ["### B", "- 2", "- 4", "### C", "- 6"]
        assert portions.thinned(notes, 0.0) == []

    def test_they_are_cut_between_lines(self) -> None:
        lines = ["- " + "a" * 28] * 5
        assert [len(group) for group in cut_notes(lines, 25)] == [2, 2, 1]
        assert cut_notes(["b" * 300], 10) == [["b" * 300]]


@pytest.mark.parametrize(
    ("text", "pages"), [("(p. 7)", [7]), ("[pp. 7–9] (a.pdf, p.\u00a02)", [7, 9, 2]), ("(page 7) p. 7", [])]
)
def test_pages_are_cited_as_answers_cite_them(text: str, pages: list[int]) -> None:
    assert portions.cited(text) == pages
