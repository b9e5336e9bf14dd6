"""A server that is not ours, as a process of a test: it says when it is ready, and can be killed and started again."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
from typing import Any

START_SECONDS = 30
STOP_SECONDS = 15


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Service:
    """A process that prints `ready` when it takes connections."""

    ready = ""

    def __init__(self, command: list[str], **options: Any) -> None:
        self.command = command
        self.options = options
        self.output = ""
        self.start()

    def start(self) -> None:
        """Start, and return when it takes connections. Raises AssertionError with what it said when it does not."""
        self._news = threading.Event()
        said = len(self.output)
        self.process = subprocess.Popen(
            self.command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            **self.options,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self._news.wait(START_SECONDS)
        assert self.ready in self.output[said:], f"{self.command[0]} did not start:\n{self.output[said:]}"

    def _read(self) -> None:
        assert self.process.stdout
        with self.process.stdout as lines:
            for line in lines:
                self.output += line
                if self.ready in line:
                    self._news.set()
        self._news.set()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process.poll() is None:
            self.process.send_signal(how)
        self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)

    def kill(self) -> None:
        """As a power cut would."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        """Stop and start again, on the same port."""
        self.stop()
        self.start()
