"""Where requests and sockets come in. Any ASGI server can run `chatsite.asgi:application`."""

import os
from typing import Any

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
pages = get_asgi_application()  # Loads the apps: what is imported below needs them.

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from chat.turns import lifecycle
from chat.web.routing import websocket_urlpatterns

routes = ProtocolTypeRouter(
    {
        "http": pages,
        # A socket carries no CSRF token; its Origin is the check, and comes before the session is read.
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)

lifecycle.install()


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Route, and see to it that this process's writer and sweep run from the first request on."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
        return
    lifecycle.begin()
    await routes(scope, receive, send)


async def lifespan(receive: Any, send: Any) -> None:
    """Begin and end as servers other than daphne announce them."""
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            lifecycle.begin()
            await send({"type": "lifespan.startup.complete"})
        else:
            await lifecycle.end()
            await send({"type": "lifespan.shutdown.complete"})
            return
