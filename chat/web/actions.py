"""What a POST does: ask, stop, try again, go on, rename, choose, delete, undo.

Each checks access, calls one operation and answers with fragments; without htmx it redirects.
Those that start a run do it on the server's event loop, whose task a run is.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable
from typing import Any, TypeVar, cast

from asgiref.sync import async_to_sync, sync_to_async
from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe
from django.views.defaults import bad_request as default_bad_request

from chat.conversations import ask as asking
from chat.conversations import go_on as going_on
from chat.conversations import keep
from chat.conversations import summary as summaries
from chat.conversations.ask import Asked, Question, Refused
from chat.models import Conversation, Response, Status, Turn
from chat.models.conversations import LIVE
from chat.rendering.moulds import filled, stand_in
from chat.rendering.views import ToastView, TurnView, new_turn_view, render_turn, turn_view
from chat.turns import notices, resuming, run, sweep
from chat.turns.writer import PROCESS
from chat.web.access import (
    PersonRequest,
    conversation_for,
    deleted_conversation_for,
    person_only,
    turn_for,
)
from chat.web.pages import TurnsView, conversation_html, item_html, new_item_swap, page_view, sidebar_swap, tab_of
from chat.web.sidebar import conversation_item, conversation_url, is_of_today, newest, person_timezone

K = TypeVar("K")


@require_POST
@person_only
def ask(request: PersonRequest, pk: uuid.UUID | None = None) -> HttpResponseBase:
    """Take a question; the answer arrives over the socket."""
    return take_question(request, pk)


def take_question(request: PersonRequest, pk: uuid.UUID | None) -> HttpResponseBase:
    """`ask`, for whoever knows already that a person asks."""
    try:
        asked, stays = _taken(request, pk)
    except Refused as refused:
        return refusal(request, refused.sentence)
    # After the way to the loop and back: on it, this would be one more of each.
    return _asked_response(request, asked, pk is None, stays)


@async_to_sync
async def _taken(request: PersonRequest, pk: uuid.UUID | None) -> tuple[Asked, bool]:
    asked, stays = await asyncio.shield(_store_and_start(_ask, request, pk))
    await _tell_other_tabs(request, asked, stays=stays, is_new=pk is None)
    return asked, stays


async def _store_and_start(
    store: Callable[[PersonRequest, K], tuple[Asked, bool]], request: PersonRequest, pk: K
) -> tuple[Asked, bool]:
    """To be shielded: a browser that leaves cancels its request, and what was stored must be answered all the same."""
    asked, stays = await sync_to_async(store)(request, pk)
    run.start(asked)
    # Rendering would hold up the question on its way to the provider, which takes its time to answer: that goes first.
    await run.sent(asked.turn.pk)
    return asked, stays


def _ask(request: PersonRequest, pk: uuid.UUID | None) -> tuple[Asked, bool]:
    conversation, stays = _asked_in(request, pk) if pk else (None, False)
    question = _question(request)
    return asking.ask(request.user, conversation, question, is_full=_is_full(), process=PROCESS), stays


def _is_full() -> bool:
    """Whether this process carries as many runs as it may."""
    return len(run.running()) >= settings.RUNNING_PER_PROCESS


def _asked_in(request: PersonRequest, pk: uuid.UUID) -> tuple[Conversation, bool]:
    """The conversation, which nearly always is the newest, and whether the list of them stays as it is."""
    first = newest(1).first(request.user.pk)
    if first is None or first.pk != pk:
        return conversation_for(request.user, pk), False
    return first, is_of_today(first, person_timezone(request))


def _is_first_of_today(request: PersonRequest, conversation: Conversation) -> bool:
    """To be looked at before something is asked, which makes it so: whether the list stays as it is."""
    first = newest(1).first(request.user.pk)
    return first == conversation and is_of_today(conversation, person_timezone(request))


def _question(request: PersonRequest) -> Question:
    data = request.POST
    try:
        key = uuid.UUID(data.get("key", ""))
        attachments = [uuid.UUID(value) for value in data.getlist("attachment")]
        deployment = int(data["deployment"]) if data.get("deployment") else None
    except ValueError as error:
        raise Refused("This form is broken. Reload the page; your message stays in the box.") from error
    try:
        summary = summaries.chosen(data.get("summary", ""), data.get("language", ""))
    except summaries.Unclear as unclear:
        raise Refused(unclear.sentence) from unclear
    return Question(
        text=data.get("question", ""),
        key=key,
        attachment_ids=list(dict.fromkeys(attachments)),
        deployment_id=deployment,
        instructions=data.get("instructions"),
        background=keep.BACKGROUND.get(data.get("background", "")),
        summary=summary,
    )


def _asked_response(request: PersonRequest, asked: Asked, is_new: bool, stays: bool) -> HttpResponse:
    url = conversation_url(asked.conversation.pk)
    if not request.htmx:
        return redirect(url)
    if is_new:
        conversation = conversation_for(request.user, asked.conversation.pk) if asked.is_repeat else asked.conversation
        turns = None if asked.is_repeat else TurnsView([_turn_view(asked)])
        page = page_view(request, conversation, turns=turns, deployments=asked.offered)
        html = conversation_html(request, page)
        listed = (sidebar_swap if asked.is_repeat else new_item_swap)(request, conversation)
        response = HttpResponse(html + listed)
        response.headers["HX-Push-Url"] = url
    else:
        key = filled("chat/_composer_key.html", {"key": uuid.uuid4()}, key=stand_in("key"), oob=True)
        turn = _turn_html(asked) + key
        response = HttpResponse(turn if stays else turn + sidebar_swap(request, asked.conversation))
    response.headers["HX-Trigger"] = json.dumps({"asked": {"turn": asked.turn.pk}})
    return response


def _turn_html(asked: Asked) -> str:
    return render_turn(_turn_view(asked))


def _turn_view(asked: Asked) -> TurnView:
    """The turn as it was stored; of one that was there before, as it is by now."""
    if asked.attachments is not None:
        return new_turn_view(asked.turn, asked.attachments, asked.response)
    return turn_view(Turn.objects.with_answers().get(pk=asked.turn.pk))


async def _tell_other_tabs(request: PersonRequest, asked: Asked, *, stays: bool, is_new: bool = False) -> None:
    """`stays`: the conversation was the first one of today already, so the lists show what they should.

    `is_new`: none of them shows the conversation yet. The tab that asks hears it all, too, and each takes its time.
    """
    if asked.is_repeat:
        return
    if not stays:
        await notices.list_changed(request.user.pk, tab_of(request))
    if not is_new:
        await notices.turn_added(request.user.pk, asked.conversation.pk, asked.turn.pk, tab_of(request))


@require_POST
@person_only
async def retry(request: PersonRequest, pk: int) -> HttpResponseBase:
    """Ask the last question again. The new turn takes the old one's place in the page."""
    try:
        asked, stays = await asyncio.shield(_store_and_start(_retry, request, pk))
    except Refused as refused:
        return refusal(request, refused.sentence)
    await _tell_other_tabs(request, asked, stays=stays)
    if not request.htmx:
        return redirect("conversation", asked.conversation.pk)
    html = await sync_to_async(_turn_html)(asked)
    return HttpResponse(html if stays else html + await sync_to_async(sidebar_swap)(request, asked.conversation))


def _retry(request: PersonRequest, pk: int) -> tuple[Asked, bool]:
    turn = turn_for(request.user, pk)
    if turn.conversation.head_id != turn.pk:
        raise Refused("The conversation has gone on since. Ask again in the message box.")
    stays = _is_first_of_today(request, turn.conversation)
    return asking.ask_again(turn, uuid.uuid4(), is_full=_is_full(), process=PROCESS), stays


@require_POST
@person_only
async def go_on(request: PersonRequest, pk: int, after: int) -> HttpResponseBase:
    """Have the model go on with an answer that broke off. The turn stays, and grows."""
    try:
        asked, stays = await asyncio.shield(_store_and_start(_go_on, request, (pk, after)))
    except Refused as refused:
        return refusal(request, refused.sentence)
    if not asked.is_repeat:
        await notices.turn_changed(request.user.pk, asked.conversation.pk, pk, tab_of(request))
        if not stays:
            await notices.list_changed(request.user.pk, tab_of(request))
    if not request.htmx:
        return redirect("conversation", asked.conversation.pk)
    html = await sync_to_async(_turn_html)(asked)
    return HttpResponse(html if stays else html + await sync_to_async(sidebar_swap)(request, asked.conversation))


def _go_on(request: PersonRequest, place: tuple[int, int]) -> tuple[Asked, bool]:
    pk, after = place
    turn = turn_for(request.user, pk)
    stays = _is_first_of_today(request, turn.conversation)
    return going_on.go_on(turn, after, is_full=_is_full()), stays


@require_POST
@person_only
async def stop(request: PersonRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Stop what is being answered in this conversation. The text that has arrived is kept."""
    await _stop(request, pk)
    return HttpResponse(status=204) if request.htmx else redirect("conversation", pk)


async def _stop(request: PersonRequest, pk: uuid.UUID) -> None:
    """Here, or through the row: the process that carries it finds there that it is over."""
    for response in await sync_to_async(_live_responses)(request, pk):
        if run.stop(response.turn_id):
            continue
        if await sync_to_async(sweep.close_now)(response, Status.CANCELLED):
            await resuming.cancel_left(response)


def _live_responses(request: PersonRequest, pk: uuid.UUID) -> list[Response]:
    conversation = conversation_for(request.user, pk)
    live = Response.objects.filter(turn__conversation=conversation, status__in=LIVE)
    return list(live.select_related("turn__deployment__provider"))


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_only
async def rename(request: PersonRequest, pk: uuid.UUID) -> HttpResponseBase:
    """GET: the line of the sidebar as a form. POST: the line with its new title."""
    conversation = await sync_to_async(conversation_for)(request.user, pk)
    if request.method != "POST":
        return await sync_to_async(_rename_form)(request, conversation)
    try:
        await sync_to_async(keep.rename)(conversation, request.POST.get("title", ""))
    except Refused as refused:
        return refusal(request, refused.sentence)
    await notices.titled(request.user.pk, pk)
    return await sync_to_async(_renamed)(request, conversation)


def _rename_form(request: PersonRequest, conversation: Conversation) -> HttpResponse:
    return HttpResponse(item_html(conversation, "chat/_rename.html"))


def _renamed(request: PersonRequest, conversation: Conversation) -> HttpResponseBase:
    if not request.htmx:
        return redirect("conversation", conversation.pk)
    return HttpResponse(item_html(conversation) + title_swap(conversation, item=False))


@never_cache
@require_safe
@person_only
def item(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """The line of the sidebar, when a rename is given up."""
    return HttpResponse(item_html(conversation_for(request.user, pk)))


def title_swap(conversation: Conversation, *, item: bool = True) -> str:
    """The title wherever a page shows it, out of band."""
    context = {"item": conversation_item(conversation), "in_list": item}
    return render_to_string("chat/_title.html", context)


@require_POST
@person_only
def choose(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """Model, instructions and where it works for the turns to come."""
    conversation = conversation_for(request.user, pk)
    deployment = request.POST.get("deployment", "")
    try:
        keep.choose(
            request.user,
            conversation,
            deployment_id=int(deployment) if deployment.isdecimal() and len(deployment) < 19 else None,
            instructions=request.POST.get("instructions"),
            background=request.POST.get("background"),
        )
    except Refused as refused:
        return refusal(request, refused.sentence)
    return HttpResponse(status=204) if request.htmx else redirect("conversation", pk)


@require_POST
@person_only
async def delete(request: PersonRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Delete with undo: the conversation goes from the list at once, and a toast brings it back."""
    await _stop(request, pk)
    html = await sync_to_async(_delete)(request, pk)
    await notices.list_changed(request.user.pk, tab_of(request))
    if not request.htmx:
        return redirect("home")
    response = HttpResponse(html)
    if _is_open(request, pk):
        response.headers["HX-Push-Url"] = reverse("home")
    return response


def _delete(request: PersonRequest, pk: uuid.UUID) -> str:
    conversation = conversation_for(request.user, pk)
    keep.delete(conversation)
    was_open = _is_open(request, pk)
    undo = reverse("restore", args=[pk]) + ("?open=1" if was_open else "")
    html = toast_swap(ToastView(f"Deleted “{conversation}”.", "Undo", undo)) + sidebar_swap(request, None)
    return html + _main_swap(request, None) if was_open else html


def _main_swap(request: PersonRequest, found: Conversation | None) -> str:
    inner = render_to_string("chat/_conversation.html", {"page": page_view(request, found)}, request=request)
    return f'<main id="main" hx-swap-oob="innerHTML">{inner}</main>'


def _is_open(request: PersonRequest, pk: uuid.UUID) -> bool:
    return str(pk) in (request.headers.get("HX-Current-URL") or "")


def toast_swap(toast: ToastView) -> str:
    inner = render_to_string("chat/_toast.html", {"toast": toast})
    return f'<div id="toasts" hx-swap-oob="beforeend">{inner}</div>'


@require_POST
@person_only
async def restore(request: PersonRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Undo a delete. What was open is open again, unless the person went on to something else."""
    opens = "open" in request.GET and request.htmx and request.htmx.current_url_abs_path == reverse("home")
    html = await sync_to_async(_restore)(request, pk, opens)
    await notices.list_changed(request.user.pk, tab_of(request))
    if not request.htmx:
        return redirect("conversation", pk)
    return HttpResponse(html, headers={"HX-Push-Url": reverse("conversation", args=[pk])} if opens else {})


def _restore(request: PersonRequest, pk: uuid.UUID, opens: bool) -> str:
    conversation = deleted_conversation_for(request.user, pk)
    keep.restore(conversation)
    return (
        sidebar_swap(request, conversation) + _main_swap(request, conversation)
        if opens
        else sidebar_swap(request, None)
    )


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponseBase:
    """The site's answer to a request that Django does not take. A message may be too long even to be read."""
    if isinstance(exception, RequestDataTooBig) and hasattr(request, "htmx"):
        limit = settings.QUESTION_MAX_CHARACTERS
        return refusal(
            cast(PersonRequest, request),
            f"The message is far too long; {limit:,} characters fit. Shorten it, or attach the text as a PDF.",
        )
    return default_bad_request(request, exception)


def refusal(request: PersonRequest, sentence: str, **headers: Any) -> HttpResponse:
    """A sentence beside the composer; what was typed stays in the box."""
    if not request.htmx:
        return render(request, "chat/refused.html", {"sentence": sentence}, status=422)
    response = render(request, "chat/_sentence.html", {"sentence": sentence}, status=422)
    response.headers["HX-Retarget"] = "#problem"
    response.headers["HX-Reswap"] = "innerHTML"
    return response
