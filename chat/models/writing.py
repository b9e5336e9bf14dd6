"""In line to write, and with few words: questions and the progress of answers come by the hundred.

SQLite lets one connection write at a time, and whoever finds it busy sleeps, longer each time. Those of this process
wait in line instead. Other databases need no line.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, cast

from django.db import connection, models, transaction

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
    sql = _update_sql(connection.vendor, model, names, conditions)
    held = [_prepared(model, name, value) for name, allowed in where.items() for value in allowed]
    parameters = [
        (*(_prepared(model, name, row[name]) for name in names), _prepared(model, key.name, pk), *held)
        for pk, row in zip(pks, values, strict=True)
    ]
    with connection.cursor() as cursor:
        cursor.executemany(sql, parameters)
        return int(cursor.rowcount)


def _prepared(model: type[models.Model], name: str, value: Any) -> Any:
    return _field(model, name).get_db_prep_save(value, connection)
