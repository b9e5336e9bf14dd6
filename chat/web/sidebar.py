"""The list of conversations: grouped by day, paged by a cursor that does not slip when others move up."""

from __future__ import annotations

import datetime
import functools
import uuid
import zoneinfo
from urllib.parse import urlencode

from django.conf import settings
from django.db.models import Q
from django.http import Http404
from django.urls import get_script_prefix, reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from chat.models import Conversation, User
from chat.models.prepared import Prepared, field
from chat.rendering.views import ConversationGroup, ConversationItem, ConversationList
from chat.web.access import PersonRequest

TIMEZONE_COOKIE = "timezone"
LISTED_AT_MOST = 400
TODAY = "Today"

# Asked once: it walks through 600 files, which takes 10 ms.
_known_timezones = functools.cache(zoneinfo.available_timezones)


def person_timezone(request: PersonRequest) -> datetime.tzinfo:
    """The browser's time zone, which the page keeps in a cookie; the server's where it is missing or a lie."""
    name = request.COOKIES.get(TIMEZONE_COOKIE, "")
    if name in _known_timezones():
        return zoneinfo.ZoneInfo(name)
    return timezone.get_default_timezone()


def listed_in(request: PersonRequest) -> int:
    """How many conversations the page's list has by now, in whole pages of it."""
    value = request.headers.get("X-Listed", "")
    listed = min(int(value), LISTED_AT_MOST) if value.isascii() and value.isdecimal() and len(value) < 6 else 0
    pages = max(1, -(-listed // settings.CONVERSATIONS_PER_PAGE))
    return int(pages * settings.CONVERSATIONS_PER_PAGE)


def lists_today(request: PersonRequest) -> bool:
    """Whether the page's list begins with the conversations of what is today by now: a new one goes on top of them."""
    return request.headers.get("X-Today") == timezone.now().astimezone(person_timezone(request)).date().isoformat()


def conversation_url(pk: uuid.UUID) -> str:
    """`reverse("conversation")` for less: a page has many of them."""
    before, after = _around_key(get_script_prefix())
    return f"{before}{pk}{after}"


@functools.lru_cache
def _around_key(script_prefix: str) -> tuple[str, str]:
    """The address before and behind the key. `script_prefix`, which `reverse` looks up itself: where the site is mounted."""
    key = uuid.UUID(int=0)
    before, _, after = reverse("conversation", args=[key]).partition(str(key))
    return before, after


def conversation_item(conversation: Conversation, current: uuid.UUID | None = None) -> ConversationItem:
    return ConversationItem(
        id=str(conversation.pk),
        title=str(conversation),
        url=conversation_url(conversation.pk),
        is_current=conversation.pk == current,
    )


def is_of_today(conversation: Conversation, zone: datetime.tzinfo) -> bool:
    """Whether it stands under the first heading already."""
    return conversation.last_activity_at.astimezone(zone).date() >= timezone.now().astimezone(zone).date()


@functools.lru_cache(maxsize=16)
def newest(count: int) -> Prepared[Conversation]:
    """So many of the conversations of the person whose key it is called with."""
    return Prepared(
        lambda owner: Conversation.objects.visible_to(User(pk=owner)).newest_first()[:count], field(User, "id")
    )


def conversation_list(
    user: User,
    zone: datetime.tzinfo,
    *,
    current: uuid.UUID | None = None,
    after: str = "",
    day: str = "",
    size: int | None = None,
) -> ConversationList:
    """One page of the sidebar. `after` is the cursor of the page before, `day` the heading that it ended with."""
    size = size or settings.CONVERSATIONS_PER_PAGE
    if after:
        page = list(Conversation.objects.visible_to(user).newest_first().filter(older_than(after))[: size + 1])
    else:
        page = newest(size + 1)(user.pk)
    today = timezone.now().astimezone(zone).date()
    groups: list[ConversationGroup] = []
    for conversation in page[:size]:
        label = day_label(conversation.last_activity_at.astimezone(zone).date(), today)
        if not groups or groups[-1].label != label:
            groups.append(ConversationGroup(label, today.isoformat() if label == TODAY and not after else ""))
        groups[-1].items.append(conversation_item(conversation, current))
    next_url = ""
    if len(page) > size:
        last = page[size - 1]
        cursor = f"{last.last_activity_at.isoformat()}_{last.pk}"
        next_url = f"{reverse('conversations')}?{urlencode({'after': cursor, 'day': groups[-1].label})}"
    if groups and groups[0].label == day:
        groups[0] = ConversationGroup("", items=groups[0].items)
    return ConversationList(groups, next_url, is_continuation=bool(after))


def day_label(day: datetime.date, today: datetime.date) -> str:
    days = (today - day).days
    if days <= 0:
        return TODAY
    if days == 1:
        return "Yesterday"
    if days <= 7:
        return "Previous 7 days"
    if days <= 30:
        return "Previous 30 days"
    return day.strftime("%B %Y")


def older_than(cursor: str, moment_of: str = "last_activity_at") -> Q:
    """The rows behind the one whose moment and key the cursor holds, newest first. A broken cursor is no page."""
    moment, _, pk = cursor.partition("_")
    try:
        at, key = parse_datetime(moment), uuid.UUID(pk)
        if at is None or timezone.is_naive(at):
            raise Http404
        at = at.astimezone(datetime.UTC)
    except (ValueError, OverflowError) as error:
        raise Http404 from error
    return Q(**{f"{moment_of}__lt": at}) | Q(**{moment_of: at, "pk__lt": key})
