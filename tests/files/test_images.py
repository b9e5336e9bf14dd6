"""What of a picture is sent: the file as it is, unless that tells too much or is more than a model looks at."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from chat.files import images, limits
from chat.files.errors import Refused
from tests.files.makers import exif_of_a_camera, make_image, make_noise, opened

XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description exif:GPSLatitude="48,51.5N"/></x:xmpmeta>'
TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@pytest.mark.parametrize("format", TYPES)
def test_a_picture_that_fits_goes_as_it_is_whatever_the_camera_was(tmp_path: Path, format: str) -> None:
    path = make_image(tmp_path / "a", format, exif=exif_of_a_camera(orientation=6))

    assert images.as_sent(path, TYPES[format]) == (TYPES[format], path.read_bytes())


@pytest.mark.parametrize("format", TYPES)
def test_coordinates_in_the_exif_stay_here(tmp_path: Path, format: str) -> None:
    path = make_image(tmp_path / "a", format, exif=exif_of_a_camera(orientation=6, place=True))

    media_type, sent = images.as_sent(path, TYPES[format])

    assert (media_type, opened(sent).size) == (TYPES[format], (40, 30))
    assert dict(opened(sent).getexif()) == {0x0112: 6}


@pytest.mark.parametrize("format", TYPES)
def test_coordinates_in_free_form_metadata_stay_here(tmp_path: Path, format: str) -> None:
    path = tmp_path / "a"
    told = PngImagePlugin.PngInfo()
    told.add_itxt("XML:com.adobe.xmp", XMP.decode())
    make_image(path, format, **({"pnginfo": told} if format == "PNG" else {"xmp": XMP}))
    assert b"GPSLatitude" in path.read_bytes()

    media_type, sent = images.as_sent(path, TYPES[format])

    assert media_type == TYPES[format]
    assert b"GPSLatitude" not in sent
    assert opened(sent).size == (40, 30)


def test_a_phones_picture_with_a_second_one_behind_it_tells_no_place(tmp_path: Path) -> None:
    path = tmp_path / "a"
    second = Image.new("RGB", (20, 10), "red")
    exif = exif_of_a_camera(orientation=1, place=True)
    Image.new("RGB", (40, 30), "teal").save(path, "MPO", save_all=True, append_images=[second], exif=exif)
    assert path.read_bytes()[:3] == b"\xff\xd8\xff"

    media_type, sent = images.as_sent(path, "image/jpeg")

    assert (media_type, opened(sent).format, opened(sent).size) == ("image/jpeg", "JPEG", (40, 30))
    assert b"Testcamera" not in sent


def test_a_photo_is_scaled_to_what_a_model_looks_at_and_stands_upright(tmp_path: Path) -> None:
    path = make_image(tmp_path / "a", "JPEG", (6000, 3000), exif=exif_of_a_camera(orientation=6, place=True))
    before = path.read_bytes()

    media_type, sent = images.as_sent(path, "image/jpeg")

    assert (media_type, opened(sent).size) == ("image/jpeg", (1024, 2048))
    assert not opened(sent).getexif()
    assert path.read_bytes() == before


def test_a_screenshot_keeps_its_edges_and_a_noisy_one_becomes_small(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "IMAGE_SENT_SIDE", 300)
    monkeypatch.setattr(limits, "IMAGE_SENT_LOSSLESS_BYTES", 50_000)
    plain = make_image(tmp_path / "plain.png", "PNG", (900, 600), "RGBA")
    noisy = make_noise(tmp_path / "noisy.png", size=(900, 600))

    lossless, small = images.as_sent(plain, "image/png"), images.as_sent(noisy, "image/png")

    assert (lossless[0], opened(lossless[1]).size) == ("image/png", (300, 200))
    assert opened(lossless[1]).has_transparency_data
    assert (small[0], opened(small[1]).size) == ("image/jpeg", (300, 200))


def test_one_above_the_limit_of_the_wire_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = make_noise(tmp_path / "a.png", size=(600, 400))
    monkeypatch.setattr(limits, "IMAGE_SENT_MAX_BYTES", 400_000)

    media_type, sent = images.as_sent(path, "image/png")

    assert (media_type, opened(sent).size) == ("image/jpeg", (600, 400))
    assert len(sent) < 400_000 < path.stat().st_size


def test_of_an_animated_gif_the_first_picture_is_sent_and_a_still_one_goes_as_it_is(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (50, 40), colour) for colour in ("red", "blue")]
    written = BytesIO()
    frames[0].save(written, "GIF", save_all=True, append_images=frames[1:])
    (tmp_path / "moving").write_bytes(written.getvalue())
    still = make_image(tmp_path / "still", "GIF")

    media_type, sent = images.as_sent(tmp_path / "moving", "image/gif")

    assert (media_type, opened(sent).convert("RGB").getpixel((25, 20))) == ("image/png", (255, 0, 0))
    assert images.as_sent(still, "image/gif") == ("image/gif", still.read_bytes())


def test_a_stored_picture_that_was_damaged_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"\x89PNG")

    with pytest.raises(Refused, match=r"“a\.png” is broken"):
        images.as_sent(tmp_path / "a", "image/png", called="“a.png”")
