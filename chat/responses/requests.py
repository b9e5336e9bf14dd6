"""A request fitted to its server, before anything is sent: the last look at a body on its way out.

What the dialect cannot do is refused with a sentence for the person (`Unsupported`), or, where the answer is as good
without it, left out with a note for the log. A server that says nothing of what it ignores would otherwise answer as
if it had understood: Ollama drops `previous_response_id` in silence, and the conversation with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .content import DataURL
from .dialects import Dialect
from .errors import Unsupported

Json = dict[str, Any]

ALWAYS_READ = frozenset({"model", "input", "stream"})
_TOOLS = {
    "function": "tools",
    "mcp": "mcp",
    "code_interpreter": "code_interpreter",
    "image_generation": "image_generation",
    "web_search": "web_search",
    "web_search_preview": "web_search",
    "file_search": "file_search",
}
_TOOL_NAMES = {
    "tools": "functions of this chat",
    "mcp": "remote tools (MCP)",
    "code_interpreter": "the code interpreter",
    "image_generation": "image generation",
    "web_search": "web search",
    "file_search": "file search",
}
_INCLUDES = {
    "reasoning.encrypted_content": "encrypted_reasoning",
    "code_interpreter_call.outputs": "code_interpreter",
    "file_search_call.results": "file_search",
    "web_search_call.results": "web_search",
    "web_search_call.action.sources": "web_search",
}
# Items that answer something; without them the request would say something else.
_INDISPENSABLE = frozenset({"mcp_approval_response", "item_reference", "computer_call_output", "function_call_output"})


@dataclass(frozen=True)
class Fitted:
    """The body as it goes up. `notes` are sentences for the log; `streams` is False where only a whole answer comes."""

    body: Json
    notes: tuple[str, ...] = ()
    streams: bool = True


def fit(body: Mapping[str, Any], dialect: Dialect) -> Fitted:
    """The body without what this kind of server cannot take. Raises Unsupported where that would change its meaning.

    Lists and dicts of the body that need no change are shared with the result, not copied.
    """
    fitted = dict(body)
    notes: list[str] = []
    _fit_state(fitted, dialect)
    streams = _fit_tools(fitted, dialect, notes)
    _fit_format(fitted, dialect)
    _fit_reasoning(fitted, dialect, notes)
    _fit_parameters(fitted, dialect, notes)
    if isinstance(fitted.get("input"), list):
        fitted["input"] = _fit_input(fitted["input"], dialect, notes)
    return Fitted(fitted, tuple(notes), streams)


def _fit_state(body: Json, dialect: Dialect) -> None:
    if body.get("previous_response_id") and not dialect.state:
        raise _unsupported(
            dialect, "previous_response_id", "keeps no conversations, so that the whole history must be sent"
        )
    if body.get("background"):
        if not dialect.background:
            raise _unsupported(dialect, "background", "cannot work in the background")
        if body.get("store") is False:
            raise _unsupported(dialect, "background", "works in the background only on answers that it may keep")
    if not dialect.store and body.get("store") is not False:
        body.pop("store", None)  # nothing is kept there; but where that is a guess, to forbid it does no harm


def _fit_tools(body: Json, dialect: Dialect, notes: list[str]) -> bool:
    """Whether the answer can be streamed with these tools."""
    tools = _objects(body.get("tools"))
    for tool in tools:
        capability = _TOOLS.get(str(tool.get("type")))
        if capability and not getattr(dialect, capability):
            raise _unsupported(dialect, "tools", f"does not offer {_TOOL_NAMES[capability]}")
    if not dialect.tool_choice_named:
        _choose_by_leaving_one(body, tools)
    if body.get("tool_choice") == "required" and not dialect.tool_choice_required:
        del body["tool_choice"]
        notes.append(f"{dialect.label} cannot be made to call a tool: tool_choice was left out.")
    makes_images = any(tool.get("type") == "image_generation" for tool in tools)
    if makes_images and not dialect.image_generation_streams:
        notes.append(f"{dialect.label} does not stream answers with image generation: it will come whole.")
        return False
    return True


def _choose_by_leaving_one(body: Json, tools: list[Json]) -> None:
    """Where `tool_choice` cannot name a function: offer that one alone, and ask for a call."""
    choice = body.get("tool_choice")
    if isinstance(choice, dict) and choice.get("type") == "function":
        chosen = [tool for tool in tools if tool.get("type") == "function" and tool.get("name") == choice.get("name")]
        if chosen:
            body |= {"tools": chosen, "tool_choice": "required"}


def _fit_format(body: Json, dialect: Dialect) -> None:
    text = body.get("text")
    wanted = text.get("format") if isinstance(text, dict) else None
    if not isinstance(wanted, dict) or wanted.get("type") != "json_schema":
        return
    if not dialect.json_schema:
        raise _unsupported(dialect, "text.format", "cannot answer in a given JSON schema")
    if dialect.json_schema_parameter == "response_format":
        body["response_format"] = {
            "type": "json_schema",
            "json_schema": {key: value for key, value in wanted.items() if key != "type"},
        }
        body["text"] = {key: value for key, value in body["text"].items() if key != "format"}
        if not body["text"]:
            del body["text"]


def _fit_reasoning(body: Json, dialect: Dialect, notes: list[str]) -> None:
    reasoning = body.get("reasoning")
    if isinstance(reasoning, dict):
        kept = dict(reasoning)
        if not dialect.reasoning_effort:
            _leave_out(kept, "effort", dialect, notes)
        if not dialect.reasoning_summary:
            _leave_out(kept, "summary", dialect, notes)
        body["reasoning"] = kept
        if not kept:
            del body["reasoning"]
    include = body.get("include")
    if isinstance(include, list | tuple):
        able = [name for name in include if name not in _INCLUDES or getattr(dialect, _INCLUDES[name])]
        if missing := [name for name in include if name not in able]:
            notes.append(f"{dialect.label} does not include {', '.join(missing)}: left out.")
        body["include"] = able
        if not able:
            del body["include"]


def _fit_parameters(body: Json, dialect: Dialect, notes: list[str]) -> None:
    if not dialect.routing:
        _leave_out(body, "provider", dialect, notes)
    if dialect.parameters:
        for name in [name for name in body if name not in ALWAYS_READ and name not in dialect.parameters]:
            _leave_out(body, name, dialect, notes)


def _leave_out(fields: Json, name: str, dialect: Dialect, notes: list[str]) -> None:
    if fields.pop(name, None) is not None:
        notes.append(f"{dialect.label} does not read “{name}”: left out.")


# Input


def _fit_input(items: Iterable[Any], dialect: Dialect, notes: list[str]) -> list[Any]:
    fitted = []
    for item in items:
        if isinstance(item, dict):
            if (better := _fit_item(item, dialect, notes)) is not None:
                fitted.append(better)
        else:
            fitted.append(item)
    return fitted


def _fit_item(item: Json, dialect: Dialect, notes: list[str]) -> Json | None:
    """The item as this server takes it; None where it is left out."""
    kind = str(item.get("type", "message"))
    if not dialect.accepts_item(kind):
        if kind in _INDISPENSABLE:
            raise _unsupported(dialect, "input", f"does not understand input of the type {kind}")
        notes.append(f"{dialect.label} takes no “{kind}” in its input: left out.")
        return None
    if kind == "reasoning" and not dialect.encrypted_reasoning and not _has_reasoning_text(item):
        notes.append(f"{dialect.label} cannot read reasoning that is not text: left out.")
        return None
    for part in _parts(item):
        _check_part(part, dialect)
    if kind == "message" and item.get("role") == "assistant" and dialect.keeps_assistant_ids:
        return _complete(item)
    return item


def _parts(item: Json) -> list[Json]:
    """The content of a message, or what a function gave back."""
    return _objects(item.get("content") if item.get("type", "message") == "message" else item.get("output"))


def _objects(value: Any) -> list[Json]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []


def _has_reasoning_text(item: Json) -> bool:
    content = item.get("content")
    first = content[0] if isinstance(content, list) and content else None
    return isinstance(first, dict) and bool(first.get("text"))


def _check_part(part: Json, dialect: Dialect) -> None:
    match part.get("type"):
        case "input_image":
            _check_image(part, dialect)
        case "input_file":
            if not dialect.pdf_input:
                raise _unsupported(dialect, "input_file", "takes no files; the text of a file can be sent instead")
            if part.get("file_id") and not dialect.files_api:
                raise _unsupported(
                    dialect, "input_file", "keeps no files, so that a file must be sent with its content"
                )


def _check_image(part: Json, dialect: Dialect) -> None:
    if part.get("file_id"):
        if not dialect.image_file_id:
            raise _unsupported(dialect, "input_image", "takes no images by the id of a file; send the image itself")
        return
    url = part.get("image_url")
    media_type = url.media_type if isinstance(url, DataURL) else _media_type(url)
    if media_type is None:
        if not dialect.image_url:
            raise _unsupported(dialect, "input_image", "fetches no images from the web; send the image itself")
    elif not dialect.image_base64:
        raise _unsupported(dialect, "input_image", "takes no images")
    elif media_type not in dialect.image_types:
        kinds = ", ".join(name.removeprefix("image/").upper() for name in dialect.image_types)
        raise _unsupported(dialect, "input_image", f"takes images as {kinds}, not as {media_type}")


def _media_type(url: Any) -> str | None:
    """Of a data URL; None for the address of an image."""
    if not isinstance(url, str) or url[:5].lower() != "data:":
        return None
    return url[5 : 5 + 100].partition(",")[0].partition(";")[0].strip().lower()


def _complete(message: Json) -> Json:
    """An assistant's message with `id`, `status` and its text as a part: stateless gateways refuse it without."""
    content = message.get("content")
    if isinstance(content, str):
        content = [{"type": "output_text", "text": content, "annotations": []}]
    elif message.get("id") and message.get("status"):
        return message
    made_up = {"type": "message", "id": f"msg_{uuid.uuid4().hex}", "status": "completed"}
    return {**made_up, **{key: value for key, value in message.items() if value is not None}, "content": content}


def _unsupported(dialect: Dialect, param: str, what: str) -> Unsupported:
    sentence = f"This model's provider ({dialect.label}) {what}. Choose another model, or ask without it."
    return Unsupported(f"{param}: {dialect.label} {what}", user_message=sentence, code="unsupported")
