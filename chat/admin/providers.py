"""Where answers come from, as the operator sets it up. Keys stay in the environment: here are only their names."""

from __future__ import annotations

import os
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.db import transaction
from django.forms import ModelForm
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from chat.admin.forms import DeploymentForm, Deployments, ProviderForm
from chat.models import Deployment, Provider
from chat.responses.dialects import DIALECTS

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Provider]
    BaseInline = admin.StackedInline[Deployment, Provider]
else:
    BaseAdmin = admin.ModelAdmin
    BaseInline = admin.StackedInline


def is_ours(provider: Provider | None) -> bool:
    """True for a row made in this admin. The others are written from the environment at each start."""
    return provider is None or provider.source == Provider.Source.ADMIN


class DeploymentInline(BaseInline):
    model = Deployment
    form = DeploymentForm
    formset = Deployments
    extra = 0
    fields = (("name", "label", "context_window"), ("enabled", "is_default"), "parameters", "groups")

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> tuple[str, ...]:
        return () if is_ours(obj) else ("name", "context_window")

    def has_add_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return is_ours(obj) and super().has_add_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return is_ours(obj) and super().has_delete_permission(request, obj)


@admin.register(Provider)
class ProviderAdmin(BaseAdmin):
    form = ProviderForm
    inlines = (DeploymentInline,)
    list_display = ("name", "dialect", "base_url", "key_state", "default_deployment", "enabled", "source")
    list_filter = ("enabled", "dialect", "source")
    search_fields = ("name", "base_url", "deployments__name", "deployments__label")
    fieldsets = (
        (None, {"fields": ("source", "name", "dialect", "base_url", "enabled")}),
        ("Credentials", {"fields": ("auth", "key_variable", "key_state", "extra_headers")}),
        ("Capabilities", {"fields": ("file_policy", "capabilities", "capability_table")}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).prefetch_related("deployments")

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> tuple[str, ...]:
        always = ("source", "key_state", "capability_table")
        if is_ours(obj):
            return always
        return (*always, *(name for name in ProviderForm.Meta.fields if name != "enabled"))

    def get_fieldsets(self, request: HttpRequest, obj: Provider | None = None) -> Any:
        note = "" if is_ours(obj) else "Set by the environment of the server, and written anew at each start."
        first, *others = super().get_fieldsets(request, obj)
        return [(first[0], {**first[1], "description": note}), *others]

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return is_ours(obj) and super().has_delete_permission(request, obj)

    def save_formset(self, request: HttpRequest, form: ModelForm[Any], formset: Any, change: bool) -> None:
        """Save the deployments. A new default takes the place of the old one in the same transaction."""
        with transaction.atomic():
            chosen = formset.new_default()
            if chosen is not None:
                Deployment.objects.filter(is_default=True).exclude(pk=chosen.pk).update(is_default=False)
            super().save_formset(request, form, formset, change)

    @admin.display(description="key")
    def key_state(self, provider: Provider) -> str | SafeString:
        """Whether the named variable is set in this process; never what it holds."""
        if provider.auth == Provider.Auth.NONE:
            return "Not needed"
        if not provider.key_variable:
            return "No variable named"
        if os.environ.get(provider.key_variable, "").strip():
            return "Set on this server"
        return format_html('<span class="mark mark--problem">{}</span>', "Not set on this server")

    @admin.display(description="default model")
    def default_deployment(self, provider: Provider) -> str:
        return next((str(row) for row in provider.deployments.all() if row.is_default), "")

    @admin.display(description="what it can do")
    def capability_table(self, provider: Provider) -> str | SafeString:
        """The dialect's capabilities with the overrides, as they are used. Overridden ones are marked."""
        if provider.pk is None or provider.dialect not in DIALECTS:
            return "Save first; then the capabilities of the dialect are listed here."
        dialect = DIALECTS[provider.dialect]
        overrides = provider.capabilities if isinstance(provider.capabilities, dict) else {}
        rows = [
            (field.name, shown(overrides.get(field.name, getattr(dialect, field.name))), mark(field.name in overrides))
            for field in fields(dialect)
            if field.name != "label"
        ]
        body = format_html_join("", '<tr><th scope="row"><code>{}</code></th><td>{}{}</td></tr>', rows)
        return format_html('<table class="capabilities"><tbody>{}</tbody></table>', body)


def mark(is_overridden: bool) -> str | SafeString:
    return format_html(' <span class="mark">{}</span>', "overridden") if is_overridden else ""


def shown(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value)) or "all"
    return str(value) or "–"
