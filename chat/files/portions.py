"""A document that is longer than a model can read at once, cut into portions that it can. Cut where pages end.

Also the text of a document, and notes on it, as models are given them: with marks that let them cite pages.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any

from chat.files.errors import quoted

# Bytes of UTF-8: a token is seldom less than three of them, in whatever script. See also `estimate`, which guesses what is
# usual; here nothing may turn out larger.
BYTES_PER_TOKEN = 3

NOTES_HEADING = "Notes on the attached file "
FEWEST_SHARED = 3  # words of a statement, to be looked for at all
FEWEST_DIGITS = 3  # of a number that has to be right: smaller ones are often written as words
NO_NOTES = "(no notes could be taken)"

# As answers cite, too: (p. 7), [p. 7], (pp. 7–9), (x.pdf, p. 7)
_CITATION = re.compile(r"[(\[](?:[^()\[\]\n]{1,120}, )?pp?\.\s?(\d{1,5})(?:\s?[–-]\s?(\d{1,5}))?[)\]]")
_WORD = re.compile(r"[^\W\d_\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{4,}|\d+")
_DENSE_PAIR = re.compile(r"(?=[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]{2})")
# Between groups of digits. A blank is none: what follows on a year would become part of it.
_THOUSANDS = re.compile(r"(?<=\d)[,.'’](?=\d{3}(?!\d))")
SENTENCE_END = re.compile(r"(?<=[.!?])\s+|(?<=[。！？])")
_BULLET = re.compile(r"^(?:[-*•–]|\d{1,3}[.)])\s+")
_HEADING = re.compile(r"^(?:#{1,6}\s+(?P<marked>.+)|\*\*(?P<bold>[^*]+)\*\*:?)$")


@dataclass(frozen=True)
class Portion:
    """Pages that follow on each other, with their marks. A page that is too long alone stands in several."""

    first: int
    last: int
    text: str


def most_tokens(text: str) -> int:
    """So many at most."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def marked(number: int, text: str) -> str:
    """A page as models are given it."""
    return f"[page {number}]\n{text}"


def heading(name: str) -> str:
    """What stands above the text of a document."""
    return f"Text of the attached file {quoted(name)}:"


def cut(pages: Sequence[str], tokens: int) -> list[Portion]:
    """The pages in portions of at most so many tokens. Pages without text are left out."""
    found: list[Portion] = []
    for number, text in _pieces(pages, tokens):
        last = found[-1] if found else None
        joined = f"{last.text}\n\n{text}" if last is not None else ""
        if last is not None and most_tokens(joined) <= tokens:
            found[-1] = Portion(last.first, number, joined)
        else:
            found.append(Portion(number, number, text))
    return found


def _pieces(pages: Sequence[str], tokens: int) -> Iterator[tuple[int, str]]:
    for number, text in enumerate(pages, start=1):
        if not text.strip():
            continue
        room = max(1, tokens * BYTES_PER_TOKEN - len(marked(number, "")))
        for piece in [text] if len(text.encode("utf-8", "replace")) <= room else _cut_page(text, room):
            yield number, marked(number, piece)


def _cut_page(text: str, room: int) -> Iterator[str]:
    """At blanks where there are any."""
    while text:
        end = len(text.encode("utf-8", "replace")[:room].decode("utf-8", "ignore")) or 1
        if end < len(text) and (blank := max(text.rfind(" ", end // 2, end), text.rfind("\n", end // 2, end))) > 0:
            end = blank + 1
        yield text[:end].strip()
        text = text[end:].strip()


def without_text(pages: Sequence[str]) -> list[int]:
    """The pages that are pictures alone, which nobody reads here."""
    return [number for number, text in enumerate(pages, start=1) if not text.strip()]


# Notes


def kept_notes(text: str, first: int, last: int, pages: Sequence[str]) -> list[str]:
    """Of what a model noted on these pages, the lines that can be used: headings, and statements with their pages.

    A statement that cites another page is left out, for it is made up. One that cites none, as of small models, gets the
    page that has most of its words; where none has half of them it is left out, too. `pages` are those of the document.
    """
    lines = [line for line in (_BULLET.sub("", raw.strip()) for raw in text.splitlines()) if line]
    known = {number: words_in(pages[number - 1]) for number in range(first, min(last, len(pages)) + 1)}
    found: list[str] = []
    for line in lines:
        if title := _HEADING.match(line):
            found.append(f"### {(title['marked'] or title['bold']).strip()}")
        elif _CITATION.search(line):
            if all(first <= page <= last for page in cited(line)):
                found.append(f"- {line}")
        else:
            placed = ((said, _page_of(said, known)) for said in SENTENCE_END.split(line))
            found += [f"- {said} (p. {page})" for said, page in placed if page]
    return _without_empty_headings(list(dict.fromkeys(found)))


def _page_of(line: str, pages: Mapping[int, set[str]]) -> int:
    """The page that the words of a statement stand on; 0 for none."""
    said = words_in(line)
    if len(said) < FEWEST_SHARED:
        return 0
    best = max(pages, key=lambda number: len(said & pages[number]), default=0)
    return best if best and stands_in(said, pages[best]) else 0


def stands_in(said: Set[str], there: Set[str]) -> bool:
    """Whether the words of a statement are those of a page: half of them, and each number of three digits or more."""
    numbers = {word for word in said if len(word) >= FEWEST_DIGITS and word.isdecimal()}
    return numbers <= there and 2 * len(said & there) >= len(said) > 0


def words_in(text: str) -> set[str]:
    """Words of some length, and numbers; of scripts without blanks, pairs of characters."""
    text = _THOUSANDS.sub("", unicodedata.normalize("NFKC", text))
    return set(_WORD.findall(text.lower())) | {text[at : at + 2] for at in _starts_of_pairs(text)}


def _starts_of_pairs(text: str) -> Iterator[int]:
    return (found.start() for found in _DENSE_PAIR.finditer(text))


def cited(text: str) -> list[int]:
    """The pages that a text cites, first and last ones of a range."""
    return [int(page) for found in _CITATION.finditer(text) for page in found.groups() if page]


def notes_text(name: str, pages: int, notes: Sequence[str]) -> str:
    """Notes as the model is given them in the place of the document."""
    return "\n".join([f"{NOTES_HEADING}{quoted(name)}, which has {pages:,} pages, each with its page:", "", *notes])


def stand_in(item: Mapping[str, Any]) -> bool:
    """Whether this item of an input has notes in the place of a document."""
    content = item.get("content")
    return isinstance(content, list) and any(_is_note(part) for part in content)


def _is_note(part: Mapping[str, Any]) -> bool:
    return part.get("type") == "input_text" and str(part.get("text")).startswith(NOTES_HEADING)


def thinned(notes: Sequence[str], share: float) -> list[str]:
    """So much of the notes, from all over: every second or third statement goes, and headings that are left alone."""
    found, at = [], 0
    for line in notes:
        if line.startswith("- "):
            at += 1
            if int(at * share) == int((at - 1) * share):
                continue
        found.append(line)
    return _without_empty_headings(found)


def _without_empty_headings(lines: Sequence[str]) -> list[str]:
    followers = [*lines[1:], "###"]
    return [line for line, follower in zip(lines, followers, strict=False) if "- " in (line[:2], follower[:2])]


def cut_notes(notes: Sequence[str], tokens: int) -> list[list[str]]:
    """The lines in groups of at most so many tokens; a line that is longer stands alone."""
    groups: list[list[str]] = []
    room = 0
    for line in notes:
        size = most_tokens(line) + 1
        if not groups or size > room:
            groups.append([])
            room = tokens
        groups[-1].append(line)
        room -= size
    return groups
