"""Runs whose process died are closed once, as interrupted, with their text."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
from asgiref.sync import sync_to_async
from django.db import OperationalError
from django.utils import timezone

from chat.conversations.ask import Asked
from chat.models import Response, Status
from chat.turns import sweep

pytestmark = pytest.mark.django_db(transaction=True)

OUTPUT = [{"type": "message", "content": [{"type": "output_text", "text": "Half an answer"}]}]


def silent(asked: Asked, seconds: float) -> Response:
    """As if the process that runs it had been silent for so long."""
    Response.objects.filter(pk=asked.response.pk).update(
        owner=uuid.uuid4(),
        heartbeat_at=timezone.now() - timedelta(seconds=seconds),
        status=Status.IN_PROGRESS,
        output=OUTPUT,
    )
    return Response.objects.get(pk=asked.response.pk)


def test_a_silent_run_is_interrupted_and_keeps_its_text(put: Callable[..., Asked]) -> None:
    response = silent(put(), sweep.LEASE_SECONDS + 1)
    assert sweep.sweep() == []
    response.refresh_from_db()
    assert (response.status, response.text) == (Status.INTERRUPTED, "Half an answer")
    assert (response.turn.status, response.finished_at is not None) == (Status.INTERRUPTED, True)


def test_a_run_with_a_fresh_heartbeat_is_left_alone(put: Callable[..., Asked]) -> None:
    response = silent(put(), sweep.LEASE_SECONDS - 5)
    assert sweep.sweep() == []
    response.refresh_from_db()
    assert response.status == Status.IN_PROGRESS


def test_a_run_of_this_process_is_left_alone(put: Callable[..., Asked]) -> None:
    response = silent(put(), sweep.LEASE_SECONDS + 1)
    assert sweep.sweep([response.turn_id]) == []
    response.refresh_from_db()
    assert response.status == Status.IN_PROGRESS


def test_a_question_whose_process_died_before_the_run_began_is_closed_too(put: Callable[..., Asked]) -> None:
    asked = put()
    Response.objects.update(created_at=timezone.now() - timedelta(seconds=sweep.LEASE_SECONDS + 1))
    assert sweep.sweep() == []
    asked.turn.refresh_from_db()
    assert asked.turn.status == Status.INTERRUPTED


def test_of_two_sweeps_one_closes(put: Callable[..., Asked]) -> None:
    response = silent(put(), sweep.LEASE_SECONDS + 1)
    assert sweep.close(response, Status.INTERRUPTED)
    assert not sweep.close(response, Status.INTERRUPTED)


def test_a_run_that_came_back_to_life_is_not_closed(put: Callable[..., Asked]) -> None:
    response = silent(put(), sweep.LEASE_SECONDS + 1)
    Response.objects.filter(pk=response.pk).update(heartbeat_at=timezone.now())
    assert not sweep.close(response, Status.INTERRUPTED)


async def test_after_a_database_was_away_whoever_lives_may_say_so_first(
    put: Callable[..., Asked], monkeypatch: pytest.MonkeyPatch
) -> None:
    response = await sync_to_async(silent)(await sync_to_async(put)(), sweep.LEASE_SECONDS + 1)
    do, deeds = sweep.sweep, []
    swept = asyncio.Event()

    def away_once(spoken_for: object) -> list[sweep.Adopted]:
        deeds.append("sweep")
        if len(deeds) == 1:
            raise OperationalError("the database is away")
        return do()

    async def sleep(seconds: float) -> None:
        if seconds == sweep.GRACE_SECONDS:
            await Response.objects.filter(pk=response.pk).aupdate(heartbeat_at=timezone.now())
            deeds.append("grace")
        elif len(deeds) > 1:
            swept.set()
            await asyncio.Event().wait()

    monkeypatch.setattr(sweep, "sweep", away_once)
    monkeypatch.setattr(sweep.asyncio, "sleep", sleep)
    task = asyncio.get_running_loop().create_task(sweep.run(list, lambda adopted: None))
    await asyncio.wait_for(swept.wait(), 5)
    task.cancel()
    assert deeds == ["sweep", "grace", "sweep"]
    assert (await Response.objects.aget(pk=response.pk)).status == Status.IN_PROGRESS
