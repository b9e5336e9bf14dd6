"""A PDF's first reading, in a process of its own: with little memory, little time and no secrets.

A megabyte of PDF can unpack to gigabytes, and whoever parses a stranger's file may crash on it. So the
first reader is expendable. It reads all that is ever read; what passes may be read by `pdf` in the server.

Started as `python -m chat.files.trial PATH CALLED`, it prints one line of JSON and then the thumbnail.
It imports no settings and no Django, which also makes it start in a fifth of a second.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

from chat.files import limits, pdf
from chat.files.errors import Refused

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent.parent

# What a process needs to start; the rest of the environment holds keys.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")

_places = threading.BoundedSemaphore(limits.TRIALS_AT_ONCE)


@dataclass(frozen=True)
class Passed:
    """A document that was read to its end. One with more pages than the limit was only counted."""

    pages: int
    thumbnail: bytes | None


def examine(path: Path, *, called: str = "This PDF") -> Passed:
    """Read the whole document once. Raises Refused, with a sentence that names it as `called`."""
    command = [sys.executable, "-m", "chat.files.trial", str(path.absolute()), called]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        with _places:
            run = subprocess.run(
                command, cwd=ROOT, env=environment, capture_output=True, timeout=limits.PDF_SECONDS, check=False
            )
    except subprocess.TimeoutExpired as error:
        raise Refused(pdf.too_slow(called)) from error
    head, _, thumbnail = run.stdout.partition(b"\n")
    if run.returncode != 0 or not head:
        log.warning("reading a PDF failed with %s: %s", run.returncode, run.stderr[-500:].decode("utf-8", "replace"))
        raise Refused(f"{called} needs too much memory to be read. Attach a simpler version of it, or parts of it.")
    verdict = json.loads(head)
    if "refused" in verdict:
        raise Refused(verdict["refused"])
    return Passed(verdict["pages"], thumbnail or None)


def main(path: Path, called: str) -> None:
    """What the process does."""
    _limit_memory()
    thumbnail = b""
    try:
        pages = pdf.page_count(path, called=called)
        if pages <= limits.PDF_MAX_PAGES:
            pdf.page_texts(path, called=called)
            thumbnail = pdf.thumbnail(path, called=called)
        verdict: dict[str, object] = {"pages": pages}
    except Refused as refusal:
        verdict = {"refused": refusal.sentence}
    sys.stdout.buffer.write(json.dumps(verdict).encode() + b"\n" + thumbnail)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (limits.TRIAL_BYTES, limits.TRIAL_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
