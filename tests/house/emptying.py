"""Empty a PostgreSQL between tests by deleting what little is in it: Django's TRUNCATE takes ten times as long."""

from __future__ import annotations

from typing import Any

from django.db.backends.postgresql.operations import DatabaseOperations


def delete_rows(self: DatabaseOperations, style: Any, tables: list[str], **options: Any) -> list[str]:
    """In any order, since nothing checks references meanwhile."""
    rows = [f"DELETE FROM {self.quote_name(table)}" for table in tables]
    return ["SET session_replication_role = replica", *rows, "SET session_replication_role = DEFAULT"]


def install() -> None:
    DatabaseOperations.sql_flush = delete_rows
