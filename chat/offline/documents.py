"""An attached file → sentences that know their page and section.

Pages come with line breaks, running heads, page numbers and tables of contents; what is left is prose.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from chat.files.errors import Refused
from chat.files.pdf import page_texts

from .language import CJK, CJK_CHAR, language_of, sentence_spans
from .store import Blob

LIGATURES = str.maketrans({"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "ﬅ": "st", "ﬆ": "st"})
MAX_TEXT_BYTES = 4 * 1024 * 1024  # of a text file; more than a thousand pages
_TERMINAL = re.compile(r"""[.!?…。！？:：]["'”’»)\]」』）]*$""")
_BULLET = re.compile(r"^(?:[•●▪◦‣·*–—-]|\(?\d{1,2}[.)]|\(?[a-z][.)])\s+")
_NUMBERED = re.compile(
    r"^(?:\d{1,2}(?:\.\d{1,2})*\.?|[IVXLC]{1,6}\.|[A-H]\.|(?:chapter|section|part|appendix|kapitel|teil|anhang|chapitre"
    r"|partie|capítulo|sección)\s+\S{1,8})\s+\S",
    re.IGNORECASE,
)
_CJK_NUMBERED = re.compile(
    r"^(?:第[\d一二三四五六七八九十百]+[章节節回部]|[一二三四五六七八九十]+、|제\s*\d+\s*[장절])"
)
_LEADERS = re.compile(r"(?:\.\s?){4,}\s*\S{0,6}$|…{2,}\s*\d*$|·{4,}")
_CONTENTS = re.compile(
    r"^(?:table of )?contents$|^inhalt(?:sverzeichnis)?$|^table des matières$|^sommaire$|^índice$|^目\s*[录錄次]$|^차례$|^목차$",
    re.IGNORECASE,
)
_REFERENCES = re.compile(
    r"^(?:\d+\.?\s+)?(?:references|bibliography|works cited|literatur(?:verzeichnis)?|quellen|références|bibliographie"
    r"|referencias|bibliografía|参考文献|參考文獻|참고\s*문헌|index)$",
    re.IGNORECASE,
)
_PAGE_NUMBER = re.compile(
    r"^\W*(?:(?:page|seite|p\.?|s\.?|página|pág\.?|第)?\s*\d{1,4}\s*(?:页|頁|ページ|쪽)?(?:\s*(?:/|of|von|de|sur|-)\s*\d{1,4})?"
    r"|[ivxlc]{1,7})\W*$",
    re.IGNORECASE,
)


# As `files.delivery` writes a PDF for a provider that takes none.
_SENT_AS_TEXT = re.compile(r"Text of the attached file “(?P<name>[^\n]+)”:\n\n(?=\[page [1-9]\d{0,3}\]\n)")
# As `files.portions` writes notes on one that is too long to be read at once.
_NOTES = re.compile(
    r"Notes on the attached file “(?P<name>[^\n]+)”, which has (?P<pages>[\d,]{1,9}) pages, each with its page:\n\n"
)
_NOTE = re.compile(r"^- (?P<text>.+?)\s*\(pp?\.\s?(?P<page>\d{1,5})(?:[–-]\d{1,5})?\)[.\s]*$")
_PAGE_MARK = re.compile(r"^\[page ([1-9]\d{0,3})\]\n", re.MULTILINE)


class Unreadable(Exception):
    """The file has no text to work with. `reason`: "broken", "scanned" or "kind"."""

    def __init__(self, reason: str, page_count: int = 0) -> None:
        super().__init__(reason)
        self.reason = reason
        self.page_count = page_count


@dataclass(frozen=True)
class Sentence:
    text: str
    page: int
    """Where it begins, counted from 1."""
    section: int
    """Index into the headings; 0 is what stands before the first."""
    is_prose: bool
    """False for list entries, table rows and references: found by a search, left out of a summary."""
    opens: bool
    """The first of its paragraph."""


@dataclass(frozen=True, eq=False)
class Document:
    """Compared by identity, so that what is worked out from it can be kept beside it."""

    sentences: tuple[Sentence, ...]
    headings: tuple[str, ...]
    language: str
    page_count: int
    has_pages: bool
    characters: int

    @property
    def prose(self) -> list[Sentence]:
        return [sentence for sentence in self.sentences if sentence.is_prose]


def read(blob: Blob) -> Document:
    """Raises Unreadable, also for a file that has left the store over its ceiling."""
    try:
        return _read(blob.path, blob.sha256, _is_pdf(blob))
    except OSError as error:
        raise Unreadable("broken") from error


def from_text(text: str) -> Document:
    """A document of text that stands in a message."""
    return _structure([text], has_pages=False)


@lru_cache(maxsize=16)
def from_pages(texts: tuple[str, ...]) -> Document:
    """A document of pages that came as text."""
    return _structure(list(texts), has_pages=True)


def pages_sent_as_text(text: str) -> tuple[str, tuple[str, ...]] | None:
    """Name and pages of a PDF that a client sent as its text; None when `text` is something else.

    Pages without text are left out by the client and come back empty, so that the others keep their numbers.
    """
    heading = _SENT_AS_TEXT.match(text)
    if heading is None:
        return None
    _, *found = _PAGE_MARK.split(text[heading.end() :])
    pages: list[str] = []
    for number, page in zip(map(int, found[::2]), found[1::2], strict=True):
        # A line of the document itself may look like a mark: marks count upwards.
        if number > len(pages):
            pages += [*[""] * (number - len(pages) - 1), page]
        else:
            pages[-1] += f"[page {number}]\n{page}"
    return heading["name"], tuple(pages)


def notes_sent(text: str) -> tuple[str, str] | None:
    """Name and text of notes that stand for a document; None when `text` is something else."""
    heading = _NOTES.match(text)
    return (heading["name"], text) if heading else None


@lru_cache(maxsize=16)
def from_notes(text: str) -> Document:
    """A document of notes: each is a sentence, with the page that it cites."""
    heading = _NOTES.match(text)
    assert heading
    headings, sentences = [""], list[Sentence]()
    for line in text[heading.end() :].splitlines():
        if line.startswith("### "):
            headings.append(line[4:].strip())
        elif note := _NOTE.match(line):
            opens = not sentences or sentences[-1].section != len(headings) - 1
            said = note["text"]
            sentences.append(Sentence(said, int(note["page"]), len(headings) - 1, len(said.split()) > 2, opens))
    language = language_of(" ".join(sentence.text for sentence in sentences)[:20_000])
    pages = int(heading["pages"].replace(",", "") or 0)
    return Document(tuple(sentences), tuple(headings), language, pages, True, len(text))


def _is_pdf(blob: Blob) -> bool:
    with blob.path.open("rb") as file:
        return b"%PDF-" in file.read(1024)


@lru_cache(maxsize=16)
def _read(path: Path, sha256: str, is_pdf: bool) -> Document:
    """Cached by hash: a conversation asks about the same document again and again."""
    if not is_pdf:
        return _structure([_plain_text(path)], has_pages=False)
    try:
        texts = page_texts(path)
    except Refused as error:
        raise Unreadable("broken") from error
    if sum(map(len, texts)) < 40:
        raise Unreadable("scanned", len(texts))
    return _structure(texts, has_pages=True)


def _plain_text(path: Path) -> str:
    with path.open("rb") as file:
        data = file.read(MAX_TEXT_BYTES)
    if b"\0" in data[:4096]:
        raise Unreadable("kind")
    return data.decode("utf-8-sig", "replace")


def _structure(texts: list[str], *, has_pages: bool) -> Document:
    language = language_of(" ".join(texts)[:20_000])
    pages = [[" ".join(line.translate(LIGATURES).split()) for line in text.splitlines()] for text in texts]
    if has_pages:
        pages = _without_furniture(pages)
    reader = _Reader(pages, strict_blanks=not has_pages)
    sentences = tuple(reader.sentences())
    return Document(
        sentences, tuple(reader.headings), language, len(texts), has_pages, sum(len(text) for text in texts)
    )


# Running heads, page numbers, tables of contents


def _without_furniture(pages: list[list[str]]) -> list[list[str]]:
    pages = [[line for line in page if line] if _is_packed(page) else page for page in pages]
    repeated = _repeated_edges(pages)
    return [_without_contents(_without_edges(page, repeated)) for page in pages]


def _is_packed(page: list[str]) -> bool:
    """Some writers put a blank line after every line; then blanks say nothing."""
    blanks = sum(not line for line in page)
    return blanks * 5 >= len(page) * 2


def _edges(page: list[str]) -> list[int]:
    filled = [index for index, line in enumerate(page) if line]
    return sorted({*filled[:3], *filled[-3:]})


def _shape(line: str) -> str:
    return re.sub(r"\d+", "#", line).casefold()


def _repeated_edges(pages: list[list[str]]) -> set[str]:
    """Shapes of lines that stand at the top or bottom of several pages, page numbers aside."""
    counts: Counter[str] = Counter()
    for page in pages:
        counts.update({_shape(page[index]) for index in _edges(page)})
    needed = 2 if len(pages) < 5 else 3
    return {shape for shape, count in counts.items() if count >= needed}


def _without_edges(page: list[str], repeated: set[str]) -> list[str]:
    drop = {index for index in _edges(page) if _shape(page[index]) in repeated or _PAGE_NUMBER.match(page[index])}
    return [line for index, line in enumerate(page) if index not in drop]


def _without_contents(page: list[str]) -> list[str]:
    filled = [line for line in page if line]
    entries = sum(bool(_LEADERS.search(line) or re.search(r"\D\s\d{1,4}$", line)) for line in filled)
    titled = any(_CONTENTS.match(line) for line in filled[:4])
    if titled and entries * 2 >= len(filled) - 1:
        return []
    return [line for line in page if not _LEADERS.search(line)]


# Lines → paragraphs → sentences


@dataclass
class _Paragraph:
    """Lines being joined, with the page on which each piece of the text begins."""

    text: str = ""
    starts: list[tuple[int, int]] | None = None

    def add(self, line: str, page: int) -> None:
        if self.starts is None:
            self.starts = []
        if not self.text:
            self.starts.append((0, page))
            self.text = line
            return
        joined = self.text
        if (re.search(r"[^\W\d_]-$", joined) and line[:1].islower()) or joined.endswith("\u00ad"):
            joined = joined[:-1]
        elif not (CJK_CHAR.match(joined[-1]) or joined[-1] in "，、。；：") or not CJK_CHAR.match(line):
            joined += " "
        self.starts.append((len(joined), page))
        self.text = joined + line

    def page_at(self, offset: int) -> int:
        page = 1
        for start, its_page in self.starts or ():
            if start > offset:
                break
            page = its_page
        return page

    @property
    def ended(self) -> bool:
        return not self.text or bool(_TERMINAL.search(self.text))


class _Reader:
    def __init__(self, pages: list[list[str]], *, strict_blanks: bool) -> None:
        self.headings = [""]
        self._strict_blanks = strict_blanks
        self._lines = [(line, number) for number, page in enumerate(pages, start=1) for line in page]
        lengths = sorted(len(line) for line, _ in self._lines if len(line) >= 20)
        self._full = lengths[len(lengths) * 3 // 4] if lengths else 80
        self._paragraph = _Paragraph()
        self._in_references = False

    def sentences(self) -> Iterator[Sentence]:
        index = 0
        while index < len(self._lines):
            line, page = self._lines[index]
            run = self._heading_run(index) if self._paragraph.ended else 0
            if run > 3:  # a list or a table, not headings
                yield from self._close()
                for text, its_page in self._lines[index : index + run]:
                    if text:
                        yield Sentence(text, its_page, len(self.headings) - 1, False, True)
                index += run
                continue
            if run:
                yield from self._close()
                self._open_section(" ".join(text for text, _ in self._lines[index : index + run] if text))
                index += run
                continue
            if not line:
                if self._strict_blanks or self._paragraph.ended:
                    yield from self._close()
            else:
                if (_BULLET.match(line) and self._paragraph.ended) or (
                    self._paragraph.ended and len(self._previous(index)) < self._full * 0.75
                ):
                    yield from self._close()
                self._paragraph.add(line, page)
            index += 1
        yield from self._close()

    def _previous(self, index: int) -> str:
        return self._lines[index - 1][0] if index else ""

    def _heading_run(self, index: int) -> int:
        """How many lines from here on look like headings."""
        end = index
        while end < len(self._lines) and self._looks_like_heading(end):
            end += 1
        return end - index

    def _looks_like_heading(self, index: int) -> bool:
        line = self._lines[index][0].lstrip("# ").strip()
        if not line or len(line) > 100 or len(line.split()) > 14 or not re.search(rf"[^\W\d_]|[{CJK}]", line):
            return False
        if re.search(r"[.!?;,:。！？；，、：]$", line):
            return False
        if self._lines[index][0].startswith("#") or _NUMBERED.match(line) or _CJK_NUMBERED.match(line):
            return True
        following = next((text for text, _ in self._lines[index + 1 : index + 3] if text), "")
        if (
            not following
            or following[0].islower()
            or not (line[0].isupper() or line[0].isdigit() or CJK_CHAR.match(line))
        ):
            return False
        if CJK_CHAR.search(line):
            return len(line) <= 24 and len(line) < self._full * 0.6
        return line.isupper() or len(line) < self._full * 0.7 or _is_title_case(line)

    def _open_section(self, title: str) -> None:
        title = title.lstrip("# ").strip()
        self.headings.append(title)
        self._in_references = bool(_REFERENCES.match(title))

    def _close(self) -> Iterator[Sentence]:
        paragraph, self._paragraph = self._paragraph, _Paragraph()
        section = len(self.headings) - 1
        for order, (start, end) in enumerate(sentence_spans(paragraph.text)):
            text = paragraph.text[start:end]
            is_prose = not self._in_references and _is_prose(text)
            yield Sentence(text, paragraph.page_at(start), section, is_prose, order == 0)


def _is_title_case(line: str) -> bool:
    words = [word for word in re.findall(r"[^\W\d_]+", line) if len(word) > 3]
    return len(words) > 2 and sum(word[0].isupper() for word in words) >= len(words) * 0.8


def _is_prose(text: str) -> bool:
    """Whether a sentence can stand in a summary: whole, made of words, neither a stub nor a wall."""
    letters = sum(character.isalpha() for character in text)
    if CJK_CHAR.search(text):
        return 10 <= len(text) <= 260 and letters >= len(text) * 0.6 and bool(_TERMINAL.search(text))
    words = text.split()
    if not 5 <= len(words) <= 75 or letters < len(text) * 0.65 or not _TERMINAL.search(text) or text.endswith(":"):
        return False
    first = next((character for character in text if character.isalnum()), "")
    return not first.islower()
