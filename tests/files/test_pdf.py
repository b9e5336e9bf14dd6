"""pdfium's corner: text, pages, first-page picture, limits, and threads side by side."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from chat.files import limits, pdf
from chat.files.errors import Refused
from tests.files.makers import make_crowded_pdf, make_pdf, opened


def test_the_text_of_each_page_stands_at_its_place(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["Alpha begins.", "", "Gamma ends."])

    assert pdf.page_texts(path) == ["Alpha begins.", "", "Gamma ends."]


def test_lines_of_a_page_stay_lines(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["first\nsecond"])

    assert pdf.page_texts(path) == ["first\nsecond"]


def test_a_word_hyphenated_at_the_end_of_a_line_is_one_word() -> None:
    assert pdf._tidy("exam\ufffe\r\nple\x00 text\r\n") == "example text"


def test_three_hundred_pages_are_read(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", [f"This is page {number}." for number in range(1, 301)])

    texts = pdf.page_texts(path)

    assert pdf.page_count(path) == 300
    assert texts[0] == "This is page 1."
    assert texts[299] == "This is page 300."


def test_the_thumbnail_is_a_small_webp_of_the_first_page(tmp_path: Path) -> None:
    image = opened(pdf.thumbnail(make_pdf(tmp_path / "a.pdf", ["Words " * 200, "second"])))

    assert image.format == "WEBP"
    assert image.width <= limits.THUMBNAIL_WIDTH
    assert image.height <= limits.THUMBNAIL_HEIGHT
    shades = image.convert("L").histogram()
    assert sum(shades[:100]) > 100, "the page has words"
    assert sum(shades[250:]) > 1000, "the paper is white"


@pytest.mark.quiet
def test_a_page_that_paints_for_very_long_gives_what_was_painted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_crowded_pdf(tmp_path / "map.pdf", strokes=300_000)
    monkeypatch.setattr(limits, "PAINT_SECONDS", 0.05)
    started = time.monotonic()

    picture = pdf.thumbnail(path)

    assert opened(picture).format == "WEBP"
    assert time.monotonic() - started < 4, "painted whole, this page takes more than six seconds"


@pytest.mark.parametrize("read", [pdf.page_texts, pdf.page_count, pdf.thumbnail])
def test_a_document_that_takes_too_long_is_refused(tmp_path: Path, read: object) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["words"] * 3)

    with pytest.raises(Refused, match="takes too long to read"):
        read(path, called="“a.pdf”", seconds=0)  # type: ignore[operator]


def test_time_is_up_between_pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["words"] * 3)
    ticks = iter(range(1000))
    monkeypatch.setattr(pdf, "monotonic", lambda: float(next(ticks)))  # each entry costs one second

    assert len(pdf.page_texts(path, seconds=5)) == 3  # opening, counting, three pages
    with pytest.raises(Refused, match="takes too long"):
        pdf.page_texts(path, seconds=4)


def test_a_password_is_asked_to_be_removed(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["secret"], owner_password="owner", user_password="reader")

    with pytest.raises(Refused) as refusal:
        pdf.page_texts(path, called="“a.pdf”")

    assert refusal.value.sentence == ("“a.pdf” is protected with a password. Remove the password and attach it again.")


def test_a_document_that_anyone_may_open_is_read_though_it_is_encrypted(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["open to read"], owner_password="owner", user_password="")

    assert pdf.page_texts(path) == ["open to read"]


@pytest.mark.parametrize("part", [0.01, 0.3, 0.6, 0.9])
def test_a_cut_document_is_refused_or_read_but_never_crashes(tmp_path: Path, part: float) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["words " * 300] * 5)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    with pytest.raises(Refused, match="is broken and cannot be read"):
        pdf.page_texts(path)


def test_a_short_document_does_not_wait_for_the_end_of_a_long_one(tmp_path: Path) -> None:
    long = make_pdf(tmp_path / "long.pdf", ["words " * 100] * 100)
    short = make_pdf(tmp_path / "short.pdf", ["words"])
    inside, order = threading.Event(), []
    original = pdf._page

    def watched(document: pdf._Document, index: int) -> object:
        if document.called == "long":
            inside.set()
        return original(document, index)

    def read(path: Path, called: str) -> None:
        pdf.page_texts(path, called=called)
        order.append(called)

    pdf._page = watched  # type: ignore[assignment]
    try:
        first = threading.Thread(target=read, args=(long, "long"))
        first.start()
        assert inside.wait(10)
        read(short, "short")
        first.join(30)
    finally:
        pdf._page = original

    assert order == ["short", "long"]


def test_who_waits_for_pdfium_comes_before_who_just_had_it() -> None:
    turnstile, order = pdf._Turnstile(), []

    def wait_for_turn() -> None:
        with turnstile:
            order.append("waited")

    waiting = threading.Thread(target=wait_for_turn)
    with turnstile:
        waiting.start()
        while not turnstile._gate.locked():
            pass
    with turnstile:
        order.append("came again")
    waiting.join(10)

    assert order == ["waited", "came again"]


def test_many_threads_read_at_once_and_each_gets_its_own(tmp_path: Path) -> None:
    paths = [make_pdf(tmp_path / f"{name}.pdf", [f"{name} {page}" for page in range(20)]) for name in "abcdef"]
    found: dict[str, list[str]] = {}

    def read(path: Path) -> None:
        pdf.thumbnail(path)
        found[path.stem] = pdf.page_texts(path)

    threads = [threading.Thread(target=read, args=(path,)) for path in paths]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == {name: [f"{name} {page}" for page in range(20)] for name in "abcdef"}


def test_no_handle_stays_open(tmp_path: Path) -> None:
    from pypdfium2.internal.bases import ObjectTracker

    good = make_pdf(tmp_path / "a.pdf", ["words"])
    locked = make_pdf(tmp_path / "b.pdf", ["words"], owner_password="a", user_password="b")
    pdf.page_texts(good)
    pdf.thumbnail(good)
    with pytest.raises(Refused):
        pdf.page_count(locked)

    assert not any(ObjectTracker.values())


def test_some_pages_are_read_alone(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a.pdf", ["One", "Two", "Three"])
    assert pdf.texts_of(path, [3, 1, 0, 4]) == {3: "Three", 1: "One"}
