"""What can be measured in an image without understanding it. Never where it was taken."""

from __future__ import annotations

import colorsys
import math
import re
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

from PIL import ExifTags, Image, ImageOps, ImageStat

MAX_PIXELS = 80_000_000
SAMPLE = (96, 96)
RATIOS = {"1:1": 1.0, "5:4": 1.25, "4:3": 4 / 3, "3:2": 1.5, "16:10": 1.6, "16:9": 16 / 9, "2:1": 2.0, "21:9": 21 / 9}
# 1-8 as EXIF counts them.
ORIENTATIONS = {
    2: "mirrored",
    3: "turned upside down",
    4: "mirrored and turned upside down",
    5: "mirrored and turned on its side",
    6: "turned on its side",
    7: "mirrored and turned on its side",
    8: "turned on its side",
}
_DAMAGED = (OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, OverflowError, struct.error)


def describe(path: Path) -> list[str]:
    """The facts as lines of Markdown; one line that says so when the file is no readable image."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                return _facts(image, path.stat().st_size)
    except (*_DAMAGED, Image.DecompressionBombError):
        return ["- The file could not be decoded as an image."]


def _facts(image: Image.Image, size: int) -> list[str]:
    orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    width, height = image.size
    if orientation in (5, 6, 7, 8):
        width, height = height, width
    lines = [
        f"- **Format:** {image.format}, {_bytes(size)}",
        f"- **Size:** {width} × {height} pixels ({width * height / 1e6:.2g} megapixels), {_aspect(width, height)}",
    ]
    frames = getattr(image, "n_frames", 1)
    if frames > 1:
        lines.append(f"- **Frames:** {frames}")
    if orientation in ORIENTATIONS:
        lines.append(f"- **Orientation:** stored {ORIENTATIONS[orientation]}; shown upright according to its EXIF mark")
    camera = _camera(image)
    if camera:
        lines.append(f"- **Camera:** {camera}")
    if image.width * image.height <= MAX_PIXELS:
        lines += _looks(image)
    return lines


def _looks(image: Image.Image) -> list[str]:
    image.draft("RGB", (SAMPLE[0] * 4, SAMPLE[1] * 4))
    small = ImageOps.exif_transpose(image.convert("RGBA"))
    small.thumbnail(SAMPLE)
    pixels = list(batched(small.tobytes(), 4))
    seen = [pixel[:3] for pixel in pixels if pixel[3] >= 128]
    clear = 1 - len(seen) / len(pixels)
    lines = []
    if seen:
        flat = Image.new("RGB", (len(seen), 1))
        flat.frombytes(b"".join(seen))
        lines.append(f"- **Colours:** {', '.join(_dominant(flat))}")
        lines.append(f"- **Brightness:** {_brightness(flat)}")
    if clear > 0.005:
        lines.append(f"- **Transparency:** {clear:.0%} of the area is transparent")
    return lines


def _dominant(flat: Image.Image) -> list[str]:
    """Names of the colours that cover most, the largest first."""
    reduced = flat.quantize(8, method=Image.Quantize.MEDIANCUT)
    palette = reduced.getpalette() or []
    shares: dict[str, int] = {}
    for count, index in reduced.getcolors() or []:
        assert isinstance(index, int)
        red, green, blue = palette[index * 3 : index * 3 + 3]
        name = colour_name(red, green, blue)
        shares[name] = shares.get(name, 0) + count
    ranked = sorted(shares.items(), key=lambda entry: (-entry[1], entry[0]))
    return [f"{name} ({count / flat.width:.0%})" for name, count in ranked if count >= flat.width * 0.04][:5]


def colour_name(red: int, green: int, blue: int) -> str:
    hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
    if value < 0.13:
        return "black"
    if saturation < 0.12:
        return "white" if value > 0.92 else "light grey" if value > 0.7 else "grey" if value > 0.38 else "dark grey"
    degrees = hue * 360
    if 12 <= degrees < 45 and value < 0.62:
        return "brown"
    names = ((12, "red"), (42, "orange"), (68, "yellow"), (165, "green"), (195, "cyan"), (255, "blue"), (290, "purple"))
    name = next((name for limit, name in names if degrees < limit), "pink" if degrees < 345 else "red")
    if name == "red" and saturation < 0.5 and value > 0.8:
        return "pink"
    return f"dark {name}" if value < 0.4 else f"light {name}" if saturation < 0.35 and value > 0.75 else name


def _brightness(flat: Image.Image) -> str:
    grey = ImageStat.Stat(flat.convert("L"))
    level = grey.mean[0] / 255
    word = "very dark" if level < 0.15 else "dark" if level < 0.35 else "medium" if level < 0.65 else "bright"
    contrast = "low" if grey.stddev[0] < 25 else "high" if grey.stddev[0] > 75 else "medium"
    spread = sum(max(pixel) - min(pixel) for pixel in batched(flat.tobytes(), 3)) / flat.width
    return f"{word} ({level:.0%}), {contrast} contrast" + (", practically greyscale" if spread < 8 else "")


def batched(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def _aspect(width: int, height: int) -> str:
    ratio = max(width, height) / min(width, height)
    name, value = min(RATIOS.items(), key=lambda entry: abs(entry[1] - ratio))
    if abs(value - ratio) > 0.02:
        divisor = math.gcd(width, height)
        name = f"{width // divisor}:{height // divisor}" if max(width, height) // divisor < 100 else f"{ratio:.2f}:1"
    elif height > width:
        name = ":".join(reversed(name.split(":")))
    shape = "square" if width == height else "landscape" if width > height else "portrait"
    return f"{shape}, {name}"


def _camera(image: Image.Image) -> str:
    """Maker and model, as far as they are plain text: EXIF is written by whoever made the file."""
    exif = image.getexif()
    words = [str(exif.get(tag, "")) for tag in (ExifTags.Base.Make, ExifTags.Base.Model)]
    maker, model = (re.sub(r"[^\w .,/()+-]", "", word)[:40].strip() for word in words)
    return model if maker and model.startswith(maker) else f"{maker} {model}".strip()


def _bytes(size: int) -> str:
    return f"{size / 1024 / 1024:.1f} MB" if size >= 1024 * 1024 else f"{max(1, round(size / 1024))} KB"
