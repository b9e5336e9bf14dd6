"""The streamed page equals the reloaded page, block for block, and costs what its length costs."""

from __future__ import annotations

import random
import re
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from chat.rendering.answer import response_html
from chat.rendering.live import LiveResponse, Seen
from chat.rendering.made import preview_html
from chat.responses.events import Event, parse_event
from tests.dom import Page
from tests.upstream import text_events

HERE = Path(__file__).parent
CORPUS = sorted((HERE / "corpus").glob("*.md"))
RECORDINGS = sorted((HERE.parent / "recordings").glob("*.sse"))


@dataclass
class Row:
    pk: int
    output: Any


class Streamed:
    """A response that streams into one page. `frame()` sends what the page lacks."""

    def __init__(self) -> None:
        self.live = LiveResponse(7)
        self.page = Page(f"<div>{self.live.html()}</div>")
        self.seen: Seen = self.live.seen_now()

    def feed(self, event: Event) -> None:
        self.live.apply(event)

    def frame(self) -> None:
        html = self.live.fragments(self.seen)
        if html:
            self.page.receive(html)

    def finish(self) -> None:
        self.live.finish()
        self.frame()
        assert not self.page.missed

    def assert_equals_a_reload(self) -> None:
        reloaded = Page(response_html(Row(7, self.live.draft.output())))
        assert self.page.part("r7") == reloaded.part("r7")


def cut(text: str, rng: random.Random, longest: int = 12) -> Iterator[str]:
    """Pieces as a model sends them: a few characters each."""
    at = 0
    while at < len(text):
        size = rng.randint(1, longest)
        yield text[at : at + size]
        at += size


def test_the_corpus_is_large_enough() -> None:
    assert len(CORPUS) >= 30


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_document_streamed_in_random_pieces_equals_the_reloaded_one(path: Path) -> None:
    text = path.read_text()
    for _ in range(2):
        streamed = Streamed()
        for event in text_events(cut(text, random)):  # type: ignore[arg-type]
            streamed.feed(parse_event(event))
            if random.random() < 0.6:
                streamed.frame()
        streamed.finish()
        streamed.assert_equals_a_reload()
        assert streamed.live.draft.text() == text


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_document_that_breaks_off_anywhere_equals_the_reloaded_one(path: Path) -> None:
    text = path.read_text()
    for _ in range(2):
        pieces = list(cut(text[: random.randint(0, len(text))], random))  # type: ignore[arg-type]
        streamed = Streamed()
        for event in text_events(pieces, done=False):
            streamed.feed(parse_event(event))
            if random.random() < 0.6:
                streamed.frame()
        streamed.finish()
        streamed.assert_equals_a_reload()


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: path.stem)
def test_a_tab_that_joins_late_ends_with_the_same_page(path: Path) -> None:
    events = text_events(cut(path.read_text(), random))  # type: ignore[arg-type]
    joins = random.randrange(len(events))
    streamed = Streamed()
    for number, event in enumerate(events):
        streamed.feed(parse_event(event))
        if number == joins:
            streamed.page = Page(f"<div>{streamed.live.html()}</div>")
            streamed.seen = streamed.live.seen_now()
        if number > joins:
            streamed.frame()
    streamed.finish()
    streamed.assert_equals_a_reload()


def long_answer(tokens: int) -> list[str]:
    """A realistic answer of about so many deltas: the corpus's documents one after the other, cut like tokens."""
    rng = random.Random(4)
    pieces: list[str] = []
    documents = [path.read_text() for path in CORPUS if "pathological" not in path.stem]
    assert documents
    while len(pieces) < tokens:
        for document in documents:
            pieces += cut(document + "\n\n", rng, longest=6)
    return pieces[:tokens]


def bytes_of(tokens: int, every: int) -> int:
    """Bytes to the browser when it gets a frame after each `every` deltas."""
    streamed = Streamed()
    for number, event in enumerate(text_events(long_answer(tokens))):
        streamed.feed(parse_event(event))
        if number % every == 0:
            streamed.frame()
    streamed.finish()
    streamed.assert_equals_a_reload()
    return streamed.page.bytes


@pytest.mark.parametrize("every", [1, 4])
def test_bytes_follow_the_length_of_the_answer(every: int) -> None:
    """With a frame for each single delta, the worst that a slow model and a fast page make, and at a usual pace."""
    short, long = bytes_of(2_250, every), bytes_of(9_000, every)
    print(f"a frame each {every} deltas: {short:,} and {long:,} bytes, ratio {long / short:.2f}")
    assert long <= 4.6 * short
    assert long <= 1_000_000


WORDS = [
    "alpha",
    "beta,",
    "gamma.",
    "Delta",
    "**bold**",
    "and",
    "`code`",
    "epsilon;",
    "[link](https://a.example/b)",
    "zeta.",
    "*eta*",
    "theta",
]
LONG_BLOCKS = {
    "fence": lambda n: f"    value_{n} = compute({n}, 'x < y')\n" if n else "```python\n",
    "table": lambda n: f"| row {n} | some **words** here | {n * 7} |\n" if n else "| a | b | c |\n|---|---|---|\n",
    "list": lambda n: f"- item {n} with some **words** of its own\n",
    "deep list": lambda n: "  " * (n % 12) + f"- item {n} with some words\n",
    "paragraph": lambda n: " ".join(WORDS[(n * 5 + i) % len(WORDS)] for i in range(6)) + " ",
}


def bytes_of_block(kind: str, lines: int) -> int:
    """Bytes to the browser for one block, with a frame each few words, as 20 frames a second of a fast model give."""
    pieces = re.findall(r"\s*\S+", "".join(LONG_BLOCKS[kind](n) for n in range(lines)))
    live = LiveResponse(7)
    seen, sent = live.seen_now(), 0
    for number, event in enumerate(text_events(pieces)):
        live.apply(parse_event(event))
        if number % 3 == 0:
            sent += len(live.fragments(seen))
    live.finish()
    return sent


@pytest.mark.parametrize("kind", LONG_BLOCKS)
def test_bytes_follow_the_length_of_one_open_block(kind: str) -> None:
    short, long = bytes_of_block(kind, 150), bytes_of_block(kind, 600)
    print(f"{kind}: {short:,} and {long:,} bytes, ratio {long / short:.1f}")
    assert long <= 5.5 * short


class TestPreview:
    def streamed(self) -> Streamed:
        streamed = Streamed()
        item = {"id": "ig_1", "type": "image_generation_call", "status": "in_progress", "result": None}
        streamed.feed(parse_event({"type": "response.output_item.added", "output_index": 0, "item": item}))
        streamed.frame()
        return streamed

    def done(self, **fields: Any) -> Event:
        item = {"id": "ig_1", "type": "image_generation_call", "status": "completed", **fields}
        return parse_event({"type": "response.output_item.done", "output_index": 0, "item": item})

    def test_the_newest_one_stands_under_what_goes_on_until_the_picture_is_made(self) -> None:
        streamed = self.streamed()
        for data in (b"first", b"second"):
            streamed.live.show_preview("ig_1", preview_html(data))
            streamed.frame()
        shown = streamed.page.part("r7")
        assert "Making an image" in shown
        assert shown.count("<img") == 1
        assert f"base64,{b64encode(b'second').decode()}" in shown
        assert Page(streamed.live.html()).part("r7") == shown, "a tab that comes later has it, too"
        streamed.feed(self.done(result="made:ig_1"))
        streamed.frame()
        assert "made-preview" in streamed.page.part("r7")
        streamed.finish()
        assert "made-preview" not in streamed.page.part("r7")
        streamed.assert_equals_a_reload()

    def test_it_goes_with_a_picture_that_is_not_made(self) -> None:
        streamed = self.streamed()
        streamed.live.show_preview("ig_1", preview_html(b"first"))
        streamed.frame()
        streamed.feed(self.done(result=None))
        streamed.frame()
        assert "made-preview" not in streamed.page.part("r7")
        assert "The image was not made." in streamed.page.part("r7")

    def test_one_of_nothing_that_is_shown_is_passed_over(self) -> None:
        streamed = self.streamed()
        before = streamed.page.part("r7")
        streamed.live.show_preview("ig_2", preview_html(b"first"))
        streamed.frame()
        assert streamed.page.part("r7") == before
