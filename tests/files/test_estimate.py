"""How many tokens a file will be, and that what cannot fit is asked back before it is sent."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import pytest

from chat.conversations.ask import Question, Refused, ask, ask_again
from chat.files import estimate
from chat.models import Attachment, Turn, User
from chat.responses.dialects import DIALECTS
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn

AZURE = DIALECTS["azure"]
GATEWAY = DIALECTS["ofox"]


def document(pages: int = 300, text_characters: int | None = 600_000, **fields: Any) -> Attachment:
    fields = {"name": "report.pdf", "media_type": "application/pdf", **fields}
    return Attachment(pages=pages, text_characters=text_characters, **fields)


@pytest.mark.parametrize(
    ("size", "tokens"),
    [
        ((1024, 1024), 765),  # OpenAI's own examples
        ((2048, 4096), 1105),
        ((4096, 8192), 1105),
        ((512, 512), 255),
        ((150, 50), 255),
        ((0, 0), 85),
    ],
)
def test_pictures_are_counted_by_tiles(size: tuple[int, int], tokens: int) -> None:
    assert estimate.picture_tokens(*size) == tokens
    picture = Attachment(media_type="image/png", width=size[0], height=size[1])
    assert estimate.tokens(picture, AZURE) == tokens


def test_a_pdf_is_its_text_and_where_it_is_read_as_such_its_pages() -> None:
    paper = document(pages=10, text_characters=20_000)
    assert estimate.tokens(paper, GATEWAY) == 5_000
    assert estimate.tokens(paper, AZURE) == estimate.tokens(paper) == 5_000 + 10 * 1105
    assert estimate.least_tokens(paper, AZURE) == 4_000 + 10 * 85


def test_a_scan_is_its_pages_alone() -> None:
    assert estimate.tokens(document(pages=10, text_characters=0), AZURE) == 11_050
    assert estimate.tokens(document(pages=10, text_characters=None), GATEWAY) == 0


@pytest.mark.parametrize("names", [{"title": "年度報告"}, {"name": "연차보고서.pdf"}])
def test_chinese_and_korean_have_more_tokens_for_their_characters(names: dict[str, str]) -> None:
    assert estimate.tokens(document(text_characters=1_300, **names), GATEWAY) == 1_000


def test_data_is_no_input() -> None:
    table = Attachment(name="a.csv", media_type="text/csv", text_characters=5_000)
    assert estimate.tokens(table, AZURE) == estimate.least_tokens(table, AZURE) == 0


@pytest.mark.parametrize(
    ("count", "words"), [(7, "7"), (85, "85"), (1_105, "1,100"), (12_345, "12,000"), (999_999, "1,000,000")]
)
def test_words_promise_no_more_than_is_known(count: int, words: str) -> None:
    assert estimate.in_words(count) == f"about {words} tokens"


def test_what_is_worth_saying_is_many_tokens_or_some_money() -> None:
    assert not estimate.is_much(19_999, None)
    assert estimate.is_much(20_000, None)
    assert not estimate.is_much(19_999, Decimal("0.009"))
    assert estimate.is_much(1, Decimal("0.01"))


def test_a_cost_stands_beside_the_tokens_where_it_is_known() -> None:
    assert estimate.with_cost(123_456, None) == "about 120,000 tokens"
    assert estimate.with_cost(123_456, Decimal("0.3086")) == "about 120,000 tokens, about $0.31"
    assert estimate.with_cost(20_000, Decimal("0.002")) == "about 20,000 tokens, under $0.01"


class TestTooLong:
    def test_what_fits_into_the_window_is_no_ones_business(self) -> None:
        assert estimate.overflow([document()], 200_000, AZURE) == ""

    def test_an_unknown_window_refuses_nothing(self) -> None:
        assert estimate.overflow([document()], None, AZURE) == ""

    def test_one_document_says_how_large_it_is_and_how_much_fits(self) -> None:
        assert estimate.overflow([document()], 128_000, AZURE) == (
            "“report.pdf” has about 480,000 tokens; this model reads 128,000 at once, with question and answer: "
            "about 63 of its 300 pages. Choose some of its pages, have it summarized, which works by parts, or choose a model that reads more."
        )

    def test_several_are_counted_together(self) -> None:
        sentence = estimate.overflow([document(), document()], 200_000, AZURE)
        assert sentence.startswith("These 2 files have about 960,000 tokens; this model reads 200,000 at once,")

    def test_one_page_has_no_pages_that_fit(self) -> None:
        assert "answer. Choose some" in estimate.overflow([document(pages=1)], 1_000, GATEWAY)


@pytest.mark.django_db
class TestAsking:
    @pytest.fixture
    def paper(self, alice: User) -> Attachment:
        return make_attachment(alice, content=b"", pages=300, text_characters=600_000)

    @pytest.fixture
    def turn(self, alice: User, paper: Attachment) -> Turn:
        turn = make_turn(make_conversation(alice, make_deployment(context_window=200_000)))
        turn.attachments.add(paper)
        return turn

    @staticmethod
    def asked(turn: Turn, paper: Attachment) -> Turn:
        return ask(turn.conversation.owner, turn.conversation, Question("Why?", uuid.uuid4(), [paper.pk])).turn

    def test_what_cannot_fit_is_refused_before_anything_is_stored(self, turn: Turn, paper: Attachment) -> None:
        type(turn.deployment).objects.update(context_window=100_000)
        with pytest.raises(Refused, match=r"“report\.pdf” has about 480,000 tokens; this model reads 100,000 at once"):
            self.asked(turn, paper)
        with pytest.raises(Refused, match="reads 100,000 at once"):
            ask_again(Turn.objects.get(pk=turn.pk), uuid.uuid4())
        assert Turn.objects.count() == 1
        type(turn.deployment).objects.update(context_window=200_000)
        assert self.asked(turn, paper).pk
