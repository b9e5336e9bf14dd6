"""Pictures: proven by decoding them, their thumbnails, and what of them is sent.

A decoded picture takes hundreds of MB at the limit: whatever decodes runs in the process of `trial`. All
functions block; async callers go through a thread.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import ExifTags, Image, ImageOps

from chat.files import limits, trial
from chat.files.errors import Refused

FORMATS = ("PNG", "JPEG", "WEBP", "GIF")

# What Pillow calls a JPEG that carries further pictures, as phones write them.
_FORMAT_OF = {"MPO": "JPEG"}

# Where one of these stands in the file, it may tell where the picture was taken; Pillow is asked only then.
_METADATA_MARKS = (b"Exif\0\0", b"EXIF", b"eXIf", b"xap/1.0", b"XMP ", b"XML:com.adobe.xmp", b"Raw profile", b"GPSL")

# What Pillow's decoders raise on damaged files, by its documentation and by fuzzing.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError)
_DAMAGED = (*_BROKEN, struct.error, zlib.error)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)


@dataclass(frozen=True)
class Bounds:
    """How large a picture may be when it is sent. Lossless ones above their bound go as JPEG."""

    side: int
    most_bytes: int
    lossless_bytes: int


@dataclass(frozen=True)
class Picture:
    """Size as a person sees it, turned as the camera says."""

    width: int
    height: int
    thumbnail: bytes


def examine(path: Path, *, called: str = "This image") -> Picture:
    """Decode the (first) picture as proof that it is whole. Raises Refused for a bomb or a broken file."""
    with _opened(path, called) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        image.load()
        return Picture(width, height, _thumbnail(image))


def as_sent(path: Path, media_type: str, *, called: str = "This image") -> tuple[str, bytes]:
    """Media type and bytes for a provider: the file as it is, wherever possible; the stored one stays as it is.

    Written anew, in a process of its own, when it is larger than models look at or than the wire takes, when its
    metadata tell where it was taken, and when it is an animated GIF, of which providers take none.
    """
    with _opened(path, called) as image:
        width, height = image.size
    data = path.read_bytes()
    fits = max(width, height) <= limits.IMAGE_SENT_SIDE and len(data) <= limits.IMAGE_SENT_MAX_BYTES
    if fits and media_type != "image/gif" and not any(mark in data for mark in _METADATA_MARKS):
        return media_type, data
    facts, written = trial.perform(
        "sending", path, called=called, seconds=limits.IMAGE_SECONDS, side=limits.IMAGE_SENT_SIDE,
        most_bytes=limits.IMAGE_SENT_MAX_BYTES, lossless_bytes=limits.IMAGE_SENT_LOSSLESS_BYTES,
    )  # fmt: skip
    return (facts["media_type"], written) if written else (media_type, data)


def written_anew(path: Path, bounds: Bounds, *, called: str) -> tuple[str, bytes]:
    """What `as_sent` sends instead of the file, or nothing when the file may go as it is. Decodes it."""
    with _opened(path, called) as image:
        if max(image.size) > bounds.side or path.stat().st_size > bounds.most_bytes:
            return _shrunk(image, bounds)
        if getattr(image, "is_animated", False) and image.format == "GIF":
            return "image/png", _saved(image.convert("RGBA"), "PNG")
        if _tells_place(image):
            return f"image/{_FORMAT_OF.get(image.format or '', image.format or '').lower()}", _without_metadata(image)
        return "", b""


@contextmanager
def _opened(path: Path, called: str) -> Iterator[Image.Image]:
    """The image, opened but not yet decoded, if its header promises a size that can be decoded."""
    try:
        with Image.open(path, formats=FORMATS) as image:
            _refuse_bombs(image.size, called)
            yield image
    except _BOMBS as error:
        raise Refused(_too_many_pixels(called)) from error
    except _DAMAGED as error:
        raise Refused(f"{called} is broken and cannot be read. Save or export it again, then attach it.") from error


def _refuse_bombs(size: tuple[int, int], called: str) -> None:
    if size[0] * size[1] > limits.IMAGE_MAX_PIXELS:
        raise Refused(_too_many_pixels(called))


def _too_many_pixels(called: str) -> str:
    megapixels = limits.IMAGE_MAX_PIXELS // 1_000_000
    return f"{called} has more than {megapixels} megapixels, which is the limit. Make it smaller and attach it again."


def _thumbnail(image: Image.Image) -> bytes:
    """Scale `image` itself down: roughly first, since smooth scaling would double a large picture's memory."""
    image.thumbnail((4 * limits.THUMBNAIL_WIDTH, 4 * limits.THUMBNAIL_HEIGHT), Image.Resampling.NEAREST)
    small = image.convert("RGBA") if image.mode in ("P", "PA", "1") else image  # a palette cannot be blended
    small.thumbnail((limits.THUMBNAIL_WIDTH, limits.THUMBNAIL_HEIGHT))
    small = ImageOps.exif_transpose(small)
    encoded = BytesIO()
    small.convert("RGBA" if small.has_transparency_data else "RGB").save(
        encoded, "WEBP", quality=limits.THUMBNAIL_QUALITY, exif=b"", icc_profile=None
    )
    return encoded.getvalue()


def _tells_place(image: Image.Image) -> bool:
    """By the camera's coordinates, or by words in the free-form metadata that name some."""
    told = [image.info.get(name) for name in ("xmp", "XML:com.adobe.xmp", "photoshop", "comment", "Description")]
    return bool(image.getexif().get_ifd(ExifTags.IFD.GPSInfo)) or any("GPS" in str(text) for text in told if text)


def _without_metadata(image: Image.Image) -> bytes:
    """Saved again with its colours and its orientation, and nothing else that the file told."""
    kept = Image.Exif()
    if _ORIENTATION in image.getexif():
        kept[_ORIENTATION] = image.getexif()[_ORIENTATION]
    format = _FORMAT_OF.get(image.format or "", image.format or "")
    quality = "keep" if image.format == "JPEG" else 90
    return _saved(image, format, exif=kept, icc_profile=image.info.get("icc_profile"), quality=quality, comment=b"")


def _shrunk(image: Image.Image, bounds: Bounds) -> tuple[str, bytes]:
    """Upright and at most so large. Sharp edges stay sharp where that costs little: text is read off them."""
    was_jpeg = image.format in ("JPEG", "MPO")
    image.draft("RGB", (bounds.side, bounds.side))  # a JPEG is decoded no larger than needed
    image.thumbnail((bounds.side, bounds.side), reducing_gap=3.0)
    upright = ImageOps.exif_transpose(image)
    if not was_jpeg:
        lossless = _saved(upright.convert("RGBA" if upright.has_transparency_data else "RGB"), "PNG", exif=b"")
        if len(lossless) <= min(bounds.lossless_bytes, bounds.most_bytes):
            return "image/png", lossless
    page = Image.new("RGBA", upright.size, "white")
    page.alpha_composite(upright.convert("RGBA"))
    return "image/jpeg", _saved(page.convert("RGB"), "JPEG", quality=85)


def _saved(image: Image.Image, format: str, **options: Any) -> bytes:
    written = BytesIO()
    image.save(written, format, **options)
    return written.getvalue()
