"""Sign-in links, as commands print them."""

from __future__ import annotations

from django.urls import reverse

from chat.models import User


def link_for(user: User, address: str) -> str:
    return f"{address}{reverse('signin', args=[user.signin_token()])}"


def plain_address(host: str, port: int) -> str:
    """Where a browser on this machine finds the server, without a trailing slash."""
    if host in ("0.0.0.0", "::", ""):
        host = "localhost"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
