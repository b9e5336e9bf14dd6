"""Some pages of a long PDF for a message: a dialog asks which, and the chip of a new file takes the old one's place."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.http import Http404, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.files import estimate
from chat.files import excerpt as excerpts
from chat.files.errors import Refused, StorageAway
from chat.models import Attachment
from chat.rendering.views import can_be_shown, chip_view
from chat.web.access import PersonRequest, attachment_for, person_only
from chat.web.uploads import storage_is_away


@dataclass(frozen=True)
class ExcerptView:
    """`_excerpt.html`"""

    id: str
    name: str
    pages: int
    size: str
    url: str


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_only
def excerpt(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """GET: the dialog. POST: the chip of the new file, or 422 with what to write instead, in the dialog."""
    attachment = attachment_for(request.user, pk)
    if not can_be_shown(attachment) or not attachment.pages:
        raise Http404
    if request.method != "POST":
        if not request.headers.get("HX-Request"):
            return redirect("files")
        return render(request, "chat/_excerpt.html", {"excerpt": _view(attachment)})
    try:
        first, last = excerpts.pages_of(request.POST.get("pages", ""), attachment)
        taken = excerpts.excerpt(attachment, first, last)
    except Refused as refused:
        answer = render(request, "chat/_sentence.html", {"sentence": refused.sentence}, status=422)
        answer.headers["HX-Retarget"] = "#excerpt-problem"
        answer.headers["HX-Reswap"] = "innerHTML"
        return answer
    except StorageAway as away:
        return storage_is_away(away)
    return render(request, "chat/_chip.html", {"chip": chip_view(taken)})


def _view(attachment: Attachment) -> ExcerptView:
    return ExcerptView(
        id=str(attachment.pk),
        name=attachment.name,
        pages=attachment.pages or 0,
        size=estimate.in_words(estimate.tokens(attachment)),
        url=reverse("file_excerpt", args=[attachment.pk]),
    )
