"""Figures of conversations: turns, tokens, problems. Asked for the rows of a page, and for all only to sort by them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Count, Exists, IntegerField, OuterRef, Subquery, Sum
from django.db.models.functions import Coalesce

from chat.models import Conversation, Response, Status, Turn

PROBLEMS = (Status.FAILED, Status.INTERRUPTED)


@dataclass(frozen=True)
class Figures:
    turns: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    has_problems: bool = False

    @property
    def tokens(self) -> str:
        return f"{self.input_tokens:,} in, {self.output_tokens:,} out"


def turn_count() -> Coalesce:
    turns = Turn.objects.filter(conversation=OuterRef("pk")).order_by().values("conversation")
    return Coalesce(Subquery(turns.annotate(n=Count("pk")).values("n")), 0, output_field=IntegerField())


def token_sum(column: str) -> Coalesce:
    responses = Response.objects.filter(turn__conversation=OuterRef("pk")).order_by().values("turn__conversation")
    return Coalesce(Subquery(responses.annotate(n=Sum(column)).values("n")), 0, output_field=IntegerField())


def has_problems() -> Exists:
    return Exists(Turn.objects.filter(conversation=OuterRef("pk"), status__in=PROBLEMS))


def figures_of(conversation_ids: Iterable[UUID]) -> dict[UUID, Figures]:
    """One query for all of them, whatever their number."""
    rows = (
        Conversation.objects.filter(pk__in=list(conversation_ids))
        .order_by()
        .values_list("pk", turn_count(), token_sum("input_tokens"), token_sum("output_tokens"), has_problems())
    )
    return {
        pk: Figures(turns, tokens_in, tokens_out, bool(problems)) for pk, turns, tokens_in, tokens_out, problems in rows
    }
