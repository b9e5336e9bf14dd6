"""A person's files: the page that lists them, their preview, and the choice of an earlier one for a message."""

from __future__ import annotations

import datetime
import logging
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db.models import Count, Q, Sum
from django.http import Http404, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_safe

from chat.conversations.forget import forget_attachment
from chat.files import limits, paint
from chat.files.errors import Refused, StorageAway, quoted
from chat.files.inspect import PDF
from chat.files.serving import give_connection_back, serve, still_good
from chat.files.tables import is_table
from chat.models import Attachment, Turn, User
from chat.models.conversations import TurnAttachment
from chat.rendering.views import ConversationList, ToastView, can_be_shown, chip_view, file_size
from chat.web import uploads
from chat.web.access import PersonRequest, attachment_for, person_only, turn_for
from chat.web.actions import toast_swap
from chat.web.pages import PersonView, is_fragment, person_view, tab_of
from chat.web.sidebar import conversation_list, older_than, person_timezone
from chat.web.uploads import sentence, storage_is_away

logger = logging.getLogger(__name__)

FILES_PER_PAGE = 30
CHOICES_PER_PAGE = 12
PLACES_AT_ONCE = 2
SEARCH_MAX_CHARACTERS = 200

KINDS = {
    "application/pdf": "PDF",
    "image/png": "PNG image",
    "image/jpeg": "JPEG image",
    "image/webp": "WEBP image",
    "image/gif": "GIF image",
}


@dataclass(frozen=True)
class Place:
    """A conversation that shows a file."""

    title: str
    url: str


@dataclass(frozen=True)
class FileItem:
    """`_file_item.html`: a line of the Files page, and of the dialog that chooses from them."""

    id: str
    name: str
    title: str
    kind: str
    detail: str
    made_on: str
    made_at: datetime.datetime
    is_made: bool
    url: str
    thumbnail_url: str
    preview_url: str
    delete_url: str
    places: Sequence[Place] = ()
    more_places: Sequence[Place] = ()
    is_chosen: bool = False


@dataclass(frozen=True)
class HeldView:
    """`_files_held.html`: how much of the quota is used."""

    count: int
    size: str
    quota: str
    percent: int
    oob: bool = False


@dataclass(frozen=True)
class FilesView:
    """`_file_list.html`: a stretch of files, the newest first."""

    items: Sequence[FileItem]
    search: str = ""
    next_url: str = ""
    is_continuation: bool = False


@dataclass(frozen=True)
class LibraryView:
    """`files.html` and `_files.html`"""

    files: FilesView
    held: HeldView
    title: str
    tab: str
    person: PersonView
    sidebar: ConversationList | None = None


@dataclass(frozen=True)
class PreviewView:
    """`_preview.html`: a PDF has `pages`, a table `table_url`, an image neither."""

    name: str
    detail: str
    url: str
    pages: range
    page_url: str
    table_url: str
    width: int | None
    height: int | None


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
def files(request: PersonRequest) -> HttpResponseBase:
    """GET: the Files page, or more of it. POST: a file is announced."""
    return uploads.files(request) if request.method == "POST" else _library(request)


@person_only
def _library(request: PersonRequest) -> HttpResponse:
    listed = files_view(request, FILES_PER_PAGE)
    if is_fragment(request) and request.headers.get("HX-Target") != "main":
        return render(request, "chat/_file_list.html", {"files": listed})
    view = LibraryView(
        files=listed,
        held=held_view(request.user),
        title="Files",
        tab=tab_of(request),
        person=person_view(request.user),
        sidebar=None if is_fragment(request) else conversation_list(request.user, person_timezone(request)),
    )
    return render(request, "chat/_files.html" if is_fragment(request) else "chat/files.html", {"page": view})


@never_cache
@require_safe
@person_only
def choices(request: PersonRequest) -> HttpResponse:
    """The dialog that adds earlier files to a message; with a search, the list in it alone."""
    if not request.headers.get("HX-Request"):
        return redirect("files")
    listed = files_view(request, CHOICES_PER_PAGE, chosen=_ids(request.GET.getlist("file")))
    is_list = request.headers.get("HX-Target", "").startswith("choices")
    return render(request, "chat/_choice_list.html" if is_list else "chat/_choices.html", {"files": listed})


@never_cache
@require_safe
@person_only
def chips(request: PersonRequest) -> HttpResponse:
    """The chips of the files that were chosen, without those that the message has already."""
    wanted = dict.fromkeys(_ids(request.GET.getlist("file")))
    for present in _ids(request.GET.getlist("attachment")):
        wanted.pop(present, None)
    found = {file.pk: file for file in kept_files(request.user).filter(pk__in=wanted)}
    views = [chip_view(found[pk]) for pk in wanted if pk in found]
    return HttpResponse(
        "".join(render_to_string("chat/_chip.html", {"chip": view, "kept": True}, request=request) for view in views)
    )


@never_cache
@require_safe
@person_only
def preview(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """The dialog that shows a PDF, an image or a table. Without JavaScript, the file itself does."""
    attachment = attachment_for(request.user, pk)
    if not can_be_shown(attachment):
        raise Http404
    if not request.headers.get("HX-Request"):
        return redirect("file", pk=pk)
    return render(request, "chat/_preview.html", {"preview": preview_view(attachment)})


@never_cache
@require_safe
@person_only
def cited(request: PersonRequest, pk: int, number: int) -> HttpResponse:
    """The preview of what an answer means by "page 7": the newest PDF with such a page, of its turn or one before.

    Where the answer names one of several, that one (`?file=`). One that was deleted counts, so that no other stands for it.
    """
    path = Turn.objects.path_ids(turn_for(request.user, pk).pk)
    sent = TurnAttachment.objects.filter(turn_id__in=path, attachment__media_type=PDF, attachment__pages__gte=number)
    name = request.GET.get("file", "").replace("\0", "")
    if name:
        sent = sent.filter(attachment__name__iexact=name)
    found = sent.order_by("-turn_id", "-pk").select_related("attachment").first()
    if found is None:
        called = f"No {quoted(name)}" if name else "No PDF"
        return sentence(f"{called} with a page {number} is attached here.")
    if found.attachment.forgotten_at is not None:
        return sentence(f"“{found.attachment.name}” was deleted.")
    return redirect("file_preview", pk=found.attachment_id)


@require_safe
@person_only
async def page_picture(request: PersonRequest, pk: uuid.UUID, number: int) -> HttpResponseBase:
    """A page of a PDF as a WEBP, in one of the widths that there are (`?width=`)."""
    width = request.GET.get("width", str(limits.PAGE_WIDTHS[0]))
    attachment = await sync_to_async(_attachment_alone)(request.user, pk)
    if not width.isdecimal() or len(width) > 5 or not paint.has_page(attachment, number, int(width)):
        raise Http404
    version = f'"{pk}-{number}-{width}"'
    if (kept := still_good(request, version, media_type="image/webp")) is not None:
        return kept
    try:
        picture = await paint.page(attachment, number, int(width))
        response = await serve(picture, name=f"{attachment.name} {number}.webp", media_type="image/webp")
    except Refused as refused:
        return sentence(refused.sentence)
    except FileNotFoundError as lost:
        logger.error("the storage has lost %s", attachment.file.name)
        raise Http404 from lost
    except StorageAway as away:
        return storage_is_away(away)
    response.headers["ETag"] = version
    return response


def _attachment_alone(user: User, pk: uuid.UUID) -> Attachment:
    """Without the connection to the database that it was read by: who waits for a painter keeps none from others."""
    attachment = attachment_for(user, pk)
    give_connection_back()
    return attachment


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@person_only
def delete(request: PersonRequest, pk: uuid.UUID) -> HttpResponse:
    """GET asks, in a dialog or on a page of its own; POST deletes for good."""
    attachment = attachment_for(request.user, pk)
    if request.method != "POST":
        item = _items([attachment], request)[0]
        context = {"file": item, "places": len(item.places) + len(item.more_places)}
        dialog = "chat/_file_delete.html" if request.headers.get("HX-Request") else "chat/file_delete.html"
        return render(request, dialog, context)
    forget_attachment(attachment)
    if not request.htmx:
        return redirect("files")
    html = toast_swap(ToastView(f"Deleted “{attachment.name}”."))
    html += f'<li id="f-{pk}" hx-swap-oob="delete"></li>'
    return HttpResponse(
        html + render_to_string("chat/_files_held.html", {"held": held_view(request.user, oob=True)}, request=request)
    )


def kept_files(user: User) -> Any:
    """The files that a person has: whole, and not deleted."""
    return Attachment.objects.visible_to(user).ready().filter(forgotten_at=None)


def held_view(user: User, *, oob: bool = False) -> HeldView:
    rows = Attachment.objects.visible_to(user).filter(forgotten_at=None).exclude(status=Attachment.Status.REFUSED)
    # What is on its way has taken its room already, though it is not listed yet.
    ready = Q(status=Attachment.Status.READY)
    held = rows.aggregate(size=Sum("size", default=0), count=Count("pk", filter=ready))
    quota = settings.FILES_PER_PERSON_BYTES
    percent = min(100, -(-100 * held["size"] // quota))
    return HeldView(held["count"], file_size(held["size"]), file_size(quota).replace(".0 ", " "), percent, oob)


def files_view(request: PersonRequest, size: int, *, chosen: Sequence[uuid.UUID] = ()) -> FilesView:
    """One page of the list. Those that are `chosen` come first, whatever is searched."""
    search = request.GET.get("q", "").strip()[:SEARCH_MAX_CHARACTERS].replace("\0", "")
    after = request.GET.get("after", "")
    rows = kept_files(request.user).order_by("-created_at", "-pk")
    first = list(rows.filter(pk__in=chosen)) if chosen and not after else []
    if search:
        rows = rows.filter(Q(name__icontains=search) | Q(title__icontains=search))
    if after:
        rows = rows.filter(older_than(after, "created_at"))
    page = list(rows.exclude(pk__in=chosen)[: size + 1])
    next_url = ""
    if len(page) > size:
        last = page[size - 1]
        query = {"after": f"{last.created_at.isoformat()}_{last.pk}", **({"q": search} if search else {})}
        next_url = f"{request.path}?{urlencode(query)}"
    items = _items([*first, *page[:size]], request, chosen=set(chosen))
    return FilesView(items, search, next_url, is_continuation=bool(after))


def preview_view(attachment: Attachment) -> PreviewView:
    chip = chip_view(attachment)
    return PreviewView(
        name=attachment.name,
        detail=chip.detail,
        url=chip.url,
        pages=range(1, chip.pages + 1),
        page_url=reverse("file_page", args=[attachment.pk, 0]) if chip.pages else "",
        table_url=reverse("file_table", args=[attachment.pk]) if is_table(attachment) else "",
        width=attachment.width,
        height=attachment.height,
    )


def _items(rows: Sequence[Attachment], request: PersonRequest, *, chosen: Iterable[uuid.UUID] = ()) -> list[FileItem]:
    places = _places([row.pk for row in rows])
    zone = person_timezone(request)
    return [_item(row, places.get(row.pk, []), zone, is_chosen=row.pk in chosen) for row in rows]


def _item(row: Attachment, places: Sequence[Place], zone: datetime.tzinfo, *, is_chosen: bool) -> FileItem:
    chip = chip_view(row)
    return FileItem(
        id=chip.id,
        name=row.name,
        title="" if row.title == row.name else row.title,
        kind=kind_of(row),
        detail=chip.detail,
        made_on=_day(row.created_at.astimezone(zone).date(), timezone.now().astimezone(zone).date()),
        made_at=row.created_at,
        is_made=row.made_by_id is not None,
        url=chip.url,
        thumbnail_url=chip.thumbnail_url,
        preview_url=chip.preview_url,
        delete_url=reverse("file_delete", args=[row.pk]),
        places=places[:PLACES_AT_ONCE],
        more_places=places[PLACES_AT_ONCE:],
        is_chosen=is_chosen,
    )


def kind_of(attachment: Attachment) -> str:
    known = KINDS.get(attachment.media_type)
    ending = attachment.name.rpartition(".")[2] if "." in attachment.name else ""
    return known or (f"{ending.upper()} file" if 0 < len(ending) <= 5 else "File")


def _places(ids: Sequence[uuid.UUID]) -> dict[uuid.UUID, list[Place]]:
    """The conversations that show each of these files, the newest first: in one query."""
    sent = (
        TurnAttachment.objects.order_by()
        .filter(attachment_id__in=ids, turn__conversation__deleted_at=None)
        .values_list(
            "attachment_id",
            "turn__conversation_id",
            "turn__conversation__title",
            "turn__conversation__last_activity_at",
        )
    )
    made = (
        Attachment.objects.order_by()
        .filter(pk__in=ids, made_by__isnull=False, made_by__turn__conversation__deleted_at=None)
        .values_list(
            "pk",
            "made_by__turn__conversation_id",
            "made_by__turn__conversation__title",
            "made_by__turn__conversation__last_activity_at",
        )
    )
    found: dict[uuid.UUID, list[Place]] = {}
    # A union knows its rows apart, so a conversation that shows a file twice is one place.
    for pk, conversation, title, _ in sorted(sent.union(made), key=lambda row: row[3], reverse=True):
        found.setdefault(pk, []).append(
            Place(title or "New conversation", reverse("conversation", args=[conversation]))
        )
    return found


def _day(day: datetime.date, today: datetime.date) -> str:
    days = (today - day).days
    if days <= 1:
        return "Yesterday" if days == 1 else "Today"
    return f"{day.day} {day:%B}" if day.year == today.year else f"{day.day} {day:%B %Y}"


def _ids(values: Iterable[str]) -> list[uuid.UUID]:
    try:
        return [uuid.UUID(value) for value in values]
    except ValueError as error:
        raise Http404 from error
