"""The dialog that asks for a summary of the PDFs in the composer. Its fields belong to the composer's form, which sends them."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.conversations import summary as summaries
from chat.models import Attachment
from chat.web.access import PersonRequest, person_only

KINDS = (
    (summaries.SHORT, "Short", "What it is about, and its main points"),
    (summaries.DETAILED, "Detailed", "Everything of weight, under headings"),
    (summaries.CHAPTERS, "By chapter", "What each chapter or section says"),
)
COMPARE = (summaries.COMPARE, "Compare", "What they share, and where they differ")


@dataclass(frozen=True)
class KindView:
    value: str
    name: str
    hint: str
    is_chosen: bool


@dataclass(frozen=True)
class SummaryView:
    """`_summary.html`"""

    names: Sequence[str]
    kinds: Sequence[KindView]
    languages: Sequence[str]


@never_cache
@require_safe
@person_only
def summary(request: PersonRequest) -> HttpResponse:
    """For the files of the message (`?attachment=`). What is no PDF among them is sent along, and not named."""
    if not request.headers.get("HX-Request"):
        return redirect("home")
    try:
        wanted = [uuid.UUID(value) for value in request.GET.getlist("attachment")]
    except ValueError as error:
        raise Http404 from error
    rows = Attachment.objects.visible_to(request.user).ready().filter(pk__in=wanted, forgotten_at=None)
    found = {row.pk: row for row in rows}
    names = [row.name for row in summaries.documents([found[pk] for pk in dict.fromkeys(wanted) if pk in found])]
    if not names:
        raise Http404
    offered = [*KINDS, COMPARE] if len(names) > 1 else KINDS
    kinds = [KindView(*kind, is_chosen=kind[0] == summaries.SHORT) for kind in offered]
    return render(request, "chat/_summary.html", {"summary": SummaryView(names, kinds, summaries.LANGUAGES)})
