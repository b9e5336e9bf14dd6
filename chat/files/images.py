"""Pictures: proven by decoding them, and their thumbnails.

All functions block; async callers go through a thread.
"""

from __future__ import annotations

import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from PIL import ExifTags, Image, ImageOps

from chat.files import limits
from chat.files.errors import Refused

FORMATS = ("PNG", "JPEG", "WEBP")

# What Pillow's decoders raise on damaged files, by its documentation and by fuzzing.
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError)
_DAMAGED = (*_BROKEN, struct.error, zlib.error)
_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_ORIENTATION = 0x0112
_TURNED = (5, 6, 7, 8)

# A decoded picture takes hundreds of MB at the limit: one at a time.
_decoding = threading.Lock()


@dataclass(frozen=True)
class Picture:
    """Size as a person sees it, turned as the camera says."""

    width: int
    height: int
    thumbnail: bytes


def examine(path: Path, *, called: str = "This image") -> Picture:
    """Decode the (first) picture as proof that it is whole. Raises Refused for a bomb or a broken file."""
    with _decoding, _opened(path, called) as image:
        width, height = image.size
        if image.getexif().get(_ORIENTATION) in _TURNED:
            width, height = height, width
        image.load()
        return Picture(width, height, _thumbnail(image))


def as_sent(path: Path, media_type: str, *, called: str = "This image") -> tuple[str, bytes]:
    """Media type and bytes for a provider: the file as it is, wherever possible.

    Written anew when its metadata tell where it was taken, or when it is larger than the wire takes.
    """
    with _opened(path, called) as image:
        too_large = path.stat().st_size > limits.IMAGE_SENT_MAX_BYTES
        if not too_large and not _tells_place(image):
            return media_type, path.read_bytes()
        with _decoding:
            return ("image/jpeg", _shrunk(image)) if too_large else (media_type, _without_metadata(image, media_type))


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
    xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    return bool(image.getexif().get_ifd(ExifTags.IFD.GPSInfo)) or "GPS" in str(xmp)


def _without_metadata(image: Image.Image, media_type: str) -> bytes:
    """Saved again with its colours and its orientation, and nothing else that the file told."""
    kept = Image.Exif()
    if _ORIENTATION in image.getexif():
        kept[_ORIENTATION] = image.getexif()[_ORIENTATION]
    profile = image.info.get("icc_profile")
    format = media_type.removeprefix("image/").upper()
    quality = "keep" if image.format == "JPEG" else 90
    written = BytesIO()
    image.save(written, format, exif=kept, icc_profile=profile, quality=quality, comment=b"")
    return written.getvalue()


def _shrunk(image: Image.Image) -> bytes:
    """At a side that models scale down to anyway, on white where it was transparent."""
    image.thumbnail((limits.IMAGE_SENT_SIDE, limits.IMAGE_SENT_SIDE))
    upright = ImageOps.exif_transpose(image)
    page = Image.new("RGBA", upright.size, "white")
    page.alpha_composite(upright.convert("RGBA"))
    written = BytesIO()
    page.convert("RGB").save(written, "JPEG", quality=85)
    return written.getvalue()
