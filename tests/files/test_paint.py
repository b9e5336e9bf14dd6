"""Pages of a PDF as pictures: by an expendable process, kept in storage, gone with the file."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from asgiref.sync import async_to_sync
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from chat.files import limits, paint, pdf
from chat.files.errors import Refused
from chat.files.painter import Painter
from chat.files.storage import drop_bytes, pages_folder
from chat.models import Attachment, User
from tests.files.makers import make_pdf, make_pdf_bomb, opened
from tests.rows import make_attachment


@pytest.fixture
def painter() -> Iterator[Painter]:
    painter = Painter()
    yield painter
    painter.stop()


@pytest.fixture
def kept(alice: User, media: Path, tmp_path: Path) -> Attachment:
    content = make_pdf(tmp_path / "a", ["one", "two", "three"]).read_bytes()
    return make_attachment(alice, content=content, pages=3)


def number_of_pictures(attachment: Attachment) -> int:
    try:
        return len(default_storage.listdir(pages_folder(attachment))[1])
    except FileNotFoundError:
        return 0


class TestOnePage:
    def test_is_as_wide_as_wanted_and_has_its_own_words(self, tmp_path: Path) -> None:
        path = make_pdf(tmp_path / "a.pdf", ["", "Words " * 200])

        empty, full = (opened(pdf.page_picture(path, number, 800)) for number in (1, 2))

        assert (empty.format, empty.size) == ("WEBP", (800, 1131))
        assert sum(empty.convert("L").histogram()[:100]) == 0
        assert sum(full.convert("L").histogram()[:100]) > 1000

    def test_of_three_hundred_is_painted_without_reading_the_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = make_pdf(tmp_path / "a.pdf", [f"Page {number}." for number in range(1, 301)])
        loaded: list[int] = []
        page = pdf._page
        monkeypatch.setattr(pdf, "_page", lambda document, index: loaded.append(index) or page(document, index))

        assert opened(pdf.page_picture(path, 300, 800)).width == 800

        assert loaded == [299]

    def test_that_is_very_high_is_no_giant(self, tmp_path: Path) -> None:
        assert pdf._as_wide_as(800, 100, 14_400) == (22, 3200)

    @pytest.mark.parametrize("number", [0, 4])
    def test_that_is_not_there_is_refused(self, tmp_path: Path, number: int) -> None:
        with pytest.raises(Refused, match=f"has no page {number}"):
            pdf.page_picture(make_pdf(tmp_path / "a.pdf", ["x"] * 3), number, 800)


class TestPainter:
    def test_paints_many_pages_in_one_process(self, painter: Painter, tmp_path: Path) -> None:
        path = make_pdf(tmp_path / "a b.pdf", ["one", "two"])

        first = painter.paint(path, 1, 800)
        process = painter._process
        second = painter.paint(path, 2, 800)

        assert opened(first).size == opened(second).size
        assert painter._process is process

    def test_hands_refusals_on_and_goes_on(self, painter: Painter, tmp_path: Path) -> None:
        locked = make_pdf(tmp_path / "a", ["x"], owner_password="a", user_password="b")

        with pytest.raises(Refused, match=r"“報告\.pdf” is protected with a password"):
            painter.paint(locked, 1, 800, called="“報告.pdf”")

        assert opened(painter.paint(make_pdf(tmp_path / "b", ["y"]), 1, 800)).width == 800

    def test_that_died_is_followed_by_another(self, painter: Painter, tmp_path: Path) -> None:
        path = make_pdf(tmp_path / "a.pdf", ["one"])
        painter.paint(path, 1, 800)
        assert painter._process is not None
        os.kill(painter._process.pid, signal.SIGKILL)
        painter._process.wait()

        assert opened(painter.paint(path, 1, 800)).width == 800

    def test_that_does_not_come_back_is_given_up(
        self, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "PAINTER_SECONDS", 0.001)

        with pytest.raises(Refused, match="Page 1 of This PDF is too much to be painted"):
            painter.paint(make_pdf(tmp_path / "a.pdf", ["one"]), 1, 800)

        assert painter._process is None

    def test_that_needs_gigabytes_ends_and_the_page_is_refused(self, painter: Painter, tmp_path: Path) -> None:
        bomb = make_pdf_bomb(tmp_path / "bomb.pdf", unpacked_megabytes=900)

        with pytest.raises(Refused, match="Page 1 of “bomb” is too much to be painted"):
            painter.paint(bomb, 1, 800, called="“bomb”")

        assert painter._process is None

    def test_is_told_no_keys(self, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AZURE_OPENAI_API_KEY", "very secret")
        painter.paint(make_pdf(tmp_path / "a.pdf", ["one"]), 1, 800)

        assert painter._process is not None
        assert b"very secret" not in Path(f"/proc/{painter._process.pid}/environ").read_bytes()

    def test_leaves_when_nobody_asks_for_long(
        self, painter: Painter, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(limits, "PAINTER_IDLE_SECONDS", 0.01)
        painter.paint(make_pdf(tmp_path / "a.pdf", ["one"]), 1, 800)
        assert painter._leaving is not None
        painter._leaving.join()

        assert painter._process is None


@pytest.mark.django_db
class TestKept:
    def test_a_page_is_painted_once(self, kept: Attachment, monkeypatch: pytest.MonkeyPatch) -> None:
        first = async_to_sync(paint.page)(kept, 2, 800)
        monkeypatch.setattr(Painter, "paint", None)

        again = async_to_sync(paint.page)(kept, 2, 800)

        assert again.name == first.name
        with again.storage.open(str(again.name)) as file:
            assert opened(file.read()).size == (800, 1131)

    def test_of_a_long_document_the_pages_around_the_last_one_are_kept(
        self, kept: Attachment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Painter, "paint", lambda *_, **__: b"RIFF")
        monkeypatch.setattr(limits, "PAGES_KEPT", 3)
        for number, width in [(1, 800), (2, 800), (12, 800), (11, 800), (11, 1600)]:
            async_to_sync(paint.page)(kept, number, width)

        _, names = default_storage.listdir(pages_folder(kept))

        assert sorted(names) == ["11-1600.webp", "11-800.webp", "12-800.webp"]

    def test_the_pictures_go_with_the_file(self, kept: Attachment, alice: User) -> None:
        other = make_attachment(alice, content=kept.file.read(), pages=3)
        for attachment in (kept, other):
            for width in limits.PAGE_WIDTHS:
                async_to_sync(paint.page)(attachment, 1, width)
        assert number_of_pictures(kept) == 2

        drop_bytes(kept)

        assert number_of_pictures(kept) == 0
        assert number_of_pictures(other) == 2

    def test_no_picture_outlives_a_file_that_goes_while_it_is_painted(
        self, kept: Attachment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def forget_meanwhile(painter: Painter, path: Path, *_: object, **__: object) -> bytes:
            path.unlink()
            return b"RIFF"

        monkeypatch.setattr(Painter, "paint", forget_meanwhile)

        with pytest.raises(FileNotFoundError):
            async_to_sync(paint.page)(kept, 1, 800)

        assert number_of_pictures(kept) == 0

    def test_what_is_no_page_is_not_asked_for(self, kept: Attachment) -> None:
        assert paint.has_page(kept, 3, 800)
        assert not paint.has_page(kept, 4, 800)
        assert not paint.has_page(kept, 0, 800)
        assert not paint.has_page(kept, 1, 801)
        kept.media_type = "image/png"
        assert not paint.has_page(kept, 1, 800)
        kept.media_type, kept.status = "application/pdf", Attachment.Status.CHECKING
        assert not paint.has_page(kept, 1, 800)
        kept.status, kept.file = Attachment.Status.READY, ContentFile(b"")
        kept.file = ""
        assert not paint.has_page(kept, 1, 800), "forgotten"
