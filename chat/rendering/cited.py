"""What an answer states and which pages it cites for it, read off its blocks; and the mark at citations that do not hold.

The blocks are those that the page shows, so that a citation is counted exactly where there is a link. Which of them do
not hold stands in the row, by their numbers among the links of the response: to mark them nothing is looked up.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from html import unescape
from typing import Any

from chat.files.portions import FEWEST_SHARED, SENTENCE_END, words_in
from chat.models import Response

NOT_FOUND = "not found on this page"
UNCHECKED = {
    "translated": "Its statements could not be compared with the pages: they share too few words, as with a translation.",
    "unreadable": "Its statements could not be compared with the pages: the file could not be read.",
}

_LINK = r'<a class="page-ref" href="#page-(?P<page>\d+)" data-page="\d+"(?: data-file="(?P<file>[^"<>]*)")?>(?P<shown>[^<]*)</a>'
_LINKS = re.compile(_LINK)
_PIECE = re.compile(rf'{_LINK}|<(?P<closes>/?)(?P<tag>[a-z][a-z0-9]*)(?:"[^"]*"|[^">])*>|(?P<text>[^<]+)')
_LAST_PAGE = re.compile(r"[–-]\s?(\d{1,5})\D*\Z")
_ENDS = re.compile(r"[.!?:。！？：]\W*\Z")

FEWEST_WORDS = 2  # of a sentence; what is shorter was cut at a point that ends none, as behind "Dr."

# Their text states nothing: code, the names of columns, what a button says.
_SILENT = frozenset(("pre", "th", "button", "annotation"))
_HEADINGS = frozenset(("h3", "h4", "h5", "h6"))
_WITHIN_A_LINE = frozenset(("a", "strong", "em", "s", "code", "span", "td", "thead", "tbody", "input"))


@dataclass(frozen=True)
class Citation:
    """A link to a page, by its number among those of the response. `file` is "" where the answer names none."""

    number: int
    first: int
    last: int
    file: str = ""


@dataclass(frozen=True)
class Statement:
    """Words, and the citations that stand at their end."""

    words: frozenset[str]
    citations: tuple[Citation, ...]


@dataclass
class Read:
    """The statements of an answer that cite a page, and how many of its sentences cite none."""

    statements: list[Statement] = field(default_factory=list)
    uncited: int = 0


def statements_in(blocks: Iterable[str]) -> Read:
    """Read all blocks of a response, in their order."""
    reader = _Reader()
    for block in blocks:
        reader.read(block)
    return reader.found


def marked(block: str, first: int, not_found: Collection[int]) -> tuple[str, int]:
    """The block with the citations marked that do not hold, and the number of the next one behind it."""
    number = first - 1

    def with_mark(link: re.Match[str]) -> str:
        nonlocal number
        number += 1
        return f'{link[0]} <span class="not-found">{NOT_FOUND}</span>' if number in not_found else link[0]

    return _LINKS.sub(with_mark, block), number + 1


def not_found_in(response: Any) -> frozenset[int]:
    """The numbers of the citations that do not hold; none of what is no stored response."""
    kept = response.citations if isinstance(response, Response) else None
    return frozenset(kept.get("not_found", ())) if isinstance(kept, dict) else frozenset()


@dataclass(frozen=True)
class Verdict:
    """What came of the check of a turn, in a sentence or two; "" where there is nothing to say."""

    words: str = ""
    is_doubt: bool = False


def verdict_on(responses: Iterable[Response]) -> Verdict:
    """All responses of a turn together."""
    kept = [response.citations for response in responses if isinstance(response.citations, dict)]
    compared, pictures, uncited = (
        sum(row.get(name, 0) for row in kept) for name in ("compared", "pictures", "uncited")
    )
    wrong = sum(len(row.get("not_found", ())) for row in kept)
    unchecked = {UNCHECKED[row["unchecked"]]: None for row in kept if row.get("unchecked") in UNCHECKED}
    words = [*unchecked]
    if wrong:
        words.append(f"{wrong:,} of {compared:,} cited statements {_were(wrong)} not found on {_their(wrong)} page.")
    elif compared:
        all_of_them = "The cited statement" if compared == 1 else f"All {compared:,} cited statements"
        words.append(f"{all_of_them} {_were(compared)} found on {_their(compared)} page.")
    if pictures:
        words.append(f"{pictures:,} cite{'s' * (pictures == 1)} pages without text, and {_were(pictures)} not checked.")
    if uncited and words:
        words.append(f"{uncited:,} sentence{' cites' if uncited == 1 else 's cite'} no page.")
    elif uncited:
        words.append("This summary cites no page.")
    return Verdict(" ".join(words), is_doubt=bool(wrong or unchecked or (uncited and not compared + pictures)))


def _were(count: int) -> str:
    return "was" if count == 1 else "were"


def _their(count: int) -> str:
    return "its" if count == 1 else "their"


class _Reader:
    def __init__(self) -> None:
        self.found = Read()
        self._links = 0
        self._silent = ""
        self._is_bold = False
        self._begin()

    def _begin(self, *, is_heading: bool = False) -> None:
        self._said: list[str] = []
        self._citations: list[Citation] = []
        self._is_heading = is_heading
        self._is_title = True  # as far as it goes, all of it is bold
        self._goes_on = False  # behind a citation, in the same sentence

    def read(self, block: str) -> None:
        for piece in _PIECE.finditer(block):
            if piece["page"]:
                self._cites(piece)
            elif piece["tag"]:
                self._passes(piece["tag"], is_end=bool(piece["closes"]))
            elif not self._silent:
                self._says(unescape(piece["text"]))
        self._ends_line()

    def _cites(self, link: re.Match[str]) -> None:
        if not self._silent:
            first, last = int(link["page"]), _LAST_PAGE.search(link["shown"])
            citation = Citation(self._links, first, int(last[1]) if last else first, unescape(link["file"] or ""))
            self._citations.append(citation)
        self._links += 1

    def _passes(self, tag: str, *, is_end: bool) -> None:
        if self._silent:
            self._silent = "" if is_end and tag == self._silent else self._silent
        elif tag in _SILENT:
            self._silent = tag
        elif tag == "strong":
            self._is_bold = not is_end
        elif tag == "td":
            self._says(" ")
        elif tag not in _WITHIN_A_LINE:
            self._ends_line(is_heading=tag in _HEADINGS and not is_end)

    def _says(self, text: str) -> None:
        if self._citations and any(map(str.isalnum, text)):
            self._states()
        if not self._citations:
            self._said.append(text)
            self._is_title &= self._is_bold or not text.strip()

    def _ends_line(self, *, is_heading: bool = False) -> None:
        if self._citations:
            self._states()
        elif not (self._is_heading or self._is_title):
            self._leaves_uncited(self._sentences())
        self._begin(is_heading=is_heading)

    def _sentences(self) -> list[str]:
        """What was said since the last citation. What only ends its sentence belongs to that."""
        sentences = [sentence for sentence in SENTENCE_END.split("".join(self._said).strip()) if sentence.strip()]
        return sentences[1:] if self._goes_on and not self._citations else sentences

    def _states(self) -> None:
        """The last sentence is what is cited."""
        sentences = self._sentences()
        said = ""
        while sentences and len(words_in(said)) < FEWEST_WORDS:
            said = f"{sentences.pop()} {said}"
        self._leaves_uncited(sentences[1:] if self._goes_on else sentences)
        if words := words_in(said):
            self.found.statements.append(Statement(frozenset(words), tuple(self._citations)))
        self._begin(is_heading=self._is_heading)
        self._goes_on = not _ENDS.search(said)

    def _leaves_uncited(self, sentences: Iterable[str]) -> None:
        self.found.uncited += sum(
            len(words_in(sentence)) >= FEWEST_SHARED and not sentence.rstrip().endswith((":", "："))
            for sentence in sentences
        )
