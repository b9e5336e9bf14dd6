"""The product as a process of its own, as an operator runs it."""

from __future__ import annotations

import atexit
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Protocol

from tests.house import console

ROOT = Path(__file__).resolve().parent.parent.parent
READY = "Ctrl-C stops it."
START_SECONDS = 90
STOP_SECONDS = 15


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """The shell's variables, without those of the product (tests.settings takes them away), and `variables`."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "chatsite.settings", "DATA_DIR": str(data_dir), **variables}


def manage(*arguments: str, env: dict[str, str], timeout: float = START_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run manage.py to its end."""
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = launch(*arguments, env=env, out=out, err=err)
        try:
            code = process.wait(timeout)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, code, out.read(), err.read())


def launch(*arguments: str, env: dict[str, str], out: IO[str], err: IO[str]) -> Process:
    """Start manage.py."""
    if env.get("PYTHONPATH") == os.environ.get("PYTHONPATH"):
        return _console.launch(arguments, env, out, err)
    return launch_python(*arguments, env=env, out=out, err=err)  # which is to start differently


def launch_python(
    *arguments: str, env: dict[str, str], out: IO[str], err: IO[str], program: Sequence[str] = ("manage.py",)
) -> Process:
    """Start manage.py as an operator does, with all that Python does then."""
    return subprocess.Popen(
        [sys.executable, *program, *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        preexec_fn=_answer_to_ctrl_c,
    )


def serve(launch: Launch, *arguments: str, env: dict[str, str]) -> tuple[Process, IO[str]]:
    """Start `manage.py serve`; all that it says."""
    lines, out = os.pipe()
    with open(out, "w") as told:
        return launch("serve", *arguments, env=env, out=told, err=told), open(lines, errors="replace")


def _answer_to_ctrl_c() -> None:
    """Give the child the usual SIGINT: started from a script in the background, the tests ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Process(Protocol):
    """What is used of subprocess.Popen."""

    pid: int
    returncode: int | None

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


Launch = Callable[..., Process]


class Fork:
    """A fork of tests.house.console. It is no child of this process; a socket tells of its end."""

    def __init__(self, keeper: socket.socket) -> None:
        self._keeper = keeper
        self.pid = self._told()
        self.returncode: int | None = None

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            self._keeper.settimeout(timeout)
            try:
                self.returncode = self._told()
            except (BlockingIOError, TimeoutError):
                raise subprocess.TimeoutExpired("manage.py", timeout or 0) from None
            self._keeper.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, sig)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _told(self) -> int:
        number: int
        (number,) = console.NUMBER.unpack(self._keeper.recv(console.NUMBER.size))
        return number


class Console:
    """tests.house.console: started for the first command, ends with the tests, and what it started with it."""

    def __init__(self) -> None:
        self._orders: socket.socket | None = None
        self._lock = threading.Lock()

    def launch(self, arguments: Sequence[str], env: dict[str, str], out: IO[str], err: IO[str]) -> Fork:
        ours, theirs = socket.socketpair()
        with theirs, self._lock:
            self._orders = self._orders or self._started()
            socket.send_fds(self._orders, [b"!"], [theirs.fileno(), out.fileno(), err.fileno()])
        ours.sendall(json.dumps([arguments, env]).encode() + b"\n")
        return Fork(ours)

    def _started(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-m", "tests.house.console", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # its forks can be ended with it, and Ctrl-C is for the tests
            )
        atexit.register(self._end, process)
        return ours

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


_console = Console()


class Server:
    """`manage.py serve` on a free port, with a data folder of its own."""

    launch = staticmethod(launch)

    def __init__(self, data_dir: Path, *arguments: str, **variables: str) -> None:
        self.data_dir = data_dir
        self.arguments = arguments
        self.env = environment(data_dir, **{"PORT": "0", **variables})
        self.output = ""
        self.start()

    def start(self) -> None:
        """Start, and return when it serves. Raises AssertionError with its output when it does not."""
        self._news = threading.Condition()
        self._seen = len(self.output)
        self.process, said = serve(self.launch, *self.arguments, env=self.env)
        self._reader = threading.Thread(target=self._read, args=[said], daemon=True)
        self._reader.start()
        try:
            self.wait_for(READY)
        except AssertionError:
            self.kill()
            raise
        # In production the public address comes first, then the one behind the proxy.
        self.url = re.findall(r"(?:running|listens) at (\S+)/", self.output[self._seen :])[-1]
        # From now on the same port, so that a page finds the server again after a restart.
        self.env["PORT"] = self.url.rpartition(":")[2]

    def _read(self, said: IO[str]) -> None:
        with said:
            for line in said:
                with self._news:
                    self.output += line
                    self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, text: str, timeout: float = START_SECONDS) -> None:
        """Wait until the server has printed `text` since it was started."""

        def told() -> bool:
            return text in self.output[self._seen :] or not self._reader.is_alive() or self.process.poll() is not None

        with self._news:
            self._news.wait_for(told, timeout)
        assert text in self.output[self._seen :], f"{text!r} did not come. The server said:\n{self.output}"

    @property
    def admin_link(self) -> str:
        """The sign-in link that the newest start printed."""
        found = re.findall(r"^\s+(http\S+/signin/\S+/)$", self.output[self._seen :], re.MULTILINE)
        assert found, self.output
        return str(found[-1])

    def signin_link(self, name: str, *, admin: bool = False) -> str:
        """A link that signs `name` in once; the person is made when missing."""
        done = self.manage("signin_link", name, "--create", *(["--admin"] if admin else []))
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def manage(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of manage.py with the server's data and environment."""
        return manage(*arguments, env=self.env)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to stop and return its exit code."""
        self.process.send_signal(how)
        code = self.process.wait(STOP_SECONDS)
        self._reader.join(STOP_SECONDS)
        return code

    def kill(self) -> None:
        """As a power cut would."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()


class PythonServer(Server):
    """The same with a start of Python, where that is what a test is about, or its memory and CPU time are measured."""

    launch = staticmethod(launch_python)
