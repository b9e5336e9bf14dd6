"""What has to be in the database at once, since the process may be killed in the next moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from chat.conversations.ask import Asked
from chat.models import Deployment, Response
from chat.turns import run
from chat.turns.writer import WRITE_SECONDS, pause_after
from tests.turns.test_run import shown, stored
from tests.upstream import Reply, Upstream, text_events

pytestmark = pytest.mark.django_db(transaction=True)

WHOLE = text_events(["Be", "cause", " it", " is."])


@pytest.mark.parametrize("background", [True, False])
async def test_an_answer_in_the_background_is_shown_when_its_id_is_stored(
    background: bool, upstream: Callable[..., Upstream], put: Callable[..., Asked]
) -> None:
    """By its id alone it can be fetched. Elsewhere it comes with the writer's next round, and the text does, too."""
    await Deployment.objects.aupdate(background=background)
    gate = asyncio.Event()
    upstream(Reply(events=WHOLE, gates={5: gate}))
    asked = await stored(put)
    run.start(asked)
    await shown(asked, "Because")
    row = await Response.objects.aget(pk=asked.response.pk)
    assert row.response_id == ("resp_1" if background else "")
    gate.set()
    await run.wait_for(asked.turn.pk)


def test_rounds_of_the_writer_begin_in_time_though_they_take_some() -> None:
    """What waits for the end of a round, and then for the whole pause, is more than the second that may be lost."""
    assert pause_after(0.0) == WRITE_SECONDS
    assert 0.25 + pause_after(0.25) == pytest.approx(WRITE_SECONDS)
    assert pause_after(60.0) == WRITE_SECONDS / 2
