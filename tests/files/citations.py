"""Whether what a text cites stands there: its sentences against the text of the pages that they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SENTENCE = re.compile(
    r"(?P<said>[^\n]*?)\s*\((?:[^()\n]{1,120}, )?pp?\.\s?(?P<first>\d+)(?:\s?[–-]\s?(?P<last>\d+))?\)"
)
_WORD = re.compile(r"[^\W_]{3,}|\d+")
ENOUGH = 0.9


@dataclass(frozen=True)
class Checked:
    """How many sentences cite, how many of them stand on their page, and the first ones that do not."""

    cited: int
    held: int
    pages: frozenset[int]
    wrong: tuple[str, ...]

    @property
    def share(self) -> float:
        return self.held / self.cited if self.cited else 0.0


def checked(text: str, pages: Sequence[str]) -> Checked:
    """A sentence stands on a page that has nine of ten of its words; it may go on at the top of the next one."""
    words = [set(_WORD.findall(page.lower())) for page in pages]
    wrong, held, cited = [], 0, set()
    found = list(_SENTENCE.finditer(text.replace("\\", "")))
    for sentence in found:
        first, last = int(sentence["first"]), int(sentence["last"] or sentence["first"])
        cited.add(first)
        there = set().union(*words[first - 1 : last + 1])
        said = _WORD.findall(sentence["said"].lower())
        if said and sum(word in there for word in said) >= ENOUGH * len(said):
            held += 1
        else:
            wrong.append(sentence[0])
    return Checked(len(found), held, frozenset(cited), tuple(wrong[:5]))
