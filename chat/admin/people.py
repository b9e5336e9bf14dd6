"""Who may sign in. What people did in the chat stays when their account is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from chat.models import Conversation, User

POWERS = ("is_staff", "is_superuser", "groups", "user_permissions")


def conversation_count() -> Coalesce:
    conversations = Conversation.objects.filter(owner=OuterRef("pk")).order_by().values("owner")
    return Coalesce(Subquery(conversations.annotate(n=Count("pk")).values("n")), 0, output_field=IntegerField())


if TYPE_CHECKING:
    BaseAdmin = UserAdmin[User]
else:
    BaseAdmin = UserAdmin


@admin.register(User)
class PersonAdmin(BaseAdmin):
    list_display = ("username", "email", "is_active", "is_staff", "conversation_total", "last_login", "date_joined")
    list_filter = ("is_active", "is_staff", "is_superuser", "groups")
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[User]:
        return super().get_queryset(request).annotate(conversation_count=conversation_count())

    @admin.display(description="conversations", ordering="conversation_count")
    def conversation_total(self, person: Any) -> int:
        return int(person.conversation_count)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Only a superuser hands out powers: otherwise whoever may change people could make themselves one."""
        if getattr(request.user, "is_superuser", False):
            return ()
        return POWERS

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return may_touch(request, obj) and super().has_change_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return may_touch(request, obj) and super().has_delete_permission(request, obj)


def may_touch(request: HttpRequest, person: User | None) -> bool:
    """An account of staff, and so its password, is changed by superusers and by its person alone.

    Otherwise whoever manages people could set a reviewer's password and read conversations.
    """
    if person is None or person.pk == request.user.pk or getattr(request.user, "is_superuser", False):
        return True
    return not (person.is_staff or person.is_superuser)
