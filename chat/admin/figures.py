"""Figures of conversations: turns, tokens, cost, problems. Asked for the rows of a page, and for all only to sort by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from uuid import UUID

from django.db.models import Count, DecimalField, Exists, IntegerField, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce

from chat.models import Conversation, Response, Status, Turn, prices

PROBLEMS = (Status.FAILED, Status.INTERRUPTED)


@dataclass(frozen=True)
class Figures:
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: str = ""
    has_problems: bool = False

    @property
    def tokens(self) -> str:
        return f"{self.input_tokens:,} in, {self.output_tokens:,} out"


def turn_count() -> Coalesce:
    turns = Turn.objects.filter(conversation=OuterRef("pk")).order_by().values("conversation")
    return Coalesce(Subquery(turns.annotate(n=Count("pk")).values("n")), 0, output_field=IntegerField())


def token_sum(column: str) -> Coalesce:
    return Coalesce(_sum(column), 0, output_field=IntegerField())


def cost_sum() -> Coalesce:
    return Coalesce(_sum("cost"), Decimal(), output_field=DecimalField())


def _sum(column: str) -> Subquery:
    """None where no response has anything in this column."""
    responses = Response.objects.filter(turn__conversation=OuterRef("pk")).order_by().values("turn__conversation")
    return Subquery(responses.annotate(n=Sum(column)).values("n"))


def _has_unknown_cost() -> Exists:
    """Whether tokens were used that had no price."""
    used = Q(input_tokens__isnull=False) | Q(output_tokens__isnull=False)
    return Exists(Response.objects.filter(used, turn__conversation=OuterRef("pk"), cost=None))


def has_problems() -> Exists:
    return Exists(Turn.objects.filter(conversation=OuterRef("pk"), status__in=PROBLEMS))


def figures_of(conversation_ids: Iterable[UUID]) -> dict[UUID, Figures]:
    """One query for all of them, whatever their number."""
    rows = (
        Conversation.objects.filter(pk__in=list(conversation_ids))
        .order_by()
        .values_list(
            "pk",
            turn_count(),
            token_sum("input_tokens"),
            token_sum("output_tokens"),
            _sum("cost"),
            _has_unknown_cost(),
            has_problems(),
        )
    )
    return {
        pk: Figures(turns, tokens_in, tokens_out, prices.total(cost, is_whole=not unknown), bool(problems))
        for pk, turns, tokens_in, tokens_out, cost, unknown, problems in rows
    }
