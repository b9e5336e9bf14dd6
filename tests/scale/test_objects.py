"""Attachments in object storage: two machines receive one file, both give it out, and it is read as it is sent."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from chat.files import paint
from chat.files.delivery import content_part
from chat.files.errors import Refused, StorageAway
from chat.files.objects import ObjectStorage
from chat.files.storage import drop_bytes
from chat.models import Attachment, Provider, User
from chat.responses.dialects import DIALECTS
from tests.house.people import Person
from tests.house.serving import Server
from tests.rows import make_attachment
from tests.scale.files import attach, make_pdf_of
from tests.scale.s3 import BUCKET, KEYS, S3, s3_server

MEGABYTE = 1024 * 1024


@pytest.fixture(scope="module")
def bucket() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(bucket: S3) -> S3:
    """It is up again, whatever a test did to it."""
    if bucket.process.poll() is not None:
        bucket.start()
        bucket.make_bucket()
    return bucket


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory, prepared_data: Path, bucket: S3) -> Iterator[list[Server]]:
    """Two that share database and bucket, and no folder."""
    folder = tmp_path_factory.mktemp("machines")
    shared = {
        "DATABASE_URL": f"sqlite:///{shutil.copy(prepared_data / 'chat.sqlite3', folder)}",
        "SECRET_KEY": secrets.token_urlsafe(64),
        **bucket.variables,
    }
    with ExitStack() as stack:
        started = []
        for name in ("here", "there"):
            started.append(Server(Path(shutil.copytree(prepared_data, folder / name)), **shared))
            stack.callback(started[-1].stop)
        yield started


async def test_a_file_comes_and_goes_through_any_process(s3: S3, servers: list[Server], tmp_path: Path) -> None:
    here, there = servers
    data = make_pdf_of(8 * MEGABYTE, tmp_path)
    async with Person(here, "alice") as alice, Person(here, "mallory") as mallory:
        others = s3.stored()
        path = await attach(alice, here, data, there)
        # Nothing of the way remains but the file and its picture, and nothing of them is on a disk of ours.
        assert sorted(key.partition("/")[0] for key in s3.stored() - others) == ["attachments", "thumbnails"]
        for server in servers:
            assert not [found for found in (server.data_dir / "media").rglob("*") if found.is_file()]

        for server in servers:
            assert (await mallory.http.get(f"{server.url}{path}")).status_code == 404
            assert (await mallory.http.get(f"{server.url}{path}", headers={"Range": "bytes=0-9"})).status_code == 404
        whole = await alice.http.get(f"{there.url}{path}")
        assert whole.content == data
        picture = await alice.http.get(f"{there.url}{path}thumbnail/")
        assert (picture.status_code, picture.headers["content-type"]) == (200, "image/webp")

        for asked, first, end in [
            ("bytes=10-19", 10, 20),
            ("bytes=5000000-", 5_000_000, len(data)),
            ("bytes=-7", len(data) - 7, len(data)),
        ]:
            part = await alice.http.get(f"{here.url}{path}", headers={"Range": asked})
            assert (part.status_code, part.content) == (206, data[first:end])
            assert part.headers["content-range"] == f"bytes {first}-{end - 1}/{len(data)}"
        beyond = await alice.http.get(f"{here.url}{path}", headers={"Range": f"bytes={len(data)}-"})
        assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(data)}")
        other = {"Range": "bytes=0-9", "If-Range": '"another"'}
        assert (await alice.http.get(f"{here.url}{path}", headers=other)).content == data

        await asyncio.to_thread(s3.kill)
        away = await alice.http.get(f"{there.url}{path}")
        assert (away.status_code, away.headers["retry-after"]) == (503, "2")
        assert "does not answer" in away.text
    assert "Traceback" not in here.output + there.output


@pytest.fixture
def storage(s3: S3, monkeypatch: pytest.MonkeyPatch) -> ObjectStorage:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    storage = ObjectStorage(bucket_name=BUCKET, endpoint_url=s3.url)
    for field in ("file", "thumbnail"):
        monkeypatch.setattr(Attachment._meta.get_field(field), "storage", storage)
    return storage


@pytest.mark.django_db(transaction=True)
async def test_painted_pages_are_kept_in_the_bucket_and_go_with_the_file(
    s3: S3, storage: ObjectStorage, tmp_path: Path
) -> None:
    others = s3.stored()
    owner = await User.objects.acreate(username="painted")
    data = make_pdf_of(MEGABYTE, tmp_path)
    attachment = await asyncio.to_thread(make_attachment, owner, content=data, pages=1)

    first = await paint.page(attachment, 1, 800)
    again = await paint.page(attachment, 1, 800)

    assert first.name == again.name
    assert sorted(key.partition("/")[0] for key in s3.stored() - others) == ["attachments", "pages"]
    await asyncio.to_thread(drop_bytes, attachment)
    assert s3.stored() == others


class Provides:
    """A client that takes a file as the real one does: in pieces, from the disk."""

    taken = 0

    async def upload_file(self, path: Path, filename: str, media_type: str, purpose: str) -> dict[str, str]:
        with path.open("rb") as file:
            while piece := file.read(65536):
                self.taken += len(piece)
        return {"id": "file-1", "status": "processed"}

    async def retrieve_file(self, file_id: str) -> dict[str, str]:
        raise AssertionError("there is nothing to wait for")


@pytest.mark.django_db(transaction=True)
async def test_a_large_file_reaches_the_provider_without_being_in_memory(s3: S3, storage: ObjectStorage) -> None:
    size = 24 * MEGABYTE
    owner = await User.objects.acreate(username="alice")
    provider = await Provider.objects.acreate(name="Azure", dialect="azure", base_url="http://up.test/v1/")
    attachment = Attachment(owner=owner, name="large.pdf", media_type="application/pdf", size=size, status="ready")
    attachment.file.name = "attachments/large"
    await attachment.asave()
    await asyncio.to_thread(s3.client().put_object, Bucket=BUCKET, Key="attachments/large", Body=bytes(size))
    storage.check()
    client = Provides()
    way: dict[str, Any] = {"provider": provider, "client": client, "dialect": DIALECTS["azure"], "held": ExitStack()}
    tracemalloc.start()
    part = await content_part(attachment, **way)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (part, client.taken) == ({"type": "input_file", "file_id": "file-1"}, size)
    assert peak < 8 * MEGABYTE

    attachment.file.name = "attachments/lost"
    await provider.files.all().adelete()
    with pytest.raises(Refused, match="no longer stored"):
        await content_part(attachment, **way)
    await asyncio.to_thread(s3.kill)
    with pytest.raises(Refused, match="cannot be read just now"):
        await content_part(attachment, **way)
    with pytest.raises(StorageAway):
        storage.check()
