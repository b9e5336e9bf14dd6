"""Where requests and sockets come in. Any ASGI server can run `chatsite.asgi:application`."""

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
pages = get_asgi_application()  # Loads the apps: what is imported below needs them.

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from channels.security.websocket import AllowedHostsOriginValidator

from chat.web.routing import websocket_urlpatterns

application = ProtocolTypeRouter(
    {
        "http": pages,
        # A socket carries no CSRF token; its Origin is the check, and comes before the session is read.
        "websocket": AllowedHostsOriginValidator(AuthMiddlewareStack(URLRouter(websocket_urlpatterns))),
    }
)
