"""What is asked and answered while we measure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from chat.rendering.markdown import render_blocks
from tests.bench.answers import WORD, Order, Times, order_in, pieces, text_of


def test_each_delta_has_one_word_and_they_are_in_order() -> None:
    found = [WORD.findall(piece.encode()) for piece in pieces(500)]
    assert found == [[b"%06d" % number] for number in range(500)]


def test_an_answer_looks_like_one() -> None:
    html = "".join(render_blocks(text_of(90)))
    assert all(f"<{tag}" in html for tag in ("h4", "p", "strong", "ul", "pre"))
    assert len(WORD.findall(html.encode())) == 90, "each word is seen once"


@pytest.mark.parametrize("after", [0.0, 0.25, None])
def test_a_question_says_how_it_is_to_be_answered(after: float | None) -> None:
    order = Order(17, 160, 20, after)
    body = json.dumps({"input": [{"role": "user", "content": [{"type": "input_text", "text": order.question}]}]})
    assert order_in(body.encode()) == order


def test_of_a_whole_conversation_the_newest_question_counts() -> None:
    questions = [{"text": Order(number, 3, 0).question} for number in (4, 5)]
    assert order_in(json.dumps(questions).encode()) == Order(5, 3, 0)


def test_the_wish_for_a_title_is_no_question() -> None:
    body = {"input": f"User: {Order(1, 2, 3).question}\n\nAssistant: w000000"}
    assert order_in(json.dumps(body).encode()) is None


def test_times_are_shared_by_all_who_open_the_file(tmp_path: Path) -> None:
    with Times(tmp_path / "times") as written, Times(tmp_path / "times") as read:
        written.of(3, 10)[9] = 123
        assert list(read.of(3, 10)) == [0] * 9 + [123]
        read.forget(3, 10)
        assert not any(written.of(3, 10))
