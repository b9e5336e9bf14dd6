"""The one command of an operator: prepare what is missing, say where to go, serve until stopped."""

from __future__ import annotations

import errno
import fcntl
import socket
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from channels.routing import get_default_application
from django.conf import settings
from django.core.files.storage import default_storage
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor

from chat.engines import sync_environment
from chat.management.llamacpp import NoModel
from chat.management.local import LocalModel, Served, beside_the_chat, note_facts, offer
from chat.management.signin import link_for, plain_address
from chat.models import User
from chatsite.static import collect_if_changed

FIRST_ADMIN = "admin"

# Any number that nobody else locks in this database.
PREPARING = 20_261_121

WITHOUT = {
    "REDIS_URL": "each process hears only of what happens in itself",
    "S3_BUCKET": "files can be neither attached nor opened",
}


class Command(BaseCommand):
    help = "Prepare the database and static files, then serve the chat."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default=settings.HOST, help="address to listen on (HOST)")
        parser.add_argument("--port", type=int, default=settings.PORT, help="port to listen on (PORT); 0: any free one")
        parser.add_argument("--local", action="store_true", help="answer with a model on this machine (LOCAL_MODEL)")

    def handle(self, *, host: str, port: int, local: bool, **options: Any) -> None:
        refuse_plain_http_in_production()
        refuse_absent_database()
        with ExitStack() as stack, listening(host, port) as listener:
            try:
                # Read while the rest is prepared.
                model = stack.enter_context(beside_the_chat()) if local else None
                with one_at_a_time():
                    served = self.prepare(model)
            except NoModel as refusal:
                sys.exit(str(refusal))
            self.serve(listener, host, served)

    def prepare(self, model: LocalModel | None) -> Served | None:
        for name, fault in faults_that_pass():
            self.say(f"{name} does not answer ({fault}). Without it {WITHOUT[name]}.")
        if migrations_are_missing():
            self.say("Preparing the database ...")
            call_command("migrate", interactive=False, verbosity=0)
        if collect_if_changed():
            self.say("Collected the static files.")
        if first_admin_is_missing():
            User.objects.create_superuser(FIRST_ADMIN)
        served = model.wait_ready() if model else None
        if served:
            offer(served)
        try:
            sync_environment()
        except ValueError as refusal:
            sys.exit(str(refusal))
        if served:
            note_facts(served)
        return served

    def serve(self, listener: socket.socket, host: str, served: Served | None) -> None:
        # Imported first: what runs in the application may ask for the reactor, which is chosen here.
        from chatsite.server import ChatServer

        banner = self.banner(plain_address(host, listener.getsockname()[1]), served)
        # This thread asks no more; its connection would be missing in the pool for as long as the server runs.
        connections.close_all()
        server = ChatServer(
            get_default_application(),
            listener,
            on_ready=lambda: self.say(banner),
            access_log=settings.LOG_LEVEL == "DEBUG",
        )
        server.run()
        connections.close_all()

    def banner(self, listening_at: str, served: Served | None) -> str:
        address = settings.PUBLIC_URL or listening_at
        lines = ["", f"  Responses Chat is running at {address}/"]
        if address != listening_at:
            lines += [f"  It listens at {listening_at}/ for the proxy."]
        if served:
            lines += [f"  {served.name} runs on this machine and answers."]
        if admin := admin_to_greet():
            hours = settings.SIGNIN_LINK_SECONDS // 3600
            lines += [
                "",
                f"  Sign in as {admin.username} with this link. It works once, within {hours} hours:",
                f"  {link_for(admin, address)}",
            ]
        return "\n".join([*lines, "", "  Ctrl-C stops it.", ""])

    def say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def refuse_plain_http_in_production() -> None:
    if settings.PRODUCTION and settings.SECURE_SSL_REDIRECT and not settings.BEHIND_PROXY:
        sys.exit(
            "This server speaks plain HTTP, and in production every request must come over HTTPS. "
            "Put a proxy in front that terminates TLS and sets X-Forwarded-Proto, and set BEHIND_PROXY=1."
        )


def refuse_absent_database() -> None:
    """Without a database there is nothing to show; ask for it without the patience of the pool."""
    if connection.vendor != "postgresql":
        return
    import psycopg

    try:
        psycopg.connect(**connection.get_connection_params()).close()
    except psycopg.Error as error:
        why = " ".join(str(error).split()).rstrip(".?")
        sys.exit(
            f"The database of DATABASE_URL cannot be used ({why}). "
            "Start PostgreSQL and make user and database there, or correct the address."
        )


def faults_that_pass() -> Iterator[tuple[str, str]]:
    """What is set and does not answer, of that which may come back while the chat goes on without it."""
    if settings.REDIS_URL:
        import redis

        try:
            with redis.from_url(settings.REDIS_URL, socket_timeout=2, socket_connect_timeout=2) as client:
                client.ping()
        except redis.RedisError as error:
            yield "REDIS_URL", type(error).__name__
    if check := getattr(default_storage, "check", None):
        try:
            check()
        except OSError as error:
            yield "S3_BUCKET", str(error)


@contextmanager
def listening(host: str, port: int) -> Iterator[socket.socket]:
    """A listening socket, taken before anything is prepared: who comes early waits in its queue."""
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        sys.exit(f"HOST={host} is not an address of this machine ({error.strerror}).")
    with listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(where)
            listener.listen(1024)
        except OSError as error:
            sys.exit(why_not_listening(error, host, port))
        yield listener


def why_not_listening(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"Port {port} is taken by another program. Stop that one, or choose another: PORT={port + 1} make run"
    if error.errno == errno.EACCES:
        return f"Port {port} needs more rights than this account has. Set PORT to a number from 1024 on."
    if error.errno == errno.EADDRNOTAVAIL:
        return f"HOST={host} is not an address of this machine."
    return f"Cannot listen on HOST={host} PORT={port}: {error.strerror}."


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Of several processes that start on one data folder or one PostgreSQL, one prepares and the others wait."""
    with (settings.DATA_DIR / "serve.lock").open("w") as lock, ExitStack() as stack:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if connection.vendor == "postgresql":
            cursor = stack.enter_context(connection.cursor())
            cursor.execute("SELECT pg_advisory_lock(%s)", [PREPARING])
            stack.callback(cursor.execute, "SELECT pg_advisory_unlock(%s)", [PREPARING])
        yield


def migrations_are_missing() -> bool:
    executor = MigrationExecutor(connection)
    return bool(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def first_admin_is_missing() -> bool:
    return (
        not User.objects.filter(is_superuser=True).exists() and not User.objects.filter(username=FIRST_ADMIN).exists()
    )


def admin_to_greet() -> User | None:
    """Who gets a link in the banner. In production nobody, as soon as an admin has found the way in."""
    admins = User.objects.filter(is_superuser=True, is_active=True).order_by("pk")
    if settings.PRODUCTION and admins.exclude(last_login=None).exists():
        return None
    return admins.first()
