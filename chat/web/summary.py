"""The dialog that asks for a summary of the PDFs in the composer. Its fields belong to the composer's form, which sends them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.conversations import summary as summaries
from chat.web.access import PersonRequest, deployment_for, person_only, ready_attachments_for
from chat.web.estimate import sentence_for_summary

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
    estimate: str = ""


@never_cache
@require_safe
@person_only
def summary(request: PersonRequest) -> HttpResponse:
    """For the files of the message (`?attachment=`) and its model (`?deployment=`).

    What is no PDF among them is sent along, and not named.
    """
    if not request.headers.get("HX-Request"):
        return redirect("home")
    files = ready_attachments_for(request.user, request.GET.getlist("attachment"))
    names = [row.name for row in summaries.documents(files)]
    if not names:
        raise Http404
    offered = [*KINDS, COMPARE] if len(names) > 1 else KINDS
    kinds = [KindView(*kind, is_chosen=kind[0] == summaries.SHORT) for kind in offered]
    deployment = deployment_for(request.user, request.GET.get("deployment", ""))
    estimate = sentence_for_summary(files, deployment) if deployment else ""
    return render(request, "chat/_summary.html", {"summary": SummaryView(names, kinds, summaries.LANGUAGES, estimate)})
