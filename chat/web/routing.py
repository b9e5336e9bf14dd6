"""The addresses of sockets."""

from django.urls import path

from chat.web.socket import TabSocket

websocket_urlpatterns = [path("ws/", TabSocket.as_asgi())]
