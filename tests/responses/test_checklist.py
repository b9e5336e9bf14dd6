"""The checklist of the protocol is complete, and its tables say what the code says."""

from __future__ import annotations

import ast

import pytest

from tests import checklist


def test_every_row_is_shown_by_a_test_or_says_why_not() -> None:
    shown = checklist.tests_by_row()
    assert [row for row, names in shown.items() if not names and row not in checklist.NOT_OURS] == []
    assert [row for row in checklist.NOT_OURS if shown[row]] == []


def test_the_tables_of_the_readme_are_what_the_code_says() -> None:
    text = checklist.README.read_text("utf-8")
    assert text == checklist.written(text), "run: python -m tests.checklist"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ('@pytest.mark.seed("S0-1", "S0-2")\ndef test_a(): ...', [("test_a", "S0-1"), ("test_a", "S0-2")]),
        ('@pytest.mark.seed("S0-1")\nasync def test_a(): ...', [("test_a", "S0-1")]),
        ('pytestmark = [pytest.mark.seed("S0-1")]\ndef test_a(): ...\ndef helper(): ...', [("test_a", "S0-1")]),
        ('@pytest.mark.seed("S0-1")\nclass TestIt:\n    def test_a(self): ...', [("test_a", "S0-1")]),
        (
            '@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.seed("S0-1"))])\ndef test_a(x): ...',
            [("test_a", "S0-1")],
        ),
        ('@pytest.mark.skip("S0-1")\ndef test_a(): ...', []),
    ],
)
def test_marks_are_found_wherever_they_stand(source: str, found: list[tuple[str, str]]) -> None:
    assert list(checklist._marks(ast.parse(source))) == found
