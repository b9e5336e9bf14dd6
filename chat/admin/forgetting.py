"""What providers hold of people's files, and what is still to be deleted there. Read-only, but for “Try now”."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.views.main import ChangeList
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from chat.admin.readonly import ReadOnly
from chat.models import Forgetting, ProviderFile
from chat.turns import forgetting

if TYPE_CHECKING:
    ForgettingBase = admin.ModelAdmin[Forgetting]
    CopyBase = admin.ModelAdmin[ProviderFile]
else:
    ForgettingBase = CopyBase = admin.ModelAdmin


class GoesWithItsProvider(ReadOnly):
    """Nothing is deleted here; but whoever deletes a provider deletes what is known of its files."""

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        match = request.resolver_match
        of_provider = match is not None and (match.url_name or "").startswith("chat_provider_")
        return of_provider and bool(request.user.has_perm("chat.delete_provider"))


class StateFilter(admin.SimpleListFilter):
    """Open ones first: they are what an operator comes for."""

    title = "state"
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("failing", "Open, and refused so far"), ("done", "Done"), ("all", "All")]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        own = {"selected": self.value() is None, "display": "Open"}
        yield {**own, "query_string": changelist.get_query_string(remove=[self.parameter_name])}
        for value, words in self.lookup_choices:
            query = changelist.get_query_string({self.parameter_name: value})
            yield {"selected": self.value() == value, "query_string": query, "display": words}

    def queryset(self, request: HttpRequest, queryset: QuerySet[Forgetting]) -> QuerySet[Forgetting]:
        match self.value():
            case "all":
                return queryset
            case "done":
                return queryset.exclude(done_at=None)
            case "failing":
                return queryset.filter(done_at=None).exclude(error="")
            case _:
                return queryset.filter(done_at=None)


@admin.register(Forgetting)
class ForgettingAdmin(GoesWithItsProvider, ForgettingBase):
    actions = ("try_now",)
    list_display = ("upstream_id", "kind", "provider", "state", "tries", "error", "created_at")
    list_filter = (StateFilter, "kind", "provider")
    list_select_related = ("provider",)
    search_fields = ("upstream_id", "error")
    search_help_text = "Id at the provider, or what it said"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("upstream_id", "kind", "provider", "state", "tries", "error", "created_at", "next_try_at", "done_at")
    readonly_fields = fields

    @admin.display(description="state", ordering="next_try_at")
    def state(self, row: Forgetting) -> str:
        if row.done_at is not None:
            return f"Deleted there on {timezone.localtime(row.done_at):%Y-%m-%d %H:%M}"
        return f"Due on {timezone.localtime(row.next_try_at):%Y-%m-%d %H:%M}"

    def has_try_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("chat.change_forgetting"))

    @admin.action(description="Try now", permissions=["try"])
    def try_now(self, request: HttpRequest, queryset: QuerySet[Forgetting]) -> None:
        due = forgetting.try_now(list(queryset.values_list("pk", flat=True)))
        words = "1 of them is" if due == 1 else f"{due} of them are"
        seconds = f"{forgetting.LOOK_SECONDS:g} seconds"
        messages.info(request, f"{words} tried within {seconds}. Reload this page to see what came of it.")


@admin.register(ProviderFile)
class CopyAdmin(GoesWithItsProvider, CopyBase):
    actions = None
    list_display = ("file_id", "attachment", "owner", "provider", "purpose", "created_at", "expires_at")
    list_filter = ("provider", "purpose")
    list_select_related = ("attachment__owner", "provider")
    search_fields = ("file_id", "attachment__name", "attachment__owner__username")
    search_help_text = "Id at the provider, name of the file, or its owner"
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    fields = ("file_id", "name", "owner", "provider", "purpose", "created_at", "expires_at")
    readonly_fields = fields

    @admin.display(description="file")
    def name(self, copy: ProviderFile) -> str:
        return copy.attachment.name

    @admin.display(description="owner", ordering="attachment__owner__username")
    def owner(self, copy: ProviderFile) -> str:
        return copy.attachment.owner.get_username()
