"""The built-in tools of a request: which one the question asks for, and the pieces that come of it.

An ordinary question passes them by: a tool has to be in the request, and the question has to be for it.
"""

from __future__ import annotations

from collections.abc import Mapping

from . import drawing, mcp, recipes
from .bench import Bench
from .calls import allowed
from .intake import Asked
from .pieces import Piece
from .talk import Talk
from .wires import Json, Wire, bad_value

IMAGE_HEADER = "x-ms-oai-image-generation-deployment"


def check(asked: Asked, bench: Bench, wire: Wire, headers: Mapping[str, str]) -> None:
    """Refuse what a tool cannot work with, before anything is answered. Raises WireError."""
    for index, tool in enumerate(asked.body.get("tools") or ()):
        if tool["type"] == "code_interpreter":
            recipes.check(tool, bench, f"tools[{index}]")
        elif tool["type"] == "image_generation" and wire.image_deployment_header:
            if not headers.get(IMAGE_HEADER):
                text = f"The image generation tool needs the header '{IMAGE_HEADER}' with the name of a deployment."
                raise bad_value("tools", text, "image_generation_deployment_missing")
            if asked.streamed:
                text = "The image generation tool does not support streaming mode. Set 'stream' to false."
                raise bad_value("stream", text, "unsupported_parameter")


def use(talk: Talk, asked: Asked, bench: Bench, *, is_forced: bool) -> list[Piece] | None:
    """Everything that a tool does for this question, and what is said about it; None when none is meant."""
    for tool in allowed(talk.tools, talk.tool_choice):
        pieces = _used(talk, tool, asked, bench, is_forced=is_forced)
        if pieces is not None:
            return pieces
    return None


def _used(talk: Talk, tool: Json, asked: Asked, bench: Bench, *, is_forced: bool) -> list[Piece] | None:
    match tool["type"]:
        case "code_interpreter":
            return recipes.work(talk, tool, asked.body, bench, is_forced=is_forced)
        case "image_generation":
            return drawing.draw(talk, tool, is_forced=is_forced)
        case "mcp":
            return mcp.work(talk, tool, asked.host, is_forced=is_forced)
    return None
