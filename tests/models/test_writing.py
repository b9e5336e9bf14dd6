"""Rows that are written with few words: as a query set's update, and nothing beyond it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime

import pytest

from chat.models import Response, Status, User
from chat.models.conversations import LIVE
from chat.models.writing import update_rows
from tests.rows import make_conversation, make_turn

pytestmark = pytest.mark.django_db

NOW = datetime(2026, 3, 31, 23, 30, tzinfo=UTC)
MINE, THEIRS = uuid.uuid4(), uuid.uuid4()


def response(alice: User, owner: uuid.UUID, status: Status = Status.IN_PROGRESS) -> Response:
    turn = make_turn(make_conversation(alice), "Why?", "Because.", status=status)
    row = turn.responses.get()
    Response.objects.filter(pk=row.pk).update(owner=owner, status=status)
    return row


def test_each_kind_of_value_is_stored_as_a_query_set_stores_it(alice: User) -> None:
    rows = [response(alice, MINE) for _ in range(2)]
    values = [
        {
            "output": [{"text": f"ä%s' {n}"}],
            "usage": None,
            "owner": THEIRS,
            "heartbeat_at": NOW,
            "store": False,
            "cursor": n,
        }
        for n in range(2)
    ]
    assert update_rows(Response, [row.pk for row in rows], values) == 2
    written = [
        dict(zip(values[0], kept, strict=True)) for kept in Response.objects.order_by("pk").values_list(*values[0])
    ]
    assert written == values
    assert Response.objects.filter(usage__isnull=True).count() == 2


def test_only_what_holds_is_written_and_counted(alice: User) -> None:
    mine, theirs, over = response(alice, MINE), response(alice, THEIRS), response(alice, MINE, Status.CANCELLED)
    values = [{"text": "new"}] * 3
    written = update_rows(Response, [mine.pk, theirs.pk, over.pk], values, {"owner": (MINE,), "status": LIVE})
    assert written == 1
    assert list(Response.objects.filter(text="new")) == [mine]
