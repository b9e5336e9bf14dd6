"""Values that fit a JSON Schema. The judge is pydantic, which made the schema from a type of its own."""

from __future__ import annotations

import datetime
import enum
import json
import uuid
from typing import Annotated, Any, Literal, Optional, Union

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter, create_model

from chat.offline.schemas import Source, fill, strict_problem

WORDS = st.sampled_from(["date", "name", "count", "people", "url", "e_mail", "title", "x", "language", "kind"])


def filled(kind: Any, question: str = "", text: str = "An answer.") -> Any:
    """The value for the schema of a type, as that type reads it."""
    adapter = TypeAdapter(kind)
    return adapter.validate_json(json.dumps(fill(adapter.json_schema(), Source(question, text))), strict=True)


@st.composite
def bounded_integers(draw: st.DrawFn) -> Any:
    low = draw(st.none() | st.integers(-50, 50))
    high = draw(st.none() | st.integers(low if low is not None else -50, 90))
    step = draw(st.none() | st.integers(1, 7))
    room = high is None or low is None or high - low > 2 + 2 * (step or 0)
    bounds: dict[str, Any] = {"multiple_of": step if room else None}
    bounds["gt" if room and draw(st.booleans()) else "ge"] = low
    bounds["lt" if room and draw(st.booleans()) else "le"] = high
    return Annotated[int, Field(**bounds)]


@st.composite
def bounded_numbers(draw: st.DrawFn) -> Any:
    low = draw(st.none() | st.floats(-50, 50))
    high = draw(st.none() | st.floats(1, 40).map(lambda more: (low or 0) + more))
    return Annotated[
        float, Field(**{draw(st.sampled_from(["gt", "ge"])): low, draw(st.sampled_from(["lt", "le"])): high})
    ]


@st.composite
def bounded_strings(draw: st.DrawFn) -> Any:
    least = draw(st.integers(0, 30))
    return Annotated[str, Field(min_length=least, max_length=draw(st.none() | st.integers(least, 40)))]


PATTERNS = st.sampled_from(
    [r"^[A-Z]{3}-\d{4}$", r"^(?:a|bc)+$", r"^\w+@\w+\.[a-z]{2,}$", r"^[^a-z]{2}\s$", r"^(\d)x?$", "b.d"]
)
LEAVES = st.one_of(
    st.sampled_from([str, int, float, bool, None, datetime.date, datetime.datetime, datetime.time, uuid.UUID]),
    st.sampled_from([Literal["a", "b"], Literal[3], enum.Enum("Colour", {"RED": "red", "BLUE": "blue"})]),
    bounded_integers(),
    bounded_numbers(),
    bounded_strings(),
    PATTERNS.map(lambda pattern: Annotated[str, Field(pattern=pattern)]),
)


@st.composite
def lists(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> Any:
    least = draw(st.integers(0, 4))
    return Annotated[list[draw(inner)], Field(min_length=least, max_length=draw(st.none() | st.integers(least, 6)))]  # type: ignore[misc]


def models(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(WORDS, st.tuples(inner, st.sampled_from([..., None])), max_size=4)
    return fields.map(lambda given: create_model("Made", **given))


kinds = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        lists(inner),
        models(inner),
        inner.map(lambda kind: Optional[kind]),  # noqa: UP045
        st.tuples(inner, inner).map(lambda pair: Union[pair]),  # noqa: UP007
        inner.map(lambda kind: dict[str, kind]),  # type: ignore[valid-type]
    ),
    max_leaves=8,
)


@settings(max_examples=200)  # a type takes longer to make than a value
@given(kind=kinds, question=st.text(max_size=40) | st.just("Ada and Bob, 7 on 2026-03-04, red, a@b.cd"))
def test_whatever_the_type_its_value_fits(kind: Any, question: str) -> None:
    filled(kind, question)


class Tree(BaseModel):
    value: int
    left: Tree | None
    right: Tree | None
    others: list[Tree]


class Chain(BaseModel):
    link: Annotated[list[Chain], Field(max_length=3)] = []
    name: str


@pytest.mark.parametrize("kind", [Tree, Chain, list[Tree], dict[str, Tree]])
def test_types_that_contain_themselves_come_to_an_end(kind: Any) -> None:
    filled(kind)


def test_a_type_without_a_finite_value_gives_an_empty_object() -> None:
    endless = {"$defs": {"A": {"type": "object", "properties": {"a": {"$ref": "#/$defs/A"}}, "required": ["a"]}}}
    assert fill({**endless, "$ref": "#/$defs/A"}, Source("", "")) == {}
    assert fill({"type": "integer", "minimum": 3, "maximum": 2}, Source("", "")) == {}


def test_what_was_said_goes_where_names_and_types_point() -> None:
    schema = {
        "type": "object",
        "properties": {
            "participants": {"type": "array", "items": {"type": "string"}},
            "day": {"type": "string"},
            "count": {"type": "integer"},
            "colour": {"enum": ["red", "blue"]},
            "contact_email": {"type": "string"},
            "question": {"type": "string"},
            "points": {"type": "array", "items": {"type": "string"}},
            "answer": {"type": "string"},
        },
    }
    question = "Alice and Bob buy 3 blue kites on Friday, ask ada@example.org"
    assert fill(schema, Source(question, "- One\n- Two")) == {
        "participants": ["Alice", "Bob"],
        "day": "Friday",
        "count": 3,
        "colour": "blue",
        "contact_email": "ada@example.org",
        "question": question,
        "points": ["One", "Two"],
        "answer": "- One\n- Two",
    }


KEYWORDS = """type properties required items enum const anyOf oneOf allOf $ref $defs minimum maximum exclusiveMinimum
    exclusiveMaximum multipleOf minLength maxLength minItems maxItems pattern format additionalProperties prefixItems
    uniqueItems minProperties""".split()  # noqa: SIM905
scraps = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 12)
    | st.floats(allow_nan=False)
    | st.sampled_from(
        ["object", "array", "string", "number", "integer", "null", "#", "#/$defs/a", "[a-", "(a+)+$", "date"]
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYWORDS, "a"]), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=300)
@given(schema=scraps)
def test_a_schema_of_scraps_is_survived(schema: Any) -> None:
    json.dumps(fill(schema, Source("Ada 3", "text")))
    strict_problem(schema)


def a_tree_of_references(depth: int) -> Any:
    """Ten of the next kind in each: 10 ** depth values in a schema of a few lines."""
    kinds: dict[str, Any] = {
        f"k{level}": {
            "type": "object",
            "required": [f"p{number}" for number in range(10)],
            "properties": {f"p{number}": {"$ref": f"#/$defs/k{level + 1}"} for number in range(10)},
        }
        for level in range(depth)
    }
    return {"$defs": kinds | {f"k{depth}": {"type": "integer"}}, "$ref": "#/$defs/k0"}


@pytest.mark.parametrize(
    "schema",
    [
        {"allOf": [{"$ref": "#"}]},
        {"allOf": [{"allOf": [{"$ref": "#"}, {"$ref": "#"}]}, {"type": "object"}]},
        a_tree_of_references(12),
        {"type": "string", "minLength": 10**9},
        {"type": "string", "pattern": "((((((a{150}){150}){150}){150}){150}){150})"},
    ],
    ids=["itself", "itself-twice", "multiplying", "long", "a-long-pattern"],
)
def test_a_schema_that_asks_for_endlessly_much_gets_an_empty_object(schema: Any) -> None:
    assert fill(schema, Source("How many?", "An answer.")) == {}


def test_a_pattern_that_takes_for_ever_to_match_is_not_matched() -> None:
    hostile = {"type": "string", "pattern": r"^(a+)+$", "minLength": 40}
    text = fill(hostile, Source("a" * 60 + "!", "a" * 60 + "!"))
    assert set(text) == {"a"}
    assert len(text) >= 40


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "object", "properties": {}, "additionalProperties": False}, None),
        ({"type": "string"}, "got 'type: \"string\"'"),
        ({"type": "object", "properties": {}}, "'additionalProperties' is required"),
        (
            {"type": "object", "properties": {"a": {}}, "additionalProperties": False, "required": []},
            "Missing 'a'",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"type": "array", "items": {"type": "object"}}},
                "additionalProperties": False,
                "required": ["a"],
            },
            "In context=('properties', 'a', 'items'), 'additionalProperties'",
        ),
    ],
)
def test_a_strict_schema_leaves_nothing_open(schema: Any, problem: str | None) -> None:
    found = strict_problem(schema)
    assert found is None if problem is None else problem in (found or "")
