"""TeX becomes MathML or shows its source; there is no third way."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from latex2mathml import commands

from chat.rendering.markdown import render_blocks
from chat.rendering.math import to_html
from tests.dom import parse

COMMANDS = sorted(
    value for value in vars(commands).values() if isinstance(value, str) and value.startswith("\\") and len(value) > 1
)
PIECES = [
    *COMMANDS, "{", "}", "[", "]", "_", "^", "x", "1", "&", "\\\\", "'", "\\left(", "\\right)", "\\begin{matrix}", "\\end{matrix}",
    "\\begin{array}{c|c}", "\\end{array}", "\\text{a}", "\\text{<", "#", "%", "~", "<", ">", '"', "{a}", "_{i}", "^{2}", "2em", "中",
]  # fmt: skip


def assert_shown(source: str) -> None:
    (element,) = parse(to_html(source, display=True)).elements()
    assert element.tag == "math" or element.attributes == {"class": "math-source"}


@pytest.mark.parametrize("source", ["x_1", 'a < b & "c"', "\\frac{1}{2}", "\\text{中文}"])
def test_a_formula_carries_its_source_for_a_copy_of_the_answer(source: str) -> None:
    (element,) = parse(render_blocks(f"\\({source}\\)")[0]).elements()
    (formula,) = element.elements()
    assert formula.tag == "math"
    assert formula.attributes["alttext"] == source


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_alone_and_with_arguments_is_shown(command: str) -> None:
    for source in (
        command,
        command + "{a}",
        command + "{a}{b}",
        f"x{command} y",
        f"{command}{{",
        f"{command}\\{command}",
    ):
        assert_shown(source)


def test_commands_thrown_together_are_shown() -> None:
    for _ in range(1_500):
        assert_shown(" ".join(random.choices(PIECES, k=random.randint(1, 20))))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=4)), min_size=1, max_size=25).map("".join))
def test_garbage_is_shown(source: str) -> None:
    if source.strip():
        assert_shown(source.encode(errors="replace").decode())


@pytest.mark.parametrize(
    "source", ["\\sqrt" * 700, "{" * 1_000, "x^" * 900, "\\left(" * 600, "\\frac" * 700, "-" * 5_000]
)
def test_what_is_too_deep_or_too_long_shows_its_source(source: str) -> None:
    assert to_html(source, display=False).startswith('<code class="math-source">')


@pytest.mark.parametrize(
    "name", ["newcommand", "renewcommand", "def", "gdef", "DeclareMathOperator", "newenvironment", "let"]
)
def test_definitions_are_not_carried_out(name: str) -> None:
    assert to_html(f"\\{name}{{\\a}}{{\\b\\b}}\\a", display=False).startswith('<code class="math-source">')


def test_comparisons_and_symbols_are_written_as_text() -> None:
    assert to_html("a<b", display=False) == (
        '<math alttext="a&lt;b" display="inline"><mrow><mi>a</mi><mo>&lt;</mo><mi>b</mi></mrow></math>'
    )
    assert "≤" in to_html("a \\le b", display=False)
