"""Each file of the corpus gets what the table says, and the process that took them all is as small as before."""

from __future__ import annotations

import os
from pathlib import Path

from chat.models import Attachment, User
from tests.bench.machine import resident_bytes
from tests.files.corpus import CASES, REFUSED, build, upload

MEGABYTE = 1024 * 1024
AT_LEAST = 40
GROWTH = 32 * MEGABYTE
PEAK = 64 * MEGABYTE


def peak_bytes() -> int:
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmHWM:"))


def forget_the_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def test_each_file_gets_what_the_table_says_and_the_process_does_not_grow(
    media: Path, tmp_path: Path, alice: User
) -> None:
    paths = build(tmp_path)
    upload(alice, paths[0], "the first one finds nothing loaded")
    before = resident_bytes(os.getpid())
    forget_the_peak()

    got = [upload(alice, path, case.name) for path, case in zip(paths, CASES, strict=True)]

    peak, after = peak_bytes(), resident_bytes(os.getpid())
    unexpected = {
        case.name: (status, words)
        for case, (status, words) in zip(CASES, got, strict=True)
        if status != case.status or case.words not in words
    }
    assert unexpected == {}
    assert peak - before < PEAK
    assert after - before < GROWTH
    # Of the refused ones nothing stays; of the others the file, and a picture where there is one.
    ready = Attachment.objects.filter(status=Attachment.Status.READY)
    pictures = ready.exclude(thumbnail="").count()
    assert sum(path.is_file() for path in media.rglob("*")) == ready.count() + pictures
    assert all(len(words) <= 300 for status, words in got if status == REFUSED)


def test_the_corpus_is_as_large_and_as_wicked_as_promised() -> None:
    assert len(CASES) >= AT_LEAST
    assert len({case.name for case in CASES}) == len(CASES)
    assert sum(case.status == REFUSED for case in CASES) >= AT_LEAST // 2
