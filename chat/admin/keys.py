"""Tells keys from names of variables, so that a key pasted into the wrong field is neither stored nor shown again."""

from __future__ import annotations

import re

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
