"""Output items → the HTML of an answer. Page, form answer, socket and admin all pass here.

An answer is a list of segments (one a content part; all parts of one reasoning item together), a segment
is a list of blocks (one a top-level Markdown block). Ids: response `r{pk}`, segment `r{pk}-{item}-{part}`,
block `r{pk}-{item}-{part}-{n}`. `live.py` sends the same blocks under the same ids while they grow.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any, Protocol

from django.utils.safestring import SafeString, mark_safe

from chat.rendering.cited import marked, not_found_in
from chat.rendering.made import AddressOf, MadeFiles, files_of, reference_to
from chat.rendering.markdown import render_blocks

TOOL_NAMES = {
    "function_call": "Function",
    "custom_tool_call": "Tool",
    "mcp_call": "Tool",
    "mcp_list_tools": "Tools listed",
    "mcp_approval_request": "Approval asked",
    "code_interpreter_call": "Code",
    "web_search_call": "Web search",
    "file_search_call": "File search",
    "computer_call": "Computer",
}


LONGEST_NAME = 500  # of a picture; the id of its item is far shorter


@dataclass(frozen=True)
class Segment:
    """One content part. `item` and `part` are its place in the output; `text` is Markdown.

    Of reasoning, `ends_with` is the part of the item that the text ends with: the list that it is in, and its place.
    """

    item: int
    part: int
    kind: str
    text: str
    title: str = ""
    ends_with: tuple[str, int] = ("", 0)


class HasOutput(Protocol):
    """What is needed of a response row."""

    pk: int
    output: Any


def segments(output: Iterable[dict[str, Any]]) -> list[Segment]:
    """The parts of an answer that are shown, in wire order. Unknown items are passed over."""
    found: list[Segment] = []
    for index, item in enumerate(output):
        match item.get("type") if isinstance(item, dict) else None:
            case "message":
                found += _message_segments(index, item)
            case "reasoning":
                found += _reasoning_segments(index, item)
            case "reading":
                # No item of a provider's: a document is read by parts, before the answer begins.
                found.append(Segment(index, 0, "reading", f"*{_words(item.get('text'))}*"))
            case "image_generation_call":
                found.append(Segment(index, 0, "image", _image_text(item)))
            case str(kind) if kind in TOOL_NAMES:
                found.append(_tool_segment(index, item))
    return found


def parts_of(item: dict[str, Any], name: str = "content") -> list[dict[str, Any]]:
    """The parts of an item that are parts: what stands in their place otherwise is passed over."""
    parts = item.get(name)
    return [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []


def _words(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _message_segments(index: int, item: dict[str, Any]) -> list[Segment]:
    found = []
    for number, part in enumerate(parts_of(item)):
        if part.get("type") == "output_text":
            found.append(Segment(index, number, "text", _words(part.get("text"))))
        elif part.get("type") == "refusal":
            found.append(Segment(index, number, "refusal", _words(part.get("refusal"))))
    return found


def _reasoning_segments(index: int, item: dict[str, Any]) -> list[Segment]:
    # Hosted models send a summary, in parts; open ones what they thought. Most send neither, and then there is nothing.
    for name in ("summary", "content"):
        texts = [_words(part.get("text")) for part in parts_of(item, name)]
        said = [number for number, text in enumerate(texts) if text.strip()]
        if said:
            text = "\n\n".join(texts[number] for number in said)
            return [Segment(index, 0, "reasoning", text, "Reasoning", (name, said[-1]))]
    return []


def picture_name(item: dict[str, Any]) -> str:
    """What the picture of a call is made as: the id of the item, or what stands for its bytes in one without.

    Without a slash, which tells a file in a container.
    """
    name = item.get("id") or item.get("result")
    return str(name).removeprefix("made:").replace("/", "_")[:LONGEST_NAME] if name else ""


def _image_text(item: dict[str, Any]) -> str:
    """A mark for the picture, which `made` replaces; until there is one, what goes on."""
    if item.get("result"):
        return f"![Generated image]({reference_to(picture_name(item))})"
    is_over = item.get("status") in ("completed", "failed", "incomplete")
    return "*The image was not made.*" if is_over else "*Making an image…*"


def _tool_segment(index: int, item: dict[str, Any]) -> Segment:
    kind = str(item.get("type"))
    title = " ".join(filter(None, [TOOL_NAMES[kind], str(item.get("name") or "")]))
    detail = item.get("arguments") or item.get("code") or item.get("input") or item.get("action") or ""
    if not isinstance(detail, str):
        detail = json.dumps(detail, ensure_ascii=False, indent=2)
    fence = "`" * max(3, _longest_run(detail, "`") + 1)
    language = "python" if kind == "code_interpreter_call" else "json"
    return Segment(index, 0, "tool", f"{fence}{language}\n{detail}\n{fence}" if detail else "", title)


def _longest_run(text: str, char: str) -> int:
    longest = run = 0
    for current in text:
        run = run + 1 if current == char else 0
        longest = max(longest, run)
    return longest


def segment_id(response_pk: int, segment: Segment) -> str:
    return f"r{response_pk}-{segment.item}-{segment.part}"


def block_html(sid: str, number: int, html: str) -> str:
    return f'<div class="b" id="{sid}-{number}" dir="auto">{html}</div>'


def blocks_html(sid: str, blocks: Sequence[str], first: int = 0) -> str:
    return "".join(block_html(sid, number, html) for number, html in enumerate(blocks, first))


def label_html(segment: Segment, about: str | None = None) -> str:
    """The line above what is folded away. `about` is None when all is said, else what the model thinks of now."""
    if about is None:
        return escape(segment.title)
    what = f'<span class="thinking__about" dir="auto">{escape(about)}</span>' if about else ""
    return f'<span class="thinking">Thinking…</span>{what}'


def wrap_segment(sid: str, segment: Segment, inner: str, about: str | None = None) -> str:
    """The segment's container around blocks that are already safe."""
    if segment.kind in ("reasoning", "tool"):
        label = label_html(segment, about)
        if segment.kind == "reasoning":
            label = f'<span class="segment__label" id="{sid}-l">{label}</span>'
        return (
            f'<details class="segment segment--{segment.kind} prose" id="{sid}">'
            f"<summary>{label}</summary>{inner}</details>"
        )
    extra = "" if segment.kind == "text" else f" segment--{segment.kind}"
    return f'<div class="segment{extra} prose" id="{sid}">{inner}</div>'


def segment_html(response_pk: int, segment: Segment, blocks: Sequence[str]) -> str:
    sid = segment_id(response_pk, segment)
    return wrap_segment(sid, segment, blocks_html(sid, blocks))


def wrap_response(response_pk: int, inner: str) -> str:
    return f'<div class="response" id="r{response_pk}">{inner}</div>'


def response_html(
    response: HasOutput, address_of: AddressOf | None = None, picture_of: AddressOf | None = None
) -> SafeString:
    """The answer of one response, complete, as the page shows it after a reload.

    `address_of` and `picture_of` say where a made file opens, and where its picture is, for others than its owner; ""
    for those that it is not for.
    """
    shown = _shown(response, files_of(response, address_of, picture_of))
    inner = "".join(segment_html(response.pk, segment, blocks) for segment, blocks in shown)
    # Safe: blocks come from rendering.markdown, which sanitises; all else here is ours or escaped.
    return mark_safe(wrap_response(response.pk, inner))


def marked_blocks(response: HasOutput) -> dict[str, str]:
    """The blocks, as rendered and by their ids, in which something that the model made is marked."""
    found = {}
    for segment in segments(response.output or []):
        sid = segment_id(response.pk, segment)
        for number, block in enumerate(render_blocks(segment.text)):
            if "data-made=" in block:
                found[f"{sid}-{number}"] = block
    return found


def changed_blocks_html(response: HasOutput) -> str:
    """The blocks that read otherwise now than while they streamed, each to take the place of itself in the page."""
    return "".join(
        f'<div class="b" id="{segment_id(response.pk, segment)}-{number}" dir="auto" hx-swap-oob="true">{block}</div>'
        for segment, blocks in _shown(response, files_of(response))
        for number, (block, streamed) in enumerate(zip(blocks, render_blocks(segment.text), strict=True))
        if block != streamed
    )


def text_blocks(output: Iterable[dict[str, Any]]) -> list[str]:
    """The blocks of what the model says in its answer, in their order."""
    return [block for segment in segments(output) if segment.kind == "text" for block in render_blocks(segment.text)]


def _shown(response: HasOutput, files: MadeFiles | None) -> Iterator[tuple[Segment, list[str]]]:
    """The segments with their blocks, in which is told what became of what was made and of what was cited."""
    not_found = not_found_in(response)
    link = 0
    for segment in segments(response.output or []):
        blocks = list(render_blocks(segment.text))
        if not_found and segment.kind == "text":
            for at, block in enumerate(blocks):
                blocks[at], link = marked(block, link, not_found)
        yield segment, blocks if files is None else list(map(files.in_place, blocks))
