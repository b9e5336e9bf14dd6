"""The trace of reviewers: written before anything is shown, listed for those who may see it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from chat.admin.readonly import ReadOnly
from chat.models import Conversation, ReviewEvent, User

if TYPE_CHECKING:
    EventAdmin = admin.ModelAdmin[ReviewEvent]
else:
    EventAdmin = admin.ModelAdmin


def record(
    request: HttpRequest, action: ReviewEvent.Action, conversation: Conversation, detail: str = ""
) -> ReviewEvent:
    """Store a reviewer's deed. Call it before showing anything: what cannot be logged is not shown."""
    if not isinstance(request.user, User):
        raise TypeError("Only a signed-in person reviews.")
    return ReviewEvent.objects.create(
        reviewer=request.user,
        action=action,
        conversation_id=conversation.pk,
        owner_name=conversation.owner.get_username()[:150],
        detail=detail[:300],
    )


@admin.register(ReviewEvent)
class ReviewEventAdmin(ReadOnly, EventAdmin):
    actions = None
    list_display = ("at", "reviewer", "action", "transcript", "owner_name", "detail")
    list_filter = ("action", ("at", admin.DateFieldListFilter))
    list_select_related = ("reviewer",)
    search_fields = ("reviewer__username", "owner_name", "conversation_id", "detail")
    search_help_text = "Reviewer, owner, conversation or detail"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("at", "reviewer", "action", "transcript", "owner_name", "detail")
    readonly_fields = fields

    @admin.display(description="conversation", ordering="conversation_id")
    def transcript(self, event: ReviewEvent) -> str:
        address = reverse("admin:chat_conversation_change", args=[event.conversation_id])
        return format_html('<a href="{}">{}</a>', address, event.conversation_id)
