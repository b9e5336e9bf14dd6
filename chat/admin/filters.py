"""The filters beside the list of conversations. Each costs at most one query and never doubles a row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.views.main import PAGE_VAR, ChangeList
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest

from chat.admin.figures import has_problems
from chat.models import Conversation, Deployment, Provider, Turn, User
from chat.models.conversations import TurnAttachment

OWNERS_SUGGESTED = 200

if TYPE_CHECKING:
    Conversations = QuerySet[Conversation]


class OwnerFilter(admin.SimpleListFilter):
    """A field that completes names: a list of links would be as long as the list of people."""

    title = "owner"
    parameter_name = "owner"
    template = "admin/chat/owner_filter.html"

    def __init__(
        self,
        request: HttpRequest,
        params: dict[str, list[str]],
        model: type[Conversation],
        model_admin: admin.ModelAdmin[Any],
    ) -> None:
        super().__init__(request, params, model, model_admin)
        dropped = {self.parameter_name, PAGE_VAR, "e"}
        self.others = [(name, value) for name, values in request.GET.lists() for value in values if name not in dropped]

    def has_output(self) -> bool:
        return True

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        owners = User.objects.filter(Exists(Conversation.objects.filter(owner=OuterRef("pk")))).order_by("username")
        return [(name, name) for name in owners.values_list("username", flat=True)[:OWNERS_SUGGESTED]]

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        for name, _ in self.lookup_choices:
            yield {"selected": name == self.value(), "query_string": "", "display": name}

    def queryset(self, request: HttpRequest, queryset: Conversations) -> Conversations | None:
        return queryset.filter(owner__username=self.value()) if self.value() else None


class ModelFilter(admin.SimpleListFilter):
    """Chosen now, or has answered at least one question."""

    title = "model"
    parameter_name = "model"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        rows = Deployment.objects.select_related("provider")
        return [(str(row.pk), f"{row} ({row.provider})") for row in rows]

    def queryset(self, request: HttpRequest, queryset: Conversations) -> Conversations | None:
        if not (value := chosen_id(self)):
            return None
        turns = Turn.objects.filter(conversation=OuterRef("pk"), deployment=value)
        return queryset.filter(Q(deployment=value) | Exists(turns))


class ProviderFilter(admin.SimpleListFilter):
    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> Iterable[tuple[str, str]]:
        return [(str(pk), name) for pk, name in Provider.objects.values_list("pk", "name")]

    def queryset(self, request: HttpRequest, queryset: Conversations) -> Conversations | None:
        if not (value := chosen_id(self)):
            return None
        turns = Turn.objects.filter(conversation=OuterRef("pk"), deployment__provider=value)
        return queryset.filter(Q(deployment__provider=value) | Exists(turns))


class YesNoFilter(admin.SimpleListFilter):
    """A fact about a conversation, as a condition."""

    def lookups(self, request: HttpRequest, model_admin: admin.ModelAdmin[Any]) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def condition(self) -> Any:
        raise NotImplementedError

    def queryset(self, request: HttpRequest, queryset: Conversations) -> Conversations | None:
        match self.value():
            case "yes":
                return queryset.filter(self.condition())
            case "no":
                return queryset.exclude(self.condition())
        return None


class ProblemsFilter(YesNoFilter):
    title = "problems"
    parameter_name = "problems"

    def condition(self) -> Exists:
        return has_problems()


class AttachmentsFilter(YesNoFilter):
    title = "attachments"
    parameter_name = "attachments"

    def condition(self) -> Exists:
        return Exists(TurnAttachment.objects.filter(turn__conversation=OuterRef("pk")))


class DeletedFilter(YesNoFilter):
    title = "deleted by its owner"
    parameter_name = "deleted"

    def condition(self) -> Q:
        return Q(deleted_at__isnull=False)


def chosen_id(chosen: admin.SimpleListFilter) -> int | None:
    """The number in the address, or None where somebody wrote something else there."""
    value = chosen.value() or ""
    return int(value) if value.isascii() and value.isdigit() and len(value) < 19 else None
