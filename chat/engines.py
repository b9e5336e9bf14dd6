"""Provider row → client. The only place that reads credentials.

Providers come from environment variables (`sync_environment` makes rows of them at each start), from
the admin, or, where there is none, from the embedded engine. A row names the variable that holds the
key; the value is read here, at the moment a client is made, and goes no further than the request. Where
there is no key, tokens of Entra ID take its place (`entra`).
"""

from __future__ import annotations

import asyncio
import os
import weakref
from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TypedDict

import httpx
from django.conf import settings
from django.db import transaction

from chat.entra import EntraCredential
from chat.models import Deployment, Provider
from chat.offline.transport import OfflineTransport
from chat.responses.client import MAX_RETRIES, Client, Endpoint
from chat.responses.dialects import DIALECTS, Dialect, normalise_base_url
from chat.responses.errors import ResponsesError
from chat.responses.transport import open_http

OFFLINE_URL = "http://offline.invalid/v1/"
OFFLINE_MODEL = "embedded"
LOCAL_NAME = "This machine"

_https: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, httpx.AsyncClient]] = weakref.WeakKeyDictionary()
_credentials: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[str, EntraCredential]] = (
    weakref.WeakKeyDictionary()
)


class KeyMissing(ResponsesError):
    """The variable that a provider names is not set in this process, or holds what no provider may see."""

    sentence = "This model is not fully set up: its key is missing. Ask the operator of this chat."


@dataclass(frozen=True)
class EnvironmentProvider:
    """A group of variables that describes one provider."""

    name: str
    dialect: str
    base_url: str
    auth: Provider.Auth
    key_variable: str
    models: tuple[str, ...]
    url_variable: str
    models_variable: str
    token_scope: str = ""


def dialect_of(provider: Provider) -> Dialect:
    """The dialect's capabilities with the operator's overrides."""
    return DIALECTS[provider.dialect].with_overrides(provider.capabilities or {})


def client_for(provider: Provider, deployment: Deployment | None = None, *, max_retries: int = MAX_RETRIES) -> Client:
    """A client on this event loop's connections. Raises KeyMissing.

    With a deployment, the requests also carry what it says in headers: which deployment makes its images.
    """
    dialect = dialect_of(provider)
    if provider.source == Provider.Source.EMBEDDED:
        return Client(Endpoint(OFFLINE_URL, dialect, None, {}), _http("offline"), max_retries=max_retries)
    endpoint = Endpoint(
        normalise_base_url(dialect, provider.base_url),
        dialect,
        key=_key(provider) if provider.auth == Provider.Auth.KEY else None,
        headers=_headers(provider, deployment, dialect),
        credential=_credential(provider, dialect) if provider.auth == Provider.Auth.ENTRA else None,
    )
    return Client(endpoint, _http("network"), max_retries=max_retries)


def may_hold_key(name: str) -> bool:
    """Whether this variable may be named by a provider.

    Its value goes to an address that staff type in, who would otherwise read the whole environment by it.
    """
    return any(fnmatchcase(name, pattern) for pattern in settings.PROVIDER_KEY_VARIABLES)


def may_be_scope(scope: str) -> bool:
    """Whether tokens for this scope may be sent to an address that staff type in: they are this server's identity."""
    return any(fnmatchcase(scope, pattern) for pattern in settings.PROVIDER_TOKEN_SCOPES)


def _key(provider: Provider) -> str:
    variable = provider.key_variable
    if not variable:
        raise KeyMissing(f"provider {provider.name!r} names no environment variable for its key")
    # What the environment itself describes, the operator has named.
    if provider.source != Provider.Source.ENVIRONMENT and not may_hold_key(variable):
        raise KeyMissing(
            f"provider {provider.name!r}: environment variable {variable!r} is not among PROVIDER_KEY_VARIABLES"
        )
    key = os.environ.get(variable, "").strip()
    if not key:
        raise KeyMissing(f"provider {provider.name!r}: environment variable {variable!r} is not set")
    return key


def _headers(provider: Provider, deployment: Deployment | None, dialect: Dialect) -> dict[str, str]:
    headers = dict(provider.extra_headers or {})
    if deployment is not None and deployment.image_deployment and dialect.image_deployment_header:
        headers[dialect.image_deployment_header] = deployment.image_deployment
    return headers


def _credential(provider: Provider, dialect: Dialect) -> EntraCredential:
    """One for each scope: all providers of a process sign in as the same identity."""
    scope = provider.token_scope or dialect.token_scope
    if not scope:
        raise KeyMissing(f"provider {provider.name!r} uses Entra ID, and neither it nor its dialect has a token scope")
    if provider.source != Provider.Source.ENVIRONMENT and not may_be_scope(scope):
        raise KeyMissing(f"provider {provider.name!r}: token scope {scope!r} is not among PROVIDER_TOKEN_SCOPES")
    credentials = _credentials.setdefault(asyncio.get_running_loop(), {})
    if scope not in credentials:
        credentials[scope] = EntraCredential(scope)
    return credentials[scope]


def _http(kind: str) -> httpx.AsyncClient:
    """One pool per event loop: connections of one loop are of no use in another."""
    pools = _https.setdefault(asyncio.get_running_loop(), {})
    if kind not in pools:
        pools[kind] = httpx.AsyncClient(transport=OfflineTransport()) if kind == "offline" else open_http()
    return pools[kind]


async def close() -> None:
    """Close this loop's connections, at shutdown and at the end of a test."""
    loop = asyncio.get_running_loop()
    for http in _https.pop(loop, {}).values():
        await http.aclose()
    for credential in _credentials.pop(loop, {}).values():
        await credential.close()


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
    """What the variables describe. A group counts when its endpoint or key is there. ValueError is a sentence."""
    found = []
    if environ.get("AZURE_OPENAI_ENDPOINT"):
        found.append(
            EnvironmentProvider(
                name="Azure OpenAI",
                dialect="azure",
                base_url=environ["AZURE_OPENAI_ENDPOINT"],
                **_key_or_tokens(environ, "AZURE_OPENAI"),
                models=_names(environ.get("AZURE_OPENAI_DEPLOYMENTS", "")),
                url_variable="AZURE_OPENAI_ENDPOINT",
                models_variable="AZURE_OPENAI_DEPLOYMENTS",
            )
        )
    if environ.get("FOUNDRY_ENDPOINT"):
        found.append(
            EnvironmentProvider(
                name="Microsoft Foundry",
                dialect="foundry",
                base_url=environ["FOUNDRY_ENDPOINT"],
                **_key_or_tokens(environ, "FOUNDRY"),
                models=_names(environ.get("FOUNDRY_MODELS", "")),
                url_variable="FOUNDRY_ENDPOINT",
                models_variable="FOUNDRY_MODELS",
            )
        )
    if environ.get("OPENAI_API_KEY"):
        found.append(
            EnvironmentProvider(
                name="OpenAI",
                dialect="openai",
                base_url=environ.get("OPENAI_BASE_URL") or "https://api.openai.com/v1/",
                auth=Provider.Auth.KEY,
                key_variable="OPENAI_API_KEY",
                models=_names(environ.get("OPENAI_MODELS", "gpt-5-mini,gpt-5,gpt-4.1")),
                url_variable="OPENAI_BASE_URL",
                models_variable="OPENAI_MODELS",
            )
        )
    if environ.get("RESPONSES_BASE_URL"):
        has_key = bool(environ.get("RESPONSES_API_KEY"))
        found.append(
            EnvironmentProvider(
                name=environ.get("RESPONSES_NAME", "").strip() or "Responses API",
                dialect=environ.get("RESPONSES_DIALECT") or "generic",
                base_url=environ["RESPONSES_BASE_URL"],
                auth=Provider.Auth.KEY if has_key else Provider.Auth.NONE,
                key_variable="RESPONSES_API_KEY" if has_key else "",
                models=_names(environ.get("RESPONSES_MODELS", "")),
                url_variable="RESPONSES_BASE_URL",
                models_variable="RESPONSES_MODELS",
            )
        )
    if environ.get("LOCAL_BASE_URL"):  # set by `serve --local`, for the model that it has started
        found.append(
            EnvironmentProvider(
                name=LOCAL_NAME,
                dialect="llamacpp",
                base_url=environ["LOCAL_BASE_URL"],
                auth=Provider.Auth.KEY,
                key_variable="LOCAL_API_KEY",
                models=_names(environ.get("LOCAL_MODELS", "")),
                url_variable="LOCAL_BASE_URL",
                models_variable="LOCAL_MODELS",
            )
        )
    return found


class _Auth(TypedDict):
    auth: Provider.Auth
    key_variable: str
    token_scope: str


def _key_or_tokens(environ: Mapping[str, str], group: str) -> _Auth:
    """How a group of Azure's signs in: by a key unless it says `entra`."""
    variable = f"{group}_AUTH"
    match environ.get(variable, "").strip().lower():
        case "" | "key":
            return {"auth": Provider.Auth.KEY, "key_variable": f"{group}_API_KEY", "token_scope": ""}
        case "entra":
            scope = environ.get(f"{group}_TOKEN_SCOPE", "").strip()
            return {"auth": Provider.Auth.ENTRA, "key_variable": "", "token_scope": scope}
        case other:
            raise ValueError(f"{variable} is {other!r}. Set it to key or entra.")


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
    _refuse_long(
        f"{spec.url_variable.removesuffix('_ENDPOINT')}_TOKEN_SCOPE", spec.token_scope, Provider, "token_scope"
    )
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
            "auth": spec.auth,
            "key_variable": spec.key_variable,
            "token_scope": spec.token_scope,
            "source": Provider.Source.ENVIRONMENT,
            "enabled": True,
        },
    )
    for name in spec.models:
        Deployment.objects.update_or_create(provider=provider, name=name, defaults={"enabled": True})
    provider.deployments.exclude(name__in=spec.models).update(enabled=False, is_default=False)


def _refuse_long(variable: str, value: str, model: type[Provider | Deployment], field: str = "name") -> None:
    most: int = getattr(model._meta.get_field(field), "max_length", None) or 0
    if len(value) > most:
        raise ValueError(f"{variable} has a {field.replace('_', ' ')} of {len(value)} characters; {most} fit.")


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
        provider=embedded,
        name=OFFLINE_MODEL,
        defaults={"label": "Embedded engine (no model)", "code_interpreter": True, "image_generation": True},
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
