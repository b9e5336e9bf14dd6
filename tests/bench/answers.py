"""What is asked and answered while we measure: questions that name their answer, and answers made of numbered words.

A question says how the provider is to answer it. An answer looks like one (headings, paragraphs, lists, code), and each
of its deltas holds exactly one word with its number, `w000123`: whoever sees that word on its way to a page knows which
delta it came with. `Times` says when that one was sent, to all processes of a run.
"""

from __future__ import annotations

import mmap
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import TracebackType

STREAMS = 1024  # numbers of answers that a run may give
WORDS = 24_000  # that one answer may have
WORD = re.compile(rb"w(\d{6})")

_QUESTION = re.compile(rb'"Answer (\d+) with (\d+) words at ([\d.]+) a second (?:after ([\d.]+) seconds|together)\.')


@dataclass(frozen=True)
class Order:
    """One question: the number of its answer, how many words that has, how fast they come (0: flat out), and when.

    `after` is in seconds; None: together with all the others, when the provider is told to.
    """

    number: int
    words: int
    per_second: float
    after: float | None = 0.0

    @property
    def question(self) -> str:
        when = "together" if self.after is None else f"after {self.after:g} seconds"
        return (
            f"Answer {self.number} with {self.words} words at {self.per_second:g} a second {when}. "
            "Explain how a compiler turns a program into instructions."
        )

    @property
    def seconds(self) -> float:
        """How long the answer takes to come."""
        return (self.after or 0.0) + (self.words / self.per_second if self.per_second else 0.0)


def order_in(body: bytes) -> Order | None:
    """The newest question in a request's body. None: somebody wants a title, or has asked something else."""
    found = _QUESTION.findall(body)
    if not found:
        return None
    number, words, per_second, after = found[-1]
    return Order(int(number), int(words), float(per_second), float(after) if after else None)


@lru_cache(maxsize=8)
def pieces(words: int) -> tuple[str, ...]:
    """The deltas of an answer of so many words."""
    return tuple(islice(_endless(), words))


@lru_cache(maxsize=8)
def text_of(words: int) -> str:
    return "".join(pieces(words))


def _endless() -> Iterator[str]:
    """Part after part, each of 90 words: a heading, two paragraphs, a list, code."""
    number = 0

    def word() -> str:
        nonlocal number
        number += 1
        return f"w{number - 1:06}"

    while True:
        yield f"## {word()}"
        for _ in range(3):
            yield f" {word()}"
        for length in (28, 18):
            yield f"\n\n{word()}"
            for place in range(length):
                yield f" **{word()}**" if place % 20 == 7 else f" `{word()}`" if place % 20 == 15 else f" {word()}"
            yield f" {word()}."
        for item in range(3):
            yield f"{'' if item else chr(10)}\n- {word()}"
            for _ in range(6):
                yield f" {word()}"
        yield f"\n\n```python\ndef {word()}("
        yield f"{word()}):"
        for _ in range(4):
            yield f"\n    {word()} ="
            yield f" {word()}("
            yield f"{word()})"
        yield f"\n    return {word()}\n```\n\n"


class Times:
    """When each word of each answer was sent, by the machine's monotonic clock in nanoseconds; 0: not yet.

    A file that the processes of a run map into their memory.
    """

    def __init__(self, path: Path) -> None:
        size = STREAMS * WORDS * 8
        with path.open("r+b" if path.exists() else "w+b") as file:
            file.truncate(size)
            self._map = mmap.mmap(file.fileno(), size)
        self._slots = memoryview(self._map).cast("q")

    def of(self, number: int, words: int) -> memoryview:
        """The times of one answer, to read and to write."""
        return self._slots[number * WORDS : number * WORDS + words]

    def forget(self, number: int, words: int) -> None:
        self.of(number, words)[:] = memoryview(bytes(8 * words)).cast("q")

    def __enter__(self) -> Times:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._slots.release()
        self._map.close()
