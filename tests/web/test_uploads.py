"""Files come in by slices and go out to their owner, never as a page of ours."""

from __future__ import annotations

import re
import uuid
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Group
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from chat.models import Attachment, Deployment, Forgetting, ProviderFile, Turn, User
from chat.models.conversations import TurnAttachment
from chat.turns import run
from tests.conftest import signed_in
from tests.files.makers import make_image, make_pdf, make_scan
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn

pytestmark = pytest.mark.django_db

Status = Attachment.Status


@pytest.fixture(autouse=True)
def media(tmp_path: Path, settings: Settings) -> Path:
    settings.MEDIA_ROOT = tmp_path / "media"
    return settings.MEDIA_ROOT


@pytest.fixture
def png(tmp_path: Path) -> bytes:
    return make_image(tmp_path / "a", size=(300, 200)).read_bytes()


def announce(client: Client, name: str, size: object) -> Any:
    return client.post("/files/", {"name": name, "size": str(size)})


def put(client: Client, attachment: Attachment, offset: object, data: bytes) -> Any:
    return client.put(
        reverse("file_slice", args=[attachment.pk]),
        data,
        content_type="application/octet-stream",
        headers={"Upload-Offset": str(offset)},
    )


def body_of(response: Any) -> bytes:
    async def read() -> bytes:
        return b"".join([chunk async for chunk in response])

    try:
        return async_to_sync(read)() if response.is_async else response.getvalue()
    finally:
        for close in response._resource_closers:
            close()


def get(client: Client, name: str, attachment: Attachment, method: str = "get") -> tuple[Any, bytes]:
    response = getattr(client, method)(reverse(name, args=[attachment.pk]))
    return response, body_of(response) if response.streaming else response.content


class TestUpload:
    def test_from_the_announcement_to_the_chip(self, alice_client: Client, alice: User, png: bytes) -> None:
        announced = announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        html = announced.content.decode()
        assert announced.status_code == 200
        assert f'data-upload-url="/files/{attachment.pk}/slice/"' in html
        assert f'data-size="{len(png)}" data-received="0"' in html
        assert 'name="attachment"' not in html, "it cannot be sent yet"

        middle = put(alice_client, attachment, 0, png[:100])
        assert (middle.status_code, middle.headers["Upload-Offset"]) == (204, "100")
        last = put(alice_client, attachment, 100, png[100:])
        html = last.content.decode()
        assert last.status_code == 200
        assert f'<input type="hidden" name="attachment" value="{attachment.pk}" form="composer">' in html
        assert "300 × 200" in html
        assert reverse("file_thumbnail", args=[attachment.pk]) in html

        attachment.refresh_from_db()
        assert (attachment.owner, attachment.status, attachment.media_type) == (alice, Status.READY, "image/png")
        assert get(alice_client, "file", attachment)[1] == png

    def test_a_pdf_tells_its_pages(self, alice_client: Client, tmp_path: Path) -> None:
        pdf = make_pdf(tmp_path / "a", ["one", "two"]).read_bytes()
        announce(alice_client, "report.pdf", len(pdf))
        assert "2 pages" in put(alice_client, Attachment.objects.get(), 0, pdf).content.decode()

    def test_one_that_broke_off_goes_on_where_it_stopped(self, alice_client: Client, png: bytes) -> None:
        announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        put(alice_client, attachment, 0, png[:50])
        wrong = put(alice_client, attachment, 80, png[80:])
        assert (wrong.status_code, wrong.headers["Upload-Offset"]) == (409, "50")
        assert put(alice_client, attachment, 50, png[50:]).status_code == 200

    def test_a_slice_that_comes_twice_counts_once(self, alice_client: Client, png: bytes) -> None:
        announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        for _ in range(2):
            assert put(alice_client, attachment, 0, png[:50]).headers["Upload-Offset"] == "50"
        answers = [put(alice_client, attachment, 50, png[50:]) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 200]
        assert answers[0].content == answers[1].content

    def test_while_it_is_checked_the_page_is_asked_to_come_again(self, alice_client: Client, png: bytes) -> None:
        announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        Attachment.objects.update(status=Status.CHECKING, received=len(png))
        answer = put(alice_client, attachment, 50, png[50:])
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")

    def test_a_scan_says_that_it_has_no_text(self, alice_client: Client, tmp_path: Path) -> None:
        pdf = make_scan(tmp_path / "a", 2).read_bytes()
        announce(alice_client, "scan.pdf", len(pdf))
        assert "2 pages, scan, no text" in put(alice_client, Attachment.objects.get(), 0, pdf).content.decode()

    def test_data_is_taken_where_an_offered_model_runs_code(self, alice_client: Client) -> None:
        deployment = make_deployment(dialect="azure", code_interpreter=True)
        announce(alice_client, "table.csv", 4)
        assert put(alice_client, Attachment.objects.get(), 0, b"a,b\n").status_code == 200
        page = alice_client.get("/").content.decode()
        assert re.search(r'id="file-input" multiple accept="[^"]*\.csv,[^"]*\.xlsx', page)

        Deployment.objects.filter(pk=deployment.pk).update(code_interpreter=False)
        Attachment.objects.all().delete()
        announce(alice_client, "table.csv", 4)
        answer = put(alice_client, Attachment.objects.get(), 0, b"a,b\n")
        assert "“table.csv” is of a kind that no model here can use" in answer.content.decode()
        assert 'accept="application/pdf,image/png,image/jpeg,image/webp"' in alice_client.get("/").content.decode()

    @pytest.mark.parametrize(("dialect", "status"), [("azure", 422), ("openai", 200)])
    def test_a_gif_is_taken_where_an_offered_model_takes_it(
        self, alice_client: Client, tmp_path: Path, dialect: str, status: int
    ) -> None:
        make_deployment(dialect=dialect)
        gif = make_image(tmp_path / "a", "GIF").read_bytes()
        announce(alice_client, "a.gif", len(gif))
        assert put(alice_client, Attachment.objects.get(), 0, gif).status_code == status

    def test_a_model_of_another_group_opens_nothing(self, alice_client: Client, tmp_path: Path) -> None:
        make_deployment(dialect="openai").groups.add(Group.objects.create(name="others"))
        gif = make_image(tmp_path / "a", "GIF").read_bytes()
        announce(alice_client, "a.gif", len(gif))
        assert put(alice_client, Attachment.objects.get(), 0, gif).status_code == 422


class TestWithoutJavaScript:
    """One small file in one form with the question; the answers are pages."""

    def send(self, client: Client, name: str, data: bytes | None) -> Any:
        fields: dict[str, Any] = {"question": "What is this?", "key": str(uuid.uuid4())}
        if data is not None:
            fields["file"] = SimpleUploadedFile(name, data)
        return client.post("/ask/with-file/", fields)

    @pytest.fixture(autouse=True)
    def nothing_runs(self, monkeypatch: pytest.MonkeyPatch) -> None:
        async def sent(_turn: int) -> None: ...

        monkeypatch.setattr(run, "start", lambda _asked: None)
        monkeypatch.setattr(run, "sent", sent)
        make_deployment()

    def test_the_form_is_in_the_page(self, alice_client: Client) -> None:
        page = alice_client.get("/").content.decode()
        form = page[page.index("<noscript>") : page.index("</noscript>")]
        assert 'type="file" name="file"' in form
        assert 'formaction="/ask/with-file/" formenctype="multipart/form-data"' in form
        assert "One file of up to 2 MB" in form

    def test_a_file_goes_with_the_question(self, alice_client: Client, png: bytes) -> None:
        answer = self.send(alice_client, "photo.png", png)
        turn = Turn.objects.get()
        assert (answer.status_code, answer.headers["Location"]) == (302, f"/c/{turn.conversation_id}/")
        assert (turn.question, [a.name for a in turn.attachments.all()]) == ("What is this?", ["photo.png"])
        assert get(alice_client, "file", turn.attachments.get())[1] == png

    def test_a_question_goes_without_one(self, alice_client: Client) -> None:
        assert self.send(alice_client, "", None).status_code == 302
        assert not Turn.objects.get().attachments.exists()

    @pytest.mark.parametrize(
        ("name", "data", "sentence"),
        [
            ("notes.txt", b"words", "“notes.txt” is of a kind that no model here can use"),
            ("empty.pdf", b"", "“empty.pdf” is empty"),
            ("large.pdf", bytes(2 * 1024 * 1024 + 1), "“large.pdf” is 2.1 MB. In a browser without JavaScript"),
        ],
    )
    def test_what_cannot_be_used_is_told_on_a_page(
        self, alice_client: Client, name: str, data: bytes, sentence: str
    ) -> None:
        answer = self.send(alice_client, name, data)
        assert answer.status_code == 422
        assert sentence in answer.content.decode()
        assert "Go back in your browser" in answer.content.decode()
        assert not Turn.objects.exists()


class TestRefused:
    def sentence(self, answer: Any, text: str) -> None:
        assert answer.status_code == 422
        assert answer.headers["Content-Type"].startswith("text/plain")
        assert text in answer.content.decode()

    @pytest.mark.parametrize("size", [0, -1, "", "many", "1e3", "9" * 16, "²"])
    def test_a_size_that_is_none(self, alice_client: Client, size: object) -> None:
        self.sentence(announce(alice_client, "a.pdf", size), "“a.pdf” is empty")
        assert not Attachment.objects.exists()

    def test_too_large_before_a_byte_is_sent(self, alice_client: Client, settings: Settings) -> None:
        settings.FILE_MAX_BYTES = 1024 * 1024
        self.sentence(announce(alice_client, "a.pdf", 5 * 1024 * 1024), "“a.pdf” is 5 MB; files of up to 1 MB")
        assert not Attachment.objects.exists()

    def test_more_than_was_announced(self, alice_client: Client) -> None:
        announce(alice_client, "a.pdf", 10)
        self.sentence(put(alice_client, Attachment.objects.get(), 0, b"x" * 11), "“a.pdf” changed while")

    def test_a_slice_larger_than_slices_are(self, alice_client: Client, settings: Settings) -> None:
        announce(alice_client, "a.pdf", 10_000_000)
        attachment = Attachment.objects.get()
        for size in (settings.FILE_SLICE_BYTES + 1, settings.DATA_UPLOAD_MAX_MEMORY_SIZE + 1):
            self.sentence(put(alice_client, attachment, 0, b"x" * size), "Reload the page and attach")
        attachment.refresh_from_db()
        assert attachment.received == 0

    @pytest.mark.parametrize("offset", ["", "-1", "x", "9" * 16, "1.5"])
    def test_an_offset_that_is_none(self, alice_client: Client, offset: str) -> None:
        announce(alice_client, "a.pdf", 10)
        self.sentence(put(alice_client, Attachment.objects.get(), offset, b"x"), "upload is broken")

    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("page.png", b"<!doctype html><script>alert(1)</script>"),
            ("page.pdf", b"<script>alert(1)</script>%PDF-1.4"),
            ("drawing.png", b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'),
            ("program.pdf", b"MZ\x90\x00" + b"\0" * 60),
        ],
    )
    def test_what_only_poses_as_a_file_of_a_kind(
        self, alice_client: Client, media: Path, name: str, data: bytes
    ) -> None:
        announce(alice_client, name, len(data))
        attachment = Attachment.objects.get()
        self.sentence(put(alice_client, attachment, 0, data), f"“{name}” is of a kind that ")
        self.sentence(put(alice_client, attachment, 0, data), f"“{name}” is of a kind")
        assert get(alice_client, "file", attachment)[0].status_code == 404
        assert [path for path in media.rglob("*") if path.is_file()] == []

    def test_a_name_that_is_markup_is_words_in_the_chip(self, alice_client: Client) -> None:
        html = announce(alice_client, '"><img src=x onerror=alert(1)>.pdf', 10).content.decode()
        assert "alert(1)" in html
        assert "<img src=x" not in html

    def test_another_site_cannot_upload(self, alice: User) -> None:
        client = Client(enforce_csrf_checks=True)
        client.cookies = signed_in(alice).cookies
        assert announce(client, "a.pdf", 10).status_code == 403
        attachment = make_attachment(alice, content=b"")
        assert put(client, attachment, 0, b"x").status_code == 403
        assert client.delete(reverse("file", args=[attachment.pk])).status_code == 403


class TestRemoved:
    def test_one_that_was_not_sent_is_gone_with_its_bytes(self, alice_client: Client, media: Path, png: bytes) -> None:
        announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        put(alice_client, attachment, 0, png)
        assert [path for path in media.rglob("*") if path.is_file()], "the premise"
        assert alice_client.delete(reverse("file", args=[attachment.pk])).status_code == 200
        assert not Attachment.objects.exists()
        assert [path for path in media.rglob("*") if path.is_file()] == []

    def test_so_is_one_that_is_half_here(self, alice_client: Client, media: Path, png: bytes) -> None:
        announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        put(alice_client, attachment, 0, png[:50])
        assert alice_client.delete(reverse("file", args=[attachment.pk])).status_code == 200
        assert [path for path in media.rglob("*") if path.is_file()] == []
        assert put(alice_client, attachment, 50, png[50:]).status_code == 404

    @pytest.mark.parametrize("deleted", [False, True], ids=["shown", "in a deleted conversation"])
    def test_one_that_was_sent_stays(self, alice_client: Client, alice: User, deleted: bool) -> None:
        attachment = make_attachment(alice)
        conversation = make_conversation(alice)
        TurnAttachment.objects.create(turn=make_turn(conversation), attachment=attachment)
        if deleted:
            alice_client.post(reverse("delete", args=[conversation.pk]))
        assert alice_client.delete(reverse("file", args=[attachment.pk])).status_code == 200
        assert get(alice_client, "file", attachment)[1] == b"%PDF-1.4"

    def test_its_copy_at_a_provider_goes_too(self, alice_client: Client, alice: User) -> None:
        attachment = make_attachment(alice)
        provider = make_deployment().provider
        ProviderFile.objects.create(attachment=attachment, provider=provider, file_id="file-1", purpose="user_data")
        assert alice_client.delete(reverse("file", args=[attachment.pk])).status_code == 200
        assert Forgetting.objects.get().upstream_id == "file-1"

    def test_twice_is_404(self, alice_client: Client, alice: User) -> None:
        url = reverse("file", args=[make_attachment(alice).pk])
        assert [alice_client.delete(url).status_code for _ in range(2)] == [200, 404]


class TestDownload:
    def test_it_streams_with_headers_that_keep_it_a_file(self, alice_client: Client, alice: User) -> None:
        response, body = get(alice_client, "file", make_attachment(alice, "report.pdf", b"%PDF-1.4 abc"))
        assert body == b"%PDF-1.4 abc"
        assert response.headers["Content-Length"] == "12"
        assert response.headers["Content-Type"] == "application/pdf"
        assert response.headers["Content-Disposition"] == "inline; filename*=UTF-8''report.pdf"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "private, no-cache"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert "script" not in response.headers["Content-Security-Policy"]

    @pytest.mark.parametrize("name", ["file", "file_thumbnail"])
    def test_a_kept_copy_is_good_for_its_owner_alone(
        self, alice_client: Client, charlie_client: Client, alice: User, name: str
    ) -> None:
        attachment = make_attachment(alice)
        attachment.thumbnail.save("t", ContentFile(b"RIFF WEBP"))
        first, _ = get(alice_client, name, attachment)
        known = {"If-None-Match": first.headers["ETag"]}
        again = alice_client.get(reverse(name, args=[attachment.pk]), headers=known)
        assert (again.status_code, again.content) == (304, b"")
        for header in ("Cache-Control", "Content-Security-Policy", "ETag", "X-Content-Type-Options"):
            assert again.headers[header] == first.headers[header]
        assert charlie_client.get(reverse(name, args=[attachment.pk]), headers=known).status_code == 404
        assert Client().get(reverse(name, args=[attachment.pk]), headers=known).status_code == 302

    @pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "text/xml", "application/xhtml+xml", ""])
    def test_what_a_browser_could_run_is_a_download(self, alice_client: Client, alice: User, media_type: str) -> None:
        page = make_attachment(alice, "page.html", b"<script>alert(1)</script>", media_type=media_type)
        response, _ = get(alice_client, "file", page)
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["Content-Disposition"].startswith("attachment;")
        assert response.headers["Content-Security-Policy"].startswith("sandbox;")

    @pytest.mark.parametrize(
        "name",
        [
            'a "quoted" name.pdf',
            "a; filename=b.exe.pdf",
            "報告 — März.pdf",
            "gpj.\u202eexe.pdf",
            "a\r\nSet-Cookie: x=1.pdf",
            "100% 'sure'\\.pdf",
            "😀" * 100,
        ],
    )
    def test_any_name_travels_as_itself_in_plain_characters(self, alice_client: Client, alice: User, name: str) -> None:
        response, _ = get(alice_client, "file", make_attachment(alice, name))
        disposition = response.headers["Content-Disposition"]
        assert re.fullmatch(r"inline; filename\*=UTF-8''[A-Za-z0-9%._~-]+", disposition)
        assert unquote(disposition.partition("''")[2]) == name
        assert "Set-Cookie" not in response.headers

    @pytest.mark.parametrize(
        ("sent", "kept"),
        [("gpj.\u202eexe.pdf", "gpj.exe.pdf"), ("a\r\nb.pdf", "a b.pdf"), ("../../a.pdf", "a.pdf"), ("", "file")],
    )
    def test_what_turns_or_hides_in_a_name_is_taken_out_when_it_comes_in(
        self, alice_client: Client, sent: str, kept: str
    ) -> None:
        announce(alice_client, sent, 10)
        assert Attachment.objects.get().name == kept

    @pytest.mark.parametrize("status", [s for s in Status if s != Status.READY])
    def test_only_what_was_checked_goes_out(self, alice_client: Client, alice: User, status: str) -> None:
        assert get(alice_client, "file", make_attachment(alice, status=status))[0].status_code == 404

    def test_a_thumbnail_is_a_picture(self, alice_client: Client, png: bytes) -> None:
        announce(alice_client, "photo.png", len(png))
        attachment = Attachment.objects.get()
        put(alice_client, attachment, 0, png)
        response, body = get(alice_client, "file_thumbnail", attachment)
        assert response.headers["Content-Type"] == "image/webp"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert body[8:12] == b"WEBP"

    def test_one_without_a_thumbnail_has_none(self, alice_client: Client, alice: User) -> None:
        attachment = make_attachment(alice)
        assert get(alice_client, "file_thumbnail", attachment)[0].status_code == 404

    def test_head_tells_without_the_bytes(self, alice_client: Client, alice: User) -> None:
        response, body = get(alice_client, "file", make_attachment(alice, "a.pdf", b"%PDF"), "head")
        assert (response.status_code, response.headers["Content-Length"]) == (200, "4")
        assert body == b""

    def test_bytes_that_storage_has_lost_are_404(self, alice_client: Client, alice: User, media: Path) -> None:
        attachment = make_attachment(alice)
        Path(attachment.file.path).unlink()
        assert get(alice_client, "file", attachment)[0].status_code == 404


@pytest.mark.parametrize(
    ("name", "methods"),
    [
        ("files", ["put", "delete"]),
        ("file", ["post", "put", "patch"]),
        ("file_slice", ["get", "post", "delete"]),
        ("file_thumbnail", ["post", "delete"]),
    ],
)
def test_other_methods_are_refused(alice_client: Client, alice: User, name: str, methods: list[str]) -> None:
    url = reverse(name, args=[] if name == "files" else [make_attachment(alice).pk])
    for method in methods:
        assert getattr(alice_client, method)(url).status_code == 405
    assert Attachment.objects.count() == (name != "files")
