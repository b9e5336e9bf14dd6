"""The product under test: a process that is killed and started again on its port, and its rows as they lie on the disk."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.house.serving import READY, ROOT, START_SECONDS, STOP_SECONDS, environment

SERVE = ("manage.py", "serve")
DATABASE = "chat.sqlite3"


@dataclass(frozen=True)
class Row:
    """A stored turn and its responses, as much of them as can be lost."""

    pk: int
    question: str
    key: str
    status: str
    responses: tuple[StoredResponse, ...]

    @property
    def text(self) -> str:
        return "".join(response.text for response in self.responses)


@dataclass(frozen=True)
class StoredResponse:
    status: str
    background: bool
    text: str
    searched_text: str
    response_id: str = ""


class Product:
    """`manage.py serve`, or another `command` that does the same, on a data folder of its own."""

    def __init__(self, data_dir: Path, command: Sequence[str] = SERVE, **variables: str) -> None:
        self.data_dir = data_dir
        self.command = command
        self.env = environment(data_dir, DOTENV="/dev/null", PYTHONFAULTHANDLER="1", **{"PORT": "0", **variables})
        self.output = ""
        self.url = ""
        self.starts = 0
        self.process: asyncio.subprocess.Process | None = None

    async def launch(self) -> None:
        """Begin to start; `ready` waits until it serves."""
        self._mark = len(self.output)
        self._is_ready = asyncio.Event()
        self.starts += 1
        self.process = await asyncio.create_subprocess_exec(
            *(sys.executable, *self.command),
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = asyncio.create_task(self._read(self.process))

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        assert process.stdout
        async for line in process.stdout:
            self.output += line.decode(errors="replace")
            if READY in self.output[self._mark :]:
                self._is_ready.set()
        self._is_ready.set()  # nobody has to wait for the dead

    async def ready(self) -> None:
        """Return when it serves. Raises AssertionError with its output when it ended instead."""
        await asyncio.wait_for(self._is_ready.wait(), START_SECONDS)
        said = self.output[self._mark :]
        assert READY in said, f"The server did not start. It said:\n{said}"
        if not self.url:
            self.url = re.findall(r"running at (\S+)/", said)[-1]
            self.env["PORT"] = self.url.rpartition(":")[2]

    @property
    def serves(self) -> bool:
        return self._is_ready.is_set()

    async def end(self, how: signal.Signals) -> int:
        """Send the signal and return the exit code. A process that does not end is aborted, and prints where it hangs."""
        assert self.process
        self._send(how)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await self.process.wait()
        except TimeoutError:
            self._send(signal.SIGABRT)
        await self._reader
        return await self.process.wait()

    def _send(self, how: signal.Signals) -> None:
        if self.process and self.process.returncode is None:
            self.process.send_signal(how)

    def signin_links(self, names: Sequence[str]) -> list[str]:
        """Links that sign these people in, who are made when missing."""
        orders = "".join(json.dumps(["signin_link", name, "--create"]) + "\n" for name in names)
        done = subprocess.run(
            [sys.executable, "-m", "tests.house.console"],
            cwd=ROOT,
            env=self.env,
            input=orders,
            capture_output=True,
            text=True,
            timeout=START_SECONDS,
            check=True,
        )
        return [json.loads(line)[1].strip() for line in done.stdout.splitlines()]

    def rows(self) -> list[Row]:
        """What is stored. Read from a copy: whoever opens the files themselves after a crash also mends them."""
        with tempfile.TemporaryDirectory(prefix="drill-rows-") as folder:
            for name in (DATABASE, f"{DATABASE}-wal"):
                if (self.data_dir / name).exists():
                    shutil.copyfile(self.data_dir / name, Path(folder) / name)
            return read_rows(Path(folder) / DATABASE)

    def work_in_background(self, model: str) -> None:
        """What an operator ticks in the admin."""
        with closing(sqlite3.connect(self.data_dir / DATABASE, timeout=20)) as database, database:
            database.execute("UPDATE chat_deployment SET background = 1 WHERE name = ?", [model])

    def deployments(self) -> dict[str, int]:
        """The models that are offered, by name."""
        with closing(sqlite3.connect(self.data_dir / DATABASE)) as database:
            return dict(database.execute("SELECT name, id FROM chat_deployment WHERE enabled"))


def read_rows(path: Path) -> list[Row]:
    """All turns of a database that a process may be writing to."""
    with closing(sqlite3.connect(path, timeout=20)) as database, database:
        database.execute("BEGIN")
        turns = database.execute("SELECT id, question, idempotency_key, status FROM chat_turn ORDER BY id").fetchall()
        responses: dict[int, list[StoredResponse]] = {}
        for turn, status, background, output, text, response_id in database.execute(
            'SELECT turn_id, status, background, output, text, response_id FROM chat_response ORDER BY turn_id, "order"'
        ):
            written = text_of_output(json.loads(output or "[]"))
            responses.setdefault(turn, []).append(StoredResponse(status, bool(background), written, text, response_id))
    return [Row(*turn, tuple(responses.get(turn[0], ()))) for turn in turns]


def text_of_output(items: list[dict[str, Any]]) -> str:
    return "".join(
        part.get("text", "")
        for item in items
        if item.get("type") == "message"
        for part in item.get("content") or []
        if part.get("type") == "output_text"
    )
