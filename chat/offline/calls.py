"""Function tools: which one a question asks for, with which arguments, and what to say about its output."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from . import schemas
from .language import terms
from .options import is_chosen
from .pieces import Call
from .talk import Talk
from .wires import Json

MAX_CALLS = 8  # at once
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
_PLACE = re.compile(
    r"\b(?:in|for|of|at|to|from|about)\s+((?:[A-Z][\w’'-]*)(?:(?:[\s,]+|\s+(?:and|und|et|y)\s+)[A-Z][\w’'-]*)*)"
)
_QUOTED = re.compile(r"[\"“„«「']([^\"”“»」']{1,200})[\"”“»」']")


def wanted_calls(talk: Talk, *, is_forced: bool) -> list[Call]:
    """The calls that the question asks for; with `is_forced` one at least, where there is a function."""
    functions = [tool for tool in allowed(talk.tools, talk.tool_choice) if tool["type"] == "function"]
    if not functions:
        return []
    chosen = meant(talk.question, functions)
    if not chosen and is_forced:
        chosen = functions[:1]
    asked = [Call(tool["name"], text) for tool in chosen for text in _arguments(talk.question, tool)]
    return asked[: MAX_CALLS if talk.parallel else 1]


def allowed(tools: Sequence[Json], choice: Any) -> list[Json]:
    """The tools that `tool_choice` leaves to choose from."""
    if choice == "none":
        return []
    if not isinstance(choice, dict):
        return list(tools)
    chosen = choice["tools"] if choice["type"] == "allowed_tools" else [choice]
    return [tool for tool in tools if any(is_chosen(tool, entry) for entry in chosen if isinstance(entry, dict))]


def must_call(choice: Any) -> bool:
    if isinstance(choice, dict):
        choice = "required" if choice["type"] != "allowed_tools" else choice["mode"]
    return bool(choice == "required")


def meant(question: str, functions: Sequence[Json]) -> list[Json]:
    """The tools that the question names, or else those that it is about."""
    return _named(question, functions) or _about(question, functions)


def _named(question: str, functions: Sequence[Json]) -> list[Json]:
    """Those whose name stands in the question, in its order."""
    found = {tool["name"]: re.search(rf"(?<![\w-]){re.escape(tool['name'])}(?![\w-])", question) for tool in functions}
    places = {name: match.start() for name, match in found.items() if match}
    return sorted((tool for tool in functions if tool["name"] in places), key=lambda tool: places[tool["name"]])


def _about(question: str, functions: Sequence[Json]) -> list[Json]:
    """Functions all of whose telling words ("weather" of get_weather) stand in the question."""
    said = set(terms(question))
    return [tool for tool in functions if (telling := telling_words(tool["name"])) and telling <= said]


def telling_words(name: str) -> set[str]:
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).replace("_", " ").replace("-", " ")
    return {term for word in spaced.split() if word.lower() not in _VERBS for term in terms(word)}


def _arguments(question: str, tool: Json) -> list[str]:
    """The arguments of each call of one function: a question about two places asks twice."""
    given = _json_object(question)
    if given is not None:
        return [json.dumps(given, ensure_ascii=False)]
    schema = tool.get("parameters") or {}
    places = [match[1] for match in _PLACE.finditer(question)]
    quoted = [match[1] for match in _QUOTED.finditer(question)]
    places = [place for found in places for place in re.split(r"\s+(?:and|und|et|y)\s+", found)]
    several = len(places) > 1 and not quoted and len(schema.get("required") or ()) == 1
    filled = [
        schemas.fill(schema, schemas.Source(question, question, yes=True, only_required=True, values=values))
        for values in ([[place] for place in places] if several else [[*quoted, *places]])
    ]
    return list(dict.fromkeys(json.dumps(arguments, ensure_ascii=False) for arguments in filled))


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
