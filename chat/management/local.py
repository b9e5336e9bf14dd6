"""A model beside the chat: the child process that serves it (`llamacpp`), and the rows that offer it.

The child is watched and started again when it dies, and ends when the chat does, however that ends.
"""

from __future__ import annotations

import logging
import os
import re
import secrets
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx
from django.conf import settings

from chat.engines import LOCAL_NAME
from chat.management import llamacpp
from chat.management.llamacpp import NoModel
from chat.models import Deployment, Provider

logger = logging.getLogger("chat.local")

STOP_SECONDS = 5.0
FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 60.0


@dataclass(frozen=True)
class Served:
    """What the model's server says of itself."""

    base_url: str
    key: str = field(repr=False)
    name: str
    context_tokens: int | None
    sees_images: bool


def look(base_url: str, key: str) -> Served:
    """Ask the server what it serves. Raises NoModel."""
    try:
        reply = httpx.get(f"{base_url}models", headers={"Authorization": f"Bearer {key}"}, timeout=30, trust_env=False)
        model = reply.raise_for_status().json()["data"][0]
        tokens, kinds = model["meta"]["n_ctx"], model["architecture"]["input_modalities"]
        return Served(base_url, key, str(model["id"]), tokens if isinstance(tokens, int) else None, "image" in kinds)
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as error:
        raise NoModel(f"The model's server answers in a way that is not understood ({error!r}).") from error


class LocalModel:
    """The child process: started, watched, started again with growing pauses when it dies, and ended."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.key = secrets.token_urlsafe(24)  # other people on this machine have no business with it
        self.port = 0
        self._stopping = threading.Event()
        self._changing = threading.Lock()
        self._process = self._spawn()
        self._watcher = threading.Thread(target=self._watch, name="local-model", daemon=True)

    def wait_ready(self) -> Served:
        """Return when it answers; from then on it is watched. Raises NoModel when it ended instead."""
        if not self._read_ready(self._process):
            raise NoModel(f"{self.path} could not be served; llama.cpp says why above.")
        self._watcher.start()
        return look(self.base_url, self.key)

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1/"

    def stop(self) -> None:
        with self._changing:
            self._stopping.set()
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._watcher.ident is not None:
            self._watcher.join()
        _close(self._process)

    def __enter__(self) -> LocalModel:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.stop()

    def _spawn(self) -> subprocess.Popen[str]:
        """A session of its own keeps Ctrl-C from it: the chat first ends what is being answered."""
        return subprocess.Popen(
            [
                *(sys.executable, "-m", llamacpp.__name__, "--with-parent", "--port", str(self.port)),
                *("--model", str(self.path), "--context", str(settings.LOCAL_CONTEXT)),
            ],
            cwd=settings.BASE_DIR,
            env={**os.environ, llamacpp.KEY_VARIABLE: self.key},
            stdin=subprocess.PIPE,  # closes with this process, which tells the child
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def _read_ready(self, process: subprocess.Popen[str]) -> bool:
        assert process.stdout is not None
        for line in process.stdout:
            if found := re.match(r"ready on http://127\.0\.0\.1:(\d+)/v1/$", line):
                self.port = int(found[1])
                return True
        return False

    def _watch(self) -> None:
        pause = FIRST_PAUSE_SECONDS
        while True:
            began = time.monotonic()
            code = self._process.wait()
            if self._stopping.is_set():
                return
            if time.monotonic() - began > LONGEST_PAUSE_SECONDS:
                pause = FIRST_PAUSE_SECONDS
            logger.warning("the model on this machine ended (%s); it starts again in %.0f s", _ending(code), pause)
            if self._stopping.wait(pause):
                return
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)
            with self._changing:
                if self._stopping.is_set():
                    return
                _close(self._process)
                self._process = self._spawn()
            if self._read_ready(self._process):
                logger.warning("the model on this machine answers again")


def _close(process: subprocess.Popen[str]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def _ending(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit code {code}"


@contextmanager
def beside_the_chat() -> Iterator[LocalModel]:
    """Serve the model that LOCAL_MODEL names, or the one that comes along. Raises NoModel before anything is started."""
    llamacpp.require_engine()
    with LocalModel(llamacpp.model_file(settings.LOCAL_MODEL)) as model:
        yield model


def offer(served: Served) -> None:
    """Describe it by variables, as any provider is: `sync_environment` makes its rows."""
    os.environ.update(LOCAL_BASE_URL=served.base_url, LOCAL_MODELS=served.name, LOCAL_API_KEY=served.key)


def note_facts(served: Served) -> None:
    """What only the server knows of the model, into its rows. The operator's other overrides stay."""
    provider = Provider.objects.get(name=LOCAL_NAME, source=Provider.Source.ENVIRONMENT)
    sight = {"image_base64": served.sees_images, "image_url": served.sees_images}
    provider.capabilities = {**(provider.capabilities or {}), **sight}
    provider.save(update_fields=["capabilities"])
    Deployment.objects.filter(provider=provider, name=served.name).update(context_window=served.context_tokens)
