"""The machine that we measure on: which process runs on which core, and what a process has used so far.

As Linux tells it, in /proc.
"""

from __future__ import annotations

import os
import resource
from pathlib import Path

FILES = 8_192
TICKS = os.sysconf("SC_CLK_TCK")


def shared_out() -> tuple[set[int], set[int]] | None:
    """Cores for the server and cores for what loads it; None where there is one, or where none can be chosen."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return ({cores[0]}, set(cores[1:])) if len(cores) > 1 else None


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process, with all the threads that it has and will have, on these cores."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cores)


def pin_server(pid: int) -> None:
    if (cores := shared_out()) is not None:
        pin(pid, cores[0])


def pin_load(pid: int) -> None:
    if (cores := shared_out()) is not None:
        pin(pid, cores[1])


def cpu_seconds(pid: int) -> float:
    """What a process has used, user and system. To a hundredth: look at it over seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def allow_many_sockets() -> None:
    """For the processes that are started from now on: some systems allow no more than 1,024 files."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def description() -> str:
    """The line under the table."""
    cores = os.cpu_count() or 1
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        "an unnamed processor",
    )
    where = "server and load on cores of their own" if shared_out() else "server and load share the core"
    return f"{cores} cores of {model}; {where}."


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text().splitlines()
    except OSError:
        return []
