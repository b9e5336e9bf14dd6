"""Of many who ask at once a few are let in at a time, and who is slow to ask holds nobody up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.testing import ApplicationCommunicator
from django.conf import settings

from chat.turns import lifecycle, line
from chatsite import thread
from chatsite.asgi import application
from chatsite.door import admitted

MANY = 5 * line.QUESTIONS_AT_ONCE

SCOPE = {
    "type": "http",
    "asgi": {"version": "3.0"},
    "http_version": "1.1",
    "method": "POST",
    "path": "/ask/",
    "query_string": b"",
    "headers": [(b"host", b"localhost")],
    "server": ("localhost", 80),
}

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
async def ended() -> AsyncIterator[None]:
    yield
    await lifecycle.end()


def asking() -> ApplicationCommunicator:
    """Somebody who posts to where questions go. They get no further than that: nobody is signed in, and no form has a token."""
    return ApplicationCommunicator(application, dict(SCOPE))


async def send_to(person: ApplicationCommunicator, body: bytes = b"", *, more: bool = False) -> None:
    await person.send_input({"type": "http.request", "body": body, "more_body": more})


async def answered(person: ApplicationCommunicator) -> int:
    begun = await person.receive_output(timeout=30)
    while (await person.receive_output(timeout=30))["more_body"]:
        pass
    await person.wait(timeout=30)
    return int(begun["status"])


async def test_however_many_ask_at_once_few_threads_are_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []

    def begin(**details: Any) -> ThreadPoolExecutor:
        begun.append(ThreadPoolExecutor(**details))
        return begun[-1]

    monkeypatch.setattr(thread, "_idle", [])
    monkeypatch.setattr(thread, "ThreadPoolExecutor", begin)
    people = [asking() for _ in range(MANY)]
    for person in people:
        await send_to(person)
    assert set(await asyncio.gather(*map(answered, people))) == {403}
    assert 0 < len(begun) <= 3 * line.QUESTIONS_AT_ONCE  # who has an answer leaves the line before the thread
    for executor in begun:
        executor.shutdown()


async def leave(people: list[ApplicationCommunicator]) -> None:
    for person in people:
        await person.send_input({"type": "http.disconnect"})
    await asyncio.gather(*(person.wait(timeout=30) for person in people))


async def test_who_is_slow_to_ask_is_not_in_line_yet() -> None:
    slow = [asking() for _ in range(MANY)]
    for person in slow:
        await send_to(person, b"question=Wh", more=True)
    ready = asking()
    await send_to(ready)
    assert await answered(ready) == 403
    assert line.questions.waiting == 0
    await leave(slow)


async def test_who_sends_more_than_a_question_has_is_in_no_line() -> None:
    large = [asking() for _ in range(line.QUESTIONS_AT_ONCE)]
    for person in large:
        await send_to(person, bytes(settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1), more=True)
    ready = asking()
    await send_to(ready)
    assert await answered(ready) == 403
    await leave(large)


async def test_what_was_read_at_the_door_is_read_once_more() -> None:
    pieces: list[dict[str, Any]] = [
        {"type": "http.request", "body": b"question=", "more_body": True},
        {"type": "http.request", "body": b"Why?", "more_body": False},
        {"type": "http.disconnect"},
    ]
    left = iter(pieces)

    async def receive() -> dict[str, Any]:
        return next(left)

    async def send(message: dict[str, Any]) -> None:
        raise AssertionError

    async with admitted({"method": "POST", "path": "/c/1/ask/"}, receive, send) as (read, _):
        assert await read() == {"type": "http.request", "body": b"question=Why?", "more_body": False}
        assert await read() == {"type": "http.disconnect"}


async def test_who_is_slow_to_read_the_answer_holds_nobody_up() -> None:
    """A server may wait with each piece of it."""
    all_send, goes_on = asyncio.Event(), asyncio.Event()
    sending = []

    async def send(message: dict[str, Any]) -> None:
        sending.append(message)
        if len(sending) == line.QUESTIONS_AT_ONCE:
            all_send.set()
        await goes_on.wait()

    async def ask() -> None:
        left = iter([{"type": "http.request", "body": b"", "more_body": False}])

        async def receive() -> dict[str, Any]:
            if (message := next(left, None)) is None:
                await goes_on.wait()
            return message or {"type": "http.disconnect"}

        await application(dict(SCOPE), receive, send)

    async with asyncio.TaskGroup() as slow:
        for _ in range(line.QUESTIONS_AT_ONCE):
            slow.create_task(ask())
        async with asyncio.timeout(30):
            await all_send.wait()
        ready = asking()
        await send_to(ready)
        try:
            assert await answered(ready) == 403
        finally:
            goes_on.set()
