"""Text that a database may refuse (PostgreSQL takes no NUL, nothing takes half an emoji) ends no run and costs no answer."""

from __future__ import annotations

from typing import Any

import pytest

from chat.models import Status
from tests.turns.test_run import Put, Script, answer, stored
from tests.upstream import Reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

HALF = "\ud83d"  # of an emoji that the provider cut in two


def renamed(events: list[dict[str, Any]], model: str) -> list[dict[str, Any]]:
    return [
        {**each, "response": {**each["response"], "model": model}} if "response" in each else each for each in events
    ]


@pytest.mark.parametrize("is_whole", [True, False])
async def test_what_no_database_takes_is_stored_as_a_mark(upstream: Script, put: Put, is_whole: bool) -> None:
    upstream(Reply(events=text_events(["A\0B", " emoji ", HALF], done=is_whole)), dialect="ofox")
    response = await answer(await stored(put))
    assert response.status == (Status.COMPLETED if is_whole else Status.INTERRUPTED)
    assert response.text.startswith("A\ufffdB emoji")
    assert HALF not in response.text


async def test_neither_an_id_nor_a_model_nor_a_refusal_with_a_nul_ends_the_run(upstream: Script, put: Put) -> None:
    error = {"error": {"message": "no\0thing", "type": "t\0", "code": "c\0", "param": "p\0"}}
    upstream(
        Reply(events=renamed(text_events(["Yes."], response_id="resp\0_1"), "m\0")),
        Reply(status=400, body=error),
    )
    first = await answer(await stored(put))
    assert (first.status, first.text) == (Status.COMPLETED, "Yes.")
    second = await answer(await stored(put, "And?", first.turn.conversation))
    assert second.status == Status.FAILED
    assert "\0" not in str(second.error)
