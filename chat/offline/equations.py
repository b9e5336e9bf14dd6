"""Equations in one unknown that stand in a question, solved exactly where they are linear."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

_TOKEN = re.compile(r"\d+(?:\.\d+)?|[^\W\d_]+|\S")
_SIGNS = {"×": "*", "·": "*", "÷": "/", "−": "-", "^": "**", "–": "-"}
MAX_TOKENS = 40
MAX_DEGREE = 2
MAX_TERM = 10**60  # of numerators and denominators: beyond a float, solutions could be neither found nor written


@dataclass(frozen=True)
class Equation:
    text: str
    """As it stands in the question."""
    unknown: str
    terms: tuple[Fraction, Fraction, Fraction]
    """Coefficients of degree 0, 1 and 2, everything brought to the left side."""

    @property
    def code(self) -> str:
        """Python that prints the solutions."""
        constant, factor, square = self.terms
        if square:
            numbers = ", ".join(repr(float(term)) for term in (square, factor, constant))
            return (
                "from math import sqrt\n\n"
                f"# {self.text}, brought to the form a*{self.unknown}**2 + b*{self.unknown} + c = 0\n"
                f"a, b, c = {numbers}\n"
                "d = b * b - 4 * a * c\n"
                f'print("{self.unknown} =", *sorted({{(-b - sqrt(d)) / (2 * a), (-b + sqrt(d)) / (2 * a)}}) if d >= 0 else ["none"])'
            )
        return (
            "from fractions import Fraction\n\n"
            f"# {self.text}, brought to the form a*{self.unknown} + b = 0\n"
            f'a, b = Fraction("{factor}"), Fraction("{constant}")\n'
            f'print("{self.unknown} =", -b / a)'
        )

    def solutions(self) -> list[str]:
        """The real solutions in ascending order, as the code would print them."""
        constant, factor, square = self.terms
        if not square:
            return [str(-constant / factor)]
        a, b, c = float(square), float(factor), float(constant)
        d = b * b - 4 * a * c
        if d < 0:
            return []
        return [str(root) for root in sorted({(-b - math.sqrt(d)) / (2 * a), (-b + math.sqrt(d)) / (2 * a)})]


def find(question: str) -> Equation | None:
    """The first equation in one unknown, of first or second degree; None when there is none."""
    question = question.replace("²", "^2")
    tokens = [(match[0], match.start(), match.end()) for match in _TOKEN.finditer(question)]
    for place, (text, _, _) in enumerate(tokens):
        if text == "=":
            left = _run(tokens[:place][::-1])[::-1]
            right = _run(tokens[place + 1 :])
            while right and right[-1][0] in ".,!?":
                right = right[:-1]
            if left and right and (found := _equation(question, left, right)):
                return found
    return None


def _run(tokens: Sequence[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """The tokens from the first on that can belong to a side of an equation."""
    kept = []
    for token in tokens[:MAX_TOKENS]:
        if not re.fullmatch(r"\d+(?:\.\d+)?|[^\W\d_]|[-+*/^().×·÷−–]", token[0]):
            break
        kept.append(token)
    return kept


def _equation(question: str, left: list[tuple[str, int, int]], right: list[tuple[str, int, int]]) -> Equation | None:
    letters = {text for text, _, _ in (*left, *right) if text.isalpha()}
    if len(letters) != 1:
        return None
    try:
        sides = [
            _polynomial(ast.parse(_python([text for text, _, _ in side]), mode="eval").body) for side in (left, right)
        ]
    except (SyntaxError, ValueError, ZeroDivisionError, RecursionError, OverflowError):
        return None
    terms = _minus(*sides)
    if not terms[1] and not terms[2]:
        return None
    if any(max(abs(term.numerator), term.denominator) > MAX_TERM for term in terms):
        return None
    return Equation(question[left[0][1] : right[-1][2]], letters.pop(), (terms[0], terms[1], terms[2]))


def _python(tokens: list[str]) -> str:
    """The tokens as Python, with the multiplications that are only thought."""
    written: list[str] = []
    for before, token in pairwise(["", *tokens]):
        begins = token == "(" or token.isalpha() or token[0].isdigit()
        if begins and (before == ")" or before.isalpha() or before[:1].isdigit()):
            written.append("*")
        written.append("u" if token.isalpha() else _SIGNS.get(token, token))
    return " ".join(written)


Polynomial = tuple[Fraction, Fraction, Fraction]


def _polynomial(node: ast.AST) -> Polynomial:
    zero = Fraction(0)
    match node:
        case ast.Constant(value=int() | float() as value) if abs(value) < 1e15:
            return Fraction(str(value)), zero, zero
        case ast.Name():
            return zero, Fraction(1), zero
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return _minus((zero, zero, zero), _polynomial(operand))
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _polynomial(operand)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return _minus(_polynomial(left), _minus((zero, zero, zero), _polynomial(right)))
        case ast.BinOp(left=left, op=ast.Sub(), right=right):
            return _minus(_polynomial(left), _polynomial(right))
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            return _times(_polynomial(left), _polynomial(right))
        case ast.BinOp(left=left, op=ast.Div(), right=right):
            divisor = _polynomial(right)
            if any(divisor[1:]):
                raise ValueError("the unknown stands in a divisor")
            return _times(_polynomial(left), (1 / divisor[0], zero, zero))
        case ast.BinOp(left=left, op=ast.Pow(), right=ast.Constant(value=2)):
            return _times(_polynomial(left), _polynomial(left))
    raise ValueError("no equation")


def _minus(left: Polynomial, right: Polynomial) -> Polynomial:
    return left[0] - right[0], left[1] - right[1], left[2] - right[2]


def _times(left: Polynomial, right: Polynomial) -> Polynomial:
    product = [Fraction(0)] * 5
    for one, first in enumerate(left):
        for other, second in enumerate(right):
            product[one + other] += first * second
    if any(product[MAX_DEGREE + 1 :]):
        raise ValueError("of a higher degree")
    return product[0], product[1], product[2]
