"""What the files of a message take to read, and what that costs: said before it is sent, in words.

The composer asks for its sentence when its files or its model change, as far as any model has prices.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpResponse
from django.shortcuts import redirect
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.conversations import summary as summaries
from chat.engines import dialect_of
from chat.files import estimate as estimates
from chat.models import Attachment, Deployment
from chat.responses.dialects import Dialect
from chat.turns import parts
from chat.web.access import PersonRequest, deployment_for, person_only, ready_attachments_for


@never_cache
@require_safe
@person_only
def estimate(request: PersonRequest) -> HttpResponse:
    """A sentence about `?attachment=` for `?deployment=`, or nothing where there is nothing to be said."""
    if not request.headers.get("HX-Request"):
        return redirect("home")
    files = ready_attachments_for(request.user, request.GET.getlist("attachment"))
    deployment = deployment_for(request.user, request.GET.get("deployment", ""))
    sentence = sentence_for_files(files, deployment) if deployment else ""
    return HttpResponse(sentence, content_type="text/plain; charset=utf-8")


def sentence_for_files(files: Sequence[Attachment], deployment: Deployment) -> str:
    """Nothing without prices: how many tokens a long file has stands on its chip. Nor for what will be refused."""
    dialect = _dialect(deployment)
    prices = deployment.prices
    if prices is None or dialect is None or estimates.overflow(files, deployment.context_window, dialect):
        return ""
    count = sum(estimates.tokens(file, dialect) for file in files)
    cost = prices.of(input=count)
    if not estimates.is_much(count, cost):
        return ""
    return f"Reading {_named(files)} takes {estimates.with_cost(count, cost)}."


def sentence_for_summary(files: Sequence[Attachment], deployment: Deployment) -> str:
    """What is read for a summary, by parts where it is long, with the notes that are taken then. Without its own words."""
    dialect = _dialect(deployment)
    if dialect is None:
        return ""
    by_parts = summaries.in_parts(files, deployment, dialect)
    read, written = parts.foreseen(by_parts, deployment.context_window or 0)
    read += sum(estimates.tokens(file, dialect) for file in files if file not in by_parts)
    prices = deployment.prices
    cost = prices.of(input=read, output=written) if prices else None
    if not estimates.is_much(read + written, cost):
        return ""
    takes = f"takes {estimates.with_cost(read + written, cost)}"
    if by_parts:
        return f"Longer than this model reads at once: reading by parts, with notes on each, {takes}."
    return f"Reading {_named(files)} {takes}."


def _named(files: Sequence[Attachment]) -> str:
    return "this file" if len(files) == 1 else f"these {len(files)} files"


def _dialect(deployment: Deployment) -> Dialect | None:
    try:
        return dialect_of(deployment.provider)
    except (KeyError, ValueError):  # a dialect or an override that there is not any more
        return None
