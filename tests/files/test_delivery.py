"""What the provider is given: inline, by id, or as text; and that a file goes up once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone

from chat.files import delivery, limits
from chat.files.delivery import vanished
from chat.files.errors import Refused
from chat.models import Attachment, Forgetting, Provider, ProviderFile, User
from chat.responses.content import DataURL, json_body
from chat.responses.dialects import DIALECTS, Dialect
from chat.responses.errors import ResponsesError
from tests.files.makers import RemoteStorage, exif_of_a_camera, make_image, make_noise, make_pdf, opened
from tests.rows import make_attachment

pytestmark = pytest.mark.django_db(transaction=True)

AZURE = DIALECTS["azure"]
GATEWAY = DIALECTS["ofox"]

Upload = Callable[..., Attachment]


@dataclass
class FakeClient:
    """Records what it is asked. `gate` holds uploads back; `statuses` are what looks at a file find."""

    gate: asyncio.Event | None = None
    statuses: list[str] = field(default_factory=lambda: ["processed"])
    expires_at: float | None = None
    failure: Exception | None = None
    uploads: list[tuple[str, str, str, bytes]] = field(default_factory=list)
    looks: list[str] = field(default_factory=list)
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def upload_file(self, path: Path, filename: str, media_type: str, purpose: str) -> dict[str, Any]:
        self.uploads.append((filename, media_type, purpose, path.read_bytes()))
        self.began.set()
        if self.gate is not None:
            await self.gate.wait()
        if self.failure is not None:
            raise self.failure
        return self._file(f"assistant-{len(self.uploads)}")

    async def retrieve_file(self, file_id: str) -> dict[str, Any]:
        self.looks.append(file_id)
        return self._file(file_id)

    def _file(self, file_id: str) -> dict[str, Any]:
        status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
        return {"id": file_id, "object": "file", "status": status, "expires_at": self.expires_at}


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "DIGESTING_DELAYS", (0, 0, 0))


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider.objects.create(name="Azure", dialect="azure")


@pytest.fixture
def by_id(provider: Provider) -> Provider:
    provider.file_policy = Provider.FilePolicy.FILE_ID
    provider.save()
    return provider


@pytest.fixture
def upload(media: Path, alice: User) -> Upload:
    def upload(path: Path, name: str = "", owner: User = alice) -> Attachment:
        """Ready, without the process that looks into a file first."""
        data = path.read_bytes()
        media_type = "application/pdf" if data.startswith(b"%PDF") else opened(data).get_format_mimetype()
        fields = {"sha256": hashlib.sha256(data).hexdigest(), "media_type": media_type}
        return make_attachment(owner, name or path.name, data, **fields)

    return upload


@pytest.fixture
def document(tmp_path: Path) -> Path:
    return make_pdf(tmp_path / "report.pdf", ["Alpha begins.", "", "Gamma ends."])


@pytest.fixture
def attachment(upload: Upload, document: Path) -> Attachment:
    return upload(document)


async def content_part(attachment: Attachment, **way: Any) -> dict[str, Any]:
    """The part as it goes up, with the file of a DataURL in its place."""
    with ExitStack() as held:
        part = await delivery.content_part(attachment, **way, held=held)
        body = json_body(part).content()
        sent = body if isinstance(body, bytes) else b"".join([chunk async for chunk in body])
    return dict(json.loads(sent))


def data_of(url: str) -> tuple[str, bytes]:
    head, _, data = url.partition(";base64,")
    return head.removeprefix("data:"), base64.b64decode(data)


# Inline


@pytest.mark.seed("S1-18")
async def test_a_small_pdf_travels_inside_the_request(
    attachment: Attachment, provider: Provider, document: Path
) -> None:
    client = FakeClient()

    part = await content_part(attachment, provider=provider, client=client, dialect=AZURE)

    assert (part["type"], part["filename"]) == ("input_file", "report.pdf")
    assert data_of(part["file_data"]) == ("application/pdf", document.read_bytes())
    assert sorted(part) == ["file_data", "filename", "type"]
    assert client.uploads == []


async def test_the_inline_policy_holds_where_automatic_would_upload(
    attachment: Attachment, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUTO_INLINE_BYTES", 10)
    provider.file_policy = Provider.FilePolicy.INLINE

    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)

    assert "file_data" in part


@pytest.mark.parametrize(
    "dialect",
    [replace(AZURE, max_inline_file_bytes=100), replace(AZURE, files_api=False, max_inline_file_bytes=100)],
    ids=["by policy", "without a files API"],
)
async def test_what_must_go_inline_and_is_too_large_is_refused(
    attachment: Attachment, provider: Provider, dialect: Dialect
) -> None:
    provider.file_policy = Provider.FilePolicy.INLINE

    with pytest.raises(Refused, match="provider takes files of up to") as refusal:
        await content_part(attachment, provider=provider, client=FakeClient(), dialect=dialect)

    assert refusal.value.sentence.startswith("“report.pdf” is 0.1 MB; this model")


@pytest.mark.parametrize("policy", Provider.FilePolicy.values)
async def test_without_a_files_api_every_policy_goes_inline(
    attachment: Attachment, provider: Provider, policy: str
) -> None:
    provider.file_policy = policy
    dialect = GATEWAY.with_overrides({"pdf_input": True})

    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=dialect)

    assert "file_data" in part


async def test_what_goes_inline_is_read_from_where_it_is_stored(attachment: Attachment, provider: Provider) -> None:
    with ExitStack() as held:
        part = await delivery.content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE, held=held)
    assert part["file_data"] == DataURL(Path(attachment.file.path), "application/pdf")


async def test_from_a_storage_without_paths_it_is_lent_until_the_request_is_over(
    upload: Upload, document: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attachment._meta.get_field("file"), "storage", RemoteStorage())
    attachment = await asyncio.to_thread(upload, document)
    with ExitStack() as held:
        part = await delivery.content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE, held=held)
        lent = part["file_data"].path
        assert lent.read_bytes() == document.read_bytes()
    assert not lent.exists()


async def test_where_code_runs_automatic_uploads_also_what_is_small(attachment: Attachment, provider: Provider) -> None:
    client = FakeClient()
    part = await content_part(attachment, provider=provider, client=client, dialect=AZURE, runs_code=True)
    assert part == {"type": "input_file", "file_id": "assistant-1"}


async def test_many_that_are_small_go_by_id_where_a_request_would_be_too_large(
    attachment: Attachment, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "REQUEST_FILES_BYTES", 3 * attachment.size)
    assert not delivery.is_crowded([attachment] * 3)
    assert delivery.is_crowded([attachment] * 4)
    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE, is_crowded=True)
    assert part == {"type": "input_file", "file_id": "assistant-1"}


async def test_a_pdf_with_another_ending_gets_the_one_that_providers_go_by(
    upload: Upload, document: Path, provider: Provider
) -> None:
    attachment = await asyncio.to_thread(upload, document, "photo.png")

    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)

    assert part["filename"] == "photo.png.pdf"


# By id


@pytest.mark.seed("S1-19")
async def test_a_larger_pdf_is_uploaded_and_named_by_its_id(
    attachment: Attachment, provider: Provider, document: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUTO_INLINE_BYTES", attachment.size - 1)
    client = FakeClient()

    part = await content_part(attachment, provider=provider, client=client, dialect=AZURE)

    assert part == {"type": "input_file", "file_id": "assistant-1"}
    content = document.read_bytes()
    assert client.uploads == [("report.pdf", "application/pdf", "assistants", content)]


async def test_what_is_just_small_enough_stays_inline(
    attachment: Attachment, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "AUTO_INLINE_BYTES", attachment.size)

    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)

    assert "file_data" in part


async def test_the_second_turn_names_the_same_copy(attachment: Attachment, by_id: Provider) -> None:
    client = FakeClient()
    first = await content_part(attachment, provider=by_id, client=client, dialect=AZURE)
    again = await Attachment.objects.aget(pk=attachment.pk)

    second = await content_part(again, provider=by_id, client=client, dialect=AZURE)

    assert first == second
    assert len(client.uploads) == 1


async def test_the_same_file_attached_again_names_the_same_copy(
    upload: Upload, document: Path, by_id: Provider
) -> None:
    client = FakeClient()
    first = await asyncio.to_thread(upload, document, "a.pdf")
    second = await asyncio.to_thread(upload, document, "b.pdf")

    parts = [await content_part(each, provider=by_id, client=client, dialect=AZURE) for each in (first, second)]

    assert parts[0] == parts[1]
    assert len(client.uploads) == 1


async def test_the_same_file_of_a_stranger_is_a_copy_of_its_own(
    upload: Upload, document: Path, by_id: Provider, charlie: User
) -> None:
    client = FakeClient()
    hers = await asyncio.to_thread(upload, document)
    his = await asyncio.to_thread(upload, document, "", charlie)
    assert hers.sha256 == his.sha256

    parts = [await content_part(each, provider=by_id, client=client, dialect=AZURE) for each in (hers, his)]

    assert [part["file_id"] for part in parts] == ["assistant-1", "assistant-2"]


async def test_another_provider_and_another_purpose_get_copies_of_their_own(
    attachment: Attachment, by_id: Provider
) -> None:
    other = await Provider.objects.acreate(name="OpenAI", dialect="openai", file_policy=Provider.FilePolicy.FILE_ID)
    client = FakeClient()

    await content_part(attachment, provider=by_id, client=client, dialect=AZURE)
    await content_part(attachment, provider=other, client=client, dialect=DIALECTS["openai"])
    await content_part(attachment, provider=by_id, client=client, dialect=DIALECTS["openai"])

    assert [purpose for _, _, purpose, _ in client.uploads] == ["assistants", "user_data", "user_data"]


async def test_turns_at_the_same_time_share_one_upload(upload: Upload, document: Path, by_id: Provider) -> None:
    client = FakeClient(gate=asyncio.Event())
    assert client.gate is not None
    attachments = [await asyncio.to_thread(upload, document, f"{name}.pdf") for name in "abc"]

    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(content_part(each, provider=by_id, client=client, dialect=AZURE))
            for each in attachments * 3
        ]
        await client.began.wait()
        client.gate.set()

    assert len(client.uploads) == 1
    assert {task.result()["file_id"] for task in running} == {"assistant-1"}
    assert not delivery._uploads, "no lock outlives its upload"


async def test_files_of_their_own_do_not_wait_for_each_other(upload: Upload, tmp_path: Path, by_id: Provider) -> None:
    client = FakeClient(gate=asyncio.Event())
    assert client.gate is not None
    held = await asyncio.to_thread(upload, make_pdf(tmp_path / "held.pdf", ["held"]))
    free = await asyncio.to_thread(upload, make_pdf(tmp_path / "free.pdf", ["free"]))
    waiting = asyncio.create_task(content_part(held, provider=by_id, client=client, dialect=AZURE))
    await client.began.wait()

    part = await content_part(free, provider=by_id, client=FakeClient(), dialect=AZURE)

    assert part == {"type": "input_file", "file_id": "assistant-1"}
    assert not waiting.done()
    client.gate.set()
    await waiting


async def test_when_the_uploading_turn_is_stopped_the_next_one_uploads(attachment: Attachment, by_id: Provider) -> None:
    client = FakeClient(gate=asyncio.Event())
    assert client.gate is not None
    stopped = asyncio.create_task(content_part(attachment, provider=by_id, client=client, dialect=AZURE))
    await client.began.wait()
    waiting = asyncio.create_task(content_part(attachment, provider=by_id, client=client, dialect=AZURE))

    stopped.cancel()
    client.gate.set()

    assert (await waiting)["file_id"] == "assistant-2"
    assert await ProviderFile.objects.acount() == 1


async def test_a_failed_upload_is_not_remembered(attachment: Attachment, by_id: Provider) -> None:
    client = FakeClient(failure=ResponsesError("refused"))
    with pytest.raises(ResponsesError):
        await content_part(attachment, provider=by_id, client=client, dialect=AZURE)
    client.failure = None

    part = await content_part(attachment, provider=by_id, client=client, dialect=AZURE)

    assert part["file_id"] == "assistant-2"


async def test_a_copy_that_expires_soon_is_replaced(attachment: Attachment, by_id: Provider) -> None:
    soon = (timezone.now() + timedelta(minutes=1)).timestamp()
    client = FakeClient(expires_at=soon)
    await content_part(attachment, provider=by_id, client=client, dialect=AZURE)
    client.expires_at = None

    part = await content_part(attachment, provider=by_id, client=client, dialect=AZURE)

    assert part["file_id"] == "assistant-2"
    copy = await ProviderFile.objects.aget()
    assert (copy.file_id, copy.expires_at) == ("assistant-2", None)
    given_up = await Forgetting.objects.aget()
    assert given_up.upstream_id == "assistant-1"
    assert given_up.next_try_at > timezone.now(), "a question that names it may be on its way"


async def test_a_copy_that_lasts_is_used(attachment: Attachment, by_id: Provider) -> None:
    client = FakeClient(expires_at=(timezone.now() + timedelta(hours=1)).timestamp())

    for _ in range(2):
        part = await content_part(attachment, provider=by_id, client=client, dialect=AZURE)

    assert part["file_id"] == "assistant-1"


async def test_a_copy_that_the_provider_lost_is_uploaded_again(upload: Upload, document: Path, by_id: Provider) -> None:
    client = FakeClient()
    first = await asyncio.to_thread(upload, document, "a.pdf")
    same = await asyncio.to_thread(upload, document, "b.pdf")
    await content_part(first, provider=by_id, client=client, dialect=AZURE)

    forgot = await vanished(same, by_id)
    part = await content_part(same, provider=by_id, client=client, dialect=AZURE)

    assert forgot
    assert part["file_id"] == "assistant-2"


async def test_nothing_vanished_where_nothing_was_uploaded(attachment: Attachment, by_id: Provider) -> None:
    other = await Provider.objects.acreate(name="OpenAI", dialect="openai")
    await content_part(attachment, provider=by_id, client=FakeClient(), dialect=AZURE)

    assert not await vanished(attachment, other)
    assert await ProviderFile.objects.acount() == 1


async def test_a_copy_is_named_when_the_provider_has_digested_it(attachment: Attachment, by_id: Provider) -> None:
    client = FakeClient(statuses=["pending", "running", "processed"])

    part = await content_part(attachment, provider=by_id, client=client, dialect=AZURE)

    assert part["file_id"] == "assistant-1"
    assert client.looks == ["assistant-1", "assistant-1"]


async def test_a_copy_that_stays_uploaded_is_used_all_the_same(attachment: Attachment, by_id: Provider) -> None:
    client = FakeClient(statuses=["uploaded"])

    part = await content_part(attachment, provider=by_id, client=client, dialect=AZURE)

    assert part["file_id"] == "assistant-1"
    assert len(client.looks) == len(delivery.DIGESTING_DELAYS)


async def test_a_copy_that_the_provider_cannot_read_is_refused_and_not_remembered(
    attachment: Attachment, by_id: Provider
) -> None:
    with pytest.raises(Refused, match="could not read “report.pdf”".replace(".", r"\.")):
        await content_part(attachment, provider=by_id, client=FakeClient(statuses=["error"]), dialect=AZURE)

    assert not await ProviderFile.objects.aexists()


async def test_what_is_too_large_to_upload_is_refused_before_it_travels(
    attachment: Attachment, by_id: Provider
) -> None:
    client = FakeClient()

    with pytest.raises(Refused, match="takes files of up to"):
        await content_part(attachment, provider=by_id, client=client, dialect=replace(AZURE, max_upload_bytes=100))

    assert client.uploads == []


async def test_a_storage_without_paths_lends_a_copy(
    upload: Upload, document: Path, by_id: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Attachment._meta.get_field("file"), "storage", RemoteStorage())
    attachment = await asyncio.to_thread(upload, document)
    client = FakeClient()

    await content_part(attachment, provider=by_id, client=client, dialect=AZURE)

    assert client.uploads[0][3] == document.read_bytes()


# Data, for the code interpreter


@pytest.fixture
def table(media: Path, alice: User) -> Attachment:
    return make_attachment(alice, "sales.csv", b"a,b\n1,2\n", media_type="text/csv", sha256="cc", pages=None)


async def test_data_is_named_in_the_question_and_uploaded_for_the_container(
    table: Attachment, provider: Provider
) -> None:
    client = FakeClient()
    way: dict[str, Any] = {"provider": provider, "client": client, "dialect": AZURE}

    part = await content_part(table, **way, runs_code=True)
    ids = [await delivery.file_id(table, **way) for _ in range(2)]

    assert part == {
        "type": "input_text",
        "text": "[The attached file “sales.csv” lies in /mnt/data, for your Python tool.]",
    }
    assert ids == ["assistant-1", "assistant-1"]
    assert client.uploads == [("sales.csv", "text/csv", "assistants", b"a,b\n1,2\n")]


async def test_data_is_refused_where_no_code_runs(table: Attachment, provider: Provider) -> None:
    with pytest.raises(Refused, match="only be read by a model that runs code"):
        await content_part(table, provider=provider, client=FakeClient(), dialect=AZURE)


async def test_what_its_owner_deleted_on_the_way_is_named(attachment: Attachment, provider: Provider) -> None:
    attachment.forgotten_at = timezone.now()
    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)
    assert part["text"] == "[The attached file “report.pdf” was deleted. Its content is gone.]"


# As text


async def test_a_model_that_takes_no_pdf_gets_its_text_with_page_marks(
    attachment: Attachment, provider: Provider
) -> None:
    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=GATEWAY)

    assert part == {
        "type": "input_text",
        "text": "Text of the attached file “report.pdf”:\n\n[page 1]\nAlpha begins.\n\n[page 3]\nGamma ends.",
    }


async def test_a_scan_is_refused_where_only_text_could_be_sent(
    upload: Upload, tmp_path: Path, provider: Provider
) -> None:
    attachment = await asyncio.to_thread(upload, make_pdf(tmp_path / "scan.pdf", ["", ""]))

    with pytest.raises(Refused, match="has no text to read"):
        await content_part(attachment, provider=provider, client=FakeClient(), dialect=GATEWAY)


# Images


@pytest.mark.seed("S1-17", "S2-7")
@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("policy", Provider.FilePolicy.values)
async def test_an_image_goes_as_it_is_whatever_the_policy(
    upload: Upload, tmp_path: Path, provider: Provider, format: str, policy: str
) -> None:
    path = make_image(tmp_path / "picture", format)
    attachment = await asyncio.to_thread(upload, path)
    provider.file_policy = policy
    client = FakeClient()

    part = await content_part(attachment, provider=provider, client=client, dialect=AZURE)

    assert (part["type"], part["detail"]) == ("input_image", "auto")
    assert data_of(part["image_url"]) == (f"image/{format.lower()}", path.read_bytes())
    assert client.uploads == []


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
async def test_where_a_picture_was_taken_stays_here(
    upload: Upload, tmp_path: Path, provider: Provider, format: str
) -> None:
    exif = exif_of_a_camera(orientation=6, place=True)
    path = make_image(tmp_path / "picture", format, (80, 60), exif=exif)
    attachment = await asyncio.to_thread(upload, path)

    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)

    media_type, sent = data_of(part["image_url"])
    image = opened(sent)
    assert media_type == f"image/{format.lower()}"
    assert image.size == (80, 60)
    assert dict(image.getexif()) == {0x0112: 6}, "how the camera was held is all that is told"
    assert b"Testcamera" not in sent


async def test_a_picture_above_the_limit_of_the_wire_is_made_smaller(
    upload: Upload, tmp_path: Path, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = make_noise(tmp_path / "picture.png", size=(900, 600))
    attachment = await asyncio.to_thread(upload, path)
    monkeypatch.setattr(limits, "IMAGE_SENT_MAX_BYTES", 400_000)
    monkeypatch.setattr(limits, "IMAGE_SENT_SIDE", 300)
    monkeypatch.setattr(limits, "IMAGE_SENT_LOSSLESS_BYTES", 0)

    part = await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)

    media_type, sent = data_of(part["image_url"])
    assert media_type == "image/jpeg"
    assert opened(sent).size == (300, 200)
    assert len(sent) < 400_000 < attachment.size


@pytest.mark.parametrize(
    "dialect", [replace(AZURE, image_base64=False), replace(AZURE, image_types=("image/jpeg",))], ids=["none", "kind"]
)
async def test_an_image_that_the_provider_does_not_take_is_refused(
    upload: Upload, tmp_path: Path, provider: Provider, dialect: Dialect
) -> None:
    attachment = await asyncio.to_thread(upload, make_image(tmp_path / "picture.png"))

    with pytest.raises(Refused, match="takes no images of its kind"):
        await content_part(attachment, provider=provider, client=FakeClient(), dialect=dialect)


# What is not there


@pytest.mark.parametrize("status", [Attachment.Status.UPLOADING, Attachment.Status.CHECKING, Attachment.Status.REFUSED])
async def test_only_a_ready_attachment_is_sent(attachment: Attachment, provider: Provider, status: str) -> None:
    attachment.status = status

    with pytest.raises(Refused, match="is not ready to be sent"):
        await content_part(attachment, provider=provider, client=FakeClient(), dialect=AZURE)


@pytest.mark.parametrize("policy", Provider.FilePolicy.values)
@pytest.mark.parametrize("dialect", [AZURE, GATEWAY], ids=["azure", "gateway"])
async def test_a_file_that_storage_lost_is_named(
    attachment: Attachment, provider: Provider, policy: str, dialect: Dialect
) -> None:
    provider.file_policy = policy
    await asyncio.to_thread(Path(attachment.file.path).unlink)

    with pytest.raises(Refused, match="is no longer stored"):
        await content_part(attachment, provider=provider, client=FakeClient(), dialect=dialect)
