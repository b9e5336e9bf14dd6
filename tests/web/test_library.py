"""The Files page, the preview and the choice of earlier files: what each shows, of whom, in how many queries."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import Settings

from chat.conversations.forget import forget_attachment
from chat.files.errors import Refused
from chat.files.painter import Painter
from chat.models import Attachment, Conversation, Turn, User
from chat.models.conversations import TurnAttachment
from chat.web import library
from tests.files.makers import make_image, make_pdf, opened
from tests.rows import make_attachment, make_conversation, make_turn

pytestmark = pytest.mark.django_db
HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: Settings) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


@pytest.fixture
def pdf(alice: User, tmp_path: Path) -> Attachment:
    content = make_pdf(tmp_path / "p", ["one", "two", "three"]).read_bytes()
    return make_attachment(alice, content=content, pages=3, sha256="a" * 64)


def show_in(attachment: Attachment, title: str, **fields: Any) -> Conversation:
    conversation = make_conversation(attachment.owner, **fields)
    conversation.title = title
    conversation.save()
    TurnAttachment.objects.create(turn=make_turn(conversation), attachment=attachment)
    return conversation


def text_of(html: bytes | str) -> str:
    """What is read: without tags, with single blanks."""
    html = html.decode() if isinstance(html, bytes) else html
    return re.sub(r"\s+([,.])", r"\1", " ".join(re.sub(r"<[^>]+>", " ", html).split()))


def listed(html: bytes) -> list[str]:
    return re.findall(r'class="file__name"[^>]*>([^<]*)<', html.decode())


def body_of(response: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in response])

    try:
        return async_to_sync(read)() if response.streaming else response.content
    finally:
        for close in response._resource_closers:
            close()


class TestThePage:
    def test_lists_the_files_of_the_person_the_newest_first(
        self, alice_client: Client, alice: User, bob: User, pdf: Attachment
    ) -> None:
        make_attachment(
            alice, "photo.png", media_type="image/png", pages=None, width=30, height=20, content=b"x" * 2048
        )
        make_attachment(bob, "secret.pdf")
        make_attachment(alice, "half.pdf", status=Attachment.Status.UPLOADING)
        make_attachment(alice, "bad.pdf", status=Attachment.Status.REFUSED)

        page = alice_client.get("/files/")

        assert listed(page.content) == ["photo.png", "report.pdf"]
        words = text_of(page.content)
        assert "PNG image, 2 kB, 30 × 20, Today" in words
        assert "PDF, 2 kB, 3 pages, Today" in words
        assert "<title>Files</title>" in page.content.decode()

    def test_says_where_a_file_is_used(self, alice_client: Client, alice: User, pdf: Attachment) -> None:
        now = timezone.now()
        places = [show_in(pdf, f"Talk {n}", last_activity_at=now - timedelta(days=n)) for n in range(4)]
        TurnAttachment.objects.create(turn=make_turn(places[0]), attachment=pdf)  # twice in one is one place
        show_in(pdf, "Gone", deleted_at=now)
        made_in = make_conversation(alice)
        response = make_turn(made_in).responses.get()
        make_attachment(alice, "chart.png", media_type="image/png", made_by=response, made_as="cntr/file")
        make_attachment(alice, "unused.pdf")

        page = alice_client.get("/files/", headers={**HTMX, "HX-Target": "main"})

        words = text_of(page.content)
        assert "In Talk 0, Talk 1 and 2 more Talk 2, Talk 3" in words
        assert "chart.png PNG image made by the model, 8 bytes, 3 pages, Today In Talk" in words
        assert "In no conversation" in words
        assert "Gone" not in words
        assert f'href="{reverse("conversation", args=[places[3].pk])}"' in page.content.decode()

    def test_costs_as_many_queries_for_thirty_files_as_for_one(self, alice_client: Client, alice: User) -> None:
        counts = []
        for number in (1, 29):
            for n in range(number):
                show_in(make_attachment(alice, f"{n}.pdf"), f"Talk {n}")
            with CaptureQueriesContext(
                connection,
            ) as queries:
                assert listed(alice_client.get("/files/").content)
            counts.append(len(queries))
        assert counts[0] == counts[1]
        assert counts[1] <= 6  # session, person, files, their conversations, what is held, the sidebar

    def test_searches_names_and_titles(self, alice_client: Client, alice: User) -> None:
        make_attachment(alice, "Annual Report.pdf")
        make_attachment(alice, "scan1.pdf", title="The annual balance")
        make_attachment(alice, "photo.png", media_type="image/png")

        found = alice_client.get("/files/", {"q": " annual "}, headers={**HTMX, "HX-Target": "file-list"})
        none = alice_client.get("/files/", {"q": "<b>x"}, headers={**HTMX, "HX-Target": "file-list"})

        assert listed(found.content) == ["scan1.pdf", "Annual Report.pdf"]
        assert "The annual balance" in text_of(found.content)
        assert "<section" not in found.content.decode(), "the list alone"
        assert "No file is called “&lt;b&gt;x”." in none.content.decode()

    def test_goes_on_where_a_page_ended(
        self, alice_client: Client, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(library, "FILES_PER_PAGE", 2)
        moment = timezone.now()
        for n in range(5):
            make_attachment(alice, f"{n}.pdf", created_at=moment)  # all at once: the id decides

        address, names = "/files/?q=pdf", []
        while address:
            html = alice_client.get(address, headers=HTMX).content
            names += listed(html)
            following = re.search(r'hx-get="([^"]*after=[^"]*)"', html.decode())
            address = following.group(1).replace("&amp;", "&") if following else ""

        assert sorted(names) == [f"{n}.pdf" for n in range(5)]

    @pytest.mark.parametrize(
        "after", ["x", "_", "2026-01-01_x", "2026-01-01T00:00:00_506dad5d-227d-460f-acfa-c9c1dfbec81b"]
    )
    def test_a_broken_cursor_is_no_page(self, alice_client: Client, after: str) -> None:
        assert alice_client.get("/files/", {"after": after}).status_code == 404

    def test_says_how_much_is_held(self, alice_client: Client, alice: User, settings: Settings) -> None:
        settings.FILES_PER_PERSON_BYTES = 4096
        make_attachment(alice, content=b"x" * 1024)

        assert "1 file, 1 kB of 4 kB" in text_of(alice_client.get("/files/").content)

    def test_of_somebody_without_files_says_so(self, alice_client: Client) -> None:
        page = text_of(alice_client.get("/files/").content)

        assert "No files yet" in page
        assert "0 files, 0 bytes of" in page


class TestDeletion:
    def test_asks_first_and_says_where_it_is_used(self, alice_client: Client, pdf: Attachment) -> None:
        address = reverse("file_delete", args=[pdf.pk])
        unused = text_of(alice_client.get(address, headers=HTMX).content)
        for n in range(3):
            show_in(pdf, f"Talk {n}")

        dialog = alice_client.get(address, headers=HTMX)
        page = alice_client.get(address)

        assert "It is in no conversation." in unused
        for answer in (dialog, page):
            assert "used in 3 conversations" in text_of(answer.content)
            assert "copies of it that model providers hold are deleted, too" in text_of(answer.content)
        assert dialog.content.decode().lstrip().startswith("<dialog")
        assert "<!doctype html>" in page.content.decode()
        assert Attachment.objects.filter(forgotten_at=None).exists()

    def test_takes_the_line_away_and_counts_anew(self, alice_client: Client, pdf: Attachment, alice: User) -> None:
        show_in(pdf, "Talk")
        stored = Path(pdf.file.path)

        answer = alice_client.post(reverse("file_delete", args=[pdf.pk]), headers=HTMX)

        html = answer.content.decode()
        assert f'<li id="f-{pdf.pk}" hx-swap-oob="delete">' in html
        assert "0 files, 0 bytes of" in text_of(html)
        assert "Deleted “report.pdf”." in html
        assert not stored.exists()
        pdf.refresh_from_db()
        assert pdf.forgotten_at is not None
        assert listed(alice_client.get("/files/").content) == []

    def test_works_without_a_script(self, alice_client: Client, pdf: Attachment) -> None:
        answer = alice_client.post(reverse("file_delete", args=[pdf.pk]))

        assert (answer.status_code, answer.headers["Location"]) == (302, "/files/")
        assert not Attachment.objects.exists()

    def test_leaves_the_name_in_the_conversation_without_a_link(self, alice_client: Client, pdf: Attachment) -> None:
        conversation = show_in(pdf, "Talk")
        forget_attachment(pdf)

        html = alice_client.get(reverse("conversation", args=[conversation.pk])).content.decode()

        chip = html[html.index("chip--forgotten") :].partition("</li>")[0]
        assert text_of(chip).endswith("report.pdf deleted")
        assert "<a" not in chip
        assert "data-preview" not in chip
        assert str(pdf.pk) not in html

    @pytest.mark.parametrize("name", ["file", "file_thumbnail", "file_preview", "file_delete", "file_page"])
    def test_what_is_deleted_has_no_address_any_more(self, alice_client: Client, pdf: Attachment, name: str) -> None:
        show_in(pdf, "Talk")
        forget_attachment(pdf)
        arguments = [pdf.pk, 1] if name == "file_page" else [pdf.pk]

        assert alice_client.get(reverse(name, args=arguments), headers=HTMX).status_code == 404


class TestPreview:
    def test_of_a_pdf_has_a_place_for_each_page(self, alice_client: Client, pdf: Attachment) -> None:
        html = alice_client.get(reverse("file_preview", args=[pdf.pk]), headers=HTMX).content.decode()

        assert re.findall(r'<li class="preview__page" data-page="(\d+)">', html) == ["1", "2", "3"]
        assert f'data-page-url="/files/{pdf.pk}/pages/0.webp"' in html
        assert "of 3" in text_of(html)
        assert 'aria-labelledby="preview-title"' in html
        assert f'href="/files/{pdf.pk}/" download="report.pdf"' in html

    def test_of_an_image_shows_the_image(self, alice_client: Client, alice: User) -> None:
        image = make_attachment(alice, "a.png", media_type="image/png", pages=None, width=30, height=20)

        html = alice_client.get(reverse("file_preview", args=[image.pk]), headers=HTMX).content.decode()

        assert f'src="/files/{image.pk}/" alt="a.png" width="30" height="20"' in html
        assert "data-preview-pages" not in html

    def test_of_a_table_fetches_its_first_rows(self, alice_client: Client, alice: User) -> None:
        table = make_attachment(alice, "a.csv", b"name,many\n<b>,2\n", media_type="text/csv", pages=None)

        html = alice_client.get(reverse("file_preview", args=[table.pk]), headers=HTMX).content.decode()
        rows = alice_client.get(f"/files/{table.pk}/table/", headers=HTMX).content.decode()

        assert f'hx-get="/files/{table.pk}/table/" hx-trigger="load"' in html
        assert "<td>&lt;b&gt;</td>" in rows

    def test_is_not_offered_for_what_cannot_be_shown(self, alice_client: Client, alice: User) -> None:
        archive = make_attachment(alice, "a.zip", media_type="application/zip", pages=None)

        assert alice_client.get(reverse("file_preview", args=[archive.pk]), headers=HTMX).status_code == 404
        assert "data-preview" not in alice_client.get("/files/").content.decode()

    def test_asked_for_as_a_page_is_the_file_itself(self, alice_client: Client, pdf: Attachment) -> None:
        answer = alice_client.get(reverse("file_preview", args=[pdf.pk]))

        assert (answer.status_code, answer.headers["Location"]) == (302, f"/files/{pdf.pk}/")


class TestCitedPage:
    """What an answer means by "page 2"."""

    @pytest.fixture
    def turns(self, alice: User) -> list[Turn]:
        """Three, each with a PDF: of three pages, of two, and of one; and a branch beside the second."""
        conversation = make_conversation(alice)
        turns = [make_turn(conversation) for _ in range(3)]
        turns.append(make_turn(conversation, parent=turns[0]))
        for turn, pages in zip(turns, (3, 2, 1, 9), strict=True):
            file = make_attachment(alice, f"{pages}.pdf", pages=pages)
            TurnAttachment.objects.create(turn=turn, attachment=file)
        return turns

    def opened_by(self, client: Client, turn: Turn, page: int, **named: str) -> str:
        answer = client.get(reverse("cited", args=[turn.pk, page]), named, headers=HTMX, follow=True)
        assert answer.status_code in (200, 422)
        return text_of(answer.content)

    def test_is_of_the_newest_pdf_that_has_it(self, alice_client: Client, turns: list[Turn]) -> None:
        assert "1.pdf" in self.opened_by(alice_client, turns[2], 1)
        assert "2.pdf" in self.opened_by(alice_client, turns[2], 2)
        assert "3.pdf" in self.opened_by(alice_client, turns[2], 3)
        assert "3.pdf" in self.opened_by(alice_client, turns[0], 1), "what came later is not meant"

    def test_is_of_the_one_that_the_answer_names(self, alice_client: Client, turns: list[Turn]) -> None:
        assert "3.pdf" in self.opened_by(alice_client, turns[2], 1, file="3.PDF")
        assert "No “2.pdf” with a page 3 is attached here." in self.opened_by(alice_client, turns[2], 3, file="2.pdf")

    def test_is_not_of_another_branch(self, alice_client: Client, turns: list[Turn]) -> None:
        assert "No PDF with a page 9 is attached here." in self.opened_by(alice_client, turns[2], 9)
        assert "9.pdf" in self.opened_by(alice_client, turns[3], 9)

    def test_of_a_deleted_pdf_is_not_looked_for_in_another(self, alice_client: Client, turns: list[Turn]) -> None:
        forget_attachment(turns[1].attachments.get())

        assert self.opened_by(alice_client, turns[2], 2) == "“2.pdf” was deleted."


class TestPageOfAPdf:
    @pytest.fixture(autouse=True)
    def painted(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[int, int]]:
        """Which pages were painted, in which width. They are one small picture, so that no process is needed."""
        picture = make_image(tmp_path / "picture", "WEBP").read_bytes()
        done: list[tuple[int, int]] = []

        def paint(_: Painter, path: Path, number: int, width: int, *, called: str) -> bytes:
            if number == 3:
                raise Refused("Page 3 is too much.")
            done.append((number, width))
            return picture

        monkeypatch.setattr(Painter, "paint", paint)
        return done

    def get(self, client: Client, attachment: Attachment, number: object, query: str = "", **headers: str) -> Any:
        return client.get(f"/files/{attachment.pk}/pages/{number}.webp{query}", headers=headers)

    def test_is_painted_once_and_then_the_browser_has_it(
        self, alice_client: Client, pdf: Attachment, painted: list[tuple[int, int]]
    ) -> None:
        first = self.get(alice_client, pdf, 2, "?width=1600")
        assert opened(body_of(first)).format == "WEBP"
        assert first.headers["Content-Type"] == "image/webp"
        assert first.headers["X-Content-Type-Options"] == "nosniff"
        assert "private" in first.headers["Cache-Control"]

        again = self.get(alice_client, pdf, 2, "?width=1600", **{"If-None-Match": first.headers["ETag"]})
        other = self.get(alice_client, pdf, 2, **{"If-None-Match": first.headers["ETag"]})

        assert again.status_code == 304
        assert (other.status_code, other.headers["ETag"] != first.headers["ETag"]) == (200, True)
        body_of(other)
        body_of(self.get(alice_client, pdf, 2))
        assert painted == [(2, 1600), (2, 800)]

    @pytest.mark.parametrize(
        ("number", "query"), [(0, ""), (4, ""), (1, "?width=801"), (1, "?width=x"), (1, "?width=9999999")]
    )
    def test_that_is_none_is_not_found(
        self, alice_client: Client, pdf: Attachment, painted: list[tuple[int, int]], number: int, query: str
    ) -> None:
        assert self.get(alice_client, pdf, number, query).status_code == 404
        assert not painted

    def test_that_cannot_be_painted_says_why(self, alice_client: Client, pdf: Attachment) -> None:
        answer = self.get(alice_client, pdf, 3)

        assert (answer.status_code, answer.content.decode()) == (422, "Page 3 is too much.")


class TestChoice:
    def test_offers_the_files_of_the_person(self, alice_client: Client, bob: User, pdf: Attachment) -> None:
        make_attachment(bob, "secret.pdf")

        html = alice_client.get("/files/choose/", headers=HTMX).content.decode()

        assert html.lstrip().startswith("<dialog")
        assert f'value="{pdf.pk}"' in html
        assert "secret.pdf" not in html

    def test_keeps_what_was_chosen_while_it_is_searched_on(self, alice_client: Client, alice: User) -> None:
        first, second = (make_attachment(alice, name) for name in ("one.pdf", "two.pdf"))

        found = alice_client.get(
            "/files/choose/", {"q": "two", "file": str(first.pk)}, headers={**HTMX, "HX-Target": "choices-list"}
        ).content.decode()

        assert "<dialog" not in found
        assert f'value="{first.pk}" checked' in found
        assert f'value="{second.pk}">' in found

    def test_makes_chips_that_are_not_deleted_when_they_are_taken_out(
        self, alice_client: Client, alice: User, bob: User, pdf: Attachment
    ) -> None:
        present, theirs = make_attachment(alice, "present.pdf"), make_attachment(bob, "secret.pdf")
        half = make_attachment(alice, "half.pdf", status=Attachment.Status.UPLOADING)
        wanted = [str(file.pk) for file in (pdf, present, theirs, half)]

        html = alice_client.get("/files/chips/", {"file": wanted, "attachment": str(present.pk)}, headers=HTMX)

        chips = html.content.decode()
        assert re.findall(r'name="attachment" value="([^"]*)"', chips) == [str(pdf.pk)]
        assert "data-remove-chip" in chips
        assert "hx-delete" not in chips

    def test_of_no_id_is_not_found(self, alice_client: Client) -> None:
        assert alice_client.get("/files/chips/", {"file": "x"}, headers=HTMX).status_code == 404

    def test_without_a_script_is_the_files_page(self, alice_client: Client) -> None:
        assert alice_client.get("/files/choose/").headers["Location"] == "/files/"


def test_a_chip_of_a_sent_pdf_can_be_opened_at_its_pages(alice_client: Client, pdf: Attachment) -> None:
    conversation = show_in(pdf, "Talk")

    html = alice_client.get(reverse("conversation", args=[conversation.pk])).content.decode()

    assert f'href="/files/{pdf.pk}/"' in html, "without a script it is a link"
    assert f'data-preview="/files/{pdf.pk}/preview/" data-pages="3"' in html


def test_a_file_that_is_posted_is_still_announced(alice_client: Client) -> None:
    answer = alice_client.post("/files/", {"name": "a.pdf", "size": "10"})

    assert answer.status_code == 200
    assert Attachment.objects.get().name == "a.pdf"
