"""The image_generation tool: a real picture, small and plain: the prompt on a coloured card, and it says what it is."""

from __future__ import annotations

import base64
import colorsys
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

from .charts import card, encoded
from .language import language_of
from .phrases import phrase
from .pieces import Piece, Speech, Stage
from .store import new_id
from .talk import Talk
from .wires import Json

ASKED = re.compile(
    r"\b(?:generate|create|make|draw|paint|sketch|render|design|illustrate|produce)\b.{0,60}\b(?:image|picture|photo|drawing|painting|illustration|icon"
    r"|logo|poster|sketch|portrait)\b|^\W*(?:please )?(?:draw|paint|sketch|illustrate)\b"
    r"|\b(?:zeichne|male|erzeuge|erstelle)\b.{0,60}(?:bild|zeichnung|\b)|\b(?:dessine|génère|crée)\b.{0,60}(?:image|dessin|\b)|\b(?:dibuja|genera|crea)\b"
    r"|(?:生成|画|畫|绘制|繪製).{0,30}(?:图|圖|画|畫|像)|^\W*(?:请|請|帮我|幫我|给我|給我)*(?:画|畫)|(?:画像|絵|イラスト).{0,20}(?:生成|描|作)|(?:이미지|그림).{0,20}(?:생성|그려|만들)",
    re.IGNORECASE | re.DOTALL,
)
_SHAPES = {"1024x1024": (1024, 1024), "1024x1536": (1024, 1536), "1536x1024": (1536, 1024)}
MAX_PROMPT = 1_000


@dataclass(frozen=True)
class Drawing:
    """One image_generation_call."""

    prompt: str
    image: str
    """In base64, as the previews are."""
    previews: tuple[str, ...]
    settings: Json

    @property
    def written(self) -> str:
        return self.prompt

    def cut(self, characters: int) -> None:
        return None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item: Json = {"id": new_id("ig_"), "type": "image_generation_call", "status": "in_progress", "result": None}
        yield stage.added(item)
        yield stage.event("image_generation_call.in_progress", item)
        yield stage.event("image_generation_call.generating", item)
        for number, preview in enumerate(self.previews):
            fields = {"partial_image_index": number, "partial_image_b64": preview, **self.settings}
            yield stage.event("image_generation_call.partial_image", item, **fields)
        yield stage.event("image_generation_call.completed", item)
        done = {"status": "completed", "result": self.image, "revised_prompt": self.prompt, **self.settings}
        yield stage.done({**item, **done})


def draw(talk: Talk, tool: Json, *, is_forced: bool) -> list[Piece] | None:
    """The picture and a line about it; None when none is asked for."""
    prompt = talk.question[:MAX_PROMPT]
    if not (is_forced or ASKED.search(prompt)):
        return None
    kind = tool.get("output_format") or "png"
    size = tool.get("size") if tool.get("size") in _SHAPES else "1024x1024"
    background = "transparent" if tool.get("background") == "transparent" and kind != "jpeg" else "opaque"
    quality = tool.get("quality") if tool.get("quality") in ("low", "medium", "high") else "low"
    settings = {"size": size, "quality": quality, "background": background, "output_format": kind}

    def image(text: str) -> str:
        drawn = card(text, _SHAPES[str(size)], _colour(prompt), clear=background == "transparent")
        return base64.b64encode(encoded(drawn, kind.upper())).decode()

    count = tool.get("partial_images") or 0
    words = prompt.split()
    # A preview shows as much of the text as a part of the work would have written.
    previews = tuple(image(" ".join(words[: len(words) * part // (count + 1)])) for part in range(1, count + 1))
    said = phrase("closing_card", language_of(prompt))
    return [Drawing(prompt, image(prompt), previews, settings), Speech(f"*{said}*")]


def _colour(prompt: str) -> tuple[int, int, int]:
    """A colour of its own for each prompt, dark enough for white letters."""
    hue = zlib.crc32(prompt.encode("utf-8", "replace")) % 360 / 360
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.6, 0.5)
    return round(red * 255), round(green * 255), round(blue * 255)
