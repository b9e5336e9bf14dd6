"""Each recording on the page: what streamed equals what is loaded, block for block, and all of it is for people."""

from __future__ import annotations

import random
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.rendering.answer import response_html
from chat.responses.events import Event, parse_event
from tests.dom import Element, Page, parse
from tests.recordings import RECORDINGS, Recording
from tests.rendering.test_live import Row, Streamed
from tests.responses.telling import Tape, Telling, a_response, stream
from tests.responses.wire import beginning_of, events_of

ALL = pytest.mark.parametrize("recording", RECORDINGS, ids=lambda recording: recording.name)


def streamed(recording: Recording) -> Streamed:
    """A page on which the recording may begin, after what was stored of the stream that it resumes."""
    found = Streamed()
    found.live.draft = beginning_of(recording.name)
    return found


def join(page: Streamed) -> None:
    """A tab that opens now, in place of the one before."""
    page.page = Page(f"<div>{page.live.html()}</div>")
    page.seen = page.live.seen_now()


def follow(page: Streamed, events: list[Event], rng: random.Random) -> None:
    for event in events:
        page.feed(event)
        if rng.random() < 0.6:
            page.frame()


def spoken(element: Element) -> str:
    """What is read without unfolding anything."""
    return "".join(
        child if isinstance(child, str) else "" if child.tag == "details" else spoken(child)
        for child in element.children
    )


@ALL
def test_a_streamed_recording_equals_the_reloaded_page(recording: Recording) -> None:
    rng = random.Random(recording.name)
    for _ in range(3):
        page = streamed(recording)
        follow(page, events_of(recording.name), rng)
        page.finish()
        page.assert_equals_a_reload()


@ALL
def test_a_tab_that_joins_late_ends_with_the_same_page(recording: Recording) -> None:
    events = events_of(recording.name)
    rng = random.Random(recording.name)
    for joins in range(len(events) + 1):
        page = streamed(recording)
        for event in events[:joins]:
            page.feed(event)
        join(page)
        follow(page, events[joins:], rng)
        page.finish()
        page.assert_equals_a_reload()


@ALL
def test_a_recording_that_breaks_off_anywhere_equals_the_reloaded_page(recording: Recording) -> None:
    events = events_of(recording.name)
    rng = random.Random(recording.name)
    for end in range(len(events)):
        page = streamed(recording)
        follow(page, events[:end], rng)
        page.finish()
        page.assert_equals_a_reload()


@ALL
def test_a_recording_shows_words_and_folds_what_is_for_machines(recording: Recording) -> None:
    page = streamed(recording)
    follow(page, events_of(recording.name), random.Random(0))
    page.finish()
    root = parse(str(response_html(Row(7, page.live.draft.output()))))
    words = spoken(root)
    assert not re.search(r"""[{\[]\s*["'\]}]""", words), "JSON that nothing folds away"
    assert "sandbox:" not in words
    beginning = re.match(r"[\w ,']*", recording.text)
    assert beginning is not None
    assert beginning[0] in words
    if recording.name == "openai_refusal":
        assert "I'm sorry, I can't help with that." in words


@given(st.binary(min_size=48, max_size=48), st.integers(0, 2**32))
def test_a_made_up_stream_equals_the_reloaded_page(tape: bytes, seed: int) -> None:
    rng = random.Random(seed)
    response = a_response(Tape(tape))
    how = Telling(interleaved=rng.random() < 0.5, gaps=rng.random() < 0.5, output=rng.random() < 0.5)
    events = [parse_event(event) for event in stream(response, how, rng)]
    page = Streamed()
    joins = rng.randrange(len(events))
    follow(page, events[:joins], rng)
    if rng.random() < 0.5:
        join(page)
    follow(page, events[joins : len(events) - rng.choice((0, 0, 1, 3))], rng)
    page.finish()
    page.assert_equals_a_reload()
