"""Provider row → client. The only place that reads credentials.

Providers come from environment variables (`sync_environment` makes rows of them at each start), from
the admin, or, where there is none, from the embedded engine. A row names the variable that holds the
key; the value is read here, at the moment a client is made, and goes no further than the request.
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from django.db import transaction

from chat.models import Deployment, Provider
from chat.offline.transport import OfflineTransport
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS, Dialect, normalise_base_url
from chat.responses.errors import ResponsesError
from chat.responses.transport import open_http

OFFLINE_URL = "http://offline.invalid/v1/"
OFFLINE_MODEL = "embedded"

_https: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpx.AsyncClient]] = weakref.WeakKeyDictionary()


class KeyMissing(ResponsesError):
    """The variable that a provider names is not set in this process."""

    sentence = "This model is not fully set up: its key is missing. Ask the operator of this chat."


@dataclass(frozen=True)
class EnvironmentProvider:
    """A group of variables that describes one provider."""

    name: str
    dialect: str
    base_url: str
    key_variable: str
    models: tuple[str, ...]
    url_variable: str
    models_variable: str


def dialect_of(provider: Provider) -> Dialect:
    """The dialect's capabilities with the operator's overrides."""
    return DIALECTS[provider.dialect].with_overrides(provider.capabilities or {})


def client_for(provider: Provider) -> Client:
    """A client on this event loop's connections. Raises KeyMissing."""
    dialect = dialect_of(provider)
    if provider.source == Provider.Source.EMBEDDED:
        return Client(Endpoint(OFFLINE_URL, dialect, None, {}), _http("offline"))
    base_url = normalise_base_url(dialect, provider.base_url)
    return Client(Endpoint(base_url, dialect, _key(provider), dict(provider.extra_headers or {})), _http("network"))


def _key(provider: Provider) -> str | None:
    if provider.auth == Provider.Auth.NONE:
        return None
    key = os.environ.get(provider.key_variable, "").strip()
    if not key:
        raise KeyMissing(f"provider {provider.name!r}: environment variable {provider.key_variable!r} is not set")
    return key


def _http(kind: str) -> httpx.AsyncClient:
    """One pool per event loop: connections of one loop are of no use in another."""
    pools = _https.setdefault(asyncio.get_running_loop(), {})
    if kind not in pools:
        pools[kind] = httpx.AsyncClient(transport=OfflineTransport()) if kind == "offline" else open_http()
    return pools[kind]


async def close() -> None:
    """Close this loop's connections, at shutdown and at the end of a test."""
    for http in _https.pop(asyncio.get_running_loop(), {}).values():
        await http.aclose()


# Rows from the environment


def sync_environment(environ: Mapping[str, str] = os.environ) -> None:
    """Make the rows say what the environment says. Runs at each start; idempotent.

    A provider whose variables are gone is switched off, not deleted: conversations refer to it.
    The embedded engine is offered exactly while nothing else is. ValueError is a sentence for the operator,
    and then nothing has changed.
    """
    wanted = environment_providers(environ)
    with transaction.atomic():
        for spec in wanted:
            _refuse_taken_name(spec, wanted)
            _sync_provider(spec)
        stale = Provider.objects.filter(source=Provider.Source.ENVIRONMENT).exclude(name__in=[s.name for s in wanted])
        stale.update(enabled=False)
        _sync_embedded()
        _ensure_default()


def environment_providers(environ: Mapping[str, str]) -> list[EnvironmentProvider]:
    """What the variables describe. A group counts when its endpoint or key and its models are there."""
    found = []
    if environ.get("AZURE_OPENAI_ENDPOINT"):
        found.append(
            EnvironmentProvider(
                "Azure OpenAI",
                "azure",
                environ["AZURE_OPENAI_ENDPOINT"],
                "AZURE_OPENAI_API_KEY",
                _names(environ.get("AZURE_OPENAI_DEPLOYMENTS", "")),
                "AZURE_OPENAI_ENDPOINT",
                "AZURE_OPENAI_DEPLOYMENTS",
            )
        )
    if environ.get("OPENAI_API_KEY"):
        found.append(
            EnvironmentProvider(
                "OpenAI",
                "openai",
                environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1/",
                "OPENAI_API_KEY",
                _names(environ.get("OPENAI_MODELS", "gpt-5-mini,gpt-5,gpt-4.1")),
                "OPENAI_BASE_URL",
                "OPENAI_MODELS",
            )
        )
    if environ.get("RESPONSES_BASE_URL"):
        found.append(
            EnvironmentProvider(
                environ.get("RESPONSES_NAME", "").strip() or "Responses API",
                environ.get("RESPONSES_DIALECT") or "generic",
                environ["RESPONSES_BASE_URL"],
                "RESPONSES_API_KEY" if environ.get("RESPONSES_API_KEY") else "",
                _names(environ.get("RESPONSES_MODELS", "")),
                "RESPONSES_BASE_URL",
                "RESPONSES_MODELS",
            )
        )
    return found


def _names(value: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name.strip() for name in value.split(",") if name.strip()))


def _refuse_taken_name(spec: EnvironmentProvider, wanted: list[EnvironmentProvider]) -> None:
    """A name is what conversations know a provider by: taking over another's row would mix up their answers."""
    others = Provider.objects.filter(name=spec.name).exclude(source=Provider.Source.ENVIRONMENT)
    if [s.name for s in wanted].count(spec.name) > 1 or others.filter(source=Provider.Source.EMBEDDED).exists():
        raise ValueError(f"RESPONSES_NAME is {spec.name!r}, as another provider is called. Choose another name.")
    if others.exists():
        raise ValueError(
            f"{spec.url_variable} describes a provider called {spec.name!r}, and the admin has one of that name. "
            f"Unset {spec.url_variable}, or rename the one in the admin first."
        )


def _sync_provider(spec: EnvironmentProvider) -> None:
    if spec.dialect not in DIALECTS:
        known = ", ".join(sorted(DIALECTS))
        raise ValueError(f"RESPONSES_DIALECT is {spec.dialect!r}. Set it to one of: {known}.")
    if not spec.models:
        raise ValueError(f"{spec.name} has an endpoint but no models. Set {spec.models_variable} to their names.")
    _refuse_long("RESPONSES_NAME", spec.name, Provider)
    for name in spec.models:
        _refuse_long(spec.models_variable, name, Deployment)
    try:
        base_url = normalise_base_url(DIALECTS[spec.dialect], spec.base_url)
    except ValueError as error:
        raise ValueError(f"{spec.url_variable}: {error}") from error
    provider, _ = Provider.objects.update_or_create(
        name=spec.name,
        defaults={
            "dialect": spec.dialect,
            "base_url": base_url,
            "auth": Provider.Auth.KEY if spec.key_variable else Provider.Auth.NONE,
            "key_variable": spec.key_variable,
            "source": Provider.Source.ENVIRONMENT,
            "enabled": True,
        },
    )
    for name in spec.models:
        Deployment.objects.update_or_create(provider=provider, name=name, defaults={"enabled": True})
    provider.deployments.exclude(name__in=spec.models).update(enabled=False, is_default=False)


def _refuse_long(variable: str, name: str, model: type[Provider | Deployment]) -> None:
    most = model._meta.get_field("name").max_length or 0
    if len(name) > most:
        raise ValueError(f"{variable} has a name of {len(name)} characters; {most} fit.")


def _sync_embedded() -> None:
    others = Deployment.objects.offered().exclude(provider__source=Provider.Source.EMBEDDED).exists()
    embedded, _ = Provider.objects.update_or_create(
        source=Provider.Source.EMBEDDED,
        defaults={
            "name": "Embedded engine",
            "dialect": "offline",
            "auth": Provider.Auth.NONE,
            "enabled": not others,
        },
    )
    Deployment.objects.get_or_create(
        provider=embedded, name=OFFLINE_MODEL, defaults={"label": "Embedded engine (no model)"}
    )
    if others:
        embedded.deployments.update(is_default=False)


def _ensure_default() -> None:
    """One offered deployment is the default; the operator's choice stays where it is still offered."""
    offered = Deployment.objects.offered()
    if offered.filter(is_default=True).exists():
        return
    Deployment.objects.filter(is_default=True).update(is_default=False)
    first = offered.order_by("pk").first()
    if first is not None:
        first.is_default = True
        first.save(update_fields=["is_default"])
