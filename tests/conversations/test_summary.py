"""What can be chosen of a summary, the words of the question, and what the model is told."""

from __future__ import annotations

import uuid

import pytest

from chat.conversations import summary
from chat.conversations.ask import Question, Refused, ask, ask_again
from chat.conversations.summary import Summary, Unclear, chosen
from chat.models import Attachment, Status, Turn, User
from chat.responses.dialects import DIALECTS
from tests.rows import make_attachment, make_deployment


def pdf(name: str = "x.pdf") -> Attachment:
    return Attachment(name=name, media_type="application/pdf")


class TestChosen:
    def test_no_kind_is_a_question_of_ones_own(self) -> None:
        assert chosen("", "German") is None

    @pytest.mark.parametrize(
        "language", ["", "German", " Chinese  (simplified) ", "繁體中文", "日本語", "português do Brasil"]
    )
    def test_any_language_can_be_written(self, language: str) -> None:
        assert chosen("short", language) == Summary("short", " ".join(language.split()))

    @pytest.mark.parametrize(
        ("kind", "language"), [("long", ""), ("short", "1"), ("short", "a\x00:b"), ("short", "é" * 41)]
    )
    def test_what_is_none_is_refused(self, kind: str, language: str) -> None:
        with pytest.raises(Unclear, match=r"Reload the page|in a word or two"):
            chosen(kind, language)


class TestWords:
    @pytest.mark.parametrize(
        ("chosen", "words"),
        [
            (Summary("short"), "Summarize “x.pdf” briefly."),
            (Summary("detailed", "German"), "Summarize “x.pdf” in detail, in German."),
            (Summary("chapters"), "Summarize “x.pdf” chapter by chapter."),
        ],
    )
    def test_one_document(self, chosen: Summary, words: str) -> None:
        assert summary.question(chosen, [pdf()]) == words

    def test_several_and_what_the_person_adds(self) -> None:
        three = [pdf("a.pdf"), pdf("b.pdf"), Attachment(name="c.png", media_type="image/png"), pdf("d.pdf")]
        words = summary.question(Summary("compare"), three, "What costs less?")
        assert words == "Compare “a.pdf”, “b.pdf” and “d.pdf”.\n\nWhat costs less?"

    def test_there_must_be_enough_to_summarize(self) -> None:
        with pytest.raises(Unclear, match="Attach a PDF"):
            summary.question(Summary("short"), [Attachment(name="c.png", media_type="image/png")])
        with pytest.raises(Unclear, match="second PDF"):
            summary.question(Summary("compare"), [pdf()])


class TestInstructions:
    def test_each_statement_is_to_cite_its_page(self) -> None:
        told = summary.instructions(Summary("short", "German"), [pdf()])
        assert "in the form (p. 7)" in told
        assert told.endswith("Write in German.")

    def test_of_several_the_file_is_named_and_without_a_language_it_is_theirs(self) -> None:
        told = summary.instructions(Summary("compare"), [pdf("a.pdf"), pdf("b.pdf")])
        assert "in the form (a.pdf, p. 7)" in told
        assert told.endswith("Write in the language of the documents.")


@pytest.mark.django_db
class TestAsked:
    def test_the_turn_keeps_what_it_asks_for_and_so_does_another_try(self, alice: User) -> None:
        make_deployment()
        paper = make_attachment(alice, content=b"")
        key = uuid.uuid4()
        question = Question("In verse.", key, [paper.pk], summary=Summary("short", "German"))
        turn = ask(alice, None, question).turn
        turn.refresh_from_db()
        assert turn.question == "Summarize “report.pdf” briefly, in German.\n\nIn verse."
        assert summary.of_turn(turn) == Summary("short", "German")
        assert ask(alice, turn.conversation, question).is_repeat
        Turn.objects.update(status=Status.FAILED)
        again = ask_again(turn, uuid.uuid4()).turn
        assert (again.question, summary.of_turn(again)) == (turn.question, summary.of_turn(turn))

    def test_a_summary_of_nothing_is_refused(self, alice: User) -> None:
        make_deployment()
        with pytest.raises(Refused, match="Attach a PDF"):
            ask(alice, None, Question("Hello", uuid.uuid4(), summary=Summary("short")))
        assert not Turn.objects.exists()

    def test_what_is_too_long_is_read_by_parts_where_there_is_text(self, alice: User) -> None:
        make_deployment(context_window=20_000)
        long = make_attachment(alice, content=b"", pages=300, text_pages=300, text_characters=600_000)
        scan = make_attachment(alice, content=b"", pages=300, text_pages=0, text_characters=0)
        turn = ask(alice, None, Question("", uuid.uuid4(), [long.pk], summary=Summary("short"))).turn
        assert turn.deployment is not None
        assert summary.in_parts([long, scan], turn.deployment, DIALECTS["openai"]) == [long]
        Turn.objects.update(status=Status.COMPLETED)
        with pytest.raises(Refused, match=r"reads 20,000 at once.* Choose some of its pages, or choose"):
            ask(alice, None, Question("", uuid.uuid4(), [scan.pk], summary=Summary("short")))
        with pytest.raises(Refused, match="have it summarized, which works by parts"):
            ask(alice, None, Question("Why?", uuid.uuid4(), [long.pk]))
