"""A title from whatever a model takes for one."""

from __future__ import annotations

import pytest

from chat.conversations.title import clean_title, is_written


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("The Weather in Paris", "The Weather in Paris"),
        ("\n\n**Weather in Paris**\n\nIt is about weather.", "Weather in Paris"),
        ("# “Weather in Paris”.", "Weather in Paris"),
        ('Title: "Weather in Paris"', "Weather in Paris"),
        ("'날씨와 여행'", "날씨와 여행"),
        ("**\nWeather", "Weather"),
        ("The transformer is a type of machine learning algorithm used to analyze the syntax of a sentence.", ""),
        ("", ""),
    ],
)
def test_marks_are_taken_off_and_a_paragraph_is_no_title(text: str, title: str) -> None:
    assert clean_title(text) == title


@pytest.mark.parametrize("text", ["Weather\n", "\n Weather in Paris\nIt", "word " * 21])
def test_nothing_more_is_wanted_once_the_line_is_over_or_too_long(text: str) -> None:
    assert is_written(text)


@pytest.mark.parametrize("text", ["", "\n\n", "Weather in", "word " * 20, "**\nWeather"])
def test_a_line_that_may_still_become_a_title_is_waited_for(text: str) -> None:
    assert not is_written(text)
