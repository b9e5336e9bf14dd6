"""What a model thinks, folded away above its answer: while it grows, and the same after a reload."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.rendering.headings import LONGEST, LatestHeading
from chat.responses.events import parse_event
from tests.rendering.test_live import Streamed

LABEL = "r7-0-0-l"
PLACE = {"item_id": "rs_1", "output_index": 0}


class Thinking(Streamed):
    """A stream that begins with a thought."""

    def __init__(self) -> None:
        super().__init__()
        self.wire("output_item.added", output_index=0, item={"id": "rs_1", "type": "reasoning", "summary": []})

    def wire(self, kind: str, **fields: Any) -> None:
        self.feed(parse_event({"type": f"response.{kind}", **fields}))

    def part(self, number: int) -> None:
        part = {"type": "summary_text", "text": ""}
        self.wire("reasoning_summary_part.added", **PLACE, summary_index=number, part=part)

    def think(self, delta: str, number: int = 0) -> None:
        self.wire("reasoning_summary_text.delta", **PLACE, summary_index=number, delta=delta)

    def think_aloud(self, delta: str, number: int = 0) -> None:
        self.wire("reasoning_text.delta", **PLACE, content_index=number, delta=delta)

    def say(self, delta: str) -> None:
        self.wire("output_text.delta", item_id="msg_1", output_index=1, content_index=0, delta=delta)

    def label(self) -> str:
        """The line above the fold, as the page has it."""
        self.frame()
        found = self.page.root.by_id(LABEL)
        return " | ".join(part if isinstance(part, str) else part.text() for part in found.children) if found else ""


def test_the_line_says_what_is_thought_of_and_at_last_what_it_was() -> None:
    stream = Thinking()
    stream.part(0)
    assert stream.label() == ""
    stream.think("**Weighing the")
    assert stream.label() == "Thinking…"
    stream.think(" options**")
    assert stream.label() == "Thinking…"
    stream.think("\n\nThis or that.")
    assert stream.label() == "Thinking… | Weighing the options"
    stream.part(1)
    stream.think("**Deciding**\n\n", 1)
    assert stream.label() == "Thinking… | Deciding"
    stream.say("That.")
    assert stream.label() == "Reasoning"
    stream.finish()
    assert stream.label() == "Reasoning"
    stream.assert_equals_a_reload()


def test_a_thought_without_an_answer_ends_as_a_thought() -> None:
    stream = Thinking()
    stream.think("Hm.")
    assert stream.label() == "Thinking…"
    stream.finish()
    assert stream.label() == "Reasoning"
    stream.assert_equals_a_reload()


def test_what_an_open_model_thinks_aloud_is_folded_the_same_way() -> None:
    stream = Thinking()
    stream.think_aloud("Well.\n### First `step`\n")
    assert stream.label() == "Thinking… | First step"
    stream.say("So.")
    stream.finish()
    stream.assert_equals_a_reload()
    assert "Well." in stream.page.part("r7-0-0")


def test_a_fold_that_was_opened_stays_the_same_element_to_the_end() -> None:
    """A replaced one would close, and take the keyboard's focus with it."""
    stream = Thinking()
    stream.think("**One**\n\nfirst")
    stream.frame()
    before = [stream.page.root.by_id("r7-0-0"), stream.page.root.by_id(LABEL)]
    assert None not in before
    for number in range(1, 5):
        stream.part(number)
        stream.think(f"**Part {number}**\n\nmore\n\n", number)
        stream.think("- and more", number)
        stream.frame()
    stream.say("Done.")
    stream.finish()
    after = [stream.page.root.by_id("r7-0-0"), stream.page.root.by_id(LABEL)]
    assert [id(element) for element in after] == [id(element) for element in before]
    stream.assert_equals_a_reload()


def test_a_thought_that_follows_a_call_is_the_one_that_grows() -> None:
    stream = Thinking()
    stream.think("**One**\n\n")
    call = {"type": "function_call", "id": "fc_1", "call_id": "c", "name": "now", "arguments": "{}"}
    stream.wire("output_item.done", output_index=1, item=call)
    assert stream.label() == "Reasoning"
    place = {"item_id": "rs_2", "output_index": 2}
    stream.wire("output_item.added", output_index=2, item={"id": "rs_2", "type": "reasoning", "summary": []})
    stream.wire("reasoning_summary_text.delta", **place, summary_index=0, delta="**Two**\n")
    assert stream.label() == "Reasoning"
    second = stream.page.root.by_id("r7-2-0-l")
    assert second is not None
    assert second.text() == "Thinking…Two"
    stream.finish()
    stream.assert_equals_a_reload()


def test_a_line_that_the_model_wrote_is_text_and_no_markup() -> None:
    stream = Thinking()
    stream.think("**<img src=x onerror=alert(1)> & co**\n")
    assert stream.label() == "Thinking… | <img src=x onerror=alert(1)> & co"


def bytes_of(parts: int) -> int:
    stream = Thinking()
    for number in range(parts):
        stream.part(number)
        for delta in (f"**Step {number}**", "\n\n", *["some more words "] * 30):
            stream.think(delta, number)
            stream.frame()
    stream.finish()
    stream.assert_equals_a_reload()
    return stream.page.bytes


def test_bytes_follow_the_length_of_the_thought() -> None:
    assert bytes_of(40) <= 4.4 * bytes_of(10)


deltas = st.lists(
    st.tuples(
        st.sampled_from(["think", "think_aloud", "say"]),
        st.integers(0, 2),
        st.sampled_from(["", " ", "\n", "\n\n", "**", "**Head**\n", "word ", "- a\n", "`", "```\n", "# H\n", "é"]),
        st.booleans(),
    ),
    max_size=25,
)


@given(deltas)
def test_however_parts_and_kinds_mix_the_page_ends_as_it_is_reloaded(steps: list[tuple[str, int, str, bool]]) -> None:
    stream = Thinking()
    for how, number, delta, has_frame in steps:
        if how == "say":
            stream.say(delta)
        else:
            getattr(stream, how)(delta, number)
        if has_frame:
            stream.frame()
    stream.finish()
    stream.assert_equals_a_reload()


@pytest.mark.parametrize(
    ("text", "heading"),
    [
        ("**Weighing options**\n", "Weighing options"),
        ("# One\nbody\n## *Two* ##\n", "Two"),
        ("  **In *between* `x`**  \n", ""),
        ("**`code` and _stress_**\r\nbody", "code and stress"),
        ("**Bold** at the start of a sentence.\n", ""),
        ("**One** and **two**\n", ""),
        ("#no heading\n", ""),
        ("**not complete**", ""),
        ("    # code\n", ""),
        (f"**{'x' * LONGEST}**\n", ""),
        ("**\n**\n", ""),
    ],
)
def test_a_heading_is_a_line_of_its_own(text: str, heading: str) -> None:
    assert read(text) == heading
    assert read(*text) == heading


def read(*pieces: str) -> str:
    found = LatestHeading()
    for piece in pieces:
        found.read(piece)
    return found.text


def test_an_endless_line_costs_no_memory() -> None:
    found = LatestHeading()
    for piece in itertools.repeat("x" * 1_000, 50):
        found.read(piece)
    found.read("\n**After it**\n")
    assert found.text == "After it"
    assert len(found._line) <= LONGEST + 1
