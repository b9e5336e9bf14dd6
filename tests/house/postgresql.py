"""A real PostgreSQL on a free port of this machine: a cluster of its own, thrown away afterwards.

with postgresql_server() as postgresql:
    start_server(DATABASE_URL=postgresql.new_database())
    postgresql.restart()
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from tests.house.needs import missing
from tests.house.services import Service, free_port

# What a cluster that nobody misses does not need. It is killed, but never loses its power: what it has handed to the
# system is safe. What it has not would be lost, so synchronous_commit stays.
QUICK = ["-c", "fsync=off", "-c", "full_page_writes=off", "-c", "shared_buffers=32MB"]


class PostgreSQL(Service):
    ready = "database system is ready to accept connections"

    def __init__(self, programs: Path, data: Path, **options: Any) -> None:
        self.port = free_port()
        self._databases = 0
        only_here = ["-p", str(self.port), "-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]
        super().__init__([str(programs / "postgres"), "-D", str(data), *only_here, *QUICK], **options)

    def url(self, database: str) -> str:
        return f"postgres://chat@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """The address of a database with nothing in it."""
        self._databases += 1
        name = f"chat{self._databases}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop without waiting for those who are connected (SIGTERM would wait)."""
        super().stop(how)

    def kill(self) -> None:
        """As a power cut would. SIGKILL would leave its children behind, and they hold the port."""
        self.stop(signal.SIGQUIT)


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    programs = _programs()
    if programs is None:
        missing("This needs PostgreSQL. On Debian: apt-get install postgresql")
    # Not pytest's folder: the account that PostgreSQL runs as may not enter it.
    with tempfile.TemporaryDirectory(prefix="postgresql-") as folder:
        data = Path(folder) / "data"
        options: dict[str, Any] = {"cwd": folder}
        if os.getuid() == 0:
            account = _account()  # PostgreSQL refuses to run as root
            os.chown(folder, account.pw_uid, account.pw_gid)
            options |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        make = [
            str(programs / "initdb"),
            "-D",
            str(data),
            "-U",
            "chat",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "-N",
        ]
        subprocess.run(make, check=True, stdin=subprocess.DEVNULL, capture_output=True, **options)
        server = PostgreSQL(programs, data, **options)
        try:
            yield server
        finally:
            server.stop()


def _programs() -> Path | None:
    """Debian keeps the server's programs out of PATH, one folder for each version."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def _account() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
