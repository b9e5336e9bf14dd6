"""A request's way through the middleware, in one thread."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase
from django.utils.decorators import sync_only_middleware


@sync_only_middleware
def in_one_thread(get_response: Callable[[HttpRequest], HttpResponseBase]) -> Callable[[HttpRequest], HttpResponseBase]:
    """Does nothing but being synchronous, innermost: then those around it are, too.

    Otherwise each of them that has two forms would take the asynchronous one, whose work is done in a thread all the
    same: with a dozen ways there and back that cost more than the middleware itself.
    """
    return get_response
