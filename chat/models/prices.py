"""What tokens cost: a deployment's prices per million, and money in words. Decimals throughout, in one currency for all.

Tokens alone are counted. What a provider asks for its tools besides (a session of the code interpreter, an image), and
the few tokens of a title, are in no figure.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from typing import Any

from django.conf import settings

MILLION = Decimal(1_000_000)
# Of a stored cost. The cheapest token that is sold costs half of one.
COST_PLACES = 8

# What stands before a figure; any other currency is named by its code.
SIGNS = {"USD": "$", "EUR": "€", "GBP": "£", "JPY": "¥", "CNY": "CN¥", "TWD": "NT$", "KRW": "₩", "INR": "₹"}
WHOLE = frozenset({"JPY", "KRW"})
"""Currencies that nobody splits."""


@dataclass(frozen=True)
class Prices:
    """Of a million tokens each."""

    input: Decimal
    cached_input: Decimal
    output: Decimal

    def of(self, *, input: int = 0, cached: int = 0, output: int = 0) -> Decimal:
        """The cost of so many tokens. As in a usage object, `cached` are some of the `input`."""
        cached = min(cached, input)
        whole = (input - cached) * self.input + cached * self.cached_input + output * self.output
        return (whole / MILLION).quantize(Decimal(1).scaleb(-COST_PLACES))

    def of_usage(self, usage: Any) -> Decimal | None:
        """None where the provider did not say how much was used."""
        used = usage if isinstance(usage, dict) else {}
        details = used.get("input_tokens_details")
        counts = token_count(used.get("input_tokens")), token_count(used.get("output_tokens"))
        if counts == (None, None):
            return None
        cached = token_count(details.get("cached_tokens")) if isinstance(details, dict) else None
        return self.of(input=counts[0] or 0, cached=cached or 0, output=counts[1] or 0)


def token_count(value: object) -> int | None:
    """A figure of a usage object, if it is one that a column holds."""
    return value if isinstance(value, int) and 0 <= value < 2**31 else None


# In words


def money(amount: Decimal) -> str:
    """Such as $1,234.50. What is less than the smallest coin is said to be."""
    if 0 < amount < coin():
        return f"under {_signed(coin())}"
    return _signed(amount.quantize(coin(), ROUND_HALF_UP))


def about(amount: Decimal) -> str:
    """An estimate: two digits that count, for more would be made up."""
    if amount < coin():
        return money(amount)
    step = max(coin(), Decimal(1).scaleb(amount.adjusted() - 1))
    rounded = (amount / step).to_integral_value(ROUND_HALF_UP) * step
    return f"about {_signed(rounded.quantize(coin() if step < 1 else Decimal(1)))}"


def in_full(amount: Decimal) -> str:
    """With all digits that there are."""
    exact = amount.normalize()
    return _signed(exact if exact % coin() else exact.quantize(coin()))


def total(amount: Decimal | None, *, is_whole: bool) -> str:
    """A sum; "" where nothing of it is known. Not whole: something that was used has no price."""
    if amount is None:
        return ""
    return money(amount) if is_whole else f"at least {_signed(amount.quantize(coin(), ROUND_DOWN))}"


def coin() -> Decimal:
    """The smallest amount that there is."""
    return Decimal(1) if settings.CURRENCY in WHOLE else Decimal("0.01")


def _signed(amount: Decimal) -> str:
    sign = SIGNS.get(settings.CURRENCY, f"{settings.CURRENCY}\N{NO-BREAK SPACE}")
    return f"{sign}{amount:,f}"
