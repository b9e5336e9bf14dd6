"""The product under test: a process that is killed and started again on its port."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from tests.house.serving import READY, START_SECONDS, STOP_SECONDS, Launch, Process, environment, manage, serve


class Product:
    """`manage.py serve`, or what else `launch` starts, on a data folder of its own."""

    def __init__(self, data_dir: Path, launch: Launch, **variables: str) -> None:
        self.data_dir = data_dir
        self._launch = launch
        self.env = environment(data_dir, DOTENV="/dev/null", PYTHONFAULTHANDLER="1", **{"PORT": "0", **variables})
        self.output = ""
        self.url = ""
        self.starts = 0
        self.began = 0.0  # the life that it lives now
        self.process: Process | None = None

    async def launch(self) -> None:
        """Begin to start; `ready` waits until it serves."""
        self._mark = len(self.output)
        self._is_ready = asyncio.Event()
        self.starts += 1
        self.began = time.monotonic()
        self.process, said = serve(self._launch, env=self.env)
        self._reader = asyncio.create_task(self._read(said))

    async def _read(self, said: IO[str]) -> None:
        lines = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(lines)
        await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, said)
        async for line in lines:
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
        self.process.send_signal(how)
        try:
            await asyncio.to_thread(self.process.wait, STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
        await self._reader
        return await asyncio.to_thread(self.process.wait)

    def signin_links(self, names: Sequence[str]) -> list[str]:
        """Links that sign these people in, who are made when missing."""
        done = [manage("signin_link", name, "--create", env=self.env) for name in names]
        assert not any(each.returncode for each in done), done
        return [each.stdout.strip() for each in done]
