"""The application under servers that are not ours, and how often a request goes to its thread."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import pytest
from asgiref.current_thread_executor import CurrentThreadExecutor
from asgiref.sync import sync_to_async
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.core.signals import request_started
from django.db import close_old_connections, reset_queries
from django.urls import reverse

from chat.models import User
from chat.turns import lifecycle, run
from chatsite.asgi import application
from tests.conftest import signed_in
from tests.rows import form, make_deployment


@pytest.fixture(autouse=True)
async def ended() -> AsyncIterator[None]:
    yield
    await lifecycle.end()


@pytest.mark.django_db(transaction=True)
async def test_a_server_that_tells_of_its_start_and_end_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = []
    begin, end = lifecycle.begin, lifecycle.end

    async def note_end() -> None:
        heard.append("end")
        await end()

    monkeypatch.setattr(lifecycle, "begin", lambda: (heard.append("begin"), begin()))
    monkeypatch.setattr(lifecycle, "end", note_end)
    server = ApplicationCommunicator(application, {"type": "lifespan", "asgi": {"version": "3.0"}})
    await server.send_input({"type": "lifespan.startup"})
    assert await server.receive_output() == {"type": "lifespan.startup.complete"}
    assert heard == ["begin"]
    await server.send_input({"type": "lifespan.shutdown"})
    assert await server.receive_output() == {"type": "lifespan.shutdown.complete"}
    await server.wait()
    assert heard == ["begin", "end"]


@pytest.mark.parametrize("name", ["conversations", "file"])
@pytest.mark.django_db(transaction=True)
async def test_a_request_goes_to_its_thread_once_and_once_to_be_closed(
    name: str, alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for an asynchronous view, as "file" is."""
    scope = await scope_of(
        alice, reverse(name, args=["00000000-0000-4000-8000-000000000000"] if name == "file" else [])
    )
    ways = []
    submit = ThreadPoolExecutor.submit

    def count(executor: ThreadPoolExecutor, function: Any, *args: Any, **kwargs: Any) -> Any:
        if "request" in executor._thread_name_prefix:
            ways.append(function)
        return submit(executor, function, *args, **kwargs)

    for at_first in (close_old_connections, reset_queries):  # Django's tests connect them again, as no server does
        request_started.disconnect(at_first)
    monkeypatch.setattr(ThreadPoolExecutor, "submit", count)
    server = ApplicationCommunicator(application, scope)
    await server.send_input({"type": "http.request", "body": b"", "more_body": False})
    begun = await server.receive_output()
    assert begun["status"] == (404 if name == "file" else 200)
    assert (await server.receive_output())["more_body"] is False
    await server.wait()
    assert len(ways) == 2


@pytest.mark.django_db(transaction=True)
async def test_a_question_comes_back_to_its_thread_from_the_loop_once(
    alice: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To be stored. What is shown of it is rendered when all is done there."""
    await sync_to_async(make_deployment)()
    monkeypatch.setattr(run, "start", lambda asked: None)
    scope = await scope_of(alice, reverse("ask"), method="POST")
    scope["headers"].append((b"content-type", b"application/x-www-form-urlencoded"))
    ways = []
    submit = CurrentThreadExecutor.submit

    def count(executor: CurrentThreadExecutor, function: Any, *args: Any, **kwargs: Any) -> Any:
        ways.append(function)
        return submit(executor, function, *args, **kwargs)

    monkeypatch.setattr(CurrentThreadExecutor, "submit", count)
    server = ApplicationCommunicator(application, scope)
    await server.send_input({"type": "http.request", "body": urlencode(form()).encode(), "more_body": False})
    assert (await server.receive_output())["status"] == 302
    assert (await server.receive_output())["more_body"] is False
    await server.wait()
    assert len(ways) == 1


async def scope_of(person: User, path: str, method: str = "GET") -> dict[str, Any]:
    """A request of somebody who is signed in."""
    browser = await sync_to_async(signed_in)(person)
    session, token = browser.cookies[settings.SESSION_COOKIE_NAME].value, "t" * 32
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "query_string": b"",
        "headers": [
            (b"host", b"localhost"),
            (b"cookie", f"{settings.SESSION_COOKIE_NAME}={session}; {settings.CSRF_COOKIE_NAME}={token}".encode()),
            (b"x-csrftoken", token.encode()),
        ],
        "server": ("localhost", 80),
    }
