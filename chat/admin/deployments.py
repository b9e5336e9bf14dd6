"""The deployments of a provider, on its page: their settings, what they can do, and the button that tries them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.http import HttpRequest
from django.template.loader import render_to_string

from chat.admin import connection
from chat.admin.capabilities import abilities_of, dialect_in_force, hints_for
from chat.admin.forms import PRICES, DeploymentForm, Deployments
from chat.models import Deployment, Provider

if TYPE_CHECKING:
    BaseInline = admin.StackedInline[Deployment, Provider]
else:
    BaseInline = admin.StackedInline


def is_ours(provider: Provider | None) -> bool:
    """True for a row made in this admin. The others are written from the environment at each start."""
    return provider is None or provider.source == Provider.Source.ADMIN


ABOUT_PRICES = (
    "With them the chat says what a document costs before it is sent, and what an answer has cost; that stays as it was "
    "when prices change. Empty: nothing is said of cost. Tools of the provider cost extra, and are not counted."
)


class DeploymentInline(BaseInline):
    model = Deployment
    form = DeploymentForm
    formset = Deployments
    extra = 0
    fieldsets = (
        (None, {"fields": ("connection", ("name", "label", "context_window"), ("enabled", "is_default"))}),
        (
            "Reasoning, and what the provider keeps",
            {
                "fields": (
                    ("reasoning_effort", "reasoning_summary"),
                    "keeps_responses",
                    "background",
                )
            },
        ),
        (
            "Tools of the provider",
            {
                "fields": ("code_interpreter", ("image_generation", "image_deployment")),
                "description": "The model decides when to use them; what it makes is stored here and shown under its "
                "answer. A tool of the same type among the parameters takes the place of the one switched on here.",
            },
        ),
        (
            "Prices of a million tokens",
            {"fields": PRICES, "description": ABOUT_PRICES},
        ),
        ("Requests and people", {"fields": ("parameters", "groups")}),
    )

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("provider")

    def get_formset(self, request: HttpRequest, obj: Provider | None = None, **kwargs: Any) -> Any:
        self.request = request  # Django makes an inline anew for each request
        return super().get_formset(request, obj, **kwargs)

    def get_readonly_fields(self, request: HttpRequest, obj: Provider | None = None) -> tuple[str, ...]:
        return ("connection",) if is_ours(obj) else ("connection", "name", "context_window")

    def has_add_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return is_ours(obj) and super().has_add_permission(request, obj)

    def has_delete_permission(self, request: HttpRequest, obj: Provider | None = None) -> bool:
        return is_ours(obj) and super().has_delete_permission(request, obj)

    @admin.display(description="what it can do")
    def connection(self, deployment: Deployment) -> str:
        if deployment.pk is None:
            return "Save first; then the connection can be tested here."
        return connection_html(self.request, deployment, connection.kept(self.request, deployment))


def connection_html(request: HttpRequest, deployment: Deployment, report: connection.Report | None) -> str:
    """`_connection.html`: what this deployment can do, the button that tests it, and what the last test said."""
    provider = deployment.provider
    dialect = dialect_in_force(provider)
    context = {
        "deployment": deployment,
        "provider": provider,
        "abilities": abilities_of(deployment, dialect) if dialect else None,
        "hints": hints_for(deployment, dialect) if dialect else [],
        "report": report,
        "may_test": request.user.has_perm("chat.change_provider"),
        "may_take_over": is_ours(provider),
    }
    return render_to_string("admin/chat/provider/_connection.html", context, request)
