"""Whatever the body says, the engine answers: 200, or a refusal of the caller, and never a crash."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.offline.answer import escaped
from chat.offline.documents import from_text
from chat.offline.language import language_of, sentence_spans
from chat.offline.passages import find
from chat.offline.summarise import Wanted, summarise
from chat.offline.titles import title

from .conftest import Engine

leaf = (
    st.none()
    | st.booleans()
    | st.integers(-5, 5)
    | st.floats(-1, 3)
    | st.text(max_size=8)
    | st.sampled_from(["auto", "message", "f"])
)
anything = st.recursive(
    leaf,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
part = st.fixed_dictionaries(
    {"type": st.sampled_from(["input_text", "output_text", "input_image", "input_file", "refusal"])},
    optional=dict.fromkeys(("text", "image_url", "file_id", "file_data", "filename", "detail"), anything),
)
item = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["message", "function_call", "function_call_output", "reasoning", "item_reference"])
        | st.sampled_from(["mcp_approval_request", "mcp_approval_response", "mcp_list_tools", "compaction"])
        | st.sampled_from(["code_interpreter_call", "image_generation_call", "mcp_call"])
    },
    optional={
        "approval_request_id": st.just("mcpr_1") | anything,
        "approve": st.booleans() | anything,
        "container_id": st.just("cntr_1") | anything,
        "role": st.sampled_from(["user", "assistant", "system"]) | anything,
        "content": st.lists(part, max_size=2) | st.text(max_size=20) | anything,
        **dict.fromkeys(("id", "status", "call_id", "name", "arguments", "output", "summary"), anything),
        **dict.fromkeys(("encrypted_content", "server_label"), anything | st.just("engine")),
    },
)
function = st.fixed_dictionaries(
    {"type": st.just("function"), "name": st.just("f")},
    optional={
        "parameters": anything | st.fixed_dictionaries({"properties": anything, "required": anything}),
        "strict": st.booleans() | anything,
    },
)
built_in = st.fixed_dictionaries(
    {"type": st.sampled_from(["code_interpreter", "image_generation", "mcp", "web_search"])},
    optional={
        "container": st.just({"type": "auto"}) | anything,
        "server_label": st.just("engine") | anything,
        "server_url": st.just("http://engine/mcp") | anything,
        **dict.fromkeys(("require_approval", "allowed_tools", "partial_images", "size", "output_format"), anything),
    },
)
tool = function | built_in
# Words that call for a tool.
asked = st.sampled_from(["f", "draw 3 cats", "solve 2x = 3", "12 * (3 + 4)", "roll dice", "analyse the csv", "[page"])
NAMES = """previous_response_id instructions stream store background temperature max_output_tokens tool_choice text
    reasoning metadata include parallel_tool_calls truncation user"""
bodies = st.fixed_dictionaries(
    {"model": st.just("any"), "input": st.lists(item, max_size=3) | st.text(max_size=30) | asked | anything},
    optional={
        **dict.fromkeys(NAMES.split(), anything),
        "tools": st.lists(tool, max_size=2) | anything,
        "tool_choice": st.sampled_from(["required", "none", {"type": "function", "name": "f"}]) | anything,
        "text": st.fixed_dictionaries(
            {
                "format": anything
                | st.fixed_dictionaries({"type": st.just("json_schema"), "name": st.just("n"), "schema": anything})
            }
        ),
    },
)


@given(body=bodies)
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
async def test_any_body_gets_an_answer_or_a_refusal(engine: Engine, body: dict[str, Any]) -> None:
    reply = await engine.http.post("responses", json=body)
    assert reply.status_code in (200, 400, 404)


@given(
    text=st.text(max_size=300)
    | st.lists(
        st.sampled_from(["A. ", "b.", "\n", "1. ", "漢字。", "가나다. ", "_x_", " - ", "... 7\n", "Word "]), max_size=60
    ).map("".join)
)
@settings(max_examples=150, deadline=None)
def test_any_text_can_be_read_summarised_searched_and_titled(text: str) -> None:
    document = from_text(text)
    for wanted in (Wanted(), Wanted(detailed=True), Wanted(gist=0, points=3), Wanted(max_words=50, gist=0)):
        summary = summarise(document, wanted)
        known = {sentence.text for sentence in document.sentences}
        assert {sentence.text for sentence in (*summary.gist, *summary.points)} <= known
    find(document, text[:50])
    assert 0 < len(title(text)) <= 60
    assert language_of(text) in ("en", "de", "fr", "es", "zh", "zh-Hant", "ja", "ko")
    escaped(text)


@given(text=st.text(max_size=200))
def test_sentences_cover_everything_but_blanks_and_never_overlap(text: str) -> None:
    spans = list(sentence_spans(text))
    covered = "".join(text[start:end] for start, end in spans)
    assert "".join(covered.split()) == "".join(text.split())
    assert all(end <= start for (_, end), (start, _) in pairwise(spans))
