"""Where requests and sockets come in. Any ASGI server can run `chatsite.asgi:application`."""

import os
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
django.setup(set_prefix=False)  # Loads the apps: what is imported below needs them.

from channels.routing import ProtocolTypeRouter, URLRouter

from chat.turns import garbage, lifecycle
from chat.web.origin import OwnPagesOnly
from chat.web.routing import websocket_urlpatterns
from chat.web.signed_in import SignedIn
from chatsite.door import admitted
from chatsite.pages import Pages


async def lifespan(scope: Any, receive: Any, send: Any) -> None:
    """Begin and end with the server, for those that tell (uvicorn, granian, hypercorn; not daphne)."""
    while True:
        event = (await receive())["type"]
        if event == "lifespan.startup":
            lifecycle.begin()
        else:
            await lifecycle.end()
        await send({"type": f"{event}.complete"})
        if event == "lifespan.shutdown":
            return


lifecycle.install()  # Daphne's end.
garbage.set_aside()

routes = ProtocolTypeRouter(
    {
        "http": Pages(),
        # A socket carries no CSRF token; its Origin is the check, and comes before the session is read.
        "websocket": OwnPagesOnly(SignedIn(URLRouter(websocket_urlpatterns))),
        "lifespan": lifespan,
    }
)


async def application(scope: Any, receive: Any, send: Any) -> None:
    """Route; daphne announces no beginning, so the first request is one."""
    if scope["type"] != "lifespan":
        lifecycle.begin()
    if scope["type"] != "http":
        await routes(scope, receive, send)
        return
    async with admitted(scope, receive, send) as (read, answer):
        await routes(scope, read, answer)
