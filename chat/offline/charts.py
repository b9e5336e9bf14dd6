"""Pictures that the engine draws itself: charts of numbers, and cards with a text. Pillow, and its built-in font."""

from __future__ import annotations

import io
import math
import textwrap
import unicodedata
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

SIZE = (960, 540)
MARGIN = 70
INK = "#1f2937"
PALE = "#e5e7eb"
BLUE = "#2563eb"
MAX_POINTS = 500
MAX_LABELS = 12


def drawable(text: str) -> str:
    """The text in the signs that the built-in font has: ASCII, accents taken off."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    return " ".join("".join(char if char.isprintable() else " " for char in plain).split())


def chart(kind: str, title: str, labels: Sequence[str], values: Sequence[float]) -> bytes:
    """A bar or line chart as PNG."""
    labels, values = labels[:MAX_POINTS], values[:MAX_POINTS]
    image = Image.new("RGB", SIZE, "white")
    draw = ImageDraw.Draw(image)
    font, small = ImageFont.load_default(22), ImageFont.load_default(14)
    left, top, right, bottom = MARGIN, MARGIN, SIZE[0] - 20, SIZE[1] - MARGIN
    draw.text((left, 20), drawable(title)[:70], fill=INK, font=font)
    low, high = min(0.0, *values), max(0.0, *values)
    high = high if high > low else low + 1

    def y(value: float) -> float:
        return bottom - (value - low) / (high - low) * (bottom - top)

    for step in range(5):
        value = low + (high - low) * step / 4
        draw.line([(left, y(value)), (right, y(value))], fill=PALE)
        draw.text((left - 8, y(value)), f"{value:.4g}", fill=INK, font=small, anchor="rm")
    width = (right - left) / len(values)
    middles = [left + width * (place + 0.5) for place in range(len(values))]
    if kind == "line":
        points = [(x, y(value)) for x, value in zip(middles, values, strict=True)]
        draw.line(points, fill=BLUE, width=3, joint="curve")
        for x, height in points:
            draw.ellipse([x - 4, height - 4, x + 4, height + 4], fill=BLUE)
    else:
        for x, value in zip(middles, values, strict=True):
            upper, lower = sorted((y(value), y(0)))
            draw.rectangle([x - width * 0.35, upper, x + width * 0.35, lower], fill=BLUE)
    every = math.ceil(len(values) / MAX_LABELS)
    for x, label in list(zip(middles, labels, strict=True))[::every]:
        draw.text((x, bottom + 8), drawable(label)[:12], fill=INK, font=small, anchor="ma")
    draw.line([(left, y(0)), (right, y(0))], fill=INK)
    return encoded(image, "PNG")


def card(text: str, size: tuple[int, int], colour: tuple[int, int, int], *, clear: bool = False) -> Image.Image:
    """A card in one colour with the text on it, and below it the line that says who made it."""
    image = Image.new("RGBA", size, (0, 0, 0, 0) if clear else (*colour, 255))
    draw = ImageDraw.Draw(image)
    border = size[0] // 16
    draw.rounded_rectangle(
        [border, border, size[0] - border, size[1] - border], border, fill=(*colour, 255), outline="white", width=6
    )
    font, small = ImageFont.load_default(size[0] / 18), ImageFont.load_default(size[0] / 42)
    words = drawable(text) or "(no text that this font can write)"
    lines = textwrap.wrap(words, 24)[:9]
    draw.multiline_text(
        (size[0] / 2, size[1] / 2), "\n".join(lines), fill="white", font=font, anchor="mm", align="center"
    )
    draw.text(
        (size[0] / 2, size[1] - border * 1.6),
        "card of the embedded engine: no image model is connected",
        fill="white",
        font=small,
        anchor="mm",
    )
    return image


def encoded(image: Image.Image, kind: str) -> bytes:
    data = io.BytesIO()
    # The quick ways of WEBP and PNG: such plain pictures are small anyway.
    (image.convert("RGB") if kind == "JPEG" else image).save(data, kind, method=0, compress_level=1)
    return data.getvalue()
