"""What a GET shows: the new chat, a conversation, earlier turns, more of the sidebar.

One URL answers with a page or, for htmx, with the fragment that goes into it.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from django.conf import settings
from django.http import Http404, HttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.safestring import SafeString
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from chat.conversations.accepted import accepted_by
from chat.conversations.parameters import can_work_in_background
from chat.engines import dialect_of
from chat.files import limits
from chat.models import Conversation, Deployment, Provider, Turn, User
from chat.models.providers import offers_to
from chat.rendering.moulds import filled, stand_in
from chat.rendering.views import ConversationItem, ConversationList, TurnView, is_just_asked, mould_of_turn, turn_view
from chat.web.access import PersonRequest, conversation_for, person_only
from chat.web.sidebar import (
    conversation_item,
    conversation_list,
    conversation_url,
    listed_in,
    lists_today,
    person_timezone,
)

SUGGESTIONS = (
    "Explain how a transformer reads a sentence",
    "Compare three ways to store sessions in a table",
    "Write a Python function that merges intervals",
)
OFFLINE_SUGGESTIONS = (
    "What can you do?",
    "Show me what Markdown looks like here",
    "What is 17 * 23 + 4?",
)


@dataclass(frozen=True)
class PersonView:
    name: str
    initial: str
    is_staff: bool


NOBODY = PersonView("", "", False)


@dataclass(frozen=True)
class ConversationView:
    """The conversation in the middle. A new one has no id."""

    id: str
    title: str
    url: str
    deployment_id: int | None
    instructions: str
    background: str = ""  # or "on", "off"


@dataclass(frozen=True)
class TurnsView:
    """`_turns.html`: a stretch of turns, the oldest first, and where the earlier ones are."""

    items: Sequence[TurnView] = ()
    earlier_url: str = ""
    earlier_page_url: str = ""


@dataclass(frozen=True)
class DeploymentView:
    pk: int
    name: str


@dataclass(frozen=True)
class PageView:
    """`page.html` and `_conversation.html`."""

    title: str
    tab: str
    key: str
    person: PersonView
    conversation: ConversationView
    turns: TurnsView
    deployments: Sequence[DeploymentView]
    ask_url: str
    is_offline: bool
    takes_images: bool
    offers_background: bool
    suggestions: Sequence[str]
    sidebar: ConversationList | None = None
    estimate_url: str = ""  # where some model has prices
    accept: str = ""  # of the file picker
    max_files: int = field(default_factory=lambda: settings.FILES_PER_TURN)
    plain_megabytes: int = limits.PLAIN_FORM_BYTES // 1024 // 1024
    max_bytes: int = field(default_factory=lambda: settings.FILE_MAX_BYTES)
    slice_bytes: int = field(default_factory=lambda: settings.FILE_SLICE_BYTES)


@never_cache
@require_safe
@person_only
def home(request: PersonRequest) -> HttpResponse:
    return page_response(request, None)


@never_cache
@require_safe
@person_only
def conversation(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    return page_response(request, conversation_for(request.user, pk), before=_before(request))


@never_cache
@require_safe
@person_only
def turns(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """Earlier turns, for the top of the page. `?before=` is the oldest turn that the page has."""
    found = conversation_for(request.user, pk)
    return render(request, "chat/_turns.html", {"turns": turns_view(found, before=_before(request))})


@never_cache
@require_safe
@person_only
def conversations(request: PersonRequest) -> HttpResponse:
    """More of the sidebar."""
    after = request.GET.get("after", "")
    page = conversation_list(
        request.user,
        person_timezone(request),
        after=after,
        day=request.GET.get("day", ""),
        size=None if after else listed_in(request),
    )
    if not is_fragment(request):
        return page_response(request, None, sidebar=page)
    return render(request, "chat/_conversations.html", {"list": page})


def page_response(
    request: PersonRequest,
    found: Conversation | None,
    *,
    before: int | None = None,
    sidebar: ConversationList | None = None,
) -> HttpResponse:
    if is_fragment(request):
        page = page_view(request, found, before=before)
        return render(request, "chat/_conversation.html", {"page": page})
    current = found.pk if found else None
    sidebar = sidebar or conversation_list(request.user, person_timezone(request), current=current)
    return render(request, "chat/page.html", {"page": page_view(request, found, before=before, sidebar=sidebar)})


def is_fragment(request: PersonRequest) -> bool:
    """htmx asks for a part; a page that it restores from history wants all of it."""
    return bool(request.htmx) and not request.htmx.history_restore_request


def page_view(
    request: PersonRequest,
    found: Conversation | None,
    *,
    before: int | None = None,
    turns: TurnsView | None = None,
    sidebar: ConversationList | None = None,
    deployments: Sequence[Deployment] | None = None,
) -> PageView:
    """What a page shows. What of it is not given is read."""
    user = request.user
    if deployments is None:
        deployments = offers_to(user)
    offered = {deployment.pk for deployment in deployments}
    chosen = found.deployment_id if found and found.deployment_id in offered else None
    if chosen is None and deployments:
        chosen = deployments[0].pk
    url = conversation_url(found.pk) if found else ""
    is_offline = all(d.provider.source == Provider.Source.EMBEDDED for d in deployments)
    return PageView(
        title=str(found) if found else "New chat",
        tab=tab_of(request),
        key=str(uuid.uuid4()),
        person=person_view(user),
        conversation=ConversationView(
            id=str(found.pk) if found else "",
            title=str(found) if found else "New chat",
            url=url,
            deployment_id=chosen,
            instructions=found.instructions if found else "",
            background={None: "", True: "on", False: "off"}[found.background if found else None],
        ),
        turns=turns or (turns_view(found, before=before) if found else TurnsView()),
        deployments=tuple(DeploymentView(deployment.pk, str(deployment)) for deployment in deployments),
        ask_url=f"{url}ask/" if found else reverse("ask"),
        is_offline=is_offline,
        takes_images=any(map(_takes_images, deployments)),
        offers_background=any(map(_may_work_in_background, deployments)),
        suggestions=OFFLINE_SUGGESTIONS if is_offline else SUGGESTIONS,
        sidebar=sidebar,
        estimate_url=reverse("estimate") if any(deployment.prices for deployment in deployments) else "",
        accept=accepted_by(deployments).for_the_picker,
    )


def conversation_html(request: PersonRequest, page: PageView) -> SafeString:
    """`_conversation.html`, and for less where all that it shows of a conversation is a question without files."""
    turn = page.turns.items[0] if len(page.turns.items) == 1 and not page.turns.earlier_url else None
    if turn is None or not is_just_asked(turn):
        return render_to_string("chat/_conversation.html", {"page": page}, request=request)
    moulded_turn, values = mould_of_turn(turn)
    conversation = page.conversation
    moulded = replace(
        page,
        title=stand_in("title"),
        tab=stand_in("tab"),
        key=stand_in("key"),
        person=NOBODY,
        conversation=replace(
            conversation,
            id=stand_in("id"),
            title=stand_in("title"),
            url=stand_in("url"),
            instructions=stand_in("instructions"),
        ),
        turns=TurnsView((moulded_turn,)),
        ask_url=stand_in("ask"),
    )
    values |= {
        "title": page.title,
        "tab": page.tab,
        "key": page.key,
        "id": conversation.id,
        "url": conversation.url,
        "instructions": conversation.instructions,
        "ask": page.ask_url,
        "csrf": get_token(request),
    }
    return filled("chat/_conversation.html", values, page=moulded, csrf_token=stand_in("csrf"))


def _takes_images(deployment: Deployment) -> bool:
    try:
        return dialect_of(deployment.provider).image_base64
    except ValueError:  # an override that is none: the admin says so, and a page needs no more than a guess
        return True


def _may_work_in_background(deployment: Deployment) -> bool:
    # The embedded engine ends with this server: it goes on no longer than that.
    if deployment.provider.source == Provider.Source.EMBEDDED:
        return False
    try:
        return can_work_in_background(deployment, dialect_of(deployment.provider))
    except ValueError:
        return False


def person_view(user: User) -> PersonView:
    name = user.get_full_name() or user.get_username()
    return PersonView(name, name[:1].upper(), user.is_staff)


def tab_of(request: PersonRequest) -> str:
    """The tab's name: the page's own, as its requests send it, or a new one for a new page."""
    sent = request.headers.get("X-Tab") or request.POST.get("tab") or ""
    return sent if sent.isalnum() and len(sent) == 32 else uuid.uuid4().hex


def turns_view(found: Conversation, *, before: int | None = None) -> TurnsView:
    """The last turns of the path to the head, or those before `before`. Costs what is shown."""
    start = found.head_id
    if before is not None:
        oldest = Turn.objects.filter(conversation=found, pk=before).first()
        if oldest is None:
            raise Http404
        start = oldest.parent_id
    if start is None:
        return TurnsView()
    ids = Turn.objects.path_ids(start, settings.TURNS_PER_PAGE + 1)
    has_earlier = len(ids) > settings.TURNS_PER_PAGE
    shown = ids[: settings.TURNS_PER_PAGE]
    rows = {turn.pk: turn for turn in Turn.objects.filter(pk__in=shown).with_answers()}
    query = f"?before={shown[-1]}"
    return TurnsView(
        items=[turn_view(rows[pk]) for pk in reversed(shown)],
        earlier_url=reverse("turns", args=[found.pk]) + query if has_earlier else "",
        earlier_page_url=conversation_url(found.pk) + query if has_earlier else "",
    )


def sidebar_swap(request: PersonRequest, current: Conversation | None) -> str:
    """The sidebar again as far as the page has it, out of band."""
    found = conversation_list(
        request.user,
        person_timezone(request),
        current=current.pk if current else None,
        size=listed_in(request),
    )
    inner = render_to_string("chat/_conversations.html", {"list": found}, request=request)
    return f'<nav id="conversations" hx-swap-oob="innerHTML">{inner}</nav>'


def new_item_swap(request: PersonRequest, found: Conversation) -> str:
    """A new conversation in the sidebar, out of band: on top of today's, where the page has such, else with all of them."""
    if not lists_today(request):
        return sidebar_swap(request, found)
    return f'<ul hx-swap-oob="afterbegin:#conversations-today">{item_html(found)}</ul>'


def item_html(found: Conversation, template: str = "chat/_conversation_item.html") -> str:
    item = conversation_item(found)
    moulded = ConversationItem(id=stand_in("id"), title=stand_in("title"), url=stand_in("url"))
    return filled(template, {"id": item.id, "title": item.title, "url": item.url}, item=moulded)


def _before(request: PersonRequest) -> int | None:
    value = request.GET.get("before", "")
    if not value:
        return None
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        raise Http404
    return int(value)
