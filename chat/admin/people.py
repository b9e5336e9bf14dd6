"""Who may sign in. What people did in the chat stays when their account is switched off."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST

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

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(require_POST(self.signin_link_view))
        return [path("<int:person_id>/signin-link/", view, name="chat_user_signin_link"), *super().get_urls()]

    def signin_link_view(self, request: HttpRequest, person_id: int) -> HttpResponse:
        """Show a link that signs this person in once. Whoever may set their password may make one."""
        person = get_object_or_404(User, pk=person_id, is_active=True)
        if not self.has_change_permission(request, person):
            raise PermissionDenied
        link = reverse("signin", args=[person.signin_token()])
        self.log_change(request, person, "Made a sign-in link.")
        context = {
            **self.admin_site.each_context(request),
            "title": "Sign-in link",
            "person": person,
            "link": f"{settings.PUBLIC_URL}{link}" if settings.PUBLIC_URL else request.build_absolute_uri(link),
            "hours": settings.SIGNIN_LINK_SECONDS // 3600,
        }
        return TemplateResponse(request, "admin/chat/user/signin_link.html", context)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        return may_touch(request, obj) and super().has_delete_permission(request, obj)


def may_touch(request: HttpRequest, person: User | None) -> bool:
    """An account of staff, and so its password, is changed by superusers and by its person alone.

    Otherwise whoever manages people could set a reviewer's password and read conversations.
    """
    if person is None or person.pk == request.user.pk or getattr(request.user, "is_superuser", False):
        return True
    return not (person.is_staff or person.is_superuser)
