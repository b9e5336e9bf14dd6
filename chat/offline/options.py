"""The options of a create request, checked in the order in which a server would complain. Items: see `intake`."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from .schemas import strict_problem
from .wires import Json, Wire, WireError, bad_value

_KINDS: dict[str, tuple[type, ...]] = {
    "stream": (bool,),
    "store": (bool,),
    "background": (bool,),
    "parallel_tool_calls": (bool,),
    "instructions": (str,),
    "previous_response_id": (str,),
    "user": (str,),
    "safety_identifier": (str,),
    "prompt_cache_key": (str,),
    "max_output_tokens": (int,),
    "max_tool_calls": (int,),
    "top_logprobs": (int,),
    "temperature": (int, float),
    "top_p": (int, float),
    "tools": (list,),
    "metadata": (dict,),
    "text": (dict,),
    "reasoning": (dict,),
    "stream_options": (dict,),
    "include": (list,),
}
_CHOICES = {
    "truncation": ("auto", "disabled"),
    "service_tier": ("auto", "default", "flex", "scale", "priority"),
    "reasoning.effort": ("none", "minimal", "low", "medium", "high", "xhigh", "max"),
    "reasoning.summary": ("auto", "concise", "detailed"),
    "text.verbosity": ("low", "medium", "high"),
}
INCLUDABLE = (
    "file_search_call.results",
    "web_search_call.results",
    "web_search_call.action.sources",
    "message.input_image.image_url",
    "computer_call_output.output.image_url",
    "code_interpreter_call.outputs",
    "reasoning.encrypted_content",
    "message.output_text.logprobs",
)
TOOL_TYPES = (
    *("function", "file_search", "computer", "computer_use_preview", "web_search", "web_search_2025_08_26"),
    *("web_search_preview", "web_search_preview_2025_03_11", "mcp", "code_interpreter", "image_generation"),
    *("local_shell", "shell", "custom", "apply_patch"),
)
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
MAX_METADATA = 16


def check_options(body: Json, wire: Wire) -> None:
    """Raises WireError."""
    for name, allowed in _KINDS.items():
        _check_kind(body, name, allowed)
    for name, choices in _CHOICES.items():
        _check_choice(body, name, choices)
    least = wire.least_output_tokens
    if body.get("max_output_tokens") is not None and body["max_output_tokens"] < least:
        raise bad_value(
            "max_output_tokens",
            f"Invalid 'max_output_tokens': integer below minimum value. Expected a value >= {least}.",
            "integer_below_min_value",
        )
    for name, top in (("temperature", 2), ("top_p", 1), ("top_logprobs", 20)):
        if body.get(name) is not None and not 0 <= body[name] <= top:
            raise bad_value(name, f"Invalid '{name}': expected a value between 0 and {top}.", "decimal_out_of_range")
    for index, name in enumerate(body.get("include") or ()):
        if name not in INCLUDABLE:
            raise _unsupported(f"include[{index}]", name, INCLUDABLE)
    _check_metadata(body.get("metadata") or {})
    for index, tool in enumerate(body.get("tools") or ()):
        _check_tool(tool, f"tools[{index}]")
    _check_tool_choice(body.get("tool_choice"), body.get("tools") or [])
    _check_format((body.get("text") or {}).get("format"))
    if body.get("background") and not wire.stateful:
        raise bad_value("background", "Unsupported parameter: 'background'.", "unsupported_parameter")
    if body.get("background") and body.get("store") is False:
        raise bad_value("background", "Background mode requires 'store' to be true.")


def _check_kind(body: Json, name: str, allowed: tuple[type, ...]) -> None:
    value = body.get(name)
    wrong = isinstance(value, bool) and bool not in allowed
    if value is not None and (wrong or not isinstance(value, allowed)):
        expected = " or ".join(kind.__name__ for kind in allowed)
        raise bad_value(name, f"Invalid type for '{name}': expected {expected}.", "invalid_type")


def _check_choice(body: Json, path: str, choices: Collection[str]) -> None:
    value: Any = body
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    if value is not None and value not in choices:
        raise _unsupported(path, value, choices)


def _unsupported(param: str, value: Any, choices: Collection[str]) -> WireError:
    supported = ", ".join(f"'{name}'" for name in choices)
    return bad_value(param, f"Invalid value: '{value}'. Supported values are: {supported}.")


def _missing(param: str) -> WireError:
    return bad_value(param, f"Missing required parameter: '{param}'.", "missing_required_parameter")


def _check_metadata(metadata: Json) -> None:
    if len(metadata) > MAX_METADATA:
        text = f"Invalid 'metadata': too many properties. Expected an object with at most {MAX_METADATA} properties."
        raise bad_value("metadata", text, "object_above_max_properties")
    for key, value in metadata.items():
        if not isinstance(value, str) or len(value) > 512 or len(key) > 64:
            text = f"Invalid 'metadata.{key}': keys have up to 64 characters, values are strings of up to 512."
            raise bad_value(f"metadata.{key}", text)


# Tools


def _check_tool(tool: Any, param: str) -> None:
    if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
        raise _missing(f"{param}.type")
    match tool["type"]:
        case "function":
            _check_function(tool, param)
        case "code_interpreter":
            _check_container(tool.get("container"), f"{param}.container")
        case "mcp":
            _check_server(tool, param)
        case "image_generation":
            _check_drawing(tool, param)
        case kind if kind not in TOOL_TYPES:
            raise _unsupported(f"{param}.type", kind, TOOL_TYPES)


def _check_function(tool: Json, param: str) -> None:
    if not isinstance(tool.get("name"), str):
        raise _missing(f"{param}.name")
    if not _NAME.fullmatch(tool["name"]):
        text = f"Invalid '{param}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        raise bad_value(f"{param}.name", text)
    parameters = tool.get("parameters")
    if parameters is None:
        return
    _check_schema(parameters, f"{param}.parameters")
    problem = strict_problem(parameters) if tool.get("strict") is True else None
    if problem:
        text = f"Invalid schema for function '{tool['name']}': {problem}"
        raise bad_value(f"{param}.parameters", text, "invalid_function_parameters")


def _check_container(container: Any, param: str) -> None:
    if isinstance(container, str):
        return
    if not isinstance(container, dict) or container.get("type") != "auto":
        raise _missing(param)
    file_ids = container.get("file_ids")
    if file_ids is not None and not (isinstance(file_ids, list) and all(isinstance(name, str) for name in file_ids)):
        raise bad_value(
            f"{param}.file_ids", f"Invalid type for '{param}.file_ids': expected a list of ids.", "invalid_type"
        )


def _check_server(tool: Json, param: str) -> None:
    for name in ("server_label", "server_url"):
        if not isinstance(tool.get(name), str) and not (name == "server_url" and tool.get("connector_id")):
            raise _missing(f"{param}.{name}")
    approval = tool.get("require_approval")
    if not (approval is None or isinstance(approval, dict) or approval in ("always", "never")):
        raise _unsupported(f"{param}.require_approval", approval, ("always", "never"))


def _check_drawing(tool: Json, param: str) -> None:
    partial = tool.get("partial_images")
    if partial is not None and (isinstance(partial, bool) or not isinstance(partial, int) or not 0 <= partial <= 3):
        raise bad_value(
            f"{param}.partial_images", f"Invalid '{param}.partial_images': expected an integer from 0 to 3."
        )
    for name, choices in (
        ("output_format", ("png", "webp", "jpeg")),
        ("background", ("transparent", "opaque", "auto")),
        ("quality", ("low", "medium", "high", "auto")),
        ("size", ("1024x1024", "1024x1536", "1536x1024", "auto")),
    ):
        if tool.get(name) is not None and tool[name] not in choices:
            raise _unsupported(f"{param}.{name}", tool[name], choices)


def _check_tool_choice(choice: Any, tools: list[Json]) -> None:
    if choice is None or (isinstance(choice, str) and choice in ("auto", "none", "required")):
        if choice == "required" and not tools:
            raise bad_value("tool_choice", "Tool choice 'required' must be specified with 'tools' parameter.")
        return
    if not isinstance(choice, dict) or not isinstance(choice.get("type"), str):
        raise _unsupported("tool_choice", choice, ("none", "auto", "required"))
    if choice["type"] == "allowed_tools":
        allowed = choice.get("tools")
        if choice.get("mode") not in ("auto", "required") or not isinstance(allowed, list):
            raise _missing("tool_choice.tools")
        wanted = [entry for entry in allowed if isinstance(entry, dict)]
    else:
        wanted = [choice]
    for entry in wanted:
        if not any(is_chosen(tool, entry) for tool in tools):
            name = entry.get("name") or entry.get("server_label") or entry.get("type")
            raise bad_value("tool_choice", f"Tool choice '{name}' not found in 'tools' parameter.")


def is_chosen(tool: Json, choice: Json) -> bool:
    """Whether an object of tool_choice, or of its allowed tools, means this tool."""
    if tool["type"] != choice.get("type"):
        return False
    named = {"function": "name", "custom": "name", "mcp": "server_label"}.get(tool["type"])
    return named is None or tool.get(named) == choice.get(named)


# Structured output


def _check_format(shape: Any) -> None:
    if shape is None:
        return
    if not isinstance(shape, dict) or shape.get("type") not in ("text", "json_object", "json_schema"):
        raise bad_value(
            "text.format", "Invalid value: 'text.format'. Supported types are: text, json_object, json_schema."
        )
    if shape["type"] != "json_schema":
        return
    if not isinstance(shape.get("name"), str) or not _NAME.fullmatch(shape["name"]):
        raise _missing("text.format.name")
    _check_schema(shape.get("schema"), "text.format.schema")
    problem = strict_problem(shape["schema"]) if shape.get("strict") is True else None
    if problem:
        text = f"Invalid schema for response_format '{shape['name']}': {problem}"
        raise bad_value("text.format.schema", text, "invalid_json_schema")


def _check_schema(schema: Any, param: str) -> None:
    """As far as the engine reads a schema: an object with named properties and a list of required names."""
    required = schema.get("required") if isinstance(schema, dict) else 0
    names = required is None or (isinstance(required, list) and all(isinstance(name, str) for name in required))
    if not names or not isinstance(schema.get("properties") or {}, dict):
        raise bad_value(param, f"Invalid schema for '{param}'.", "invalid_schema")
