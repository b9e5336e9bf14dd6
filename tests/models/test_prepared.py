"""Queries with new values alone: the same rows as from the query set that they were made of, and no word compiled."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from threading import Barrier
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.sessions.models import Session
from django.core.exceptions import ValidationError
from django.db import connection, connections, models, transaction
from django.db.models import F
from django.db.models.functions import Length
from django.db.models.sql.compiler import SQLCompiler
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from chat.conversations import ask as asking
from chat.models import Conversation, Deployment, Provider, Response, Status, Turn, User, people, providers
from chat.models.prepared import CannotPrepare, Prepared, field
from chat.models.providers import offers_to
from chat.web import access, sidebar
from chatsite import sessions
from tests.rows import make_conversation, make_deployment, make_turn

pytestmark = pytest.mark.django_db

SPITEFUL = ["' OR '1'='1", "%s", "%", "a%%b", '"; DROP TABLE chat_user; --', "\\", "ä\u2028", ""]
NOW = datetime(2026, 3, 31, 23, 30, 5, 600, tzinfo=UTC)


@pytest.fixture
def world(alice: User, bob: User) -> None:
    """Alice and Bob after a while of use."""
    writers, readers, others = (Group.objects.create(name=name) for name in ("writers", "readers", "others"))
    alice.groups.set([writers, readers])
    bob.groups.set([others])
    for name, groups, fields in [
        ("open", [], {"input_price": Decimal("0.1"), "output_price": Decimal(2), "parameters": {"a": ["ä", None]}}),
        ("both", [writers, readers], {"context_window": 4000}),
        ("hers", [writers, others], {}),
        ("his", [others], {}),
        ("off", [], {"enabled": False}),
    ]:
        make_deployment(name, **fields).groups.set(groups)
    make_deployment("elsewhere", provider="Another")
    make_deployment("gone", provider="Disabled")
    Provider.objects.filter(name="Disabled").update(enabled=False)
    chosen = Deployment.objects.get(name="open")
    for person in (alice, bob):
        for number, status in enumerate(Status.values):
            conversation = Conversation.objects.create(owner=person, title=f"{status} {person}", deployment=chosen)
            make_turn(conversation, "Why?", "", status=Status(status))
            # Some at the same moment, so that the key decides.
            Conversation.objects.filter(pk=conversation.pk).update(
                last_activity_at=NOW - timedelta(days=number // 3),
                deleted_at=NOW if number == 2 else None,
                deployment=None if number == 3 else conversation.deployment,
            )


def plain(row: Any) -> Any:
    """All that there is to a row, and to those that came with it."""
    if not isinstance(row, models.Model):
        return type(row), row
    own = {name: value for name, value in vars(row).items() if name != "_state"}
    related = {name: plain(value) for name, value in row._state.fields_cache.items()}
    return type(row), own, row._state.db, row._state.adding, related


def of_each_person(*more: Any) -> list[tuple[Any, ...]]:
    return [(pk, *more) for pk in (*User.objects.values_list("pk", flat=True), 0, -1)]


def questions() -> Iterator[tuple[str, Prepared[Any], list[tuple[Any, ...]]]]:
    """Each query of the product that is prepared, and what it is asked."""
    turns = list(Turn.objects.values_list("pk", flat=True))
    yield "user", people._by_key, of_each_person()
    yield "offers", providers._offers, of_each_person()
    yield "key", asking._stored, [(uuid.uuid4(),), *Turn.objects.values_list("idempotency_key")]
    yield "live", asking._answering, of_each_person()
    yield "conversation", asking._locked, [(uuid.uuid4(),), *Conversation.objects.values_list("pk")]
    if connection.features.has_select_for_no_key_update:
        yield "person", asking._lock_person, of_each_person()
    pks = list(Conversation.objects.values_list("pk", flat=True))
    yield "visible", access._conversation, [(owner, pk) for (owner,) in of_each_person() for pk in (*pks, uuid.uuid4())]
    yield "status", access._status, [(pk, turn) for (pk,) in of_each_person() for turn in (*turns, 0)]
    for count in (1, 3, 41):
        yield f"newest {count}", sidebar.newest(count), of_each_person()
    moments = [NOW - timedelta(seconds=1), NOW, NOW + timedelta(seconds=1)]
    yield "session", sessions._unexpired, [(key, at) for key in ("k" * 32, *SPITEFUL) for at in moments]


@pytest.mark.usefixtures("world")
def test_each_gives_the_rows_of_its_query_set_in_the_same_order() -> None:
    Session.objects.create(session_key="k" * 32, session_data="x", expire_date=NOW)
    User.objects.filter(username="bob").update(is_active=False)
    for name, prepared, asked in questions():
        answers = [prepared(*values) for values in asked]
        assert [list(map(plain, rows)) for rows in answers] == [
            list(map(plain, prepared.make(*values))) for values in asked
        ], name
        # The premise: some are found, and not by each value.
        assert any(answers), name
        assert len({len(rows) for rows in answers}) > 1, name


@pytest.mark.usefixtures("world")
def test_what_is_offered_is_what_the_persons_own_groups_open(alice: User, bob: User, charlie: User) -> None:
    for person in (alice, bob, charlie):
        assert offers_to(person) == list(Deployment.objects.offered_to(person))
    assert [len(offers_to(person)) for person in (alice, bob, charlie)] == [4, 4, 2]
    with CaptureQueriesContext(connection) as queries:
        assert {row.provider.name for row in offers_to(alice)} == {"Another", "Scripted"}
    assert len(queries) == 1
    alice.groups.clear()
    assert [row.name for row in offers_to(alice)] == [row.name for row in offers_to(charlie)]


@pytest.mark.usefixtures("world")
def test_the_second_time_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    all_questions = list(questions())
    for _, prepared, asked in all_questions:
        prepared(*asked[0])

    def refused(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("compiled")

    monkeypatch.setattr(SQLCompiler, "as_sql", refused)
    for _, prepared, asked in all_questions:
        with CaptureQueriesContext(connection) as queries:
            prepared(*asked[-1])
        assert len(queries) == 1
        with pytest.raises(AssertionError, match="compiled"):
            list(prepared.make(*asked[-1]))


def test_a_value_is_never_a_word_of_the_statement(alice: User) -> None:
    titled = Prepared(lambda title: Conversation.objects.filter(title=title), field(Conversation, "title"))
    for title in SPITEFUL:
        Conversation.objects.create(owner=alice, title=title)
    for title in SPITEFUL:
        assert [row.title for row in titled(title)] == [title]
    assert titled("stand-in 0") == []


def test_a_slot_may_stand_in_several_places_and_beside_constants(alice: User) -> None:
    texts = Prepared(
        lambda text, least: (
            Response.objects.filter(models.Q(text=text) | models.Q(model=text), turn__pk__gte=least, store=True)
            .annotate(length=Length("text"), again=models.Value("20011"))
            .defer("output")
            .order_by("turn__conversation__title", "pk")
        ),
        field(Response, "text"),
        field(Turn, "id"),
    )
    conversation = make_conversation(alice)
    turns = [make_turn(conversation, "Why?", "yes", model=model) for model in ("no", "yes", "no")]
    rows = texts("yes", turns[1].pk)
    assert [plain(row) for row in rows] == [plain(row) for row in texts.make("yes", turns[1].pk)]
    assert [row.turn_id for row in rows] == [turns[1].pk, turns[2].pk]
    assert [row.turn_id for row in texts("no", 0)] == [turns[0].pk, turns[2].pk]
    assert {row.length for row in rows} == {3}
    assert all(row.get_deferred_fields() == {"output"} for row in rows)


def test_lists_of_values_leave_out_what_is_only_ordered_by(alice: User) -> None:
    titles = Prepared(
        lambda owner: (
            Conversation.objects.filter(owner=owner)
            .order_by("created_at")
            .values_list("title", "created_at__year")
            .distinct()
        ),
        field(User, "id"),
    )
    for title, year in [("b", 2001), ("a", 2002)]:
        Conversation.objects.create(owner=alice, title=title, created_at=datetime(year, 5, 5, tzinfo=UTC))
    assert titles(alice.pk) == list(titles.make(alice.pk)) == [("b", 2001), ("a", 2002)]


@pytest.mark.parametrize("pk", [2**63, -(2**63) - 1, 2**200])
def test_a_number_that_no_column_holds_is_not_there(alice: User, pk: int) -> None:
    turns = Prepared(lambda pk: Turn.objects.filter(pk=pk), field(Turn, "id"))
    assert turns(pk) == list(turns.make(pk)) == []
    assert turns(2**63 - 1) == []


def test_wrong_values_are_refused_as_the_query_set_refuses_them() -> None:
    turns = Prepared(lambda key: Turn.objects.filter(idempotency_key=key), field(Turn, "idempotency_key"))
    numbered = Prepared(lambda pk: Turn.objects.filter(pk=pk), field(Turn, "id"))
    for prepared, value, error in [(turns, "no key", ValidationError), (numbered, "x", ValueError)]:
        for ask in (prepared, prepared.make):
            with pytest.raises(error):
                ask(value)
    with pytest.raises(ValueError, match="None"):
        turns(None)
    for values in ((), (uuid.uuid4(), 1)):
        with pytest.raises(ValueError, match="argument"):
            turns(*values)


@pytest.mark.parametrize(
    "make",
    [
        lambda pk: Turn.objects.filter(pk=pk).prefetch_related("responses"),
        lambda pk: Turn.objects.filter(pk=pk).values("pk"),
        lambda pk: Turn.objects.filter(pk=pk).union(Turn.objects.all()),
        lambda pk: User(pk=pk).conversations.all(),
        lambda pk: Turn.objects.all(),
        lambda pk: Turn.objects.filter(pk=pk + 1),
        lambda pk: Turn.objects.filter(pk__in=range(pk % 20_000)),
        lambda pk: Turn.objects.filter(pk=pk, status__in=[]),
        lambda pk: Turn.objects.filter(question__contains=pk),
        lambda pk: Turn.objects.filter(pk__gt=F("pk") + pk)[: pk - 20_000],
    ],
)
def test_what_values_alone_do_not_distinguish_is_refused(make: Any) -> None:
    prepared: Prepared[Any] = Prepared(make, field(Turn, "id"))
    for _ in range(2):
        with pytest.raises(CannotPrepare):
            prepared(1)


def test_a_value_of_another_kind_has_no_stand_in() -> None:
    costly = Prepared(lambda cost: Response.objects.filter(cost__gt=cost), field(Response, "cost"))
    with pytest.raises(CannotPrepare, match="stand-in"):
        costly(Decimal(1))


@pytest.mark.django_db(transaction=True)
def test_threads_share_the_statement_and_nothing_else(alice: User, bob: User) -> None:
    prepared = Prepared(
        lambda owner, at: Conversation.objects.filter(owner=owner, created_at__lte=at).select_related("deployment"),
        field(User, "id"),
        field(Conversation, "created_at"),
    )
    for person in (alice, bob):
        Conversation.objects.create(owner=person, title=str(person))
    people = [alice, bob] * 2  # fewer than a pool has connections
    together = Barrier(len(people), timeout=20)

    def read(person: User) -> list[Conversation]:
        try:
            together.wait()
            found = [row for _ in range(50) for row in prepared(person.pk, timezone.now())]
            together.wait()
            return found
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(people)) as pool:
        for person, found in zip(people, pool.map(read, people), strict=True):
            assert [row.title for row in found] == [str(person)] * 50
            assert {plain(row)[1]["created_at"].tzinfo for row in found} == {UTC}
    [statement] = prepared._statements.values()
    assert [name for _, name, _ in statement.converters if getattr(name, "__self__", None) is connection.ops] == []


@pytest.mark.django_db(transaction=True)
def test_a_row_is_locked_within_a_transaction_alone(alice: User) -> None:
    conversation = make_conversation(alice)
    with transaction.atomic(), CaptureQueriesContext(connection) as queries:
        assert asking.locked(conversation) == conversation
    assert ("FOR UPDATE" in queries[0]["sql"]) == connection.features.has_select_for_update
    if not connection.features.has_select_for_update:
        return
    with pytest.raises(transaction.TransactionManagementError):
        asking.locked(conversation)


def test_a_person_is_found_by_key_as_by_any_manager(alice: User, bob: User) -> None:
    with CaptureQueriesContext(connection) as queries:
        assert plain(User.objects.get(pk=bob.pk)) == plain(User.objects.filter(pk=bob.pk).get())
    assert len(queries) == 2
    for asked in ({"pk": 0}, {"pk": 2**70}, {"pk": alice.pk, "username": "bob"}):
        with pytest.raises(User.DoesNotExist):
            User.objects.get(**asked)
    # What else a manager may be asked.
    assert User.objects.get(pk=str(alice.pk)) == User.objects.get(username="alice") == alice
    with pytest.raises(User.MultipleObjectsReturned):
        User.objects.get()


def test_a_group_finds_its_own_people_alone(alice: User, bob: User) -> None:
    group = Group.objects.create(name="writers")
    group.user_set.add(alice)
    assert group.user_set.get(pk=alice.pk) == alice
    with pytest.raises(User.DoesNotExist):
        group.user_set.get(pk=bob.pk)
