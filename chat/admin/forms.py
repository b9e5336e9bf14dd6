"""Forms of the operator. What is wrong is said in a sentence; what may be a secret is not shown again."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.html import format_html

from chat.admin.capabilities import dialect_in_force, pointless_fields
from chat.admin.keys import SERVER_SECRETS, allowed_variables, holds_a_key, is_secret_header, looks_like_a_key
from chat.engines import may_be_scope, may_hold_key
from chat.models import Deployment, Provider
from chat.responses.dialects import DIALECTS, Dialect, normalise_base_url

if TYPE_CHECKING:
    ProviderModelForm = forms.ModelForm[Provider]
    DeploymentModelForm = forms.ModelForm[Deployment]
    DeploymentFormSet = forms.BaseInlineFormSet[Deployment, Provider, forms.ModelForm[Deployment]]
else:
    ProviderModelForm = forms.ModelForm
    DeploymentModelForm = forms.ModelForm
    DeploymentFormSet = forms.BaseInlineFormSet

NAME_NOT_KEY = (
    "This looks like a key. Set an environment variable to it on the server, and give that variable's name here, "
    "such as AZURE_OPENAI_API_KEY."
)
# The turn decides these for each request; as a parameter they would break it.
NOT_PARAMETERS = frozenset({"input", "model", "stream", "previous_response_id", "store", "instructions", "background"})
PRICES = ("input_price", "cached_input_price", "output_price")


class ForgetsSecrets:
    """For a form: a field that was refused comes back empty where its text may hold a key."""

    always_forgotten: frozenset[str] = frozenset()
    data: Any
    errors: Any

    def forget_secrets(self) -> None:
        for name in [name for name in self.errors if name != "__all__"]:
            key = self.add_prefix(name)  # type: ignore[attr-defined]
            text = str(self.data.get(key, ""))
            kept = "" if name in self.always_forgotten or holds_a_key(text) else without_credentials(text)
            if kept != text:
                self.data = self.data.copy()
                self.data[key] = kept

    def full_clean(self) -> None:
        super().full_clean()  # type: ignore[misc]
        if self._errors:  # type: ignore[attr-defined]
            self.forget_secrets()


class ProviderForm(ForgetsSecrets, ProviderModelForm):
    always_forgotten = frozenset({"key_variable", "token_scope", "extra_headers"})

    class Meta:
        model = Provider
        fields = (
            "name",
            "dialect",
            "base_url",
            "auth",
            "key_variable",
            "token_scope",
            "extra_headers",
            "capabilities",
            "file_policy",
            "enabled",
        )
        widgets = {
            "base_url": forms.TextInput(attrs={"class": "vTextField", "inputmode": "url", "spellcheck": "false"}),
            "key_variable": forms.TextInput(
                attrs={"class": "vTextField", "autocomplete": "off", "spellcheck": "false"}
            ),
            "token_scope": forms.TextInput(attrs={"class": "vTextField", "autocomplete": "off", "spellcheck": "false"}),
            "extra_headers": forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
            "capabilities": forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        }

    def clean_key_variable(self) -> str:
        name = str(self.cleaned_data["key_variable"])
        if looks_like_a_key(name):
            raise ValidationError(NAME_NOT_KEY)
        if name.upper() in SERVER_SECRETS:
            raise ValidationError("This variable holds a secret of this server, which no provider may be sent.")
        if name and not may_hold_key(name):
            raise ValidationError(
                f"The value of this variable would be sent to the address above, and this server allows that for "
                f"{allowed_variables()}. Choose such a name, or set PROVIDER_KEY_VARIABLES for the server."
            )
        return name

    def clean_token_scope(self) -> str:
        scope = str(self.cleaned_data["token_scope"]).strip()
        if holds_a_key(scope):
            raise ValidationError("This looks like a key or a token. A scope is an address that ends with /.default.")
        if any(char.isspace() for char in scope):
            raise ValidationError("A scope has no spaces in it, such as https://cognitiveservices.azure.com/.default")
        return scope

    def clean_extra_headers(self) -> dict[str, str]:
        headers = json_object(self.cleaned_data["extra_headers"])
        for name, value in headers.items():
            if is_secret_header(name) or holds_a_key(str(value)):
                raise ValidationError(
                    "Headers with credentials are not stored here. The key goes out by itself, from the environment "
                    "variable that is named above."
                )
            if not isinstance(value, str) or not is_header(name, value):
                raise ValidationError('Each header is a name and a text without line breaks, such as {"X-Team": "a"}.')
        return headers

    def clean_capabilities(self) -> dict[str, Any]:
        overrides = json_object(self.cleaned_data["capabilities"])
        if dialect := self.chosen_dialect():
            with_sentence(lambda: dialect.with_overrides(overrides))
        return overrides

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if "base_url" in cleaned and (dialect := self.chosen_dialect()):
            try:
                cleaned["base_url"] = checked_base_url(cleaned.get("dialect", ""), dialect, cleaned["base_url"])
            except ValidationError as refused:
                self.add_error("base_url", refused)
        needs_name = cleaned.get("auth") == Provider.Auth.KEY and "key_variable" in cleaned
        if needs_name and not cleaned["key_variable"]:
            self.add_error(
                "key_variable", "Name the environment variable that holds the key, or choose another way to sign in."
            )
        if cleaned.get("auth") == Provider.Auth.ENTRA and "token_scope" in cleaned:
            self.check_scope(cleaned)
        return cleaned

    def check_scope(self, cleaned: dict[str, Any]) -> None:
        """Where neither dialect nor override has one, nobody knows what the tokens are for."""
        dialect = self.chosen_dialect()
        if dialect is None or "capabilities" not in cleaned:
            return
        scope = cleaned["token_scope"] or dialect.with_overrides(cleaned["capabilities"]).token_scope
        if not scope:
            self.add_error(
                "token_scope",
                f"{dialect.label} has no scope of its own for tokens of Entra ID. Give the one that the server asks "
                "for, such as https://cognitiveservices.azure.com/.default, or choose another way to sign in.",
            )
        elif not may_be_scope(scope):
            self.add_error(
                "token_scope",
                "Tokens for this scope would be sent to the address above, and this server allows that for "
                f"{', '.join(settings.PROVIDER_TOKEN_SCOPES) or 'no scope at all'}. Choose such a scope, or set "
                "PROVIDER_TOKEN_SCOPES for the server.",
            )

    def chosen_dialect(self) -> Dialect | None:
        return DIALECTS.get(self.cleaned_data.get("dialect") or self.instance.dialect)


class PriceInput(forms.NumberInput):
    """Without the zeros that fill up its column: 1.25, and not 1.250000."""

    def format_value(self, value: Any) -> str | None:
        if isinstance(value, Decimal):
            return f"{value.normalize():f}"
        return value if value is None else str(value)


class DeploymentForm(ForgetsSecrets, DeploymentModelForm):
    class Meta:
        model = Deployment
        fields = (
            *("name", "label", "context_window", "enabled", "is_default"),
            *("reasoning_effort", "reasoning_summary", "keeps_responses", "background"),
            *("code_interpreter", "image_generation", "image_deployment"),
            *PRICES,
            *("parameters", "groups"),
        )
        widgets = {
            **dict.fromkeys(PRICES, PriceInput()),
            "parameters": forms.Textarea(attrs={"rows": 2, "cols": 40}),
            "groups": forms.CheckboxSelectMultiple,
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        dialect = dialect_in_force(self.instance.provider) if self.instance.provider_id else None
        for name, hint in (pointless_fields(dialect) if dialect else {}).items():
            if name in self.fields:
                self.fields[name].help_text = format_html('<span class="hint">{}</span>', hint)
        for name in self.fields.keys() & PRICES:
            kind = name.removesuffix("_price").replace("_", " ").capitalize()
            self.fields[name].label = f"{kind} ({settings.CURRENCY})"

    def clean_parameters(self) -> dict[str, Any]:
        parameters = json_object(self.cleaned_data["parameters"])
        if taken := sorted(NOT_PARAMETERS & parameters.keys()):
            raise ValidationError(f"Each request sets {', '.join(taken)} itself; leave it out here.")
        if any(holds_a_key(text) for text in texts_in(parameters)):
            raise ValidationError("Parameters are stored and sent as they are; keys do not belong into them.")
        return parameters

    def _get_validation_exclusions(self) -> set[str]:
        # One default at a time is a rule of the table. The old one is cleared as the new one is saved, so that
        # a second one in the form is no mistake.
        return {*super()._get_validation_exclusions(), "is_default"}  # type: ignore[misc]


class Deployments(DeploymentFormSet):
    """The deployments of one provider. A newly chosen default wins over the one before."""

    def clean(self) -> None:
        super().clean()
        self.check_background()
        chosen = [form for form in self.forms if self.is_newly_default(form)]
        if len(chosen) > 1:
            raise ValidationError("Only one deployment can be the default.")
        if chosen:
            for form in self.forms:
                if form is not chosen[0]:
                    form.instance.is_default = False

    def check_background(self) -> None:
        """Against the provider as it is in this form, which may have become another kind of server."""
        dialect = dialect_in_force(self.instance)
        for form in self.forms:
            cleaned = getattr(form, "cleaned_data", {})
            if not cleaned.get("background") or form in self.deleted_forms:
                continue
            if dialect is not None and not (dialect.background and dialect.store and dialect.retrieve):
                form.add_error(
                    "background",
                    f"{dialect.label} cannot work in the background. Switch this off, or correct its capabilities.",
                )
            elif not cleaned.get("keeps_responses"):
                form.add_error(
                    "background",
                    "Only what the provider keeps can be worked on in the background. "
                    "Let it be kept, or switch this off.",
                )

    def new_default(self) -> Deployment | None:
        return next((form.instance for form in self.forms if self.is_newly_default(form)), None)

    def is_newly_default(self, form: forms.ModelForm[Deployment]) -> bool:
        if form in self.deleted_forms or not hasattr(form, "cleaned_data"):
            return False
        return bool(form.cleaned_data.get("is_default")) and "is_default" in form.changed_data


def checked_base_url(name: str, dialect: Dialect, text: str) -> str:
    """The address as it will be used. The embedded engine has none."""
    if name == "offline":
        if text:
            raise ValidationError("The embedded engine runs inside this server and has no address; leave it empty.")
        return ""
    base_url: str = with_sentence(lambda: normalise_base_url(dialect, text))
    if holds_a_key(urlsplit(base_url).query) or is_secret_header(urlsplit(base_url).query):
        raise ValidationError("The address holds a key. Leave out what follows the question mark.")
    return base_url


def without_credentials(text: str) -> str:
    """An address without its name and password, and without its query. Any other text as it is."""
    if "://" not in text:
        return text
    return re.sub(r"//[^/]*@", "//", text).partition("?")[0]


def with_sentence(call: Any) -> Any:
    """Turn the ValueError of the protocol's rooms, whose text is a sentence, into the form's error."""
    try:
        return call()
    except ValueError as error:
        raise ValidationError(str(error)) from error


def json_object(value: Any) -> dict[str, Any]:
    if value in (None, ""):
        return {}
    if not isinstance(value, dict):
        raise ValidationError('Give a JSON object, such as {"name": "value"}, or {} for none.')
    return value


def is_header(name: str, value: str) -> bool:
    token = name.replace("-", "").replace("_", "")
    return token.isascii() and token.isalnum() and value.isprintable()


def texts_in(value: Any) -> Iterator[str]:
    """Every string inside a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from texts_in(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts_in(inner)
