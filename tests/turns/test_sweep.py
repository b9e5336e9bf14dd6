"""Runs whose process died are closed once, as interrupted, with their text."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import timedelta

import pytest
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
