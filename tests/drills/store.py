"""What is stored, as the drill reads it: past the product, in its own words."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg

DATABASE = "chat.sqlite3"


@dataclass(frozen=True)
class StoredResponse:
    status: str
    background: bool
    text: str
    searched_text: str
    response_id: str = ""


@dataclass(frozen=True)
class Row:
    """A stored turn and its responses, as much of them as can be lost."""

    pk: int
    question: str
    key: str
    status: str
    responses: tuple[StoredResponse, ...] = ()

    @property
    def text(self) -> str:
        return "".join(response.text for response in self.responses)


class Store:
    """`rows` while processes may write; `left` what a process left that has just died."""

    # How long after a death its rows can be told from those of a process that lives, which writes in the meantime.
    telling_seconds = 0.0

    @contextmanager
    def connection(self) -> Iterator[Any]:
        raise NotImplementedError
        yield

    def rows(self) -> list[Row]:
        with self.connection() as database:
            return read_rows(database)

    def left(self) -> list[Row]:
        return self.rows()

    def work_in_background(self, model: str) -> None:
        """What an operator ticks in the admin."""
        with self.connection() as database:
            database.execute(f"UPDATE chat_deployment SET background = TRUE WHERE name = '{model}'")
            database.commit()

    def deployments(self) -> dict[str, int]:
        """The models that are offered, by name."""
        with self.connection() as database:
            return dict(database.execute("SELECT name, id FROM chat_deployment WHERE enabled").fetchall())


class SQLite(Store):
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @contextmanager
    def connection(self) -> Iterator[Any]:
        with closing(sqlite3.connect(self.folder / DATABASE, timeout=20)) as database:
            yield database

    def left(self) -> list[Row]:
        """Read from a copy: whoever opens the files themselves after a crash also mends them."""
        with tempfile.TemporaryDirectory(prefix="drill-rows-") as folder:
            for name in (DATABASE, f"{DATABASE}-wal"):
                if (self.folder / name).exists():
                    shutil.copyfile(self.folder / name, Path(folder) / name)
            return SQLite(Path(folder)).rows()


class PostgreSQL(Store):
    telling_seconds = 1.5

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def connection(self) -> Iterator[Any]:
        with psycopg.connect(self.url) as database:
            yield database


def read_rows(database: Any) -> list[Row]:
    """All turns, in one statement: what is written meanwhile is in all of it or in none."""
    found: dict[int, Row] = {}
    for pk, question, key, turn_status, status, background, output, text, response_id in database.execute(
        "SELECT t.id, t.question, t.idempotency_key, t.status,"
        " r.status, r.background, r.output, r.text, r.response_id"
        ' FROM chat_turn t LEFT JOIN chat_response r ON r.turn_id = t.id ORDER BY t.id, r."order"'
    ).fetchall():
        row = found.setdefault(pk, Row(pk, question, str(key).replace("-", ""), turn_status))
        if status is not None:
            written = text_of_output(json.loads(output) if isinstance(output, str) else output)
            response = StoredResponse(status, bool(background), written, text, response_id)
            found[pk] = replace(row, responses=(*row.responses, response))
    return list(found.values())


def text_of_output(items: list[dict[str, Any]]) -> str:
    return "".join(
        part.get("text", "")
        for item in items
        if item.get("type") == "message"
        for part in item.get("content") or []
        if part.get("type") == "output_text"
    )
