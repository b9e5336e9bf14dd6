"""Serve the embedded engine on a port, for other clients and for conformance suites."""

from __future__ import annotations

import argparse
import contextlib
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from chat.offline.app import create_app
from chat.offline.wires import WIRES


class Command(BaseCommand):
    help = "Serve the embedded engine on a port. It speaks the Responses API at /v1/ and /openai/v1/."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--dialect", choices=sorted(WIRES), default="openai")
        parser.add_argument("--pace", type=float, default=0.015, metavar="SECONDS", help="pause before each delta")
        parser.add_argument("--key", help="refuse requests that do not carry this key")
        parser.add_argument(
            "--model", action="append", metavar="NAME", help="serve only this model name; may be repeated"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        server = make_server(options)

        def tell() -> None:
            host, port = server.listening_addresses[0]
            self.stdout.write(f"ready on http://{f'[{host}]' if ':' in host else host}:{port}/v1/")
            self.stdout.flush()

        server.ready_callable = tell
        server.run()
        if not server.listening_addresses:
            raise CommandError(f"Cannot listen on {options['host']} port {options['port']}. Is it taken?")


def make_server(options: dict[str, Any]) -> Any:
    """Build the daphne server. uvloop comes first: daphne makes its event loop when it is imported."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    from daphne.server import Server

    app = create_app(
        dialect=options["dialect"], pace_seconds=options["pace"], key=options["key"], models=options["model"]
    )
    interface = options["host"].replace(":", r"\:")
    # No time limit on a request: an answer takes as long as its pace says.
    return Server(app, endpoints=[f"tcp:port={options['port']}:interface={interface}"], http_timeout=None)
