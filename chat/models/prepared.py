"""Queries that are on the way of each question: the ORM words them once, and then only their values change.

Django builds and compiles a query anew each time that it is asked, which takes several times what SQLite needs to
answer it. Here that is done for the first call alone, with stand-ins for the values; where they come out among the
parameters is where later values go in. So the query sets and their permissions (`visible_to`) stay the one source.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Generic, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.query import (
    FlatValuesListIterable,
    ModelIterable,
    ValuesListIterable,
    get_related_populators,
)
from django.db.transaction import TransactionManagementError

Row = TypeVar("Row")

_DAY = timedelta(days=1)
# By what a field holds: two values for the slot of this number, unlike each other and those of all other slots.
_STAND_INS: dict[type, Callable[[int], tuple[Any, Any]]] = {
    models.IntegerField: lambda slot: (20_011 + slot, 30_011 + slot),
    models.UUIDField: lambda slot: (uuid.UUID(int=20_011 + slot), uuid.UUID(int=30_011 + slot)),
    models.DateTimeField: lambda slot: (
        datetime(2001, 2, 3, 4, 5, 6, 7, UTC) + slot * _DAY,
        datetime(2011, 2, 3, 4, 5, 6, 7, UTC) + slot * _DAY,
    ),
    models.CharField: lambda slot: (f"stand-in {slot}", f"other {slot}"),
    models.TextField: lambda slot: (f"stand-in {slot}", f"other {slot}"),
}


class CannotPrepare(Exception):
    """The query cannot be asked again with other values alone. Said when it is compiled, at the first call."""


@dataclass(frozen=True)
class _Statement:
    """What compiling gives, without the connection that it was compiled for: other threads have their own."""

    sql: str
    constants: tuple[Any, ...]
    places: tuple[tuple[int, int], ...]  # of a parameter, and the slot whose value it takes
    ranges: tuple[tuple[int, int, int], ...]  # a slot that holds an integer, the least and the most that it may be
    converters: tuple[tuple[int, str | Callable[..., Any], Any], ...]  # a name is a method of the connection's `ops`
    locks: bool
    build: Callable[[Sequence[Any]], Any]


class Prepared(Generic[Row]):
    """The rows of `make(*values)`, as a list, on the default database.

    `make` gives a query set of instances (`select_related` included) or of `values_list`. The first call gives it values
    of the right types that belong to no row: it must neither look at them nor at what changes, as the time or a
    setting. `fields` are what the values are compared with, in their order; a foreign key by the key that it holds.

    None is refused: with it, Django words a comparison otherwise. Raises CannotPrepare at the first call where the
    query is none that values alone distinguish.
    """

    def __init__(self, make: Callable[..., models.QuerySet[Any, Row]], *fields: models.Field[Any, Any]) -> None:
        self.make = make
        self._fields = fields
        self._statements: dict[str, _Statement] = {}  # by the database's kind

    def __call__(self, *values: Any) -> list[Row]:
        connection = connections[DEFAULT_DB_ALIAS]
        statement = self._statements.get(connection.vendor)
        if statement is None:
            # Two threads may do it at once; both come to the same.
            statement = self._statements[connection.vendor] = self._compiled(connection)
        given = self._given(values, connection)
        for slot, least, most in statement.ranges:
            if not least <= given[slot] <= most:
                # No column holds such a number. Django knows that of some comparisons, and does not ask.
                return list(self.make(*values))
        if statement.locks and connection.get_autocommit():
            raise TransactionManagementError("select_for_update cannot be used outside of a transaction.")
        parameters = list(statement.constants)
        for place, slot in statement.places:
            parameters[place] = given[slot]
        with connection.cursor() as cursor:
            cursor.execute(statement.sql, parameters)
            rows: Sequence[Sequence[Any]] = cursor.fetchall()
        if statement.converters and rows:
            rows = _converted(rows, statement, connection)
        return [statement.build(row) for row in rows]

    def first(self, *values: Any) -> Row | None:
        """The first of the rows. The query itself has the limit, where there may be more."""
        rows = self(*values)
        return rows[0] if rows else None

    def _given(self, values: Sequence[Any], connection: BaseDatabaseWrapper) -> list[Any]:
        if any(value is None for value in values):
            raise ValueError("None is compared otherwise than a value; ask the query set itself.")
        return [field.get_db_prep_value(value, connection) for field, value in zip(self._fields, values, strict=True)]

    def _compiled(self, connection: BaseDatabaseWrapper) -> _Statement:
        pairs = [_stand_ins(field, slot) for slot, field in enumerate(self._fields)]
        these, those = [first for first, _ in pairs], [second for _, second in pairs]
        queryset = self.make(*these)
        _refuse_what_needs_more(queryset)
        compiler = queryset.query.get_compiler(connection=connection)
        try:
            sql, constants = compiler.as_sql()
            other_sql, others = self.make(*those).query.get_compiler(connection=connection).as_sql()
        except EmptyResultSet as empty:
            raise CannotPrepare("Nothing can be found, and Django would not ask.") from empty
        if sql != other_sql or len(constants) != len(others):
            raise CannotPrepare(f"The statement depends on the values: {sql}")
        slots = list(zip(self._given(these, connection), self._given(those, connection), strict=True))
        places = [
            (place, _slot_of(pair, slots, sql))
            for place, pair in enumerate(zip(constants, others, strict=True))
            if pair[0] != pair[1]
        ]
        if missing := set(range(len(slots))) - {slot for _, slot in places}:
            raise CannotPrepare(f"The values at {sorted(missing)} are no parameters of: {sql}")
        return _Statement(
            sql,
            tuple(constants),
            tuple(places),
            tuple(_ranges(self._fields, connection)),
            tuple(_converters(compiler, connection)),
            bool(queryset.query.select_for_update and connection.features.has_select_for_update),
            _builder(queryset, compiler, connection),
        )


def field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    """What a value is compared with, as Prepared takes it."""
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def _target(field: Any) -> Any:
    return getattr(field, "target_field", field)


def _stand_ins(field: Any, slot: int) -> tuple[Any, Any]:
    for kind, make in _STAND_INS.items():
        if isinstance(_target(field), kind):
            return make(slot)
    raise CannotPrepare(f"There is no stand-in for a value of {field!r}.")


def _refuse_what_needs_more(queryset: Any) -> None:
    """All that Django does besides asking, before or after it."""
    if queryset._prefetch_related_lookups:
        raise CannotPrepare("prefetch_related asks more than one query.")
    if queryset._known_related_objects:
        raise CannotPrepare("Rows through a related manager carry its instance, which would be the stand-in.")
    if queryset.query.combinator:
        raise CannotPrepare("Combined queries are none that is read here.")
    if queryset._iterable_class not in (ModelIterable, ValuesListIterable, FlatValuesListIterable):
        raise CannotPrepare(f"Rows of {queryset._iterable_class.__name__} are none that is built here.")


def _slot_of(pair: tuple[Any, Any], slots: Sequence[tuple[Any, Any]], sql: str) -> int:
    for slot, known in enumerate(slots):
        if pair == known and type(pair[0]) is type(known[0]):
            return slot
    # Such as LIKE's %value%.
    raise CannotPrepare(f"The parameter {pair[0]!r} is none of the values as its field gives it: {sql}")


def _ranges(fields: Sequence[Any], connection: BaseDatabaseWrapper) -> Iterator[tuple[int, int, int]]:
    for slot, field in enumerate(map(_target, fields)):
        if isinstance(field, models.IntegerField):
            least, most = connection.ops.integer_field_range(field.get_internal_type())
            yield slot, least, most


def _converters(compiler: Any, connection: BaseDatabaseWrapper) -> list[tuple[int, str | Callable[..., Any], Any]]:
    expressions = [selected[0] for selected in compiler.select]
    if compiler.has_composite_fields(expressions):
        raise CannotPrepare("A composite key is no single column.")
    return [
        (
            column,
            converter.__name__ if getattr(converter, "__self__", None) is connection.ops else converter,
            expression,
        )
        for column, (found, expression) in compiler.get_converters(expressions).items()
        for converter in found
    ]


def _converted(
    rows: Sequence[Sequence[Any]], statement: _Statement, connection: BaseDatabaseWrapper
) -> list[list[Any]]:
    ops = connection.ops
    converters = [
        (column, getattr(ops, converter) if isinstance(converter, str) else converter, expression)
        for column, converter, expression in statement.converters
    ]
    changed = [list(row) for row in rows]
    for row in changed:
        for column, converter, expression in converters:
            row[column] = converter(row[column], expression, connection)
    return changed


def _builder(queryset: Any, compiler: Any, connection: BaseDatabaseWrapper) -> Callable[[Sequence[Any]], Any]:
    """As the iterables in django.db.models.query, without what of it is the same for each call."""
    width = compiler.col_count  # DISTINCT may select more, to order by
    if queryset._iterable_class is FlatValuesListIterable:
        return lambda row: row[0]
    if queryset._iterable_class is ValuesListIterable:
        return lambda row: tuple(row[:width])
    alias = connection.alias
    model, selected = compiler.klass_info["model"], compiler.klass_info["select_fields"]
    begin, end = selected[0], selected[-1] + 1
    names = [column[0].target.attname for column in compiler.select[begin:end]]
    populators = get_related_populators(compiler.klass_info, compiler.select, alias)  # type: ignore[call-arg]
    annotations = tuple((compiler.annotation_col_map or {}).items())

    def build(row: Sequence[Any]) -> Any:
        instance = model.from_db(alias, names, row[begin:end])
        for populator in populators:
            populator.populate(row, instance)
        for name, column in annotations:
            setattr(instance, name, row[column])
        return instance

    return build
