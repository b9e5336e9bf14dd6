"""The first reader of a file is expendable: it has little memory, little time, and no secrets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from chat.files import limits, trial
from chat.files.errors import Refused
from tests.files.makers import make_image, make_pdf, make_pdf_bomb, make_zip, opened


def survey(path: Path, called: str = "This PDF") -> dict[str, Any]:
    return trial.perform("pdf", path, called=called, seconds=limits.PDF_SECONDS)[0]


def test_an_honest_document_passes_with_its_pages_and_its_picture(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a b.pdf", ["one", "", "three"], title="Three words")

    facts, thumbnail = trial.perform("pdf", path, called="This PDF", seconds=limits.PDF_SECONDS)

    assert facts == {"pages": 3, "title": "Three words", "text_pages": 2, "text_characters": 8}
    assert opened(thumbnail).format == "WEBP"


def test_a_refusal_comes_back_word_for_word(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a", ["x"], owner_password="a", user_password="b")

    with pytest.raises(Refused) as refusal:
        survey(path, called="“报告\u200d.pdf”")

    assert refusal.value.sentence == (
        "“报告\u200d.pdf” is protected with a password. Remove the password and attach it again."
    )


def test_a_document_that_unpacks_to_a_gigabyte_is_refused(tmp_path: Path) -> None:
    path = make_pdf_bomb(tmp_path / "bomb.pdf", unpacked_megabytes=900)
    assert path.stat().st_size < 2 * 1024 * 1024

    with pytest.raises(Refused, match="needs too much memory to be read"):
        survey(path)


def test_one_that_unpacks_to_what_is_bearable_passes(tmp_path: Path) -> None:
    assert survey(make_pdf_bomb(tmp_path / "large.pdf", unpacked_megabytes=20))["pages"] == 1


@pytest.mark.parametrize("task", ["pdf", "picture", "sending", "archive"])
def test_a_reader_that_does_not_come_back_is_given_up(tmp_path: Path, task: str) -> None:
    with pytest.raises(Refused, match="“a” takes too long to read"):
        trial.perform(task, make_pdf(tmp_path / "a.pdf", ["x"]), called="“a”", seconds=0.001)


def test_each_task_has_its_own_reader(tmp_path: Path) -> None:
    picture, thumbnail = trial.perform("picture", make_image(tmp_path / "a"), called="It", seconds=20)
    archive, nothing = trial.perform("archive", make_zip(tmp_path / "b", {"a.csv": b"1"}), called="It", seconds=20)

    assert (picture, opened(thumbnail).size) == ({"width": 40, "height": 30}, (40, 30))
    assert (archive, nothing) == ({"media_type": "application/zip"}, b"")


def test_the_reader_is_told_no_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "very secret")
    seen: list[dict[str, str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(options["env"])
        return subprocess.CompletedProcess(command, 0, b'{"pages": 1}\n', b"")

    monkeypatch.setattr(subprocess, "run", run)
    survey(make_pdf(tmp_path / "a.pdf", ["x"]))

    assert len(seen) == 1
    assert "very secret" not in seen[0].values()


def test_the_reader_needs_no_django() -> None:
    readers = "chat.files.trial, chat.files.pdf, chat.files.images, chat.files.archives"
    code = f"import json, sys, {readers}; print(json.dumps(sorted(name for name in sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], cwd=trial.ROOT, capture_output=True, check=True, timeout=60)

    modules = json.loads(run.stdout)

    assert "pypdfium2" in modules
    assert not [name for name in modules if name.split(".")[0] in ("django", "chatsite", "channels")]
