"""What a file is, whatever it is called; and the sentences of refusal."""

from __future__ import annotations

import hashlib
import pickle
import tarfile
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from pytest_django import Settings

from chat.files import kinds, limits
from chat.files.errors import QUOTED_CHARACTERS, Refused, megabytes, quoted
from chat.files.inspect import clean_name, inspect
from chat.files.kinds import Accepted
from chat.models import Attachment
from tests.files.makers import (
    exif_of_a_camera,
    make_image,
    make_noise,
    make_office,
    make_pdf,
    make_scan,
    make_zip,
    make_zip_bomb,
    ole,
    opened,
    png_header,
)


def refusal_of(path: Path, name: str, accepted: Accepted | None = None) -> str:
    with pytest.raises(Refused) as refusal:
        inspect(path, name, accepted)
    return refusal.value.sentence


def test_a_pdf_is_measured(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a", ["one", "two"])

    found = inspect(path, "report.pdf")

    assert (found.media_type, found.pages, found.width) == ("application/pdf", 2, None)
    assert found.size == path.stat().st_size
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.thumbnail is not None
    assert opened(found.thumbnail).format == "WEBP"


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
def test_an_image_is_measured(tmp_path: Path, format: str) -> None:
    found = inspect(make_image(tmp_path / "a", format, (1200, 900)), "picture")

    assert (found.media_type, found.width, found.height, found.pages) == (f"image/{format.lower()}", 1200, 900, None)
    assert found.thumbnail is not None
    assert opened(found.thumbnail).size == (480, 360)


@pytest.mark.parametrize(
    ("format", "mode"),
    [("PNG", "1"), ("PNG", "P"), ("PNG", "I;16"), ("PNG", "LA"), ("JPEG", "CMYK"), ("JPEG", "L"), ("WEBP", "RGBA")],
)
def test_every_kind_of_pixel_becomes_a_thumbnail(tmp_path: Path, format: str, mode: str) -> None:
    found = inspect(make_image(tmp_path / "a", format, (600, 20), mode), "picture")

    assert found.thumbnail is not None
    assert opened(found.thumbnail).size == (480, 16)


def test_a_picture_stands_as_the_camera_was_held(tmp_path: Path) -> None:
    path = tmp_path / "a"
    image = Image.new("RGB", (60, 40), "white")
    image.paste("black", (0, 0, 60, 20))  # the top of the sensor
    image.save(path, "JPEG", exif=exif_of_a_camera(orientation=6))  # turn right to see it upright

    found = inspect(path, "photo.jpg")

    assert (found.width, found.height) == (40, 60)
    assert found.thumbnail is not None
    upright = opened(found.thumbnail).convert("L")
    assert upright.size == (40, 60)
    assert upright.getpixel((35, 30)) < 60  # type: ignore[operator]
    assert upright.getpixel((5, 30)) > 200  # type: ignore[operator]


def test_a_thumbnail_tells_nothing_about_the_camera(tmp_path: Path) -> None:
    path = make_image(tmp_path / "a", "JPEG", exif=exif_of_a_camera(orientation=1, place=True))

    found = inspect(path, "photo.jpg")

    assert b"Testcamera" in path.read_bytes()
    assert found.thumbnail is not None
    assert b"Testcamera" not in found.thumbnail
    assert not opened(found.thumbnail).getexif()


@pytest.mark.parametrize("format", ["PNG", "WEBP"])
def test_an_animation_counts_as_its_first_frame(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a"
    frames = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    frames[0].save(path, format, save_all=True, append_images=frames[1:])

    found = inspect(path, "animation")

    assert (found.width, found.height) == (50, 40)
    assert found.thumbnail is not None
    red, _, blue = opened(found.thumbnail).convert("RGB").getpixel((25, 20))  # type: ignore[misc]
    assert red > 200 > 60 > blue


def test_a_picture_called_pdf_is_a_picture(tmp_path: Path) -> None:
    assert inspect(make_image(tmp_path / "a"), "contract.pdf").media_type == "image/png"


def test_a_pdf_called_png_is_a_pdf(tmp_path: Path) -> None:
    assert inspect(make_pdf(tmp_path / "a", ["x"]), "photo.png").media_type == "application/pdf"


def test_a_pdf_behind_leading_junk_is_read(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a", ["one", "two"])
    path.write_bytes(b"\r\n\0junk " * 40 + path.read_bytes())

    assert inspect(path, "a.pdf").pages == 2


def test_a_page_that_poses_as_a_pdf_is_refused(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a", ["one"])
    path.write_bytes(b"<html><script>alert(1)</script>" + path.read_bytes())

    assert "cannot be read here" in refusal_of(path, "a.pdf")


def test_a_polyglot_is_what_its_first_bytes_are(tmp_path: Path) -> None:
    path = make_image(tmp_path / "a")
    path.write_bytes(path.read_bytes() + make_pdf(tmp_path / "b", ["x"]).read_bytes())

    assert inspect(path, "both.pdf").media_type == "image/png"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"MZ" + bytes(40), id="program"),
        pytest.param(b"RIFF\x00\x00\x00\x00WAVE" + bytes(40), id="sound"),
        pytest.param(bytes(2000) + b"%PDF-1.7", id="header too far in"),
    ],
)
def test_other_kinds_are_refused_with_those_that_are_accepted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)

    assert refusal_of(path, "picture.png") == (
        "“picture.png” is of a kind that cannot be read here. PDF, PNG, JPEG and WEBP files are accepted."
    )
    assert "PDF, PNG, JPEG, WEBP, GIF, text, tables" in refusal_of(path, "picture.png", kinds.EVERYTHING)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"<!doctype html><script>alert(1)</script>", id="html"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', id="svg"),
        pytest.param(b"GIF89a" + bytes(40), id="gif"),
        pytest.param(b"PK\x03\x04" + bytes(40), id="zip"),
        pytest.param("价格,数量".encode("gb18030"), id="table"),
    ],
)
def test_what_no_model_here_can_use_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)

    assert refusal_of(path, "picture.png") == (
        "“picture.png” is of a kind that no model here can use. PDF, PNG, JPEG and WEBP files are accepted."
    )


def test_a_gif_is_taken_where_a_model_takes_it_and_data_is_not(tmp_path: Path) -> None:
    found = inspect(make_image(tmp_path / "a", "GIF", (600, 200)), "moving.png", Accepted(gif=True))

    assert (found.media_type, found.width, found.height) == ("image/gif", 600, 200)
    assert found.thumbnail is not None
    assert opened(found.thumbnail).size == (480, 160)
    (tmp_path / "b").write_bytes(b"a,b\n")
    assert "PDF, PNG, JPEG, WEBP and GIF files are accepted" in refusal_of(tmp_path / "b", "b", Accepted(gif=True))


def test_a_pdf_tells_its_title_and_its_text(tmp_path: Path) -> None:
    found = inspect(make_pdf(tmp_path / "a", ["one", "", "three"], title="Ships\n of  \u202ethe North"), "a.pdf")

    assert (found.title, found.pages, found.text_pages, found.text_characters) == ("Ships of the North", 3, 2, 8)


def test_a_scan_is_known_by_its_lack_of_text(tmp_path: Path) -> None:
    found = inspect(make_scan(tmp_path / "a", 2), "scan.pdf")

    assert (found.pages, found.text_pages, found.text_characters) == (2, 0, 0)


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("table.CSV", "text/csv"),
        ("page.html", "text/html"),
        ("drawing.svg", "application/xml"),
        ("script.py", "text/x-python"),
        ("notes", "text/plain"),
        ("picture.png", "text/plain"),
        ("book.xlsx", "text/plain"),
    ],
)
def test_between_texts_the_name_tells(tmp_path: Path, name: str, media_type: str) -> None:
    path = tmp_path / "a"
    path.write_text("<svg>a,b\n")

    found = inspect(path, name, Accepted(data=True))

    assert (found.media_type, found.thumbnail, found.pages, found.width) == (media_type, None, None, None)
    assert Attachment(media_type=found.media_type).is_data


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "gb18030", "big5", "cp949", "shift_jis", "cp1252"])
def test_text_may_be_written_as_people_here_write_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "a"
    words = {"cp1252": "Größe,Café", "cp949": "가격,수량", "shift_jis": "価格,ひらがな"}.get(encoding, "日本,人口")
    path.write_bytes(f"{words}\r\n\t1,2\n".encode(encoding) * 40_000)

    assert inspect(path, "a.csv", Accepted(data=True)).media_type == "text/csv"


@pytest.mark.parametrize("ending", [b"\x00", b"\x01", b"\x1f"])
def test_what_holds_a_control_character_is_no_text(tmp_path: Path, ending: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"words " * 100_000 + ending)

    assert "cannot be read here" in refusal_of(path, "a.csv", Accepted(data=True))


@pytest.mark.parametrize(
    ("main", "media_type"),
    [("word/document.xml", kinds.DOCX), ("xl/workbook.xml", kinds.XLSX), ("ppt/presentation.xml", kinds.PPTX)],
)
def test_an_office_document_is_known_by_what_is_packed_in_it(tmp_path: Path, main: str, media_type: str) -> None:
    path = make_office(tmp_path / "a", main)

    assert inspect(path, "lying.zip", Accepted(data=True)).media_type == media_type


def test_a_zip_called_xlsx_is_a_zip(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a", {"xl/workbook.xml": b"<x/>"})

    assert inspect(path, "book.xlsx", Accepted(data=True)).media_type == kinds.ZIP


def test_an_old_document_a_tar_and_a_pickle_are_known(tmp_path: Path) -> None:
    for name, data in (("a.doc", ole("WordDocument")), ("b.pkl", pickle.dumps({"a": [1, 2]}))):
        (tmp_path / name).write_bytes(data)
    with tarfile.open(tmp_path / "c.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
        archive.add(tmp_path / "a.doc", "a.doc")

    found = [inspect(tmp_path / name, "x", Accepted(data=True)).media_type for name in ("a.doc", "b.pkl", "c.tar")]

    assert found == [kinds.DOC, kinds.PICKLE, kinds.TAR]
    (tmp_path / "c.tar").write_bytes((tmp_path / "c.tar").read_bytes().replace(b"a.doc", b"b.doc", 1))
    assert "cannot be read here" in refusal_of(tmp_path / "c.tar", "c.tar", Accepted(data=True))


def test_an_office_document_with_a_password_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(ole("EncryptedPackage"))

    assert "“book.xlsx” is protected with a password" in refusal_of(path, "book.xlsx", Accepted(data=True))


def test_a_locked_a_broken_an_empty_and_a_swelling_archive_are_refused(tmp_path: Path) -> None:
    path = make_zip(tmp_path / "a", {"a.bin": bytes(range(256)) * 8}, zipfile.ZIP_STORED)
    whole = path.read_bytes()
    refusals = {}
    locked = bytearray(whole)
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    for name, data in (
        ("locked", bytes(locked)),
        ("cut", whole[:-30]),
        ("changed", whole.replace(b"\x40\x41", b"\x41\x41", 1)),
        ("empty", b"PK\x05\x06" + bytes(18)),
    ):
        path.write_bytes(data)
        refusals[name] = refusal_of(path, "a.zip", Accepted(data=True))
    refusals["bomb"] = refusal_of(make_zip_bomb(path, 1040), "a.zip", Accepted(data=True))

    assert "protected with a password" in refusals["locked"]
    assert "broken and cannot be unpacked" in refusals["cut"]
    assert "broken and cannot be unpacked" in refusals["changed"]
    assert "an archive with nothing in it" in refusals["empty"]
    assert refusals["bomb"] == (
        "“a.zip” unpacks to more than 1024 MB or 10,000 files, which is the limit. Pack less into it."
    )


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.touch()

    assert refusal_of(path, "report.pdf") == "“report.pdf” is empty. Check the file and attach it again."


def test_a_file_above_the_limit_is_refused_with_both_sizes(tmp_path: Path, settings: Settings) -> None:
    settings.FILE_MAX_BYTES = 2 * 1024 * 1024
    path = tmp_path / "a"
    path.write_bytes(bytes(2 * 1024 * 1024 + 1))

    assert "is 2.1 MB; files of up to 2 MB are accepted" in refusal_of(path, "report.pdf")


def test_a_protected_pdf_is_refused(tmp_path: Path) -> None:
    path = make_pdf(tmp_path / "a", ["x"], owner_password="a", user_password="b")

    assert refusal_of(path, "report.pdf") == (
        "“report.pdf” is protected with a password. Remove the password and attach it again."
    )


@pytest.mark.parametrize("content", [b"%PDF-1.7\n", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer <</Root 1 0 R>>\n%%EOF"])
def test_a_broken_pdf_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)

    assert "“report.pdf” is broken and cannot be read." in refusal_of(path, "report.pdf")


def test_a_pdf_with_too_many_pages_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PDF_MAX_PAGES", 2)
    path = make_pdf(tmp_path / "a", ["x"] * 3)

    assert "has 3 pages; up to 2 are accepted" in refusal_of(path, "report.pdf")


@pytest.mark.parametrize("format", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.95])
def test_a_cut_picture_is_refused(tmp_path: Path, format: str, part: float) -> None:
    path = make_noise(tmp_path / "a", format)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])

    assert "is broken and cannot be read" in refusal_of(path, "photo")


@pytest.mark.parametrize(
    ("width", "height"), [(100_000, 100_000), (2**31 - 1, 2**31 - 1), (10_000, 8_001), (9_500, 9_500)]
)
def test_a_picture_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path, width: int, height: int) -> None:
    path = tmp_path / "a"
    path.write_bytes(png_header(width, height))

    assert "“bomb.png” has more than 80 megapixels" in refusal_of(path, "bomb.png")


def test_a_refusal_fits_its_column_however_long_the_name_is(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(png_header(100_000, 100_000))

    sentence = refusal_of(path, "x" * 4000 + ".png")

    assert len(sentence) <= 300
    assert ".png”" in sentence


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("report.pdf", "report.pdf"),
        ("/etc/passwd", "passwd"),
        ("..\\..\\secret.pdf", "secret.pdf"),
        ("C:\\fakepath\\a.png", "a.png"),
        ("a\x00b\nc\td.pdf", "ab c d.pdf"),
        ("exe.\u202egnp.pdf", "exe.gnp.pdf"),
        ("\u2066a\u2069\u200f\ufeff.pdf", "a.pdf"),
        ("  spaced   out .pdf ", "spaced out .pdf"),
        ("", "file"),
        ("../", "file"),
        ("..", "file"),
        ("\u202e", "file"),
        ("\ud800x.pdf", "x.pdf"),
        ("e\u0301te\u0301.pdf", "été.pdf"),
        ("👩\u200d🔬.png", "👩\u200d🔬.png"),
        ("报告 2026.pdf", "报告 2026.pdf"),
    ],
)
def test_a_name_is_shown_without_what_hides_or_turns_text(given: str, shown: str) -> None:
    assert clean_name(given) == shown


def test_a_long_name_keeps_its_ending() -> None:
    name = clean_name("n" * 300 + ".pdf")

    assert len(name) == 255
    assert name.endswith("n.pdf")
    assert len(clean_name("." + "x" * 300)) == 255


def test_a_sentence_shows_both_ends_of_a_long_name() -> None:
    shown = quoted("a" * 200 + ".pdf")

    assert len(shown) <= QUOTED_CHARACTERS + 2
    assert shown.startswith("“aaa")
    assert shown.endswith("a.pdf”")


def test_a_size_never_reads_as_the_limit_that_it_exceeds() -> None:
    assert megabytes(50 * 1024 * 1024) == "50 MB"
    assert megabytes(50 * 1024 * 1024 + 1) == "50.1 MB"
    assert megabytes(1) == "0.1 MB"
