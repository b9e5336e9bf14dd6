"""The product under test: a process that is killed and started again on its port."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.house.serving import READY, ROOT, START_SECONDS, STOP_SECONDS, environment, manage

SERVE = ("manage.py", "serve")


class Product:
    """`manage.py serve`, or another `command` that does the same, on a data folder of its own."""

    def __init__(self, data_dir: Path, command: Sequence[str] = SERVE, **variables: str) -> None:
        self.data_dir = data_dir
        self.command = command
        self.env = environment(data_dir, DOTENV="/dev/null", PYTHONFAULTHANDLER="1", **{"PORT": "0", **variables})
        self.output = ""
        self.url = ""
        self.starts = 0
        self.began = 0.0  # the life that it lives now
        self.process: asyncio.subprocess.Process | None = None

    async def launch(self) -> None:
        """Begin to start; `ready` waits until it serves."""
        self._mark = len(self.output)
        self._is_ready = asyncio.Event()
        self.starts += 1
        self.began = time.monotonic()
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
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.env["PORT"])

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
        done = [manage("signin_link", name, "--create", env=self.env) for name in names]
        assert not any(each.returncode for each in done), done
        return [each.stdout.strip() for each in done]
