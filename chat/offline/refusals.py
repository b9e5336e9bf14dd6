"""What a dialect refuses or passes over in a request, before the request is looked at as OpenAI would."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from .wires import Json, Wire, WireError, unknown_response


def fitted(body: Json, wire: Wire) -> Json:
    """The request as this dialect understands it. Raises WireError for what it refuses in its own words."""
    if wire.reads:
        body = {name: value for name, value in body.items() if name in wire.reads}
    body = _without_state(body, wire)
    for item in _items(body):
        _check_item(item, wire)
        for part in _parts(item):
            _check_part(part, wire)
    if not wire.hosted_tools and isinstance(body.get("tools"), list):
        body = {**body, "tools": [tool for tool in body["tools"] if not _is_hosted(tool)]}
    if wire.thinks_aloud:
        body = _thinking_aloud(body)
    return body


def _without_state(body: Json, wire: Wire) -> Json:
    if wire.stateful:
        if body.get("background") and not wire.background:
            raise WireError(400, "Background mode is not supported.", code="unsupported_parameter", param="background")
        return body
    if body.get("previous_response_id"):
        if wire.unkept_chain == "unsupported":
            name = "previous_response_id"
            raise WireError(400, wire.chain_refusal, code="unsupported_parameter", param=name)
        if wire.unkept_chain == "unknown":
            raise unknown_response(str(body["previous_response_id"]))
    return {name: value for name, value in body.items() if name != "previous_response_id"}


def _items(body: Json) -> Iterator[Json]:
    given = body.get("input")
    yield from (item for item in given if isinstance(item, dict)) if isinstance(given, list) else ()


def _parts(item: Json) -> Iterator[Json]:
    for name in ("content", "output"):
        if isinstance(item.get(name), list):
            yield from (part for part in item[name] if isinstance(part, dict))


def _check_item(item: Json, wire: Wire) -> None:
    kind = item.get("type", "message")
    untyped = wire.typed_assistants and item.get("role") == "assistant" and "type" not in item
    if untyped or (wire.item_types and kind not in wire.item_types):
        raise WireError(400, wire.unknown_item.format(kind=kind), code="invalid_value")
    if kind == "reasoning" and wire.reasoning_needs_text and not _has_text(item.get("content")):
        raise WireError(400, "item['content'] is empty", code="invalid_value")


def _has_text(content: Any) -> bool:
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and isinstance(first.get("text"), str)


def _check_part(part: Json, wire: Wire) -> None:
    if part.get("type") == "input_file" and wire.file_refusal:
        raise WireError(400, wire.file_refusal, code="invalid_value")
    url = part.get("image_url")
    if part.get("type") == "input_image" and isinstance(url, str) and not _takes_image(url, wire):
        raise WireError(400, wire.image_refusal, code="invalid_image_format")


def _takes_image(url: str, wire: Wire) -> bool:
    if not url.lower().startswith("data:"):
        return wire.image_urls
    image = re.match(r"data:image/([\w.+-]+)[;,]", url, re.IGNORECASE)
    return image is None or image[1].lower() in wire.image_types  # what is no image is refused by all in the same words


def _is_hosted(tool: Any) -> bool:
    return isinstance(tool, dict) and tool.get("type") != "function"


def _thinking_aloud(body: Json) -> Json:
    """A model that thinks aloud does so whenever it is asked to think at all."""
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict) and reasoning.get("effort") not in (None, "none"):
        return {**body, "reasoning": {"summary": "auto", **reasoning}}
    return body
