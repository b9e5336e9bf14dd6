"""Files that cannot be used get a sentence beside the composer, and what was typed stays."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.files.makers import make_noise, make_pdf
from tests.house.browsing import Browser
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey


def a_program(path: Path) -> Path:
    path.write_bytes(b"MZ\x90\0 no PDF, whatever its name says.\n" * 40)
    return path


def a_locked_pdf(path: Path) -> Path:
    return make_pdf(path, ["Secret."], owner_password="owner", user_password="user")


def nothing(path: Path) -> Path:
    path.touch()
    return path


def too_much(path: Path) -> Path:
    path.write_bytes(b"%PDF-1.7\n" + bytes(1024 * 1024))
    return path


def half_a_picture(path: Path) -> Path:
    whole = make_noise(path, "PNG")
    path.write_bytes(path.read_bytes()[: whole.stat().st_size // 2])
    return path


BAD_FILES: list[tuple[Callable[[Path], Path], str, str]] = [
    (a_program, "notes.pdf", "of a kind that cannot be read here"),
    (a_locked_pdf, "locked.pdf", "password"),
    (nothing, "nothing.pdf", "is empty"),
    (too_much, "large.pdf", "1 MB"),
    (half_a_picture, "half.png", "is broken"),
]


def test_files_that_cannot_be_used_say_why_and_the_text_stays(tab: Tab, browser: Browser, tmp_path: Path) -> None:
    browser.tolerate("status of 422")  # chromium reports each refusal in its console
    tab.box.fill("Summarize this PDF")
    good = make_pdf(tmp_path / "good.pdf", ["The harbour froze in January, and no ship came in before March."])
    tab.attach(*(make(tmp_path / name) for make, name, _ in BAD_FILES), good)
    expect(tab.chips).to_have_count(len(BAD_FILES) + 1)
    for number, (_, name, words) in enumerate(BAD_FILES):
        chip = tab.chips.nth(number)
        expect(chip).to_have_class("chip chip--refused")
        expect(chip).to_contain_text(f"“{name}”")
        expect(chip).to_contain_text(words)
    expect(tab.chips.last).to_contain_text("1 page")
    tab.chips.first.get_by_role("button", name="Remove notes.pdf").click()
    expect(tab.chips).to_have_count(len(BAD_FILES))
    expect(tab.box).to_have_value("Summarize this PDF")
    tab.send_button.click()
    assert "harbour" in tab.finished()
    expect(tab.problem).to_be_empty()
    expect(tab.chips).to_have_count(0)
    expect(tab.last.locator(".question .chip")).to_have_count(1)
