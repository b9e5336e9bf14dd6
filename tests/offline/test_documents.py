"""Summaries of and answers from a real text, through the wire: see papers.py for where it comes from."""

from __future__ import annotations

import re

import pytest
from fpdf import FPDF

from chat.files.pdf import page_texts

from .conftest import Ask, Json, inline_file, text_of
from .papers import TEXT, squeezed

CITED = re.compile(r"(?:^- |^|(?<=\) ))(?P<sentence>[^\n]+?) \(p\.\u00a0(?P<page>\d+)\)", re.MULTILINE)


def cited(text: str) -> list[tuple[str, int]]:
    return [(match["sentence"], int(match["page"])) for match in CITED.finditer(text)]


def begins_on(sentence: str, pages: list[str], page: int) -> bool:
    """Whether it stands on the page, or begins there and ends on the next."""
    start, end = sentence[:7], sentence[-30:]
    return sentence in pages[page - 1] or (start in pages[page - 1][-300:] and end in pages[page][:600])


def prose() -> list[str]:
    """The sentences of the text, roughly, in order."""
    body = squeezed(re.sub(r"^# .*$", "", TEXT, flags=re.MULTILINE))
    return re.split(r"(?<=[.?])(?<!Mr\.)(?<!Dr\.)(?<!W\.) ", body)


@pytest.mark.seed("S1-18")
async def test_a_summary_quotes_sentences_of_the_whole_document_with_their_pages(
    ask: Ask, darwin: Json, darwin_path: object
) -> None:
    pages = [squeezed(text) for text in page_texts(darwin_path)]  # type: ignore[arg-type]
    assert len(pages) == 10, "the paper was meant to have ten pages"
    whole = squeezed(TEXT)
    quotes = cited(text_of(await ask("Summarize this PDF", darwin)))
    assert len(quotes) >= 6
    for sentence, page in quotes:
        assert sentence in whole
        assert begins_on(sentence, pages, page), f"{sentence!r} does not begin on page {page}"
    assert len({page for _, page in quotes}) >= 4
    assert len({sentence for sentence, _ in quotes}) == len(quotes)


async def test_the_points_stand_in_the_order_of_the_document(ask: Ask, darwin: Json) -> None:
    text = text_of(await ask("Summarize this PDF", darwin))
    points = [sentence for sentence, _ in cited("\n".join(line for line in text.splitlines() if line.startswith("- ")))]
    whole = squeezed(TEXT)
    places = [whole.index(sentence) for sentence in points]
    assert len(places) > 3
    assert places == sorted(places)


async def test_a_summary_is_not_the_beginning_of_the_document(ask: Ask, darwin: Json) -> None:
    quotes = [sentence for sentence, _ in cited(text_of(await ask("Summarize this PDF", darwin)))]
    leading = prose()[: len(quotes)]
    assert len(set(quotes) & set(leading)) <= 1
    half = len(squeezed(TEXT)) // 2
    assert sum(squeezed(TEXT).index(sentence) > half for sentence in quotes) >= 2


async def test_page_furniture_is_left_out(ask: Ask, darwin: Json) -> None:
    text = text_of(await ask("detailed summary please", darwin))
    for furniture in ("ON THE ORIGIN", "Page ", "Contents", "....."):
        assert furniture not in text


async def test_a_summary_begins_with_a_title_and_ends_with_terms_and_one_closing_line(ask: Ask, darwin: Json) -> None:
    lines = text_of(await ask("Summarize this PDF", darwin)).splitlines()
    assert lines[0] == "### Summary of darwin.pdf (10 pages)"
    assert lines[-3].startswith("**Key terms:** ")
    assert {"species", "increase", "struggle"} <= set(lines[-3].removeprefix("**Key terms:** ").split(", "))
    closing = "*No model is connected: this answer was put together by the embedded engine from the attached text.*"
    assert lines[-1] == closing
    assert sum("No model" in line for line in lines) == 1


@pytest.mark.parametrize(
    ("wish", "count"),
    [
        ("Summarize in 3 sentences", 3),
        ("summarise this in one sentence", 1),
        ("Fasse das in zwei Sätzen zusammen", 2),
        ("Résume en quatre phrases", 4),
        ("Resume en 5 puntos", 5),
        ("用三句话总结", 3),
        ("3文で要約して", 3),
        ("두 문장으로 요약해 줘", 2),
    ],
)
async def test_a_summary_is_as_long_as_was_asked(ask: Ask, darwin: Json, wish: str, count: int) -> None:
    assert len(cited(text_of(await ask(wish, darwin)))) == count


async def test_short_and_detailed_are_shorter_and_longer(ask: Ask, darwin: Json) -> None:
    short, usual, detailed = [
        len(cited(text_of(await ask(wish, darwin))))
        for wish in ("short summary", "summary", "a detailed summary, please")
    ]
    assert short < usual < detailed


async def test_one_paragraph_has_no_list(ask: Ask, darwin: Json) -> None:
    text = text_of(await ask("Summarize in one paragraph", darwin))
    assert len(cited(text)) > 2
    assert "\n- " not in text


@pytest.mark.parametrize(
    ("wish", "title"),
    [
        ("Bitte fasse dieses Dokument zusammen", "Zusammenfassung von darwin.pdf"),
        ("Résumez ce document, s'il vous plaît", "Résumé de darwin.pdf"),
        ("Haz un resumen del documento", "Resumen de darwin.pdf"),
        ("请总结这份文件", "darwin.pdf 摘要"),
        ("請總結這份檔案", "darwin.pdf 摘要"),
        ("この文書を要約してください", "darwin.pdf の要約"),
        ("이 문서를 요약해 주세요", "darwin.pdf 요약"),
        ("here you are", "Summary of darwin.pdf"),
        ("What is this document about?", "Summary of darwin.pdf"),
    ],
)
async def test_a_summary_is_asked_for_in_many_ways(ask: Ask, darwin: Json, wish: str, title: str) -> None:
    assert text_of(await ask(wish, darwin)).startswith(f"### {title}")


async def test_a_document_without_a_word_is_summarised(ask: Ask, darwin: Json) -> None:
    assert text_of(await ask(darwin)).startswith("### Summary of darwin.pdf")


@pytest.mark.parametrize(
    ("question", "quote"),
    [
        ("Who used the expression Survival of the Fittest?", "Herbert Spencer, of the Survival of the Fittest"),
        ("How slowly do elephants breed?", "The elephant is reckoned the slowest breeder"),
        ("How many seedlings were destroyed by slugs?", "out of 357 no less than 295 were destroyed"),
        ("How many eggs does the condor lay?", "The condor lays a couple of eggs"),
    ],
)
async def test_a_question_is_answered_with_the_passage_and_its_page(
    ask: Ask, darwin: Json, darwin_path: object, question: str, quote: str
) -> None:
    pages = [squeezed(text) for text in page_texts(darwin_path)]  # type: ignore[arg-type]
    text = text_of(await ask(question, darwin))
    first = text.split("\n> ", maxsplit=1)[1] if "\n> " in text else ""
    best = first.splitlines()[0]
    assert quote in best
    page = int(re.search(r"\(p\.\u00a0(\d+)\)", best)[1])  # type: ignore[index]
    assert quote[:30] in " ".join(pages[page - 1 : page + 1])
    assert best.split(" (p.\u00a0")[0].split(". ")[0][:30] in pages[page - 1]


async def test_a_word_that_is_missing_does_not_hide_the_subject(ask: Ask, darwin: Json) -> None:
    assert "mistletoe" in text_of(await ask("What occurs with mistletoe?", darwin)).split("\n> ")[1]


@pytest.mark.parametrize("subject", ["quantum computing", "spaceship species"])
async def test_what_the_document_does_not_say_is_not_made_up(ask: Ask, darwin: Json, subject: str) -> None:
    text = text_of(await ask(f"What does it say about {subject}?", darwin))
    assert "Nothing in **darwin.pdf** matches" in text
    assert "\n> " not in text


async def test_a_document_stays_known_through_the_conversation(ask: Ask, darwin: Json) -> None:
    first = await ask("Summarize this PDF", darwin)
    greeting = await ask("thanks!", after=first)
    assert "(p.\u00a0" not in text_of(greeting)
    answer = await ask("What is said about mistletoe?", after=greeting)
    assert "mistletoe" in text_of(answer)
    assert "(p.\u00a0" in text_of(answer)
    again = await ask("shorter, please", after=answer)
    assert text_of(again).startswith("### Summary of darwin.pdf")
    counted = await ask("how many pages does it have?", after=again)
    assert "10 pages" in text_of(counted)


async def test_one_page_can_be_summarised(ask: Ask, darwin: Json) -> None:
    pages = {page for _, page in cited(text_of(await ask("Summarize page 6", darwin)))}
    assert pages == {6}


async def test_two_documents_are_told_apart(ask: Ask, darwin: Json) -> None:
    note = "The harbour of Valletta was dredged in spring. The dredging of the harbour cost two million euros in all."
    other = inline_file("harbour.txt", note.encode(), "text/plain")
    answer = text_of(await ask("What did the dredging of the harbour cost?", darwin, other))
    assert "two million euros in all. (harbour.txt)" in answer
    both = text_of(await ask("Summarize these", darwin, other))
    assert "Summary of darwin.pdf" in both
    assert "harbour.txt" in both


async def test_a_text_pasted_into_the_question_is_summarised(ask: Ask) -> None:
    text = text_of(await ask(f"Summarize in 2 sentences:\n\n{TEXT}"))
    quotes = text.split("\n\n")[1]
    assert text.startswith("### Summary of your text")
    assert re.split(r"(?<=[.]) (?=[A-Z])", quotes)[0] in squeezed(TEXT)
    assert "(p.\u00a0" not in text


async def test_a_scan_and_a_broken_file_are_named_as_such(ask: Ask) -> None:
    empty = FPDF()
    empty.add_page()
    scan = await ask("Summarize this", inline_file("scan.pdf", bytes(empty.output()), "application/pdf"))
    assert "**scan.pdf** has 1 pages but no text" in text_of(scan)
    broken = await ask("Summarize this", inline_file("torn.pdf", b"%PDF-1.7\nnothing more", "application/pdf"))
    assert "**torn.pdf** could not be read" in text_of(broken)
    archive = await ask("Summarize this", inline_file("a.zip", b"PK\x03\x04\0\0\0\0", "application/zip"))
    assert "**a.zip** is neither a PDF nor plain text" in text_of(archive)


async def test_markup_in_a_document_is_shown_and_not_obeyed(ask: Ask) -> None:
    note = (
        "The sign reads *danger* and <b>keep out</b> in large red letters today. "
        "The price of the sign was $5 at first and $7 in the end, they say. "
        "Nobody in the village knew who had painted the sign or why it stood there."
    )
    answer = text_of(await ask("What does the sign read?", inline_file("a_b.txt", note.encode(), "text/plain")))
    assert r"reads \*danger\* and \<b\>keep out" in answer
    assert "**a_b.txt**" in answer
