"""Django's pages, with as few ways as can be between the event loop and the thread of a request.

Beside hundreds of streams each way there and back is a wait for the interpreter. Of the CPU time of a question they are
too little to be measured.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIHandler
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries
from django.http import HttpRequest, HttpResponseBase


class Pages(ASGIHandler):
    """All middleware, and a view that is not asynchronous, in one go in the thread; an asynchronous view on the loop."""

    _middleware_chain: Callable[[HttpRequest], Any]

    def load_middleware(self, is_async: bool = False) -> None:
        """As for a synchronous server: otherwise Django goes to the thread for each that has something to say of a view."""
        super().load_middleware(is_async=False)
        answer = self._middleware_chain
        # What they do belongs to the thread as well, and goes there with the rest.
        for at_first in (close_old_connections, reset_queries):
            request_started.disconnect(at_first)

        def answered(request: HttpRequest) -> HttpResponseBase:
            reset_queries()
            close_old_connections()
            response: HttpResponseBase = answer(request)
            return response

        self._middleware_chain = sync_to_async(answered, thread_sensitive=True)
