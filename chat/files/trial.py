"""A file's first reading, in a process of its own: with little memory, little time and no secrets.

A megabyte can unpack to gigabytes, and whoever parses a stranger's file may crash on it. So the first
reader is expendable. Of a PDF it reads all that is ever read, a picture it decodes, an archive it unpacks;
what passes may be read in the server. Pictures that are written anew before they are sent are written here, too.

Started as `python -m chat.files.trial TASK PATH CALLED GIVEN`, it prints one line of JSON and then bytes, such as
the thumbnail. It imports no settings and no Django, which also makes it start in a tenth of a second.
"""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chat.files import limits
from chat.files.errors import Refused, too_slow

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent.parent

# What a process needs to start; the rest of the environment holds keys.
PASSED_ON = ("PATH", "LD_LIBRARY_PATH", "SYSTEMROOT")

NICE = 10

Outcome = tuple[dict[str, Any], bytes]


def pdf_task(path: Path, called: str) -> Outcome:
    from chat.files import pdf

    survey, thumbnail = pdf.survey(path, called=called)
    return asdict(survey), thumbnail


def picture_task(path: Path, called: str) -> Outcome:
    from chat.files import images

    picture = images.examine(path, called=called)
    return {"width": picture.width, "height": picture.height}, picture.thumbnail


def sending_task(path: Path, called: str, **bounds: int) -> Outcome:
    from chat.files import images

    media_type, data = images.written_anew(path, images.Bounds(**bounds), called=called)
    return {"media_type": media_type}, data


def archive_task(path: Path, called: str) -> Outcome:
    from chat.files import archives

    return {"media_type": archives.examine(path, called=called)}, b""


# Each imports its own library alone: that is half of the time that a small picture takes.
TASKS: dict[str, Callable[..., Outcome]] = {
    "pdf": pdf_task,
    "picture": picture_task,
    "sending": sending_task,
    "archive": archive_task,
}

# By task: a picture does not wait for two documents of five thousand pages.
_places = {task: threading.BoundedSemaphore(limits.TRIALS_AT_ONCE) for task in TASKS}


def perform(task: str, path: Path, *, called: str, seconds: float, **given: int) -> Outcome:
    """Do a task in the process. Raises Refused, with a sentence that names the file as `called`."""
    command = [sys.executable, "-m", "chat.files.trial", task, str(path.absolute()), called, json.dumps(given)]
    environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
    try:
        with _places[task]:
            run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=seconds, check=False)
    except subprocess.TimeoutExpired as error:
        raise Refused(too_slow(called)) from error
    head, _, data = run.stdout.partition(b"\n")
    if run.returncode != 0 or not head:
        log.warning("reading a file failed with %s: %s", run.returncode, run.stderr[-500:].decode("utf-8", "replace"))
        raise Refused(f"{called} needs too much memory to be read. Attach a simpler version of it, or parts of it.")
    facts = json.loads(head)
    if "refused" in facts:
        raise Refused(facts["refused"])
    return facts, data


def main(task: str, path: Path, called: str, given: dict[str, int]) -> None:
    """What the process does."""
    _step_back()
    _limit_memory()
    try:
        facts, data = TASKS[task](path, called, **given)
    except Refused as refusal:
        facts, data = {"refused": refusal.sentence}, b""
    sys.stdout.buffer.write(json.dumps(facts).encode() + b"\n" + data)


def _step_back() -> None:
    """Answers that are being written go first."""
    if hasattr(os, "nice"):  # not on Windows
        os.nice(NICE)


def _limit_memory() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (limits.TRIAL_BYTES, limits.TRIAL_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4]))
