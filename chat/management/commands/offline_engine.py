"""Serve the embedded engine on a port, for other clients and for conformance suites."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
from collections.abc import Iterable
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from chat.offline.app import OfflineEngine, create_app
from chat.offline.faults import GRAMMAR, BadFault, Fault, parse
from chat.offline.wires import WIRES

ADDRESSES = """
addresses:
  /v1/ and /openai/v1/                        whatever the dialect
  /api/projects/NAME/openai/v1/               as a Foundry project
  /api/projects/NAME/openai/responses?api-version=VERSION
"""


class Command(BaseCommand):
    help = "Serve the embedded engine on a port. It speaks the Responses API, in the dialect of your choice."
    requires_system_checks: list[str] = []

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {
            "epilog": f"{ADDRESSES}\nfaults:\n{GRAMMAR}",
            "formatter_class": argparse.RawDescriptionHelpFormatter,
        }
        return super().create_parser(prog_name, subcommand, **kwargs)

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        parser.add_argument("--port", type=int, required=True, help="0 takes a free port")
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--dialect", choices=sorted(WIRES), default="openai")
        parser.add_argument("--store", action="store_true", help="keep responses where the dialect leaves that open")
        parser.add_argument("--pace", type=float, default=0.015, metavar="SECONDS", help="pause before each delta")
        parser.add_argument("--lag", type=float, default=0.0, metavar="SECONDS", help="pause before the first byte")
        parser.add_argument(
            "--key", help="refuse requests that do not carry this key; azure and foundry also take tokens"
        )
        parser.add_argument(
            "--model", action="append", metavar="NAME", help="serve only this model name; may be repeated"
        )
        parser.add_argument(
            "--fault", action="append", default=[], metavar="FAULT", help="go wrong, see below; may be repeated"
        )
        parser.add_argument(
            "--faults-from-header", action="store_true", help="let a request bring a fault in x-engine-fault"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        server = make_server(options, make_engine(options))

        def tell() -> None:
            host, port = server.listening_addresses[0]
            self.stdout.write(f"ready on http://{f'[{host}]' if ':' in host else host}:{port}/v1/")
            self.stdout.flush()

        server.ready_callable = tell
        server.run()
        if not server.listening_addresses:
            raise CommandError(f"Cannot listen on {options['host']} port {options['port']}. Is it taken?")


def make_engine(options: dict[str, Any]) -> OfflineEngine:
    try:
        return create_app(
            dialect=options["dialect"],
            pace_seconds=options["pace"],
            key=options["key"],
            models=options["model"],
            store=options["store"],
            lag_seconds=options["lag"],
            faults=_faults(options["fault"]),
            faults_from_header=options["faults_from_header"],
        )
    except ValueError as error:
        raise CommandError(str(error)) from error


def _faults(lines: Iterable[str]) -> list[Fault]:
    try:
        return [parse(line) for line in lines]
    except BadFault as error:
        raise CommandError(str(error)) from error


def make_server(options: dict[str, Any], engine: OfflineEngine) -> Any:
    """Build the daphne server. uvloop comes first: daphne makes its event loop when it is imported."""
    with contextlib.suppress(ImportError):
        import uvloop

        uvloop.install()
    from daphne.server import Server
    from twisted.internet import defer, reactor

    class EngineServer(Server):
        """Lets the engine cut a connection at a byte: of an application that fails, daphne makes a page instead."""

        def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
            if scope["type"] == "http":
                scope["extensions"] = {"engine.hang_up": partial(_hang_up, protocol)}
            return super().create_application(protocol, scope)

    def end_background() -> Any:
        return defer.Deferred.fromFuture(asyncio.ensure_future(engine.aclose()))

    reactor.addSystemEventTrigger("before", "shutdown", end_background)
    interface = options["host"].replace(":", r"\:")
    # No time limit on a request: an answer takes as long as its pace says.
    return EngineServer(engine, endpoints=[f"tcp:port={options['port']}:interface={interface}"], http_timeout=None)


def _hang_up(request: Any) -> None:
    """Close the connection under a request whose reply has not ended. What was written still goes out."""
    if request.channel is not None:
        request.channel.loseConnection()
