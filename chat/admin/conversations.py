"""The list of conversations, and the doors to their transcripts and files. All of it is read, none of it changed."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any
from uuid import UUID

from asgiref.sync import async_to_sync
from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.db.models.fields.files import FieldFile
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.text import Truncator
from django.views.decorators.http import require_safe

from chat.admin import search, transcript
from chat.admin.figures import Figures, cost_sum, figures_of, has_problems, token_sum, turn_count
from chat.admin.filters import (
    AttachmentsFilter,
    DeletedFilter,
    ModelFilter,
    OwnerFilter,
    ProblemsFilter,
    ProviderFilter,
)
from chat.admin.readonly import ReadOnly
from chat.admin.trace import record
from chat.files.serving import serve
from chat.models import Attachment, Conversation, ReviewEvent

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Conversation]
else:
    BaseAdmin = admin.ModelAdmin


class WithFigures(ChangeList):
    """Adds the figures to the rows of the page that is shown, so that a long list costs no more than a short one."""

    def get_results(self, request: HttpRequest) -> None:
        super().get_results(request)
        rows = list(self.result_list)
        figures = figures_of(row.pk for row in rows)
        for row in rows:
            row.figures = figures.get(row.pk, Figures())
        self.result_list = rows


@admin.register(Conversation)
class ConversationAdmin(ReadOnly, BaseAdmin):
    actions = None
    list_display = (
        "name",
        "owner",
        "deployed",
        "turn_total",
        "tokens_in",
        "tokens_out",
        "cost",
        "last_activity",
        "problems",
    )
    list_filter = (
        ("last_activity_at", admin.DateFieldListFilter),
        ProblemsFilter,
        OwnerFilter,
        ModelFilter,
        ProviderFilter,
        AttachmentsFilter,
        DeletedFilter,
    )
    list_select_related = ("owner", "deployment")
    list_per_page = 50
    ordering = ("-last_activity_at", "-pk")
    search_fields = ("title",)  # Shows the field; what it searches is `get_search_results`.
    search_help_text = "Words, or a “quoted phrase”, in titles, owners, questions, answers, file names and response ids"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[ChangeList]:
        return WithFigures

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"title": "Conversations", **(extra_context or {})})

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        for word in search.words_of(search_term):
            queryset = queryset.filter(search.matching(word))
        return queryset, False

    @admin.display(description="title", ordering="title")
    def name(self, conversation: Conversation) -> str | SafeString:
        title = Truncator(str(conversation)).chars(80)
        if conversation.deleted_at is None:
            return title
        return format_html('{} <span class="mark mark--deleted">Deleted</span>', title)

    @admin.display(description="model", ordering="deployment__name", empty_value="–")
    def deployed(self, conversation: Conversation) -> str | None:
        return str(conversation.deployment) if conversation.deployment else None

    @admin.display(description="turns", ordering=turn_count())
    # Not "turns": a column named like a relation is sorted by its rows, and shows a conversation once for each.
    def turn_total(self, conversation: Any) -> int:
        return int(conversation.figures.turns)

    @admin.display(description="tokens in", ordering=token_sum("input_tokens"))
    def tokens_in(self, conversation: Any) -> str:
        return f"{conversation.figures.input_tokens:,}"

    @admin.display(description="tokens out", ordering=token_sum("output_tokens"))
    def tokens_out(self, conversation: Any) -> str:
        return f"{conversation.figures.output_tokens:,}"

    @admin.display(description="cost", ordering=cost_sum(), empty_value="–")
    def cost(self, conversation: Any) -> str:
        return str(conversation.figures.cost)

    @admin.display(description="last activity", ordering="last_activity_at")
    def last_activity(self, conversation: Conversation) -> str:
        return f"{timezone.localtime(conversation.last_activity_at):%Y-%m-%d %H:%M}"

    @admin.display(description="problems", ordering=has_problems())
    def problems(self, conversation: Any) -> str | SafeString:
        if not conversation.figures.has_problems:
            return ""
        return format_html('<span class="mark mark--problem">{}</span>', "Failed or interrupted")

    # One conversation

    def get_urls(self) -> list[URLPattern]:
        def view(function: Any) -> Any:
            # cacheable: these views say themselves how long a browser may keep their answer.
            return self.admin_site.admin_view(require_safe(function), cacheable=True)

        base = "<uuid:conversation_id>/files/<uuid:attachment_id>/"
        return [
            path(base, view(self.file_view), name="chat_conversation_file"),
            path(f"{base}thumbnail/", view(self.thumbnail_view), name="chat_conversation_thumbnail"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The transcript. Nothing is posted here: whatever tries is refused."""
        if request.method not in ("GET", "HEAD"):
            raise PermissionDenied
        conversation = self._conversation(request, object_id)
        page = transcript.page_of(
            conversation,
            number=request.GET.get("page", ""),
            turn=request.GET.get("turn", ""),
            response_id=request.GET.get("response", ""),
            may_open_files=request.user.has_perm("chat.view_attachment"),
            may_see_trace=request.user.has_perm("chat.view_reviewevent"),
        )
        record(request, ReviewEvent.Action.LOOKED, conversation, page.trace)
        context = {
            **self.admin_site.each_context(request),
            **(extra_context or {}),
            "opts": self.opts,
            "title": str(conversation),
            "page": page,
        }
        return TemplateResponse(request, "admin/chat/conversation/transcript.html", context)

    def file_view(self, request: HttpRequest, conversation_id: UUID, attachment_id: UUID) -> HttpResponseBase:
        conversation, attachment = self._attachment(request, conversation_id, attachment_id)
        response = stored_file(attachment.file, attachment.name, attachment.media_type)
        record(request, ReviewEvent.Action.OPENED_FILE, conversation, attachment.name)
        # From the browser's cache it would be read without a trace.
        response.headers["Cache-Control"] = "private, no-store"
        return response

    def thumbnail_view(self, request: HttpRequest, conversation_id: UUID, attachment_id: UUID) -> HttpResponseBase:
        _, attachment = self._attachment(request, conversation_id, attachment_id)
        response = stored_file(attachment.thumbnail, "thumbnail.webp", "image/webp")
        return response

    def _conversation(self, request: HttpRequest, object_id: str | UUID) -> Conversation:
        if not self.has_view_permission(request):
            raise PermissionDenied
        conversation = self.get_object(request, str(object_id))
        if conversation is None:
            raise Http404("There is no such conversation.")
        return conversation

    def _attachment(
        self, request: HttpRequest, conversation_id: UUID, attachment_id: UUID
    ) -> tuple[Conversation, Attachment]:
        """A file of this conversation: sent, or made in it. One that was never sent stays with its owner."""
        conversation = self._conversation(request, conversation_id)
        if not request.user.has_perm("chat.view_attachment"):
            raise PermissionDenied
        of_it = Q(turns__conversation=conversation) | Q(made_by__turn__conversation=conversation)
        attachment = Attachment.objects.filter(of_it, pk=attachment_id).distinct().first()
        if attachment is None:
            raise Http404("There is no such file in this conversation.")
        return conversation, attachment


def stored_file(stored: FieldFile, name: str, media_type: str) -> HttpResponseBase:
    if not stored:
        raise Http404("Nothing is stored of this file.")
    try:
        return async_to_sync(serve)(stored, name=name, media_type=media_type)
    except FileNotFoundError as error:
        log.warning("The file %s is missing from the storage", stored.name)
        raise Http404("The file is missing from the storage.") from error
