"""What an answer states is read off its blocks, and the citations that do not hold are marked in them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.models import Response, Status
from chat.rendering.answer import changed_blocks_html, response_html, text_blocks
from chat.rendering.cited import Citation, Read, marked, statements_in, verdict_on
from chat.rendering.live import LiveResponse
from chat.rendering.markdown import render_blocks
from chat.responses.events import parse_event
from tests.dom import Page, parse
from tests.rendering.test_safety import HOSTILE, MARKS, assert_harmless
from tests.rows import message
from tests.upstream import text_events


def read(text: str) -> Read:
    return statements_in(render_blocks(text))


def said(text: str) -> list[tuple[set[str], list[int]]]:
    return [(set(found.words), [cited.first for cited in found.citations]) for found in read(text).statements]


class TestStatements:
    def test_each_is_the_sentence_before_its_citations(self) -> None:
        text = "Nobody said that rain falls. It rained in Gorden (p. 3) (p. 5), but Winmarsta stayed dry. (p. 4)\n"
        assert said(text) == [({"rained", "gorden"}, [3, 5]), ({"winmarsta", "stayed"}, [4])]
        assert read(text).uncited == 1

    def test_a_point_in_the_middle_does_not_cut_it_short(self) -> None:
        assert said("Weavers left the town under Dr. Marhalpel (p. 3).") == [
            ({"weavers", "left", "town", "under", "marhalpel"}, [3])
        ]

    def test_items_cells_and_headings_stand_by_themselves(self) -> None:
        text = (
            "# Weavers of Gorden (p. 1)\n\n## A heading that cites nothing\n\n- Weavers left\n- Miners came **early** "
            "(p. 2)\n\n| Where the weavers lived | What a hundred paid |\n|---|---|\n| Gorden | 300 (p. 3) |\n"
        )
        assert said(text) == [
            ({"weavers", "gorden"}, [1]),
            ({"miners", "came", "early"}, [2]),
            ({"gorden", "300"}, [3]),
        ]
        assert read(text).uncited == 0

    @pytest.mark.parametrize(
        ("text", "uncited"),
        [
            ("It rained for many years. It snowed another year.", 2),
            ("Here are the most important points:\n\n- Yes.", 0),
            ("It rained there [pp. 3–5] for the following years.", 0),
            ("It rained there [pp. 3–5] for years. Nobody knows what followed.", 1),
            ("```\nCode states nothing at all (p. 3)\n```", 0),
            ("**The years of the weavers**\n\n**It rained** for many years there", 1),
            ("", 0),
        ],
    )
    def test_sentences_without_a_citation_are_counted(self, text: str, uncited: int) -> None:
        assert read(text).uncited == uncited

    def test_a_citation_is_a_link_of_the_page_with_its_pages_and_its_file(self) -> None:
        text = "`(p. 9)` is code. (p. 8)\n\nWeavers left the town (a &amp; b.pdf, pp. 3–5)."
        citations = [citation for found in read(text).statements for citation in found.citations]
        assert citations == [Citation(0, 8, 8), Citation(1, 3, 5, "a & b.pdf")]

    def test_scripts_without_blanks_are_read_too(self) -> None:
        (found,) = read("没有引用的句子在这里。修建了糧倉 (p. 3)。").statements
        assert found.words == {"修建", "建了", "了糧", "糧倉"}


CITED = st.sampled_from(
    ["(p. 3)", "[pp. 2–9] ", "(a.pdf, p. 1)", "(p. 3) (p. 4)", "Weavers left. ", "| a | b |\n|---|---|\n"]
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.one_of(CITED, MARKS, st.text(max_size=5)), max_size=40).map("".join))
def test_whatever_was_written_each_citation_has_its_link(text: str) -> None:
    """Read and marked alike, or the mark would stand at another one."""
    blocks = render_blocks(text)
    links = sum(block.count('<a class="page-ref"') for block in blocks)
    numbers = [citation.number for found in statements_in(blocks).statements for citation in found.citations]
    assert numbers == sorted(set(numbers))
    assert all(number < links for number in numbers)
    first = 0
    for block in blocks:
        shown, behind = marked(block, first, range(links))
        assert behind - first == block.count('<a class="page-ref"') == shown.count("not found on this page")
        first = behind


@pytest.mark.parametrize("hostile", HOSTILE)
def test_a_mark_lets_nothing_hostile_through(hostile: str) -> None:
    for block in render_blocks(f"{hostile} is the word (p. 3)\n\n- (x{hostile}.pdf, p. 4)"):
        shown, _ = marked(block, 0, range(9))
        assert_harmless(shown)


TEXT = "Weavers left (p. 3).\n\n- Miners (p. 4)\n- Bakers (p. 5)\n\nAll of it was long ago."


def row(**citations: object) -> Response:
    return Response(pk=7, status=Status.COMPLETED, output=[message(TEXT)], citations=citations)


class TestMark:
    def test_only_what_does_not_hold_is_marked(self) -> None:
        links = parse(response_html(row(compared=3, not_found=[1]))).text()
        assert links.count("not found on this page") == 1
        assert "Miners (p. 4) not found on this page" in links

    def test_what_the_model_wrote_stays_as_it_came(self) -> None:
        response = row(compared=3, not_found=[1])
        before = text_blocks(response.output)
        response_html(response)
        assert response.output == [message(TEXT)]
        assert text_blocks(response.output) == before

    def test_nothing_is_marked_while_it_runs_and_in_what_was_never_checked(self) -> None:
        plain = Response(pk=7, status=Status.COMPLETED, output=[message(TEXT)])
        assert "not found" not in response_html(plain)
        assert changed_blocks_html(plain) == ""
        assert changed_blocks_html(row(compared=3, not_found=[])) == ""

    def test_the_streamed_page_equals_the_reloaded_one(self) -> None:
        live = LiveResponse(7)
        page, seen = Page(f"<div>{live.html()}</div>"), live.seen_now()
        for event in text_events([TEXT[at : at + 5] for at in range(0, len(TEXT), 5)]):
            live.apply(parse_event(event))
            page.receive(live.fragments(seen))
        live.finish()
        response = row(compared=3, not_found=[0, 2])
        page.receive(live.fragments(seen) + changed_blocks_html(response))
        assert page.part("r7") == Page(response_html(response)).part("r7")
        assert page.part("r7").count("not found on this page") == 2
        assert not page.missed


@pytest.mark.parametrize(
    ("citations", "words", "is_doubt"),
    [
        ([None], "", False),
        ([{"uncited": 0}], "", False),
        ([{"compared": 1, "not_found": []}], "The cited statement was found on its page.", False),
        ([{"compared": 26, "not_found": []}], "All 26 cited statements were found on their page.", False),
        ([{"compared": 26, "not_found": [1, 2, 9]}], "3 of 26 cited statements were not found on their page.", True),
        (
            [{"compared": 2, "not_found": [1], "uncited": 1}, None, {"compared": 3, "not_found": [], "uncited": 1}],
            "1 of 5 cited statements was not found on its page. 2 sentences cite no page.",
            True,
        ),
        (
            [{"compared": 0, "not_found": [], "pictures": 1}],
            "1 cites pages without text, and was not checked.",
            False,
        ),
        ([{"uncited": 4}], "This summary cites no page.", True),
        (
            [{"uncited": 0, "unchecked": "translated"}],
            "Its statements could not be compared with the pages: they share too few words, as with a translation.",
            True,
        ),
    ],
)
def test_the_verdict_says_what_was_found(citations: list[object], words: str, is_doubt: bool) -> None:
    verdict = verdict_on(Response(citations=kept) for kept in citations)
    assert (verdict.words, verdict.is_doubt) == (words, is_doubt)
