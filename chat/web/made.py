"""What the model made, as the page asks for it: a turn's end while files are being fetched, and a file as a table."""

from __future__ import annotations

import uuid

from django.http import Http404, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from chat.files.errors import StorageAway
from chat.files.tables import first_rows, is_table
from chat.models import Attachment
from chat.rendering.answer import changed_blocks_html
from chat.rendering.views import count_left, foot_view, render_foot
from chat.web.access import PersonRequest, attachment_for, person_only, turn_for
from chat.web.uploads import storage_is_away


@require_safe
@person_only
def made(request: PersonRequest, pk: int) -> HttpResponse:
    """The end of a turn, and the places in it that changed; 204 while as much is `left` as the page knows."""
    turn = turn_for(request.user, pk)
    foot = foot_view(turn)
    if turn.is_live or str(count_left(foot.made)) == request.GET.get("left"):
        return HttpResponse(status=204)
    blocks = "".join(changed_blocks_html(response) for response in turn.responses.all())
    return HttpResponse(render_foot(foot) + blocks)


@require_safe
@person_only
def table(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """The first rows of a file, escaped."""
    attachment = attachment_for(request.user, pk)
    if attachment.status != Attachment.Status.READY or not is_table(attachment):
        raise Http404
    try:
        found = first_rows(attachment)
    except FileNotFoundError as lost:
        raise Http404 from lost
    except StorageAway as away:
        return storage_is_away(away)
    return render(request, "chat/_table.html", {"table": found})
