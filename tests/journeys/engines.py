"""The embedded engine as a process of its own: a provider that only speaks the wire."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path

import httpx

from tests.house.serving import STOP_SECONDS, environment, launch


class Engine:
    """`manage.py offline_engine`. Like any provider it may be away, forget, or refuse a key."""

    def __init__(self, folder: Path, dialect: str = "openai", *, pace: float = 0.01, options: tuple[str, ...] = ()):
        self.dialect = dialect
        self.env = environment(folder / "engine")
        self.arguments = ["--dialect", dialect, "--pace", str(pace), *options]
        self.port = "0"
        self.start()

    def start(self) -> None:
        """Start with an empty memory, on the port that it had before. Returns when it answers."""
        lines, out = os.pipe()
        with open(out, "w") as told, open(os.devnull, "w") as nothing:
            command = ("offline_engine", "--port", self.port, *self.arguments)
            self.process = launch(*command, env=self.env, out=told, err=nothing)
        with open(lines) as said:
            ready = said.readline()
        found = re.match(r"ready on (http://127\.0\.0\.1:(\d+)/v1/)", ready)
        assert found, f"the engine said {ready!r}"
        self.url, self.port = found[1], found[2]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(STOP_SECONDS)

    def forget(self) -> None:
        """Lose every response and file, as a provider does when its time is over."""
        self.stop()
        self.start()

    def keeps_state(self) -> bool:
        """Whether it goes on from a response that it gave."""
        body = {"model": "embedded-engine", "input": "Hello"}
        first = httpx.post(f"{self.url}responses", json=body, timeout=60).json()["id"]
        again = httpx.post(f"{self.url}responses", json={**body, "previous_response_id": first}, timeout=60)
        assert again.status_code in (200, 400)
        return again.status_code == 200

    def variables(self, **more: str) -> dict[str, str]:
        """What an operator sets to use it."""
        return {
            "RESPONSES_BASE_URL": self.url,
            "RESPONSES_MODELS": "embedded-engine",
            "RESPONSES_DIALECT": self.dialect,
            **more,
        }
