"""In line to write, and with few words: questions and the progress of answers come by the hundred.

SQLite lets one connection write at a time, and whoever finds it busy sleeps, longer each time. Those of this process
wait in line instead. Other databases need no line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from django.db import DEFAULT_DB_ALIAS, connection, connections, models, transaction
from django.db.models import signals, sql

_turn_to_write = threading.RLock()


@contextmanager
def writing() -> Iterator[None]:
    """A transaction that writes. To be entered outside of any other one: who has the database must not wait for the line."""
    if connection.vendor != "sqlite":
        with transaction.atomic():
            yield
        return
    with _turn_to_write, transaction.atomic():
        yield


def _field(model: type[models.Model], name: str) -> models.Field[Any, Any]:
    return cast("models.Field[Any, Any]", model._meta.get_field(name))


def _column(model: type[models.Model], name: str) -> str:
    return str(_field(model, name).column)


@lru_cache(maxsize=64)
def _update_sql(
    vendor: str, model: type[models.Model], names: tuple[str, ...], where: tuple[tuple[str, int], ...]
) -> str:
    quoted = connection.ops.quote_name
    columns = ", ".join(f"{quoted(_column(model, name))} = %s" for name in names)
    places = [(quoted(_column(model, name)), ", ".join(["%s"] * count)) for name, count in where]
    conditions = " AND ".join(f"{column} IN ({values})" for column, values in places)
    return f"UPDATE {quoted(model._meta.db_table)} SET {columns} WHERE {conditions}"


def update_rows(
    model: type[models.Model],
    pks: Sequence[Any],
    values: Sequence[Mapping[str, Any]],
    where: Mapping[str, Sequence[Any]] | None = None,
) -> int:
    """Set `values`, all of the same columns, in the row of each key, as far as `where` holds; how many that was.

    As `filter(pk=…, …).update(…)` for each of them, which builds and compiles a query anew each time: five times what
    the statement itself takes.
    """
    names, where = tuple(values[0]), where or {}
    key = model._meta.pk
    assert key is not None
    conditions = ((key.name, 1), *((name, len(allowed)) for name, allowed in where.items()))
    database = connections[DEFAULT_DB_ALIAS]
    statement = _update_sql(database.vendor, model, names, conditions)
    held = [
        _field(model, name).get_db_prep_save(value, database) for name, allowed in where.items() for value in allowed
    ]
    fields = [_field(model, name) for name in names]
    parameters = [
        (
            *(field.get_db_prep_save(row[name], database) for field, name in zip(fields, names, strict=True)),
            key.get_db_prep_save(pk, database),
            *held,
        )
        for pk, row in zip(pks, values, strict=True)
    ]
    with database.cursor() as cursor:
        cursor.executemany(statement, parameters)
        return int(cursor.rowcount)


@dataclass(frozen=True)
class _Insert:
    sql: str
    fields: tuple[Any, ...]
    returned: tuple[Any, ...]


@lru_cache(maxsize=64)
def _insert(vendor: str, model: type[models.Model], has_key: bool) -> _Insert:
    """Django's own statement, compiled with a row of nothing but defaults."""
    meta = model._meta
    if meta.parents or meta.proxy:
        raise NotImplementedError(f"A row of {meta.label} is none of one table.")
    fields = tuple(f for f in meta.local_concrete_fields if not f.generated and (has_key or f is not meta.auto_field))
    returned = tuple(f for f in meta.db_returning_fields if f not in fields)
    query = sql.InsertQuery(model)
    query.insert_values(fields, [model()], raw=True)
    compiler = query.get_compiler(using=DEFAULT_DB_ALIAS)
    compiler.returning_fields = returned
    [(statement, values)] = compiler.as_sql()
    if len(values) != len(fields):
        raise NotImplementedError(f"Not each column of {meta.label} takes one value.")
    return _Insert(statement, fields, returned)


def insert_row(row: models.Model) -> None:
    """Store a new row, as `row.save(force_insert=True)` does, signals included, for little more than half of what that costs."""
    model, database = type(row), connections[DEFAULT_DB_ALIAS]
    row._prepare_related_fields_for_save(operation_name="save")  # type: ignore[attr-defined]
    signals.pre_save.send(model, instance=row, raw=False, using=DEFAULT_DB_ALIAS, update_fields=None)
    insert = _insert(database.vendor, model, row.pk is not None)
    values = [field.get_db_prep_save(field.pre_save(row, True), database) for field in insert.fields]
    with transaction.mark_for_rollback_on_error(DEFAULT_DB_ALIAS), database.cursor() as cursor:
        cursor.execute(insert.sql, values)
        if insert.returned:
            for field, value in zip(insert.returned, cursor.fetchone(), strict=True):
                setattr(row, field.attname, value)
    row._state.db, row._state.adding = DEFAULT_DB_ALIAS, False
    signals.post_save.send(model, instance=row, created=True, raw=False, using=DEFAULT_DB_ALIAS, update_fields=None)
