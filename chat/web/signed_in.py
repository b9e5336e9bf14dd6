"""Who opened a socket. Takes the place of Channels' own middleware, which is made for consumers that use the session.

That keeps session and person behind proxies and looks at the session again with each frame that is sent: a third of
what sending costs, and memory for as long as the page is open. A socket reads the session once and stores nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from channels.auth import get_user
from django.conf import settings
from django.http import parse_cookie


class SignedIn:
    """Put `user` and `session_key` into the scope."""

    def __init__(self, application: Any) -> None:
        self.application = application

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        key = _cookies(scope).get(settings.SESSION_COOKIE_NAME)
        session = import_module(settings.SESSION_ENGINE).SessionStore(key)
        user = await get_user({"session": session})
        await self.application({**scope, "user": user, "session_key": session.session_key}, receive, send)


def _cookies(scope: Any) -> dict[str, str]:
    found = next((value for name, value in scope["headers"] if name == b"cookie"), b"")
    return parse_cookie(found.decode("latin-1"))
