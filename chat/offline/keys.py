"""Who may ask: a key in the header of the dialect, or where Azure is spoken a token of Microsoft Entra's form."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import time
from collections.abc import Mapping

from .wires import Wire, expired_token, unauthorized


def check_key(headers: Mapping[str, str], key: str | None, wire: Wire) -> None:
    """Raise WireError for a request without the key. Tokens are believed until they expire: nobody signs here."""
    if key is None:
        return
    bearer = headers.get("authorization", "").removeprefix("Bearer ").strip()
    given = (headers.get("api-key") if wire.api_key_header else None) or bearer
    if secrets.compare_digest(given.encode(), key.encode()):
        return
    expires = _expiry_of_token(given) if wire.api_key_header else None
    if expires is None:
        raise unauthorized(wire)
    if expires <= time.time():
        raise expired_token(wire)


def _expiry_of_token(token: str) -> float | None:
    """When the token expires; None: it is none."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
    except (ValueError, binascii.Error):
        return None
    expires = claims.get("exp") if isinstance(claims, dict) else None
    return float(expires) if isinstance(expires, int | float) else None
