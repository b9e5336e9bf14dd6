"""Who may open a socket: the pages of this site, and of the sites that it trusts. Comes before the session is read.

A browser sends cookies along with a socket that any page on the same host opens, whatever its port: another program
on the machine would do. So, as for forms, the page's host and port must be those that the request was sent to.
"""

from __future__ import annotations

import io
from typing import Any
from urllib.parse import SplitResult, urlsplit

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.core.handlers.asgi import ASGIRequest
from django.utils.http import is_same_domain

DEFAULT_PORTS = {"http": 80, "https": 443}


class OwnPagesOnly:
    """Refuse the sockets that other sites' pages open, and those that come from no page."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        admitted = self.application if is_from_own_page(scope) else WebsocketDenier()
        await admitted(scope, receive, send)


def is_from_own_page(scope: Any) -> bool:
    # As Django sees it: X-Forwarded-Host counts where the settings say so, and only allowed hosts do.
    request = ASGIRequest({**scope, "method": "GET"}, io.BytesIO())
    try:
        origin = urlsplit(request.headers.get("Origin", ""))
        return is_trusted(origin) or place_of(origin) == place_of(urlsplit(f"{origin.scheme}://{request.get_host()}"))
    except (DisallowedHost, ValueError):
        return False


def place_of(address: SplitResult) -> tuple[str, int]:
    """Host and port. Not the scheme: a proxy in front may speak another one than the browser."""
    if address.scheme not in DEFAULT_PORTS or not address.hostname:
        raise ValueError("no page of the web")
    return address.hostname, address.port or DEFAULT_PORTS[address.scheme]


def is_trusted(origin: SplitResult) -> bool:
    """Whether CSRF_TRUSTED_ORIGINS names it, as is or by `https://*.example.org`."""
    trusted = (urlsplit(pattern) for pattern in settings.CSRF_TRUSTED_ORIGINS)
    return any(
        origin.scheme == pattern.scheme and is_same_domain(origin.netloc, pattern.netloc.lstrip("*"))
        for pattern in trusted
    )
