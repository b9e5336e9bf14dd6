"""The only door to rows: through the person. What is not theirs does not exist (404)."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, TypeVar, cast

from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import resolve_url

from chat.models import Attachment, Conversation, Deployment, Turn, User
from chat.models.conversations import LIVE
from chat.models.prepared import Prepared, field

V = TypeVar("V", bound=Callable[..., Any])


class PersonRequest(HttpRequest):
    """A request of somebody who is signed in."""

    user: User
    htmx: Any


_conversation = Prepared(
    lambda owner, pk: (
        Conversation.objects.visible_to(User(pk=owner)).select_related("deployment", "head").filter(pk=pk)
    ),
    field(User, "id"),
    field(Conversation, "id"),
)
_status = Prepared(
    lambda owner, pk: Turn.objects.filter(conversation__owner=owner, conversation__deleted_at=None, pk=pk).values_list(
        "status", flat=True
    ),
    field(User, "id"),
    field(Turn, "id"),
)


def conversation_for(user: User, pk: uuid.UUID) -> Conversation:
    conversation = _conversation.first(user.pk, pk)
    if conversation is None:
        raise Http404
    return conversation


def deleted_conversation_for(user: User, pk: uuid.UUID) -> Conversation:
    """For undo alone."""
    conversation = Conversation.objects.filter(owner=user, pk=pk).first()
    if conversation is None:
        raise Http404
    return conversation


def turn_for(user: User, pk: int) -> Turn:
    turn = Turn.objects.filter(conversation__owner=user, conversation__deleted_at=None, pk=pk).with_answers().first()
    if turn is None:
        raise Http404
    return turn


def is_live_for(user: User, pk: int) -> bool:
    """Whether the turn is being answered. As cheap as it can be: each page asks for each answer that it watches."""
    found = _status.first(user.pk, pk)
    if found is None:
        raise Http404
    return found in LIVE


def attachment_for(user: User, pk: uuid.UUID) -> Attachment:
    """A file that is not deleted: of one that is, a turn shows the name alone."""
    attachment = Attachment.objects.visible_to(user).filter(pk=pk, forgotten_at=None).first()
    if attachment is None:
        raise Http404
    return attachment


def ready_attachments_for(user: User, values: Sequence[str]) -> list[Attachment]:
    """Those of a message, in its order; one that is not there is left out."""
    try:
        wanted = [uuid.UUID(value) for value in values]
    except ValueError as error:
        raise Http404 from error
    rows = Attachment.objects.visible_to(user).ready().filter(pk__in=wanted, forgotten_at=None)
    found = {row.pk: row for row in rows}
    return [found[pk] for pk in dict.fromkeys(wanted) if pk in found]


def deployment_for(user: User, value: str) -> Deployment | None:
    """The model that the page has chosen; None where it is not offered."""
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        return None
    return Deployment.objects.offered_to(user).filter(pk=int(value)).first()


def person_only(view: V) -> V:
    """Let only people in who are signed in: pages redirect to the sign-in, fragments tell the page to go there."""
    # Who asks is found out in the thread in which the request is already: an asynchronous view would have to go there.
    act = async_to_sync(view) if asyncio.iscoroutinefunction(view) else view

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not request.user.is_authenticated:
            return _to_signin(request)
        return cast(HttpResponseBase, act(request, *args, **kwargs))

    return cast(V, wrapper)


def _to_signin(request: HttpRequest) -> HttpResponseBase:
    if request.headers.get("HX-Request"):
        return HttpResponse(status=204, headers={"HX-Redirect": resolve_url(settings.LOGIN_URL)})
    if request.method not in ("GET", "HEAD"):
        return HttpResponse("Sign in first.", status=401, content_type="text/plain; charset=utf-8")
    return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
