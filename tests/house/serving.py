"""The product as a process of its own, as an operator runs it."""

from __future__ import annotations

import atexit
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
READY = "Ctrl-C stops it."
START_SECONDS = 90
STOP_SECONDS = 15


def environment(data_dir: Path, **variables: str) -> dict[str, str]:
    """The shell's variables, without those of the product (tests.settings takes them away), and `variables`."""
    return {**os.environ, "DJANGO_SETTINGS_MODULE": "chatsite.settings", "DATA_DIR": str(data_dir), **variables}


def manage(*arguments: str, env: dict[str, str], timeout: float = START_SECONDS) -> subprocess.CompletedProcess[str]:
    """Run manage.py to its end."""
    if env.get("PYTHONPATH") == os.environ.get("PYTHONPATH"):
        return _console.run(arguments, env)
    # Python itself is to start differently.
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


class Console:
    """tests.house.console: started when the first command is run, ends with the tests."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self._lock = threading.Lock()

    def run(self, arguments: Sequence[str], env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        answer = ""
        with self._lock:
            process = self._process = self._process or self._started()
            assert process.stdin
            assert process.stdout
            try:
                process.stdin.write(json.dumps([arguments, env]) + "\n")
                process.stdin.flush()
                answer = process.stdout.readline()
            finally:
                if not answer:  # it broke, or the test ran out of time
                    os.killpg(process.pid, signal.SIGKILL)
                    self.end()
        assert answer, f"manage.py {arguments[0]} broke off"
        return subprocess.CompletedProcess(arguments, *json.loads(answer))

    def _started(self) -> subprocess.Popen[str]:
        atexit.register(self.end)
        return subprocess.Popen(
            [sys.executable, "-m", "tests.house.console"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # its forks can be ended with it, and Ctrl-C is for the tests
        )

    def end(self) -> None:
        if self._process is not None:
            self._process.communicate()
            self._process = None


_console = Console()


def _cpu_of_the_dead() -> float:
    """CPU seconds of all processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _answer_to_ctrl_c() -> None:
    """Give the child the usual SIGINT: started from a script in the background, the tests ignore it."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class Server:
    """`manage.py serve` on a free port, with a data folder of its own."""

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
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *self.arguments],
            cwd=ROOT,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_answer_to_ctrl_c,
        )
        self._reader = threading.Thread(target=self._read, args=[self.process], daemon=True)
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

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
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
        before = _cpu_of_the_dead()
        if self.process.poll() is None:
            self.process.send_signal(how)
        code = self.process.wait(STOP_SECONDS)
        self.cpu_seconds = _cpu_of_the_dead() - before
        self._reader.join(STOP_SECONDS)
        return code

    def kill(self) -> None:
        """As a power cut would."""
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()
