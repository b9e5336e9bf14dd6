"""Highlighted code can be read: every colour against the ground of a code block, in light and in dark."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
from pygments.token import STANDARD_TYPES

CSS = Path(__file__).parents[2] / "static" / "chat" / "css"
LEAST_CONTRAST = 4.5

_OKLCH = re.compile(r"oklch\((\d+(?:\.\d+)?)% (\d+(?:\.\d+)?) (\d+(?:\.\d+)?)\)")


def luminance(colour: str) -> float:
    """Relative luminance of an opaque oklch() colour (WCAG 2, by way of Oklab)."""
    found = _OKLCH.fullmatch(colour)
    assert found, colour
    lightness, chroma, hue = float(found[1]) / 100, float(found[2]), math.radians(float(found[3]))
    a, b = chroma * math.cos(hue), chroma * math.sin(hue)
    long = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    medium = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    short = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
    green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
    blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
    red, green, blue = (min(1.0, max(0.0, value)) for value in (red, green, blue))
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    lighter, darker = sorted((luminance(one), luminance(other)), reverse=True)
    return (lighter + 0.05) / (darker + 0.05)


def declarations() -> dict[str, str]:
    text = (CSS / "tokens.css").read_text() + (CSS / "code.css").read_text()
    return dict(re.findall(r"(--[\w-]+):\s*([^;]+);", text))


def resolved(value: str, known: dict[str, str], theme: int) -> str:
    while not value.startswith("oklch"):
        if pair := re.fullmatch(r"light-dark\((.+?), ((?:var|oklch)\(.+\))\)", value):
            value = pair[theme + 1]
        elif variable := re.fullmatch(r"var\((--[\w-]+)\)", value):
            value = known[variable[1]]
        else:
            raise AssertionError(f"cannot resolve {value!r}")
    return value


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_each_colour_of_code_has_enough_contrast(theme: int) -> None:
    known = declarations()
    ground = resolved("var(--code-bg)", known, theme)
    colours = {name: value for name, value in known.items() if name.startswith("--code-") and name != "--code-bg"}
    assert len(colours) >= 8
    for name, value in colours.items():
        assert contrast(resolved(value, known, theme), ground) >= LEAST_CONTRAST, name


def test_each_class_in_the_stylesheet_is_one_that_the_highlighter_writes() -> None:
    styled = set(re.findall(r"\.([a-z][a-z0-9]*)[,)]", (CSS / "code.css").read_text()))
    assert len(styled) > 40
    assert styled <= set(STANDARD_TYPES.values())
