"""Where answers come from, as the operator sets it up. Keys stay in the environment: here are only their names."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.forms import ModelForm
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_POST

from chat.admin import connection
from chat.admin.capabilities import dialect_in_force, hints_for, overrides_of, table_of
from chat.admin.deployments import DeploymentInline, connection_html, is_ours
from chat.admin.forms import ProviderForm
from chat.admin.keys import key_problem, sign_in_words
from chat.models import Deployment, Provider
from chat.responses.dialects import DIALECTS

log = logging.getLogger(__name__)

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Provider]
else:
    BaseAdmin = admin.ModelAdmin


@admin.register(Provider)
class ProviderAdmin(BaseAdmin):
    form = ProviderForm
    inlines = (DeploymentInline,)
    list_display = ("name", "dialect", "base_url", "key_state", "default_deployment", "enabled", "source")
    list_filter = ("enabled", "dialect", "source")
    search_fields = ("name", "base_url", "deployments__name", "deployments__label")
    fieldsets = (
        (None, {"fields": ("source", "name", "dialect", "base_url", "enabled")}),
        ("Credentials", {"fields": ("auth", "key_variable", "token_scope", "key_state", "extra_headers")}),
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

    def save_related(self, request: HttpRequest, form: Any, formsets: Any, change: bool) -> None:
        super().save_related(request, form, formsets, change)
        provider: Provider = form.instance
        if form.has_changed() or any(formset.has_changed() for formset in formsets):
            connection.forget(request, provider)
        dialect = dialect_in_force(provider)
        if dialect is None:
            return
        for deployment in Deployment.objects.filter(provider=provider):
            for hint in hints_for(deployment, dialect):
                messages.warning(request, f"{deployment}: {hint}")

    @admin.display(description="sign-in")
    def key_state(self, provider: Provider) -> str | SafeString:
        """Whether this process can sign in there; never with what."""
        problem = key_problem(provider)
        return (
            format_html('<span class="mark mark--problem">{}</span>', problem) if problem else sign_in_words(provider)
        )

    @admin.display(description="default model")
    def default_deployment(self, provider: Provider) -> str:
        return next((str(row) for row in provider.deployments.all() if row.is_default), "")

    @admin.display(description="what it can do")
    def capability_table(self, provider: Provider) -> str:
        """The dialect's capabilities with the overrides, as they are used. Overridden ones are marked."""
        if provider.pk is None or provider.dialect not in DIALECTS:
            return "Save first; then the capabilities of the dialect are listed here."
        groups = table_of(provider)
        rows = [row for group in groups for row in group.rows]
        counted = {"count": len(rows), "overridden": sum(row.is_overridden for row in rows)}
        return render_to_string("admin/chat/provider/_capabilities.html", {"groups": groups, **counted})

    # Test connection

    def get_urls(self) -> list[URLPattern]:
        def view(function: Any) -> Any:
            return self.admin_site.admin_view(require_POST(function))

        base = "<int:provider_id>/deployments/<int:deployment_id>/"
        return [
            path(f"{base}test/", view(self.test_view), name="chat_provider_test"),
            path(f"{base}take-over/", view(self.take_over_view), name="chat_provider_take_over"),
            *super().get_urls(),
        ]

    def test_view(self, request: HttpRequest, provider_id: int, deployment_id: int) -> HttpResponse:
        """Ask the deployment as it is stored. htmx gets the panel, so that what is being edited stays; others the page."""
        deployment = self._deployment(request, provider_id, deployment_id)
        report = connection.report_on(deployment.provider, deployment)
        log.info(
            "%s tested the connection to %r at %r in %.1f s: %s",
            request.user.get_username(),
            deployment.name,
            deployment.provider.name,
            report.seconds,
            report.headline,
        )
        connection.keep(request, deployment, report)
        if request.htmx:  # type: ignore[attr-defined]
            return HttpResponse(connection_html(request, deployment, report))
        return self._back(deployment)

    def take_over_view(self, request: HttpRequest, provider_id: int, deployment_id: int) -> HttpResponse:
        """Make overrides of what the last test suggested. What the environment describes has none."""
        deployment = self._deployment(request, provider_id, deployment_id)
        provider = deployment.provider
        report = connection.kept(request, deployment)
        if not is_ours(provider):
            raise PermissionDenied
        if report is None or not report.suggestions:
            messages.info(request, "There is nothing to take over. Test the connection first.")
            return self._back(deployment)
        provider.capabilities = connection.take_over(
            overrides_of(provider), report.suggestions, DIALECTS[provider.dialect]
        )
        provider.save(update_fields=["capabilities"])
        self.log_change(request, provider, f"Took over {report.overrides} from the test of {deployment}.")
        connection.forget(request, provider)
        messages.success(request, f"Taken over: {report.overrides}. Test the connection again to see what comes of it.")
        return self._back(deployment)

    def _deployment(self, request: HttpRequest, provider_id: int, deployment_id: int) -> Deployment:
        """The stored row, for somebody who may change its provider."""
        provider = self.get_object(request, str(provider_id))
        if provider is None:
            raise Http404("There is no such provider.")
        if not self.has_change_permission(request, provider):
            raise PermissionDenied
        return get_object_or_404(Deployment.objects.select_related("provider"), pk=deployment_id, provider=provider)

    def _back(self, deployment: Deployment) -> HttpResponseRedirect:
        page = reverse("admin:chat_provider_change", args=[deployment.provider_id])
        return HttpResponseRedirect(f"{page}#connection-{deployment.pk}")
