"""What a file is, whatever it is called; and the sentences of refusal."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image
from pytest_django import Settings

from chat.files import limits
from chat.files.errors import QUOTED_CHARACTERS, Refused, megabytes, quoted
from chat.files.inspect import clean_name, inspect
from tests.files.makers import (
    exif_of_a_camera,
    make_image,
    make_noise,
    make_pdf,
    opened,
    png_header,
)


def refusal_of(path: Path, name: str) -> str:
    with pytest.raises(Refused) as refusal:
        inspect(path, name)
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
        pytest.param(b"<!doctype html><script>alert(1)</script>", id="html"),
        pytest.param(b'<svg xmlns="http://www.w3.org/2000/svg"><script/></svg>', id="svg"),
        pytest.param(b"GIF89a" + bytes(40), id="gif"),
        pytest.param(b"PK\x03\x04" + bytes(40), id="zip"),
        pytest.param(b"MZ" + bytes(40), id="program"),
        pytest.param(b"RIFF\x00\x00\x00\x00WAVE" + bytes(40), id="sound"),
        pytest.param(b"\x89PNG", id="half a signature"),
        pytest.param(bytes(2000) + b"%PDF-1.7", id="header too far in"),
    ],
)
def test_other_kinds_are_refused_with_those_that_are_accepted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)

    assert refusal_of(path, "picture.png") == (
        "“picture.png” is of a kind that cannot be read here. PDF, PNG, JPEG and WEBP files are accepted."
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
