"""The application under servers that are not ours."""

from __future__ import annotations

import pytest
from asgiref.testing import ApplicationCommunicator

from chat.turns import lifecycle
from chatsite.asgi import application


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
