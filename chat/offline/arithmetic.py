"""Sums that stand in a question, worked out without eval."""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable

_ASKED = re.compile(
    r"^(?:(?:what(?:'s| is| are)|how much is|calculate|compute|please|was ist|wie viel ist|rechne|berechne|combien font|"
    r"calcule[rz]?|cuánto es|cuanto es|calcula|计算|計算|计算一下|请|請)\s*)+:?\s*|\s*(?:=|\?|？|。|等于多少|等於多少|是多少|はいくつ(?:ですか)?"
    r"|は|얼마(?:야|예요|입니까)?|은|는)+\s*$",
    re.IGNORECASE,
)
_WORDS = {
    "plus": "+", "minus": "-", "times": "*", "multiplied by": "*", "divided by": "/", "mal": "*", "geteilt durch": "/",
    "fois": "*", "por": "*", "×": "*", "·": "*", "÷": "/", "−": "-", "^": "**", "（": "(", "）": ")",
}  # fmt: skip
_OPERATORS: dict[type[ast.AST], Callable[..., float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_EMBEDDED = re.compile(r"(?<![\w.])[(\d][\d\s.+\-*/()^×·÷−]*[\d)](?![\w.]*\w)")
MAX_CHARACTERS = 200
MAX_QUESTION = 2_000
MAX_DIGITS = 300


class Undefined(ValueError):
    """The sum has no answer, such as a division by zero, or one too long to write."""


def expression(question: str) -> str | None:
    """The sum that the question consists of, in Python's signs; None when it is something else."""
    text = _ASKED.sub("", _ASKED.sub("", question.strip())).lower()
    for word, sign in _WORDS.items():
        text = text.replace(word, sign)
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    if len(text) > MAX_CHARACTERS or not re.fullmatch(r"[\d\s.+\-*/()%]+", text):
        return None
    return text.strip() if re.search(r"[\d)]\s*[-+*/%]+\s*[-+]?\s*[\d(.]", text) else None


def embedded(question: str) -> str | None:
    """The longest sum that stands among other words; None when there is none."""
    found = [match[0].strip(" .") for match in _EMBEDDED.finditer(question[:MAX_QUESTION])]
    return next(filter(None, map(expression, sorted(found, key=len, reverse=True))), None)


def evaluate(text: str) -> str:
    """Work the sum out and write the result. Raises Undefined; ValueError for what is not a sum."""
    return written(value(text))


def value(text: str) -> int | float:
    """Work the sum out. Raises Undefined; ValueError for what is not a sum."""
    try:
        value = _value(ast.parse(text, mode="eval").body)
    except (ZeroDivisionError, OverflowError) as error:
        raise Undefined(str(error)) from error
    except (SyntaxError, RecursionError) as error:
        raise ValueError("not a sum") from error
    if isinstance(value, float) and not math.isfinite(value):
        raise Undefined("not finite")
    if isinstance(value, int) and value.bit_length() > MAX_DIGITS / math.log10(2):
        raise Undefined("too long to write")
    return value


def written(value: float) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        value = int(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.12g}"


def _value(node: ast.AST) -> float:
    match node:
        case ast.Constant(value=int() | float() as value):
            return value
        case ast.UnaryOp(op=op, operand=operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_value(left), _value(right))
    raise ValueError("not a sum")


def _power(base: float, exponent: float) -> float:
    """Checked before it is computed: 9**9**9 would take the process with it."""
    if abs(base) > 1 and abs(exponent) * math.log10(abs(base)) > MAX_DIGITS:
        raise Undefined("too long to write")
    result = base**exponent
    if isinstance(result, complex):
        raise Undefined("not a real number")
    return float(result) if isinstance(result, float) else int(result)
