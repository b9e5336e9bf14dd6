"""Function tools: which one a question asks for, with which arguments, and what to say about its output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from .language import terms
from .narration import Call
from .wires import Json

_VERBS = frozenset(
    [
        "get",
        "fetch",
        "list",
        "find",
        "search",
        "lookup",
        "look",
        "make",
        "create",
        "set",
        "run",
        "call",
        "query",
        "read",
        "show",
        "tool",
        "function",
    ]
)
_PLACE = re.compile(r"\b(?:in|for|of|at|to|from|about)\s+((?:[A-Z][\w’'-]*)(?:[\s,]+[A-Z][\w’'-]*)*)")
_QUOTED = re.compile(r"[\"“„«「']([^\"”“»」']{1,200})[\"”“»」']")


def wanted_call(question: str, tools: Sequence[Json], choice: Any) -> Call | None:
    """The call that the question asks for, or that `tool_choice` demands; None when none is meant."""
    functions = [tool for tool in tools if tool.get("type") == "function" and isinstance(tool.get("name"), str)]
    if choice == "none" or not functions:
        return None
    if isinstance(choice, dict) and choice.get("type") == "function":
        chosen = next((tool for tool in functions if tool["name"] == choice.get("name")), None)
    else:
        chosen = _named(question, functions) or _meant(question, functions)
        if chosen is None and choice == "required":
            chosen = functions[0]
    return Call(chosen["name"], json.dumps(_arguments(question, chosen), ensure_ascii=False)) if chosen else None


def _named(question: str, functions: Sequence[Json]) -> Json | None:
    found = [tool for tool in functions if re.search(rf"(?<![\w-]){re.escape(tool['name'])}(?![\w-])", question)]
    return max(found, key=lambda tool: len(tool["name"]), default=None)


def _meant(question: str, functions: Sequence[Json]) -> Json | None:
    """A function all of whose telling words ("weather" of get_weather) stand in the question."""
    said = set(terms(question))
    for tool in functions:
        spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", tool["name"]).replace("_", " ").replace("-", " ")
        telling = {term for word in spaced.split() if word.lower() not in _VERBS for term in terms(word)}
        if telling and telling <= said:
            return tool
    return None


def _arguments(question: str, tool: Json) -> Json:
    given = _json_object(question)
    if given is not None:
        return given
    schema = tool.get("parameters") or {}
    properties = schema.get("properties") or {}
    required = schema.get("required") or []
    values = [match[1] for match in _QUOTED.finditer(question)] + [match[1] for match in _PLACE.finditer(question)]
    numbers = re.findall(r"-?\d+(?:\.\d+)?", question)
    arguments: Json = {}
    for name in required:
        kind = properties.get(name, {})
        kind = kind if isinstance(kind, dict) else {}
        arguments[name] = _value(kind, values, numbers, question)
    return arguments


def _value(kind: Json, values: list[str], numbers: list[str], question: str) -> Any:
    choices = kind.get("enum")
    if isinstance(choices, list) and choices:
        return next((choice for choice in choices if str(choice).lower() in question.lower()), choices[0])
    names = kind.get("type")
    name = names[0] if isinstance(names, list) and names else names
    match name:
        case "integer" | "number":
            value = float(numbers.pop(0)) if numbers else 0.0
            return int(value) if name == "integer" or value.is_integer() else value
        case "boolean":
            return True
        case "array":
            return []
        case "object":
            return {}
    return values.pop(0) if values else question.strip()


def _json_object(text: str) -> Json | None:
    """The first JSON object that stands in the text."""
    decoder = json.JSONDecoder()
    for match in re.finditer(r"\{", text):
        try:
            value, _ = decoder.raw_decode(text, match.start())
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def tell_outputs(outputs: Sequence[tuple[str, str]]) -> str:
    """Markdown about what the functions returned: pairs of function name and output."""
    return "\n\n".join(_told(name, output) for name, output in outputs)


def _told(name: str, output: str) -> str:
    try:
        value = json.loads(output)
    except (ValueError, RecursionError):
        value = output
    if isinstance(value, dict) and value and all(not isinstance(entry, (dict, list)) for entry in value.values()):
        rows = "\n".join(f"- **{_plain(key)}:** {_plain(entry)}" for key, entry in value.items())
        return f"`{name}` returned:\n\n{rows}"
    if isinstance(value, (dict, list)):
        return f"`{name}` returned:\n\n```json\n{json.dumps(value, ensure_ascii=False, indent=2)}\n```"
    text = str(value).strip()
    return f"`{name}` returned: {text}" if "\n" not in text else f"`{name}` returned:\n\n```text\n{text}\n```"


def _plain(value: Any) -> str:
    return re.sub(r"([*_`<\[])", r"\\\1", str(value))
