"""JSON Schema → a value that it allows, filled from what was said as far as names and types show the way.

For structured output and for the arguments of functions. Deterministic, and no pattern is ever matched
against a text: a hostile one could take all day.
"""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from .language import language_of, sentence_spans
from .titles import title
from .wires import Json

MAX_DEPTH = 24
MAX_ENTRIES = 200
MAX_VALUES = 10_000  # in all: schemas that refer to each other multiply
MAX_LENGTH = 100_000  # of a string
_QUOTED = re.compile(r"[\"“„«「']([^\"”“»」']{1,200})[\"”“»」']")
_CAPITALISED = re.compile(
    r"(?<![.!?]\s)(?<!^)\b[A-Z][\w’-]+(?:\s+[A-Z][\w’-]+)*|^[A-Z][\w’-]+(?=\s+(?:and|und|et|y)\s+[A-Z])"
)
_DAY = re.compile(
    r"\b\d{4}-\d\d-\d\d\b|\b\d{1,2}[./]\d{1,2}[./]\d{2,4}\b|\b(?:mon|tues|wednes|thurs|fri|satur|sun)day\b|\b(?:today|tomorrow|tonight)\b",
    re.IGNORECASE,
)
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+\.[\w.-]+\w")
_URL = re.compile(r"https?://[^\s<>\"')]+")
_NUMBER = re.compile(r"(?<![\w.])-?\d{1,15}(?:\.\d{1,6})?(?![\w.]*\w)")
_FORMATS = {
    "date-time": "2026-01-01T00:00:00Z",
    "date": "2026-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "email": "nobody@example.org",
    "hostname": "example.org",
    "ipv4": "192.0.2.1",
    "ipv6": "2001:db8::1",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "uri": "https://example.org/",
    "url": "https://example.org/",
}


@dataclass
class Source:
    """What a value may be filled from: the question, and the text that answers it."""

    question: str
    text: str
    yes: bool = False
    """What a boolean is when nothing tells."""
    only_required: bool = False
    """Leave out what the schema does not insist on, as a caller of functions does."""
    values: list[str] = field(default_factory=list)
    """Strings that go first, one each."""
    _numbers: list[str] = field(init=False)

    def __post_init__(self) -> None:
        self._numbers = _NUMBER.findall(self.question)

    def number(self) -> str | None:
        return self._numbers.pop(0) if self._numbers else None

    def names(self) -> list[str]:
        """Quoted and capitalised words of the question, in order."""
        found = [match[1] for match in _QUOTED.finditer(self.question)]
        found += [match[0] for match in _CAPITALISED.finditer(self.question) if not _DAY.fullmatch(match[0])]
        return list(dict.fromkeys(found))

    def string(self, name: str) -> str:
        if self.values:
            return self.values.pop(0)
        lower = name.lower()
        if re.search(r"question|query|prompt", lower):
            return self.question
        if re.search(r"language|locale", lower):
            return language_of(self.question)
        if re.search(r"\b(?:date|day|when)\b|_(?:date|day)$", lower) and (match := _DAY.search(self.question)):
            return match[0]
        if re.search(r"e-?mail", lower) and (match := _EMAIL.search(self.question)):
            return match[0]
        if re.search(r"ur[il]|link", lower) and (match := _URL.search(self.question)):
            return match[0]
        if re.search(r"title|headline|subject|^name$", lower):
            return title(self.question)
        return self.text

    def strings(self, name: str) -> list[str]:
        """Several strings: names of people and places, or the points of the answer."""
        if re.search(
            r"participants?|people|persons?|names|attendees|authors|places|cities|countries|members", name.lower()
        ):
            return self.names()
        listed = re.findall(r"^\s*(?:[-*]|\d+\.)\s+(.+)$", self.text, re.MULTILINE)
        return listed or [self.text[start:end].strip() for start, end in sentence_spans(self.text)]


class Impossible(ValueError):
    """No finite value fits the schema, or none that is found here."""


def fill(schema: Any, source: Source) -> Any:
    """Make a value that `schema` allows. Where it allows none that is found here, an empty object stands in."""
    try:
        return _Filler(schema, source).value(schema, "", ())
    except Impossible:
        return {}


class _Filler:
    def __init__(self, root: Any, source: Source) -> None:
        self._root = root
        self._source = source
        self._left = MAX_VALUES

    def value(self, schema: Any, name: str, path: tuple[int, ...]) -> Any:
        """`path` holds the schemas that are being filled, so that a recursive one ends."""
        if not isinstance(schema, dict):
            return self._source.string(name) if schema is True else None
        self._left -= 1
        if len(path) > MAX_DEPTH or self._left < 0:
            raise Impossible("too deep, or too much")
        schema = self._resolved(schema)
        if id(schema) in path:
            raise Impossible("endless")
        path = (*path, id(schema))
        if "const" in schema:
            return schema["const"]
        choices = schema.get("enum")
        if isinstance(choices, list) and choices:
            return self._chosen(choices)
        for key in ("anyOf", "oneOf"):
            if isinstance(schema.get(key), list) and schema[key]:
                return self._first(schema, schema[key], name, path)
        match _type(schema):
            case "object":
                return self._object(schema, path)
            case "array":
                return self._array(schema, name, path)
            case "integer" | "number" as kind:
                return self._number(schema, kind)
            case "boolean":
                return self._source.yes
            case "null":
                return None
        return self._string(schema, name)

    def _resolved(self, schema: Json, depth: int = 0) -> Json:
        """Follow references, and merge what has to hold together."""
        self._left -= 1
        if depth > MAX_DEPTH or self._left < 0:
            raise Impossible("too deep, or too much")
        for _ in range(MAX_DEPTH):
            pointer = schema.get("$ref")
            if not isinstance(pointer, str):
                break
            rest = {key: value for key, value in schema.items() if key != "$ref"}
            target = self._pointed(pointer)
            # The same object each time it is referred to, so that recursion is noticed.
            schema = {**target, **rest} if rest.keys() - {"description", "title", "default"} else target
        parts = schema.get("allOf")
        if not isinstance(parts, list) or not parts:
            return schema
        merged: Json = {key: value for key, value in schema.items() if key != "allOf"}
        for part in parts:
            for key, value in (self._resolved(part, depth + 1) if isinstance(part, dict) else {}).items():
                if key == "properties" and isinstance(value, dict) and isinstance(merged.get(key), dict):
                    merged[key] = {**merged[key], **value}
                elif key == "required" and isinstance(value, list) and isinstance(merged.get(key), list):
                    merged[key] = [*merged[key], *value]
                else:
                    merged[key] = value
        return merged

    def _pointed(self, pointer: str) -> Json:
        found = self._root
        for word in pointer.removeprefix("#").strip("/").split("/") if pointer != "#" else ():
            word = word.replace("~1", "/").replace("~0", "~")
            found = found.get(word) if isinstance(found, dict) else None
        return found if isinstance(found, dict) else {}

    def _chosen(self, choices: list[Any]) -> Any:
        """The choice that the question names; the first, when it names none."""
        question = self._source.question.lower()
        named = [choice for choice in choices if isinstance(choice, str) and choice and choice.lower() in question]
        return named[0] if named else choices[0]

    def _first(self, schema: Json, options: list[Any], name: str, path: tuple[int, ...]) -> Any:
        """The first option that comes to an end, null last."""
        rest = {key: value for key, value in schema.items() if key not in ("anyOf", "oneOf", "description", "title")}
        ranked = sorted(options, key=lambda option: isinstance(option, dict) and option.get("type") == "null")
        for option in ranked:
            merged = {**rest, **option} if isinstance(option, dict) and rest else option
            try:
                return self.value(merged, name, path)
            except Impossible:
                continue
        raise Impossible("no option ends")

    def _object(self, schema: Json, path: tuple[int, ...]) -> Json:
        properties = schema.get("properties")
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        required = [name for name in required if isinstance(name, str)] if isinstance(required, list) else []
        filled: Json = {}
        for name in dict.fromkeys([*properties, *required]):
            if name not in required and self._source.only_required:
                continue
            try:
                filled[name] = self.value(properties.get(name, {}), name, path)
            except Impossible:
                if name in required:
                    raise
        more = schema.get("additionalProperties")
        for count in range(len(filled) + 1, _whole(schema, "minProperties", 0) + 1):
            filled[f"key{count}"] = self.value(more if isinstance(more, dict) else {}, f"key{count}", path)
        return filled

    def _array(self, schema: Json, name: str, path: tuple[int, ...]) -> list[Any]:
        fewest, most = _whole(schema, "minItems", 0), _whole(schema, "maxItems", MAX_ENTRIES)
        heads = schema.get("prefixItems")
        filled = [self.value(head, name, path) for head in heads] if isinstance(heads, list) else []
        inner = schema.get("items")
        if inner is False:
            return filled[:most]
        inner = inner if isinstance(inner, dict) else {}
        texts = self._source.strings(name) if _is_free_string(self._resolved(inner)) else []
        # Of names and points as many as there are, of other things one, and always as many as must be.
        wanted = min(most, max(fewest, len(filled) + len(texts[:10]) if texts else len(filled) or 1))
        for count in range(len(filled), wanted):
            try:
                filled.append(texts[count] if count < len(texts) else self.value(inner, name, path))
            except Impossible:
                if len(filled) < fewest:
                    raise
                break
        return _distinct(filled, inner) if schema.get("uniqueItems") is True else filled

    def _number(self, schema: Json, kind: str) -> float:
        told = self._source.number()
        value = float(told) if told is not None else 0.0
        if kind == "integer":
            value = float(round(value))
        low, high = _bounds(schema, kind == "integer")
        given = schema.get("multipleOf")
        step = float(given) if _is_number(given) and given > 0 else None
        if not low <= value <= high or (step is not None and math.remainder(value, step)):
            value = low if low > 0 else high if high < 0 else 0.0
            value = value if step is None else _inwards(value, step)
        if not low <= value <= high:
            raise Impossible("no number fits")
        return int(value) if kind == "integer" or value.is_integer() else value

    def _string(self, schema: Json, name: str) -> str:
        pattern, shape = schema.get("pattern"), schema.get("format")
        fewest, most = _whole(schema, "minLength", 0), _whole(schema, "maxLength", 10**9)
        if isinstance(pattern, str):
            return _example(pattern, fewest, most)
        if isinstance(shape, str) and shape in _FORMATS:
            return self._formatted(shape)
        if fewest > MAX_LENGTH:
            raise Impossible("too long")
        text = self._source.string(name)[:most]
        return text + "." * (fewest - len(text))

    def _formatted(self, shape: str) -> str:
        said = f"{self._source.question}\n{self._source.text}"
        found: re.Match[str] | None = None
        if shape == "date":
            found = re.search(r"\b(?:19|20)\d\d-(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])\b", said)
        elif shape == "email":
            found = re.search(r"\b[a-z0-9]+@[a-z0-9]+\.[a-z]{2,6}\b", said)
        elif shape in ("uri", "url"):
            found = re.search(r"\bhttps?://[a-z0-9.-]+[a-z](?:/[\w./-]*)?", said)
        return found[0] if found else _FORMATS[shape]


def _type(schema: Json) -> str:
    kind = schema.get("type")
    if isinstance(kind, list):
        kind = next((name for name in kind if name != "null"), "null")
    if isinstance(kind, str):
        return kind
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _whole(schema: Json, name: str, default: int) -> int:
    value = schema.get(name)
    return min(value, 10**9) if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < 1e300


def _inwards(bound: float, step: float) -> float:
    """The multiple of `step` next to a bound: above a lowest value, below a highest one, which is negative."""
    try:
        return (math.ceil(bound / step) if bound > 0 else math.floor(bound / step)) * step
    except OverflowError as error:
        raise Impossible("no number fits") from error


def _bounds(schema: Json, is_whole: bool) -> tuple[float, float]:
    """Lowest and highest value, the open ends moved inwards."""

    def given(name: str, default: float) -> float:
        value = schema.get(name)
        return float(value) if _is_number(value) else default

    low, above = given("minimum", -math.inf), given("exclusiveMinimum", -math.inf)
    high, below = given("maximum", math.inf), given("exclusiveMaximum", math.inf)
    if is_whole:
        lowest = max(_if_finite(math.ceil, low), _if_finite(math.floor, above) + 1)
        return lowest, min(_if_finite(math.floor, high), _if_finite(math.ceil, below) - 1)
    lowest, highest = max(low, above), min(high, below)
    gap = min(1.0, (highest - lowest) / 4)
    return lowest + gap if lowest == above else lowest, highest - gap if highest == below else highest


def _if_finite(rounded: Callable[[float], int], value: float) -> float:
    return float(rounded(value)) if math.isfinite(value) else value


def _is_free_string(schema: Json) -> bool:
    bound = ("enum", "const", "pattern", "format", "minLength", "maxLength", "anyOf", "oneOf", "$ref", "allOf")
    return schema.get("type") == "string" and not any(key in schema for key in bound)


def _distinct(values: list[Any], inner: Json) -> list[Any]:
    """Make entries differ that may not be equal."""
    choices = inner.get("enum")
    seen: dict[str, Any] = {}
    for value in values:
        count = 1
        while json.dumps(value, sort_keys=True, default=str) in seen and count <= MAX_ENTRIES:
            if isinstance(choices, list):
                value = choices[count % len(choices)]
            elif _is_number(value):
                value += 1
            else:
                value = f"{value} {count}" if isinstance(value, str) else value
            count += 1
        seen[json.dumps(value, sort_keys=True, default=str)] = value
    return list(seen.values())


# Patterns


def _example(pattern: str, fewest: int, most: int) -> str:
    """A short text that fits the pattern, built from its parse. Look-around is passed over."""
    try:
        # The only public way to a parsed pattern warns that it goes away.
        parsed = importlib.import_module("re._parser").parse(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise Impossible("no pattern") from error
    for extra in range(min(fewest, MAX_ENTRIES) + 1):
        text = "".join(_written(parsed, extra, {}))
        if fewest <= len(text) <= most:
            return text
    raise Impossible("no text of that length")


def _written(parsed: Any, extra: int, groups: dict[int, str]) -> Iterator[str]:
    for op, argument in parsed:
        match str(op):
            case "LITERAL":
                yield chr(argument)
            case "NOT_LITERAL":
                yield "a" if argument != ord("a") else "b"
            case "ANY":
                yield "a"
            case "IN":
                yield _member(argument)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                fewest, most, inner = argument
                count = max(fewest, min(int(most), fewest + extra))
                if count > MAX_ENTRIES:
                    raise Impossible("too long")
                for _ in range(count):
                    yield from _written(inner, 0, groups)
            case "SUBPATTERN":
                number, _, _, inner = argument
                text = "".join(_written(inner, extra, groups))
                if len(text) > MAX_LENGTH:  # repeated in a repeat, it grows with every bracket
                    raise Impossible("too long")
                groups[number] = text
                yield text
            case "ATOMIC_GROUP":
                yield from _written(argument, extra, groups)
            case "BRANCH":
                yield from _written(argument[1][0], extra, groups)
            case "GROUPREF":
                yield groups.get(argument, "")


def _member(members: Any) -> str:
    """One character of a set such as [a-z_] or [^0-9]."""
    names = [str(op) for op, _ in members]
    if names[0] == "NEGATE":
        excluded = "".join(_candidates(members[1:]))
        return next((char for char in "a0 -_.A!~é" if char not in excluded), "漢")
    return next(_candidates(members), "a")


def _candidates(members: Any) -> Iterator[str]:
    for op, argument in members:
        match str(op), str(argument):
            case "LITERAL", _:
                yield chr(argument)
            case "RANGE", _:
                yield from map(chr, range(argument[0], min(argument[1], argument[0] + 127) + 1))
            case "CATEGORY", "CATEGORY_DIGIT":
                yield from "0123456789"
            case "CATEGORY", "CATEGORY_SPACE":
                yield " "
            case "CATEGORY", "CATEGORY_NOT_SPACE" | "CATEGORY_WORD" | "CATEGORY_NOT_DIGIT":
                yield from "aA_"
            case "CATEGORY", "CATEGORY_NOT_WORD":
                yield from "-.! ~"


# Strict schemas


def strict_problem(schema: Any, where: tuple[str, ...] = ()) -> str | None:
    """What a provider would refuse about a schema that is called strict; None when nothing."""
    if not isinstance(schema, dict) or len(where) > MAX_DEPTH:
        return None
    if not where and _type(schema) != "object":
        return f"schema must be a JSON Schema of 'type: \"object\"', got 'type: \"{schema.get('type')}\"'."
    context = f"In context={where!r}, "
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        names = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        required = required if isinstance(required, list) else []
        if schema.get("additionalProperties") is not False:
            return f"{context}'additionalProperties' is required to be supplied and to be false."
        for name in names:
            if name not in required:
                return (
                    f"{context}'required' is required to be supplied and to be an array including every key in"
                    f" properties. Missing '{name}'."
                )
    for place, inner in _inner(schema):
        problem = strict_problem(inner, (*where, *place))
        if problem:
            return problem
    return None


def _inner(schema: Json) -> Iterator[tuple[tuple[str, ...], Any]]:
    for key in ("properties", "$defs", "definitions"):
        for name, inner in schema[key].items() if isinstance(schema.get(key), dict) else ():
            yield (key, name), inner
    for key in ("anyOf", "oneOf", "allOf"):
        for number, inner in enumerate(schema[key]) if isinstance(schema.get(key), list) else ():
            yield (key, str(number)), inner
    if isinstance(schema.get("items"), dict):
        yield ("items",), schema["items"]
