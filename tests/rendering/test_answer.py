"""From the items of an answer to what the page shows of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given

from chat.rendering.answer import response_html, segments
from chat.responses.fold import Draft
from tests.dom import parse
from tests.wild import anything, wild_output


@dataclass
class Row:
    output: Any
    pk: int = 7


def html_of(*output: Any) -> str:
    return str(response_html(Row(list(output))))


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "message", "content": [{"type": "output_text", "text": words}], **more}


def test_an_answer_is_a_response_of_segments_of_blocks() -> None:
    html = html_of(text("# One\n\ntwo"))
    assert html == (
        '<div class="response" id="r7"><div class="segment prose" id="r7-0-0">'
        '<div class="b" id="r7-0-0-0" dir="auto"><h3>One</h3></div>'
        '<div class="b" id="r7-0-0-1" dir="auto"><p>two</p></div></div></div>'
    )


@pytest.mark.parametrize("output", [None, [], [{"type": "message"}], [{"type": "message", "content": None}]])
def test_an_answer_of_nothing_is_an_empty_response(output: Any) -> None:
    assert response_html(Row(output)) == '<div class="response" id="r7"></div>'


def test_ids_say_the_place_in_the_output_also_after_items_that_are_not_shown() -> None:
    html = html_of(
        {"type": "new_thing"}, text("a"), {"type": "message", "content": [{"type": "new_part"}, *text("b")["content"]]}
    )
    assert [e.attributes["id"] for e in parse(html).walk() if "segment" in (e.attributes.get("class") or "")] == [
        "r7-1-0",
        "r7-2-1",
    ]


def test_no_id_comes_twice() -> None:
    reasoning = {"type": "reasoning", "summary": [{"text": "a"}, {"text": "b"}]}
    call = {"type": "function_call", "name": "now", "arguments": "{}"}
    html = html_of(reasoning, call, text("one\n\ntwo"), text("one\n\ntwo"))
    ids = [e.attributes["id"] for e in parse(html).walk() if "id" in e.attributes]
    assert len(ids) == len(set(ids)) > 8


def test_a_refusal_is_marked_as_one() -> None:
    html = html_of({"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]})
    assert '<div class="segment segment--refusal prose" id="r7-0-0">' in html
    assert "I will not." in html


def test_reasoning_is_folded_away_and_its_summary_preferred() -> None:
    both = {"type": "reasoning", "summary": [{"text": "short"}], "content": [{"text": "long"}]}
    html = html_of(both, {"type": "reasoning", "summary": [], "content": [{"text": "open model"}]})
    assert html.count("<details") == 2
    assert '<summary><span class="segment__label" id="r7-0-0-l">Reasoning</span></summary>' in html
    assert "short" in html
    assert "long" not in html
    assert "open model" in html
    assert "<details open" not in html


def test_the_parts_of_one_thought_are_one_fold() -> None:
    parts = [{"text": "**One**\n\nfirst"}, {"text": " "}, {"text": "**Two**\n\nsecond"}]
    html = html_of({"type": "reasoning", "summary": parts})
    assert html.count("<details") == 1
    assert parse(html).text() == "ReasoningOnefirstTwosecond"


@pytest.mark.parametrize(
    "item",
    [
        {"summary": []},
        {"summary": [{"type": "summary_text", "text": ""}], "content": [{"text": " \n"}]},
        {"encrypted_content": "gAAA"},
        {"summary": None, "content": "thoughts"},
    ],
)
def test_reasoning_without_words_shows_nothing(item: dict[str, Any]) -> None:
    assert html_of({"type": "reasoning", **item}) == html_of()


@pytest.mark.parametrize(
    ("item", "title", "detail"),
    [
        ({"type": "function_call", "name": "now", "arguments": '{"zone": "UTC"}'}, "Function now", "zone"),
        ({"type": "mcp_call", "name": "search", "arguments": "{}"}, "Tool search", "{}"),
        ({"type": "code_interpreter_call", "code": "print(1)"}, "Code", "print"),
        ({"type": "web_search_call", "action": {"query": "größe"}}, "Web search", "größe"),
        ({"type": "file_search_call"}, "File search", ""),
    ],
)
def test_a_tool_is_a_card_with_what_it_was_given(item: dict[str, Any], title: str, detail: str) -> None:
    html = html_of(item)
    assert f"<summary>{title}</summary>" in html
    assert detail in html
    assert 'class="segment segment--tool prose"' in html


def test_what_a_tool_was_given_cannot_leave_its_code_block() -> None:
    hostile = "x\n```\n# A heading\n````\n<script>alert(1)</script>"
    html = html_of({"type": "function_call", "name": "<b>now</b>", "arguments": hostile})
    assert "<h" not in html
    assert "<script" not in html
    assert "&lt;b&gt;now&lt;/b&gt;" in html
    assert len(segments([{"type": "function_call", "arguments": hostile}])) == 1
    assert html.count("<pre>") == 1


def test_unknown_items_are_passed_over() -> None:
    assert (
        html_of({"type": "new_thing", "content": [{"type": "output_text", "text": "x"}]}, text("known")).count(
            'class="segment'
        )
        == 1
    )


@given(output=wild_output)
def test_any_stored_answer_can_be_shown_and_is_well_formed(output: Any) -> None:
    parse(html_of(*output))
    draft = Draft.from_response({"id": "r", "status": "completed", "output": output})
    parse(html_of(*draft.output()))


@given(words=anything)
def test_a_text_that_is_none_shows_nothing(words: Any) -> None:
    html = html_of({"type": "message", "content": [{"type": "output_text", "text": words}]})
    assert parse(html).by_id("r7-0-0") is not None
    if not isinstance(words, str):
        assert parse(html).text() == ""
