"""The processes of a run: the provider, the crowd, and what stands between them, the product or the bare relay."""

from __future__ import annotations

import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx

import tests.settings  # noqa: F401  What the shell says about the product is not for the one that is measured.
from tests.house.serving import ROOT, PythonServer

from .crowd import HOST, PAGE_HEADERS, Asked, Outcome
from .machine import allow_many_sockets, pin_load, pin_server

LOCKED = "database is locked"
PATIENCE_SECONDS = 30.0  # after the last word should have come


class Child:
    """A module that runs as a process and answers lines of JSON; its first line is `hello`."""

    def __init__(self, module: str, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        self._name = module
        self._process = subprocess.Popen(
            [sys.executable, "-m", f"tests.bench.{module}", *arguments],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.pid = self._process.pid
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout
        self.hello = self._line()

    def tell(self, deed: str, argument: Any) -> Any:
        """One deed, and what came of it."""
        self._orders.write(json.dumps([deed, argument]) + "\n")
        self._orders.flush()
        return json.loads(self._line())

    def _line(self) -> str:
        line = self._answers.readline()
        assert line, f"{self._name} ended"
        return line

    def end(self) -> None:
        self._orders.close()
        self._process.terminate()
        self._process.wait()
        self._answers.close()


@contextmanager
def child(module: str, *arguments: str, env: Mapping[str, str] | None = None) -> Iterator[Child]:
    process = Child(module, *arguments, env=env)
    try:
        yield process
    finally:
        process.end()


class Product:
    """The product as an operator runs it in production, behind what stands for the proxy, with the provider's models."""

    def __init__(self, data_dir: Path, provider_url: str, *, pinned: bool = True, **variables: str) -> None:
        self.server = PythonServer(
            data_dir,
            **{
                "ENVIRONMENT": "production",
                "SECRET_KEY": variables.pop("SECRET_KEY", secrets.token_urlsafe(64)),
                "ALLOWED_HOSTS": HOST,
                "BEHIND_PROXY": "1",
                "OPENAI_API_KEY": "sk-bench",
                "OPENAI_BASE_URL": provider_url,
                "OPENAI_MODELS": "bench",
                # What it carries is what is measured, not what it is allowed to.
                "RUNNING_PER_PROCESS": "5000",
                "DOTENV": os.devnull,
                **variables,
            },
        )
        self.port = int(self.server.url.rpartition(":")[2])
        if pinned:
            pin_server(self.pid)

    @property
    def pid(self) -> int:
        return self.server.process.pid

    @cached_property
    def _stored(self) -> Child:
        return Child("stored", env=self.server.env)

    def people(self, count: int) -> list[dict[str, Any]]:
        """So many people with a page each, as the crowd takes them."""
        return [{"cookie": key, "port": self.port} for key in self._stored.tell("people", count)]

    def whole(self, turns: Mapping[int, int]) -> int:
        """How many of these turns the database has, completed and with all their words."""
        return len(self._stored.tell("whole", {str(pk): words for pk, words in turns.items()}))

    @property
    def locked(self) -> int:
        return self.server.output.count(LOCKED)

    @property
    def complaints(self) -> list[str]:
        """What the server's log says in warnings and errors, newest last."""
        return [line for line in self.server.output.splitlines() if re.search(r" (WARNING|ERROR) ", line)]

    def sign_in(self, name: str) -> dict[str, Any]:
        """Somebody who has used a sign-in link, as a browser does."""
        path = "/signin/" + self.server.signin_link(name).partition("/signin/")[2]
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", headers=PAGE_HEADERS, trust_env=False) as browser:
            page = browser.get(path)
            token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
            assert token, page.text
            # Its cookies are for HTTPS, which the proxy speaks and we do not.
            cookie = f"csrftoken={page.cookies['csrftoken']}"
            done = browser.post(path, data={"csrfmiddlewaretoken": token[1]}, headers={"Cookie": cookie})
            return {"cookie": done.cookies["sessionid"], "port": self.port}

    def stop(self) -> None:
        if "_stored" in self.__dict__:
            self._stored.end()
        self.server.stop()


class Stage:
    """Provider and crowd, and the folder of this run."""

    def __init__(self, folder: Path, provider: Child, crowd: Child) -> None:
        self.folder = folder
        self.provider_url = f"http://127.0.0.1:{json.loads(provider.hello)['port']}/v1/"
        self._crowd = crowd

    @contextmanager
    def product(self, *, pinned: bool = True, **variables: str) -> Iterator[Product]:
        product = Product(self.folder / "data", self.provider_url, pinned=pinned, **variables)
        try:
            yield product
        finally:
            product.stop()

    @contextmanager
    def relay(self, *arguments: str, module: str = "relay") -> Iterator[Child]:
        """The bare relay; `people_at` is its counterpart of `Product.people`."""
        with child(module, self.provider_url, *arguments) as relay:
            pin_server(relay.pid)
            yield relay

    @contextmanager
    def people(self, people: Sequence[Mapping[str, Any]], buffer_bytes: int = 0) -> Iterator[str]:
        """Bring people to their pages; gives the name of their group."""
        name = secrets.token_hex(4)
        self._crowd.tell("open", {"group": name, "people": list(people), "buffer_bytes": buffer_bytes})
        try:
            yield name
        finally:
            self._crowd.tell("leave", {"group": name})

    def run(
        self,
        group: str,
        asked: Sequence[Asked],
        pid: int | None = None,
        hold: Sequence[float] = (),
        patience: float = PATIENCE_SECONDS,
    ) -> Outcome:
        """Let a group ask, and wait until all is answered. `pid` is the server whose CPU time is looked at."""
        order = {"group": group, "asked": [asdict(one) for one in asked], "hold": list(hold), "patience": patience}
        order["provider"] = self.provider_url.removesuffix("v1/")
        outcome = self._crowd.tell("run", {**order, "pids": [] if pid is None else [pid]})
        return Outcome(**{**outcome, "turns": {int(pk): words for pk, words in outcome["turns"].items()}})


def people_at(relay: Child, count: int) -> list[dict[str, Any]]:
    return [{"port": json.loads(relay.hello)["port"]}] * count


@contextmanager
def stage() -> Iterator[Stage]:
    allow_many_sockets()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="responses-chat-bench-")))
        times = str(folder / "times")
        provider = stack.enter_context(child("provider", times))
        crowd = stack.enter_context(child("crowd", times))
        for process in (provider, crowd):
            pin_load(process.pid)
        yield Stage(folder, provider, crowd)
