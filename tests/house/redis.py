"""A real Redis on a free port of this machine, which keeps nothing when it is stopped.

with redis_server() as redis:
    start_server(REDIS_URL=redis.url)
    redis.restart()
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from tests.house.needs import missing
from tests.house.services import Service, free_port


class Redis(Service):
    ready = "Ready to accept connections"

    def __init__(self, program: str, folder: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        nothing_kept = ["--save", "", "--appendonly", "no", "--dir", folder]
        super().__init__([program, "--bind", "127.0.0.1", "--port", str(self.port), *nothing_kept])


@contextmanager
def redis_server() -> Iterator[Redis]:
    program = shutil.which("redis-server")
    if program is None:
        missing("This needs redis-server. On Debian: apt-get install redis-server")
    with tempfile.TemporaryDirectory(prefix="redis-") as folder:
        server = Redis(program, folder)
        try:
            yield server
        finally:
            server.stop()
