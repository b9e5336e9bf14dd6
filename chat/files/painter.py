"""Paints the pages of a PDF in a process of its own, for the reason that `trial` has one: whoever paints what a
stranger made may crash on it, or need gigabytes for one picture.

Unlike the trial's it stays for a while, since who looks at one page looks at the next. It is asked by lines of
JSON, and ends with the server, or when nobody has asked for some time. Like the trial it imports no Django.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from chat.files import limits, pdf
from chat.files.errors import Refused
from chat.files.trial import PASSED_ON, ROOT, _limit_memory

log = logging.getLogger(__name__)

# Answers that are being written go first.
NICE = 5


class Painter:
    """One such process, started when the first page is asked for. It paints one page at a time."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._at_work = threading.Lock()
        self._leaving: threading.Timer | None = None

    def paint(self, path: Path, number: int, width: int, *, called: str = "This PDF") -> bytes:
        """The page as a WEBP. Blocks. Raises Refused, with a sentence that names the document as `called`."""
        with self._at_work:
            try:
                return self._paint({"path": str(path.absolute()), "number": number, "width": width, "called": called})
            finally:
                self._leave_later()

    def stop(self) -> None:
        with self._at_work:
            self._stop()

    def _paint(self, wanted: dict[str, object]) -> bytes:
        process = self._running()
        assert process.stdin
        assert process.stdout
        too_late = threading.Timer(limits.PAINTER_SECONDS, process.kill)
        too_late.daemon = True
        too_late.start()
        try:
            process.stdin.write(json.dumps(wanted).encode() + b"\n")
            process.stdin.flush()
            line = process.stdout.readline()
            answer = json.loads(line) if line.endswith(b"\n") else None
            picture = process.stdout.read(answer["bytes"]) if answer else b""
        except BrokenPipeError:
            answer = None
        finally:
            too_late.cancel()
        if answer is None or len(picture) != answer["bytes"]:
            self._stop()
            log.warning("painting page %s of a PDF ended with %s", wanted["number"], process.returncode)
            raise Refused(
                f"Page {wanted['number']} of {wanted['called']} is too much to be painted. Download the file."
            )
        if "refused" in answer:
            raise Refused(answer["refused"])
        return picture

    def _running(self) -> subprocess.Popen[bytes]:
        if self._leaving is not None:
            self._leaving.cancel()
        if self._process is None or self._process.poll() is not None:
            self._stop()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "chat.files.painter"],
                cwd=ROOT,
                env={name: os.environ[name] for name in PASSED_ON if name in os.environ},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the server; this one ends with it
            )
            atexit.register(self.stop)
        return self._process

    def _leave_later(self) -> None:
        self._leaving = threading.Timer(limits.PAINTER_IDLE_SECONDS, self.stop)
        self._leaving.daemon = True
        self._leaving.start()

    def _stop(self) -> None:
        if self._leaving is not None:
            self._leaving.cancel()
        if self._process is None:
            return
        process, self._process = self._process, None
        process.kill()
        process.communicate()
        atexit.unregister(self.stop)


def main() -> None:
    """What the process does."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICE)
    _limit_memory()
    for line in sys.stdin.buffer:
        wanted = json.loads(line)
        try:
            picture = pdf.page_picture(Path(wanted["path"]), wanted["number"], wanted["width"], called=wanted["called"])
            answer: dict[str, object] = {"bytes": len(picture)}
        except Refused as refusal:
            picture, answer = b"", {"bytes": 0, "refused": refusal.sentence}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + picture)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
