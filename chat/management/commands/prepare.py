"""What a start prepares, without the start: for a deploy that brings the database up to date first."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from chat.management.commands import serve


class Command(serve.Command):
    help = "Bring database, static files and providers up to date, as serve does before it serves."

    def add_arguments(self, parser: ArgumentParser) -> None:
        pass

    def handle(self, **options: Any) -> None:
        serve.refuse_absent_database()
        with serve.one_at_a_time():
            self.prepare(None)
