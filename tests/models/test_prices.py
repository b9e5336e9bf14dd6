"""What tokens cost, in figures and in words."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import ValidationError
from django.db import IntegrityError
from pytest_django import Settings

from chat.models import Deployment, prices
from chat.models.prices import Prices
from tests.rows import make_deployment

PRICES = Prices(Decimal("1.25"), Decimal("0.125"), Decimal("10"))


class TestPrices:
    def test_each_kind_of_token_has_its_own(self) -> None:
        usage = {"input_tokens": 1_000_000, "input_tokens_details": {"cached_tokens": 400_000}, "output_tokens": 50_000}
        assert PRICES.of_usage(usage) == Decimal("0.75") + Decimal("0.05") + Decimal("0.5")

    @pytest.mark.parametrize(
        ("usage", "cost"),
        [
            ({"input_tokens": 1, "output_tokens": 0}, "0.00000125"),
            ({"output_tokens": 3}, "0.00003"),
            ({"input_tokens": 8, "input_tokens_details": {"cached_tokens": 999}}, "0.000001"),
            ({"input_tokens": 8, "input_tokens_details": None}, "0.00001"),
            ({"input_tokens": 8, "output_tokens": "many"}, "0.00001"),
        ],
    )
    def test_a_usage_is_read_as_far_as_it_goes(self, usage: dict[str, Any], cost: str) -> None:
        assert PRICES.of_usage(usage) == Decimal(cost)

    @pytest.mark.parametrize("usage", [None, {}, [], {"total_tokens": 7}, {"input_tokens": -1}, {"input_tokens": 1.5}])
    def test_what_was_not_said_has_no_cost(self, usage: Any) -> None:
        assert PRICES.of_usage(usage) is None

    def test_the_largest_figures_there_are_fit_the_column(self) -> None:
        most = Prices(*[Decimal("999999.999999")] * 3)
        cost = most.of(input=2**31 - 1, output=2**31 - 1)
        assert len(cost.as_tuple().digits) <= 18


@pytest.mark.django_db
class TestDeployment:
    def test_without_prices_there_are_none(self) -> None:
        assert make_deployment().prices is None

    def test_cached_input_costs_as_other_input_unless_it_has_a_price(self) -> None:
        deployment = make_deployment(input_price=Decimal("1.25"), output_price=Decimal(10))
        assert deployment.prices == Prices(Decimal("1.25"), Decimal("1.25"), Decimal(10))
        deployment.cached_input_price = Decimal(0)
        assert deployment.prices == Prices(Decimal("1.25"), Decimal(0), Decimal(10))

    @pytest.mark.parametrize(
        "fields",
        [
            {"input_price": 1},
            {"output_price": 1},
            {"cached_input_price": 1},
            {"input_price": -1, "output_price": 1},
            {"input_price": 1, "output_price": 1, "cached_input_price": -1},
        ],
        ids=lambda fields: ", ".join(f"{name} {value}" for name, value in fields.items()),
    )
    def test_half_of_them_or_less_than_nothing_is_refused(self, fields: dict[str, int]) -> None:
        with pytest.raises(ValidationError):
            Deployment(provider=make_deployment().provider, name="m-2", **fields).full_clean()
        with pytest.raises(IntegrityError):
            make_deployment("m-3", **fields)

    def test_none_of_them_is_accepted_and_so_is_nothing_to_pay(self) -> None:
        make_deployment(input_price=0, output_price=0).full_clean()
        make_deployment("m-2").full_clean()


@pytest.mark.parametrize(
    ("amount", "exact", "estimate", "full"),
    [
        ("0", "$0.00", "$0.00", "$0.00"),
        ("0.00000125", "under $0.01", "under $0.01", "$0.00000125"),
        ("0.01", "$0.01", "about $0.01", "$0.01"),
        ("0.29950000", "$0.30", "about $0.30", "$0.2995"),
        ("1.234", "$1.23", "about $1.20", "$1.234"),
        ("12.34", "$12.34", "about $12", "$12.34"),
        ("99.6", "$99.60", "about $100", "$99.60"),
        ("1234.567", "$1,234.57", "about $1,200", "$1,234.567"),
    ],
)
def test_amounts_are_read_at_a_glance(amount: str, exact: str, estimate: str, full: str) -> None:
    known = Decimal(amount)
    assert (prices.money(known), prices.about(known), prices.in_full(known)) == (exact, estimate, full)


@pytest.mark.parametrize(
    ("currency", "words"),
    [("EUR", "€1,234.50"), ("CHF", "CHF\u00a01,234.50"), ("CNY", "CN¥1,234.50"), ("KRW", "₩1,235")],
)
def test_they_are_in_the_currency_of_the_settings(settings: Settings, currency: str, words: str) -> None:
    settings.CURRENCY = currency
    assert prices.money(Decimal("1234.5")) == words


def test_of_what_nobody_splits_there_is_no_hundredth(settings: Settings) -> None:
    settings.CURRENCY = "JPY"
    amount = Decimal("0.25")
    assert (prices.money(amount), prices.about(amount), prices.in_full(amount)) == ("under ¥1", "under ¥1", "¥0.25")
    assert prices.about(Decimal("45.6")) == "about ¥46"


def test_a_sum_says_when_something_is_missing() -> None:
    assert prices.total(None, is_whole=False) == ""
    assert prices.total(Decimal("0.199"), is_whole=True) == "$0.20"
    assert prices.total(Decimal("0.199"), is_whole=False) == "at least $0.19"
