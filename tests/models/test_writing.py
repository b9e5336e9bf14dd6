"""Rows that are written with few words: as a query set's update or a row's save, and nothing beyond it."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.db import IntegrityError, connection, models, transaction
from django.db.models.signals import post_save, pre_save
from django.db.models.sql.compiler import SQLCompiler, SQLInsertCompiler
from django.test.utils import CaptureQueriesContext

from chat.models import Conversation, Response, Status, Turn, User
from chat.models.conversations import LIVE
from chat.models.writing import insert_row, update_rows
from tests.rows import make_conversation, make_deployment, make_turn

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


def stored(row: models.Model) -> dict[str, Any]:
    [found] = type(row)._base_manager.filter(pk=row.pk).values()
    return found


def new_rows(alice: User, *, is_full: bool) -> list[models.Model]:
    """One of each kind that comes with a question, with all that it can hold or with next to nothing."""
    conversation = make_conversation(alice)
    turn = make_turn(conversation)
    if not is_full:
        return [Conversation(owner=alice), Turn(conversation=conversation), Response(turn=turn, order=1)]
    return [
        Conversation(
            owner=alice,
            title="' OR %s %% \"",
            instructions="ä\u2028\U0001f600",
            background=False,
            deployment=make_deployment("m"),
            head=turn,
            created_at=NOW,
            last_activity_at=NOW,
            deleted_at=NOW,
        ),
        Turn(conversation=conversation, parent=turn, question="%(x)s", summary={"kind": "%s"}, created_at=NOW),
        Response(
            turn=turn,
            order=7,
            store=False,
            input=[{"a": None}],
            output=["ä", "%s", 1.5],
            usage={},
            cost=Decimal("0.1234567"),
            cursor=2**62,
            owner=MINE,
            heartbeat_at=NOW,
            created_at=NOW,
            finished_at=NOW,
        ),
    ]


@pytest.mark.parametrize("is_full", [True, False])
def test_a_row_is_stored_as_its_save_stores_it(alice: User, is_full: bool) -> None:
    for row in new_rows(alice, is_full=is_full):
        with CaptureQueriesContext(connection) as queries:
            insert_row(row)
        assert [query["sql"].split()[0] for query in queries] == ["INSERT"]
        assert (row._state.adding, row._state.db) == (False, "default")
        written = stored(row)
        # Once more, as Django does it, with the same key.
        row.delete()
        row.pk = written["id"]
        row._state.adding = True
        row.save(force_insert=True)
        assert written == stored(row)
        row.delete()


def test_a_key_that_is_given_is_kept(alice: User) -> None:
    turn = Turn(pk=4711, conversation=make_conversation(alice))
    insert_row(turn)
    assert turn.pk == 4711
    assert Turn.objects.filter(pk=4711).exists()


def test_the_second_row_compiles_nothing(alice: User, monkeypatch: pytest.MonkeyPatch) -> None:
    insert_row(Conversation(owner=alice))

    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("compiled")

    for compiler in (SQLCompiler, SQLInsertCompiler):
        monkeypatch.setattr(compiler, "as_sql", refused)
    insert_row(Conversation(owner=alice))
    with pytest.raises(AssertionError, match="compiled"):
        Conversation(owner=alice).save()


def test_who_waits_for_rows_hears_of_them_as_of_a_save(alice: User) -> None:
    heard: list[dict[str, Any]] = []

    def hear(**told: Any) -> None:
        heard.append({**told, "signal": told["signal"] is post_save, "instance": told["instance"].pk})

    for signal in (pre_save, post_save):
        signal.connect(hear, sender=Conversation)
    try:
        mine = Conversation(owner=alice)
        insert_row(mine)
        theirs = Conversation(owner=alice)
        theirs.save(force_insert=True)
    finally:
        for signal in (pre_save, post_save):
            signal.disconnect(hear, sender=Conversation)
    assert len(heard) == 4
    assert [{**told, "instance": theirs.pk} for told in heard[:2]] == heard[2:]
    assert {told["instance"] for told in heard[:2]} == {mine.pk}


def test_a_row_of_what_is_not_stored_is_refused_as_by_save() -> None:
    with pytest.raises(ValueError, match="unsaved related object"):
        insert_row(Conversation(owner=User(username="nobody")))


def test_what_the_database_refuses_spoils_the_transaction_as_with_save(alice: User) -> None:
    conversation, key = make_conversation(alice), uuid.uuid4()
    insert_row(Turn(conversation=conversation, idempotency_key=key))
    with transaction.atomic():
        again = Turn(conversation=conversation, idempotency_key=key)
        with pytest.raises(IntegrityError):
            insert_row(again)
        assert connection.needs_rollback
        assert (again.pk, again._state.adding) == (None, True)
        # As otherwise Django does, when the block is left.
        transaction.set_rollback(True)
    assert Turn.objects.filter(conversation=conversation).count() == 1
