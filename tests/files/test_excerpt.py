"""Some pages of a PDF as a file of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from chat.files import pdf
from chat.files.errors import Refused
from chat.files.excerpt import excerpt, pages_of
from chat.models import Attachment, User
from tests.files.makers import make_pdf
from tests.rows import make_attachment

LONG = Attachment(name="report.pdf", pages=300)


@pytest.mark.parametrize(
    ("written", "pages"),
    [
        ("3-10", (3, 10)),
        (" 3 – 10 ", (3, 10)),
        ("7", (7, 7)),
        ("10-3", (3, 10)),
        ("1-300", (1, 300)),
    ],
)
def test_pages_are_read_as_people_write_them(written: str, pages: tuple[int, int]) -> None:
    assert pages_of(written, LONG) == pages


@pytest.mark.parametrize("written", ["", "all", "3-", "-3", "1,5", "3-10-12", "9" * 30])
def test_what_is_no_range_is_asked_again(written: str) -> None:
    with pytest.raises(Refused, match="such as 3-10"):
        pages_of(written, LONG)


@pytest.mark.parametrize("written", ["0-3", "0", "299-301", "301"])
def test_pages_that_are_not_there_are_named(written: str) -> None:
    with pytest.raises(Refused, match=r"“report\.pdf” has the pages 1 to 300"):
        pages_of(written, LONG)


@pytest.mark.django_db
class TestCut:
    @pytest.fixture
    def paper(self, media: Path, alice: User, tmp_path: Path) -> Attachment:
        content = make_pdf(tmp_path / "a.pdf", [f"Page {number} of it." for number in range(1, 6)]).read_bytes()
        return make_attachment(alice, "report.pdf", content, pages=5)

    def test_it_is_a_ready_file_with_these_pages_alone(self, paper: Attachment) -> None:
        taken = excerpt(paper, 2, 3)
        assert (taken.name, taken.pages, taken.owner) == ("report (pages 2-3).pdf", 2, paper.owner)
        assert taken.status == Attachment.Status.READY
        assert taken.text_characters
        assert taken.thumbnail
        assert pdf.page_texts(Path(taken.file.path)) == ["Page 2 of it.", "Page 3 of it."]
        assert len(pdf.page_texts(Path(paper.file.path))) == 5

    def test_one_page_is_called_so(self, paper: Attachment) -> None:
        paper.name = "report"
        assert excerpt(paper, 5, 5).name == "report (page 5).pdf"

    def test_a_file_that_storage_lost_is_named(self, paper: Attachment) -> None:
        paper.file.delete(save=False)
        with pytest.raises(Refused, match=r"“report\.pdf” is no longer stored"):
            excerpt(paper, 1, 2)
        assert Attachment.objects.count() == 1
