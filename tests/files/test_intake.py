"""How a file arrives: slices, resuming, and the one end of it, READY or REFUSED."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat.files import intake, limits
from chat.files.errors import Refused, StorageAway, WrongOffset
from chat.files.inspect import Inspected, inspect
from chat.files.intake import Accepted, append_slice, begin, discard, finish, sweep
from chat.models import Attachment, Conversation, Response, Turn, User
from tests.files.makers import RemoteStorage, make_image, make_pdf, opened

Status = Attachment.Status


def files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def upload(owner: User, name: str, data: bytes, slice_bytes: int = 1000) -> Attachment:
    attachment = begin(owner, name, len(data))
    for offset in range(0, len(data), slice_bytes):
        append_slice(attachment, offset, data[offset : offset + slice_bytes])
    return finish(attachment)


@pytest.fixture
def document(tmp_path: Path) -> bytes:
    return make_pdf(tmp_path / "a.pdf", ["words " * 300] * 3).read_bytes()


def test_a_pdf_in_slices_becomes_ready(media: Path, alice: User, document: bytes) -> None:
    attachment = upload(alice, "report.pdf", document)

    stored = Attachment.objects.get(pk=attachment.pk)
    assert (stored.status, stored.refusal, stored.name) == (Status.READY, "", "report.pdf")
    assert (stored.media_type, stored.pages) == ("application/pdf", 3)
    assert stored.size == stored.received == len(document)
    assert stored.sha256 == hashlib.sha256(document).hexdigest()
    assert stored.file.read() == document
    assert opened(stored.thumbnail.read()).format == "WEBP"
    stored.file.close()
    stored.thumbnail.close()


def test_an_image_keeps_its_measures(media: Path, tmp_path: Path, alice: User) -> None:
    attachment = upload(alice, "photo", make_image(tmp_path / "a", "JPEG", (1200, 900)).read_bytes())

    stored = Attachment.objects.get(pk=attachment.pk)
    assert (stored.media_type, stored.width, stored.height) == ("image/jpeg", 1200, 900)


def test_only_the_file_and_its_thumbnail_remain_and_nobody_else_reads_them(
    media: Path, alice: User, document: bytes
) -> None:
    attachment = upload(alice, "report.pdf", document)

    assert files_in(media) == [Path(attachment.file.path), Path(attachment.thumbnail.path)]
    assert [path.stat().st_mode & 0o077 for path in files_in(media)] == [0, 0]


def test_the_name_of_the_file_plays_no_part_in_where_it_is_stored(media: Path, alice: User, document: bytes) -> None:
    attachment = upload(alice, "../../etc/cron.d/\u202efdp.exe", document)

    assert attachment.name == "fdp.exe"
    assert attachment.file.name == f"attachments/{attachment.pk.hex[:2]}/{attachment.pk}"


def test_a_storage_without_paths_takes_the_same_way(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = RemoteStorage()
    for field in ("file", "thumbnail"):
        monkeypatch.setattr(Attachment._meta.get_field(field), "storage", storage)

    attachment = upload(alice, "report.pdf", document)

    assert attachment.status == Status.READY
    assert storage.held[str(attachment.file.name)] == document
    assert len(storage.held) == 2
    assert files_in(media) == []


def test_an_empty_file_is_refused_when_it_is_announced(media: Path, alice: User) -> None:
    with pytest.raises(Refused, match="is empty"):
        begin(alice, "report.pdf", 0)

    assert not Attachment.objects.exists()


def test_a_large_file_is_refused_before_a_byte_is_sent(media: Path, alice: User, settings: Settings) -> None:
    settings.FILE_MAX_BYTES = 1024 * 1024
    with pytest.raises(Refused, match="is 3 MB; files of up to 1 MB are accepted"):
        begin(alice, "report.pdf", 3 * 1024 * 1024)

    assert not Attachment.objects.exists()


def test_an_upload_that_broke_off_goes_on_where_it_stopped(media: Path, alice: User, document: bytes) -> None:
    first = begin(alice, "report.pdf", len(document))
    append_slice(first, 0, document[:700])

    later = Attachment.objects.get(pk=first.pk)
    with pytest.raises(WrongOffset) as wrong:
        append_slice(later, 1400, document[1400:])
    append_slice(later, wrong.value.expected, document[wrong.value.expected :])

    assert wrong.value.expected == 700
    assert finish(later).status == Status.READY


def test_a_slice_sent_twice_counts_once(media: Path, alice: User, document: bytes) -> None:
    attachment = begin(alice, "report.pdf", len(document))
    append_slice(attachment, 0, document[:700])

    assert append_slice(attachment, 0, document[:700]).received == 700
    assert append_slice(attachment, 0, b"other bytes").received == 700
    append_slice(attachment, 700, document[700:])
    assert finish(attachment).sha256 == hashlib.sha256(document).hexdigest()


def test_a_slice_sent_again_after_the_end_changes_nothing(media: Path, alice: User, document: bytes) -> None:
    attachment = upload(alice, "report.pdf", document)

    assert append_slice(attachment, 0, b"x" * 100).status == Status.READY
    assert append_slice(attachment, len(document), b"").status == Status.READY
    attachment.refresh_from_db()
    assert attachment.file.read() == document
    attachment.file.close()


def test_a_slice_that_overlaps_half_is_told_where_to_go_on(media: Path, alice: User) -> None:
    attachment = begin(alice, "report.pdf", 100)
    append_slice(attachment, 0, b"x" * 50)

    with pytest.raises(WrongOffset) as wrong:
        append_slice(attachment, 40, b"x" * 20)

    assert wrong.value.expected == 50


def test_no_more_is_taken_than_was_announced(media: Path, alice: User) -> None:
    attachment = begin(alice, "report.pdf", 100)

    with pytest.raises(Refused, match="changed while it was uploaded"):
        append_slice(attachment, 0, b"x" * 101)

    assert files_in(media) == []
    attachment.refresh_from_db()
    assert attachment.received == 0


@pytest.mark.parametrize(("offset", "length"), [(-1, 5), (0, 2001)])
def test_a_slice_that_our_page_would_not_send_is_refused(
    media: Path, alice: User, settings: Settings, offset: int, length: int
) -> None:
    settings.FILE_SLICE_BYTES = 2000
    attachment = begin(alice, "report.pdf", 5000)

    with pytest.raises(Refused, match="Reload the page"):
        append_slice(attachment, offset, b"x" * length)


def test_finishing_early_is_told_where_to_go_on(media: Path, alice: User) -> None:
    attachment = begin(alice, "report.pdf", 100)
    append_slice(attachment, 0, b"x" * 60)

    with pytest.raises(WrongOffset) as wrong:
        finish(attachment)

    assert wrong.value.expected == 60
    attachment.refresh_from_db()
    assert attachment.status == Status.UPLOADING


def test_bytes_that_the_disk_lost_are_asked_for_again(media: Path, alice: User, document: bytes) -> None:
    attachment = begin(alice, "report.pdf", len(document))
    append_slice(attachment, 0, document[:700])
    files_in(media)[0].unlink()

    with pytest.raises(WrongOffset) as wrong:
        append_slice(attachment, 700, document[700:])

    assert wrong.value.expected == 0
    append_slice(attachment, 0, document)
    assert finish(attachment).status == Status.READY


def test_bytes_that_the_disk_lost_at_the_end_refuse_the_file(media: Path, alice: User) -> None:
    attachment = begin(alice, "report.pdf", 100)
    append_slice(attachment, 0, b"x" * 100)
    files_in(media)[0].unlink()

    finish(attachment)

    assert attachment.status == Status.REFUSED
    assert attachment.refusal == "“report.pdf” did not arrive whole. Attach it again."


def test_a_refused_file_keeps_the_sentence_and_no_bytes(media: Path, alice: User) -> None:
    attachment = upload(alice, "picture.png", b"<html><script>alert(1)</script></html>")

    stored = Attachment.objects.get(pk=attachment.pk)
    assert stored.status == Status.REFUSED
    assert stored.refusal.startswith("“picture.png” is of a kind that no model here can use.")
    assert (stored.file.name, stored.media_type) == ("", "")
    assert files_in(media) == []


def test_a_refused_file_takes_no_more_slices(media: Path, alice: User) -> None:
    attachment = upload(alice, "picture.png", b"<html>")

    with pytest.raises(Refused, match="of a kind that no model here can use"):
        append_slice(attachment, 0, b"<html>")


def test_finishing_twice_checks_once(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attachment = upload(alice, "report.pdf", document)
    monkeypatch.setattr(intake, "inspect", lambda *_: pytest.fail("inspected again"))

    assert finish(Attachment.objects.get(pk=attachment.pk)).status == Status.READY


def test_a_fault_of_ours_refuses_the_file_and_is_raised(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fault(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(intake, "inspect", fault)
    with pytest.raises(ZeroDivisionError):
        upload(alice, "report.pdf", document)

    attachment = Attachment.objects.get()
    assert (attachment.status, attachment.refusal) == (
        Status.REFUSED,
        "“report.pdf” could not be checked. Attach it again.",
    )
    assert files_in(media) == []


def test_a_slice_that_comes_late_cannot_change_what_was_inspected(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attachment = begin(alice, "report.pdf", len(document))
    append_slice(attachment, 0, document)
    with files_in(media)[0].open("r+b") as still_open:
        finish(attachment)
        still_open.write(b"<html>")

    assert attachment.file.read() == document
    attachment.file.close()


@pytest.mark.parametrize("slices", [1, 2])
def test_of_two_requests_with_the_last_slice_the_later_one_spoils_nothing(
    media: Path, alice: User, document: bytes, slices: int
) -> None:
    """It has read the row before the other one ended, and writes after it."""
    attachment = begin(alice, "report.pdf", len(document))
    last = len(document) // slices * (slices - 1)
    if last:
        append_slice(attachment, 0, document[:last])
    late = Attachment.objects.get(pk=attachment.pk)
    append_slice(attachment, last, document[last:])
    assert finish(attachment).status == Status.READY
    kept = files_in(media)

    if last:
        with pytest.raises(WrongOffset) as wrong:
            append_slice(late, last, document[last:])
        assert wrong.value.expected == len(document)
    else:
        append_slice(late, last, document[last:])
        assert finish(late).status == Status.READY
    stored = Attachment.objects.get(pk=attachment.pk)
    assert (stored.status, stored.received) == (Status.READY, len(document))
    assert files_in(media) == kept


def test_discarding_leaves_nothing(media: Path, alice: User, document: bytes) -> None:
    ready = upload(alice, "report.pdf", document)
    half = begin(alice, "half.pdf", 100)
    append_slice(half, 0, b"x" * 50)
    assert len(files_in(media)) == 3

    discard(ready)
    discard(half)

    assert files_in(media) == []
    assert not Attachment.objects.exists()


def test_the_sweep_takes_what_nobody_finished_and_leaves_the_rest(media: Path, alice: User, document: bytes) -> None:
    ready = upload(alice, "report.pdf", document)
    half = begin(alice, "half.pdf", 100)
    append_slice(half, 0, b"x" * 50)
    fresh_uploads = sweep(older_than=timedelta(hours=1))

    swept = sweep(older_than=timedelta(0))

    assert (fresh_uploads, swept) == (0, 1)
    assert list(Attachment.objects.all()) == [ready]
    assert len(files_in(media)) == 2


def test_the_sweep_leaves_what_a_turn_shows(media: Path, alice: User) -> None:
    refused = upload(alice, "picture.png", b"<html>")
    turn = Turn.objects.create(conversation=Conversation.objects.create(owner=alice))
    turn.attachments.add(refused)

    assert sweep(older_than=timedelta(0)) == 0


def test_a_file_discarded_while_it_is_checked_does_not_come_back(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def discarded_meanwhile(path: Path, name: str, accepted: Accepted | None) -> Inspected:
        found = inspect(path, name, accepted)
        discard(Attachment.objects.get())
        return found

    monkeypatch.setattr(intake, "inspect", discarded_meanwhile)
    upload(alice, "report.pdf", document)
    assert not Attachment.objects.exists()
    assert files_in(media) == []


def test_what_a_pdf_tells_of_itself_is_noted(media: Path, tmp_path: Path, alice: User) -> None:
    data = make_pdf(tmp_path / "a", ["one", "", "three"], title="Numbers").read_bytes()

    stored = Attachment.objects.get(pk=upload(alice, "a.pdf", data).pk)

    assert (stored.title, stored.pages, stored.text_pages, stored.text_characters) == ("Numbers", 3, 2, 8)


def test_data_is_taken_where_somebody_says_that_it_is(media: Path, alice: User) -> None:
    taken = begin(alice, "table.csv", 4)
    append_slice(taken, 0, b"a,b\n")

    finish(taken, Accepted(data=True))

    assert (taken.status, taken.media_type, taken.is_data) == (Status.READY, "text/csv", True)
    assert upload(alice, "table.csv", b"a,b\n").status == Status.REFUSED


def test_who_has_used_up_the_room_is_told_before_a_byte_is_sent(media: Path, alice: User, settings: Settings) -> None:
    settings.FILES_PER_PERSON_BYTES = 3 * 1024 * 1024
    begin(alice, "one.pdf", 2 * 1024 * 1024)
    Attachment.objects.create(owner=alice, name="x", size=2**40, status=Status.REFUSED)
    Attachment.objects.create(owner=alice, name="x", size=2**40, status=Status.READY, forgotten_at=timezone.now())
    Attachment.objects.create(owner=User.objects.create(username="bob"), name="x", size=2**40)

    with pytest.raises(Refused) as refused:
        begin(alice, "two.pdf", 1024 * 1024 + 1)

    assert refused.value.sentence == (
        "There is no room for “two.pdf”: your files take 2 MB of 3 MB. "
        "Delete some that you no longer need, then attach it again."
    )
    assert begin(alice, "two.pdf", 1024 * 1024).status == Status.UPLOADING
    assert not Attachment.objects.filter(name="two.pdf", size__gt=1024 * 1024).exists()


def test_a_check_that_a_server_did_not_live_to_end_is_done_again(media: Path, alice: User, document: bytes) -> None:
    attachment = begin(alice, "report.pdf", len(document))
    append_slice(attachment, 0, document)
    begun = timezone.now() - timedelta(seconds=limits.CHECK_SECONDS - 10)
    Attachment.objects.update(status=Status.CHECKING, checking_since=begun)
    still = finish(attachment).status

    Attachment.objects.update(checking_since=begun - timedelta(seconds=20))

    assert (still, finish(attachment).status) == (Status.CHECKING, Status.READY)
    assert Attachment.objects.get().checking_since is None


def test_of_two_checks_of_one_file_the_first_to_end_counts(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attachment = begin(alice, "report.pdf", len(document))
    append_slice(attachment, 0, document)
    checks = []

    def slow(path: Path, name: str, accepted: Accepted | None) -> Inspected:
        checks.append(path)
        found = inspect(path, name, accepted)
        if len(checks) == 1:
            Attachment.objects.update(checking_since=timezone.now() - timedelta(hours=1))
            assert finish(Attachment.objects.get()).status == Status.READY
        return found

    monkeypatch.setattr(intake, "inspect", slow)
    finish(attachment)

    assert len(set(checks)) == 2
    assert attachment.status == Status.READY
    assert attachment.file.read() == document
    attachment.file.close()
    assert files_in(media) == [Path(attachment.file.path), Path(attachment.thumbnail.path)]


def test_a_storage_that_is_away_leaves_the_slices_for_later(
    media: Path, alice: User, document: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    attachment = begin(alice, "report.pdf", len(document))
    append_slice(attachment, 0, document)

    def away(*_: object) -> None:
        raise StorageAway("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(intake, "inspect", away)
        with pytest.raises(StorageAway):
            finish(attachment)

    assert Attachment.objects.get().status == Status.UPLOADING
    assert finish(attachment).status == Status.READY


def test_the_sweep_leaves_what_a_model_made(media: Path, alice: User) -> None:
    turn = Turn.objects.create(conversation=Conversation.objects.create(owner=alice))
    response = Response.objects.create(turn=turn)
    Attachment.objects.create(owner=alice, name="chart.png", status=Status.REFUSED, made_by=response, made_as="c/f")

    assert sweep(older_than=timedelta(0)) == 0
