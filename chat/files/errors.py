"""What can go wrong with a person's file.

FileProblem
├── Refused       the file cannot be used; carries the sentence for the person
├── WrongOffset   a slice does not join what has arrived; carries where to go on
└── StorageAway   object storage does not answer; it may in a moment
"""

from __future__ import annotations

import math

QUOTED_CHARACTERS = 80


class FileProblem(Exception):
    """Base of this room's errors."""


class Refused(FileProblem):
    """The file cannot be used. `sentence` names it, says why and what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


class WrongOffset(FileProblem):
    """The next slice has to start at `expected`, the bytes that have arrived so far."""

    def __init__(self, expected: int) -> None:
        super().__init__(f"the next slice starts at {expected}")
        self.expected = expected


class StorageAway(FileProblem, OSError):
    """Object storage does not answer, or not as it should. An OSError, as a disk's fault would be."""


def quoted(name: str) -> str:
    """The name as a sentence shows it. Long ones lose their middle: a refusal has room for 300 characters."""
    if len(name) > QUOTED_CHARACTERS:
        half = QUOTED_CHARACTERS // 2 - 1
        name = f"{name[:half]}…{name[-half:]}"
    return f"“{name}”"


def too_slow(called: str) -> str:
    return f"{called} takes too long to read. Attach a shorter or simpler version of it."


def megabytes(size: int) -> str:
    """`size` in MB, rounded up: a file above a limit never reads as the limit itself."""
    return f"{math.ceil(size * 10 / 1024 / 1024) / 10:g} MB"
