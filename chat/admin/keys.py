"""Tells keys from names of variables, so that a key pasted into the wrong field is neither stored nor shown again.

And says whether this process can sign in at a provider, without a look at what it signs in with.
"""

from __future__ import annotations

import importlib.util
import os
import re

from django.conf import settings

from chat.engines import may_hold_key
from chat.models import Provider

# Beginnings that vendors give their keys, and a JSON Web Token's.
_VENDOR = re.compile(r"\b(?:sk|pk|rk|gsk|hf|ghp|xai|nvapi|tgp|AIza|eyJ)[-_A-Za-z0-9]{14,}")
_SCHEME = re.compile(r"\b(?:Bearer|Basic)\s+\S{8,}", re.IGNORECASE)
_RUN = re.compile(r"[A-Za-z0-9+/=]{20,}")
_SECRET_HEADER = re.compile(r"authorization|cookie|api-?key|subscription-key|token|secret|password", re.IGNORECASE)

# Variables with secrets of the server itself. A provider that named one would be sent its value.
SERVER_SECRETS = frozenset({"SECRET_KEY", "DATABASE_URL", "REDIS_URL"})


def looks_like_a_key(name: str) -> bool:
    """True for what is rather the key than the name of a variable that holds it."""
    if _VENDOR.search(name) and not name.isupper():
        return True
    return any(len(run) >= 32 or _is_mixed(run) for run in _RUN.findall(name))


def holds_a_key(text: str) -> bool:
    """True for text with a key in it. Ids of organisations and projects (24 characters) pass."""
    if _VENDOR.search(text) or _SCHEME.search(text):
        return True
    return any(len(run) >= 32 and _is_mixed(run) for run in _RUN.findall(text))


def is_secret_header(name: str) -> bool:
    return bool(_SECRET_HEADER.search(name))


def _is_mixed(run: str) -> bool:
    return any(char.isdigit() for char in run) and any(char.isalpha() for char in run)


# Whether this process can sign in


def allowed_variables() -> str:
    """The names that a provider made in the admin may give, for a sentence."""
    patterns = settings.PROVIDER_KEY_VARIABLES
    return ", ".join(patterns) if patterns else "no variables at all"


def key_problem(provider: Provider) -> str:
    """Why this process cannot sign in at the provider, in a few words; empty when nothing is known against it."""
    if provider.auth == Provider.Auth.NONE:
        return ""
    if provider.auth == Provider.Auth.ENTRA:
        return "" if has_identity_package() else "The package azure-identity is not installed on this server"
    if not provider.key_variable:
        return "No variable named"
    if provider.source == Provider.Source.ADMIN and not may_hold_key(provider.key_variable):
        return f"Not allowed on this server: {provider.key_variable}"
    return "" if os.environ.get(provider.key_variable, "").strip() else "Not set on this server"


def sign_in_words(provider: Provider) -> str:
    """How it signs in, where nothing is known against it."""
    match provider.auth:
        case Provider.Auth.NONE:
            return "Not needed"
        case Provider.Auth.ENTRA:
            return "Tokens of Entra ID; azure-identity is installed"
        case _:
            return "Set on this server"


def has_identity_package() -> bool:
    try:
        return importlib.util.find_spec("azure.identity") is not None
    except ModuleNotFoundError:  # not even the package above it
        return False
