"""The block that is still being written: when it ends, and its HTML at a cost linear in its length.

Words behind words are put in as they are. What is inside a fence is text. A list or table keeps the items
or rows that are complete as HTML and parses only what follows them, and so does a long paragraph with its
sentences. Anything else that grows long is rendered each time it has grown by an eighth, with the rest
behind it as text. None of this is final: a block that ends is rendered anew.
"""

import re
from collections.abc import Sequence
from typing import Any

from markdown_it.rules_block.table import MAX_AUTOCOMPLETED_CELLS
from markdown_it.token import Token

from chat.rendering.blocks import Env, html_of, parser, top_level
from chat.rendering.escape import escape
from chat.rendering.syntax import CODE_TAIL, code_head, half_line, language_of, whole_end

# Up to this size a block is read at each look. Beyond it, it is rendered when it has grown by an eighth (a
# fourth where it is huge), and searched for its end when it has doubled or when a line looks like the end, as
# long as all that was read stays below so many times its length.
SMALL = 2_000
HUGE = 16_000
# Of a paragraph, so much is read at each look once there are sentences before it.
FEW_SENTENCES = 500
MAX_READINGS = 40

# Ended by their own last line, whatever follows.
_SELF_CONTAINED = frozenset(("heading_open", "hr", "math_block"))
_LISTS = frozenset(("bullet_list_open", "ordered_list_open"))


class OpenBlock:
    """The text behind the last closed block."""

    def __init__(self, text: str, references: dict[str, Any]) -> None:
        self.text = text
        self._references = references
        self._html: str | None = None
        self._words: Words | None = None
        self._checked_to = 0
        self._shape: Whole = Whole(references)

    def grow(self, new: str) -> None:
        # With one reference left the string grows in place, instead of being copied at each delta.
        text, self.text = self.text, ""
        text += new
        self.text = text
        self._html = None

    def html(self) -> str:
        if self._html is None:
            self._html = self._with_more_words() or self._read()
        return self._html

    def _with_more_words(self) -> str:
        return self._words.html(self.text) if self._words is not None else ""

    def _read(self) -> str:
        html = self._shape.html(self.text)
        is_whole = self._shape.is_rendered(self.text) and half_line(self.text) == len(self.text)
        self._words = Words.at_the_end_of(self.text, html) if is_whole else None
        return html

    def ended_at(self) -> int | None:
        """Where the text behind the blocks that have ended begins; None while none has."""
        end = self.text.rfind("\n") + 1
        if end <= self._checked_to or not self._shape.may_have_ended(self.text, self._checked_to, end):
            return None
        self._checked_to = end
        shape = self._shape
        blocks = shape.structure(self.text, end)
        if blocks and not shape.fits(blocks[0][0]):
            shape = self._shape = Whole(self._references)
            blocks = shape.structure(self.text, end)
        lines = shape.source(self.text, end).split("\n")[:-1]
        cut = _ended_line(blocks, lines)
        if cut is not None:
            return shape.place_of_line(self.text, cut, lines)
        if blocks:
            self._shape = shape.settled(self.text, end, blocks[0], lines)
        return None


def _ended_line(blocks: list[list[Token]], lines: list[str]) -> int | None:
    """The line behind the last block that has ended: a block has ended where a line is no longer part of it."""
    if not blocks:
        # Blank lines and definitions of links, which a blank line ends.
        return len(lines) if not lines[-1].strip() else None
    last = blocks[-1][0]
    start, end = _lines_of(last)
    if last.type in _SELF_CONTAINED or (last.type == "fence" and _fence_is_closed(last, lines[start:end])):
        return end
    behind = lines[end:]
    if behind and (any(map(str.strip, behind)) or last.type not in _LISTS | {"code_block"}):
        return end
    return _lines_of(blocks[-2][0])[1] if len(blocks) > 1 else None


def _lines_of(token: Token) -> tuple[int, int]:
    assert token.map is not None, "each top-level block knows its lines"
    return token.map[0], token.map[1]


def _fence_is_closed(token: Token, lines: list[str]) -> bool:
    return len(lines) > 1 and _closing_fence(token.markup).match(lines[-1]) is not None


def _closing_fence(markup: str) -> re.Pattern[str]:
    return re.compile(rf"^ {{0,3}}{re.escape(markup)}{re.escape(markup[0])}*[ \t]*$", re.MULTILINE)


_LAST_TEXT = re.compile(r"</p>(?:</li>|</[uo]l>|</blockquote>|\n)*\Z|</li>(?:</li>|</[uo]l>|\n)*\Z")


# What means itself wherever it stands behind a word. Non-ASCII but for what counts as space or is no character.
_LETTERS = (
    "0-9A-Za-z,.;?!'\"(/%\\-"
    "\u00a1-\u167f\u1681-\u1fff\u2010-\u2027\u2030-\u205e\u2070-\u2fff\u3001-\ud7ff\uf900-\ufefe\uff00-\U0010fffd"
)
_PLAIN = re.compile(f"[{_LETTERS} ]+")
# Marks of lists and quotes, before the first word of a line.
_MARKS = re.compile(r"(?:[-*+>]|\d{1,9}[.)]|[ \t])*")
_AROUND_WORDS = re.compile(r"(?:(?:</span>)?</p>|</li>|</[uo]l>|</blockquote>|\n)+\Z")


class Words:
    """A block that ends in plain words: more of them cannot change what they stand behind, so nothing is read again."""

    def __init__(self, head: str, tail: str, upto: int) -> None:
        self._head, self._tail, self._upto = head, tail, upto

    @classmethod
    def at_the_end_of(cls, text: str, html: str) -> "Words | None":
        """None where the next words may change the ones before: half a number of a list, an address, a definition."""
        end = len(text)
        while end and text[end - 1] == " ":
            end -= 1
        line = text.rfind("\n", 0, end) + 1
        start = max(text.rfind(" ", line, end) + 1, line)
        word = text[start:end]
        if not _PLAIN.fullmatch(word) or not any(map(str.isalnum, word)) or "]:" in text:
            return None
        marks = _MARKS.match(text, line)
        first = marks.end() if marks else line
        tail = _AROUND_WORDS.search(html, max(0, len(html) - 200))
        if (
            tail is None
            or not html.endswith(word, 0, tail.start())
            or not (text[first : first + 1].isalpha() or first < start)
        ):
            return None
        return cls(html[: tail.start()], tail[0], end)

    def html(self, text: str) -> str:
        """The HTML of the whole block, or "" when something else than words has come."""
        if not _PLAIN.fullmatch(text, self._upto):
            return ""
        words = text[self._upto :].rstrip(" ")
        head, self._head = self._head, ""
        head += words
        self._head, self._upto = head, self._upto + len(words)
        return head + self._tail


def _is_much(grown: int, size: int) -> bool:
    return grown * (8 if size < HUGE else 4) >= size


class _Shown:
    """HTML, and what was written since as text behind its last words."""

    def __init__(self, html: str, upto: int) -> None:
        self.upto = self._escaped_to = upto
        self._tail = ""
        # The pattern would be tried at each tag of the block; it can only be met near its end.
        found = _LAST_TEXT.search(html, max(0, len(html) - 200))
        cut = found.start() if found else len(html)
        self._head, self._foot = html[:cut], html[cut:]
        self._around = ("", "") if found else ('<p class="md-tail">', "</p>")

    def html(self, text: str, end: int) -> str:
        """The HTML with `text` up to `end` behind it; what was escaped for an earlier look stays so."""
        if end > self._escaped_to:
            tail, self._tail = self._tail, ""
            tail += escape(text[self._escaped_to : end])
            self._tail, self._escaped_to = tail, end
        before, after = self._around if self._tail.strip() else ("", "")
        return "".join((self._head, before, self._tail, after, self._foot))


_SENTENCE_END = re.compile(r"[.!?,;:] (?=[^\W_])|[。！？，；：](?=[^\W_])")
# What may belong together with a mark that is still to come.
_LOOSE_MARK = re.compile(r"[*`~\[$]|(?<![^\W_])_|_(?![^\W_])")


def _has_loose_mark(inline: Token) -> bool:
    found = (child for child in inline.children or () if child.type in ("text", "text_special"))
    return "\\" in inline.content or any(_LOOSE_MARK.search(child.content) for child in found)


class _Sentences:
    """The beginning of a long paragraph that nothing behind it can change: its HTML, and how far it goes."""

    def __init__(self) -> None:
        self.html = ""
        self.upto = self.shown_to = self._tried_at = 0

    @property
    def before(self) -> str:
        """What stands for them where the rest is read by itself: some word."""
        return "x " if self.html else ""

    def may_go_on(self, text: str) -> bool:
        left = len(text) - self.upto
        return left > FEW_SENTENCES and _is_much(len(text) - self._tried_at, left)

    def end(self, text: str) -> int:
        """The end of a sentence; 0 when there is none. What is written now may still belong to what stands before it."""
        self._tried_at = len(text)
        latest = len(text) - FEW_SENTENCES // 3
        ends = [found.end() for found in _SENTENCE_END.finditer(text, max(self.upto, latest - 1_000), latest)]
        return ends[-1] if ends else 0

    def keep(self, html: str, text: str, end: int) -> None:
        if html:
            space = " " if text[end - 1] == " " else ""
            self.html += f"<span>{html.removesuffix('</p>')}{space}</span>"
            self.upto = end


class Whole:
    """A block that is read from its start."""

    _signal = re.compile(r"\n[ \t]*\n")

    def __init__(self, references: dict[str, Any]) -> None:
        self._references = references
        self.start = 0
        self._spent = 0
        self._shown = _Shown("", 0)
        self._sentences = _Sentences()

    def may_have_ended(self, text: str, checked_to: int, end: int) -> bool:
        """Tell whether it is worth a look; a look costs as much as there is to read."""
        size = end - self.start
        if size <= SMALL or (end - checked_to) * 2 >= size:
            return True
        affordable = self._spent < MAX_READINGS * end
        return affordable and self._signal.search(text, max(checked_to - 1, 0), end) is not None

    def source(self, text: str, end: int) -> str:
        return text[self.start : end]

    def structure(self, text: str, end: int) -> list[list[Token]]:
        source = self.source(text, end)
        self._spent += len(source)
        tokens: list[Token] = []
        parser.block.parse(source, parser, {"references": self._references}, tokens)
        return list(top_level(tokens))

    def fits(self, token: Token) -> bool:
        return True

    def place_of_line(self, text: str, line: int, lines: Sequence[str]) -> int:
        return self.start + sum(map(len, lines[:line])) + line

    def settled(self, text: str, end: int, block: list[Token], lines: list[str]) -> "Whole":
        """How the block is read from now on, now that its kind is known."""
        kind = block[0].type
        if kind == "fence":
            start, _ = _lines_of(block[0])
            return Fence(self._references, block[0], self.place_of_line(text, start + 1, lines))
        if kind in _LISTS:
            return List(self._references, kind).settled(text, end, block, lines)
        if kind == "table_open":
            table = Table(self._references, text, self.place_of_line(text, _lines_of(block[0])[0], lines))
            return table.settled(text, end, block, lines)
        return self

    def is_rendered(self, text: str) -> bool:
        """Whether `html` has rendered all of it, so that nothing stands behind it as text."""
        return len(text) - self.start <= SMALL or len(text) in (self._shown.upto, self._sentences.shown_to)

    def html(self, text: str) -> str:
        size = len(text) - self.start
        if size > FEW_SENTENCES and (html := self._long_paragraph(text)):
            return html
        if size <= SMALL:
            return self._render(text)
        if _is_much(len(text) - self._shown.upto, size):
            # What is behind it comes as text: nothing that was left out may stand before it.
            upto = self.start + whole_end(text[self.start :])
            self._shown = _Shown(self._render(text[:upto], holds_back=False), upto)
        return self._shown.html(text, len(text))

    def _long_paragraph(self, text: str) -> str:
        """The sentences that are complete as they are, and the rest read behind them; "" where that cannot be told."""
        kept = self._sentences
        if kept.may_go_on(text) and (end := kept.end(text)):
            kept.keep(
                self._one_paragraph(text[kept.upto : end].rstrip(" "), before=kept.before, is_open=False), text, end
            )
        if not kept.html or len(text) - kept.upto > SMALL:
            return ""
        rest = self._one_paragraph(text[kept.upto :], before=kept.before, is_open=True)
        if not rest:
            return ""
        kept.shown_to = len(text)
        # Elements of their own, so that a change in the last one does not send the others again.
        return f"<p>{kept.html}<span>{rest.replace('</p>', '</span></p>', 1)}"

    def _one_paragraph(self, source: str, *, before: str, is_open: bool) -> str:
        """The HTML of a part of a paragraph and, when it is open, of what follows, without the opening tag."""
        blocks, env = self._parsed(before + source, is_open=is_open)
        html = "".join(html_of(block, env) for block in blocks)
        start = f"<p>{before}"
        if not html.startswith(start) or (not is_open and (len(blocks) > 1 or _has_loose_mark(blocks[0][1]))):
            return ""
        return html.removeprefix(start)

    def _render(self, text: str, *, holds_back: bool = True) -> str:
        blocks, env = self._parsed(text[self.start :], holds_back=holds_back)
        return "".join(html_of(block, env) for block in blocks)

    def _parsed(self, source: str, *, is_open: bool = True, holds_back: bool = True) -> tuple[list[list[Token]], Env]:
        if is_open and holds_back:
            source = source[: half_line(source)]
        env: Env = {"references": dict(self._references), "open": is_open}
        return list(top_level(parser.parse(source, env))), env


# The browser lays out anew all of the element that a line is added to: with ten thousand lines in one, each frame
# took a tenth of a second.
LINES_IN_PART = 100
_PART = '<span class="code__part">'
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class Fence(Whole):
    """Code that is being written: text, in parts where it is long, and coloured when it closes."""

    def __init__(self, references: dict[str, Any], token: Token, start: int) -> None:
        super().__init__(references)
        self._body = self._read_to = start
        self._closing = _closing_fence(token.markup)
        self._may_close = re.compile(rf" {{0,3}}{re.escape(token.markup[0])}+[ \t]*")
        self._html = code_head(language_of(token.info))
        self._html_to = start
        self._lines = 0
        self._end_of_part = ""

    def may_have_ended(self, text: str, checked_to: int, end: int) -> bool:
        found = self._closing.search(text, self._read_to, end)
        self._read_to = end
        return found is not None

    def is_rendered(self, text: str) -> bool:
        return False

    def html(self, text: str) -> str:
        line = text.rfind("\n", self._body) + 1
        to = line if line and self._may_close.fullmatch(text, line) else len(text)
        if to > self._html_to:
            html, self._html = self._html, ""
            html += self._in_parts(text[self._html_to : to])
            self._html, self._html_to = html, to
        return self._html + self._end_of_part + CODE_TAIL

    def _in_parts(self, code: str) -> str:
        found = []
        for line in _LINE.findall(code):
            if self._lines >= LINES_IN_PART:
                found += [self._end_of_part, _PART]
                self._end_of_part, self._lines = "</span>", 0
            found.append(escape(line))
            self._lines += line.endswith("\n")
        return "".join(found)


class List(Whole):
    """Items that are followed by another item stay as they are; the last one is read."""

    _signal = re.compile(r"\n(?=\S)|\n[ \t]*\n")

    def __init__(self, references: dict[str, Any], kind: str) -> None:
        super().__init__(references)
        self._kind = kind
        self._is_loose = False
        self._tag = ""
        self._items = ""

    def fits(self, token: Token) -> bool:
        return token.type == self._kind

    def settled(self, text: str, end: int, block: list[Token], lines: list[str]) -> Whole:
        if _is_loose(block) and not self._is_loose:
            self._is_loose = True
            if self._items:
                self._tag, self._items, self.start = "", "", 0
                block = self.structure(text, end)[0]
                lines = self.source(text, end).split("\n")[:-1]
        last = max(_lines_of(token)[0] for token in block if token.type == "list_item_open" and token.level == 1)
        place = self.place_of_line(text, last, lines)
        if place > self.start and last > _lines_of(block[0])[0]:
            blocks, env = self._parsed(text[self.start : place], is_open=False)
            self._keep(html_of(self._spaced(blocks[0]), env))
            self.start = place
        return self

    def _long_paragraph(self, text: str) -> str:
        return ""

    def _keep(self, html: str) -> None:
        tag, inner, _ = _split(html)
        self._tag = self._tag or f"{tag}\n"
        items, self._items = self._items, ""
        items += inner.lstrip("\n")
        self._items = items

    def _render(self, text: str, *, holds_back: bool = True) -> str:
        blocks, env = self._parsed(text[self.start :], holds_back=holds_back)
        if not blocks or blocks[0][0].type != self._kind:
            known = self._tag + self._items + f"</{self._tag[1:3]}>" if self._items else ""
            return _Shown(known, self.start).html(text, len(text))
        html = html_of(self._spaced(blocks[0]), env)
        if self._items:
            _, inner, closing = _split(html)
            html = "".join((self._tag, self._items, inner.lstrip("\n"), closing))
        if len(blocks) > 1:
            html += "".join(html_of(block, env) for block in blocks[1:])
        return html

    def _spaced(self, block: list[Token]) -> list[Token]:
        """One blank line between two items spaces all of them."""
        if self._is_loose:
            for token in block:
                if token.level == 2 and token.type in ("paragraph_open", "paragraph_close"):
                    token.hidden = False
        return block


def _is_loose(block: list[Token]) -> bool:
    return any(token.type == "paragraph_open" and token.level == 2 and not token.hidden for token in block)


def _split(html: str) -> tuple[str, str, str]:
    """The opening tag, what is inside, and the closing tag of one element."""
    start, end = html.index(">") + 1, html.rindex("</")
    return html[:start], html[start:end], html[end:]


class Table(Whole):
    """Rows that are complete stay as they are. A row appears when its line is complete."""

    def __init__(self, references: dict[str, Any], text: str, start: int) -> None:
        super().__init__(references)
        body = text.index("\n", text.index("\n", start) + 1) + 1
        self._head = text[start:body]
        self.start = body
        self._rows = ""
        self._rows_shown = 0
        self._before, self._after = self._frame()
        self._shown = _Shown(self._before + self._after, body)
        # Where the parser may end a table, because it had to fill in too many cells, all of it is read.
        self._rows_left = MAX_AUTOCOMPLETED_CELLS // self._before.count("<th")

    def _frame(self) -> tuple[str, str]:
        blocks, env = self._parsed(self._head, is_open=False)
        html = html_of(blocks[0], env)
        end = html.rindex("</table>")
        return html[:end], html[end:]

    def source(self, text: str, end: int) -> str:
        return self._head + text[self.start : end]

    def place_of_line(self, text: str, line: int, lines: Sequence[str]) -> int:
        return self.start - len(self._head) + sum(map(len, lines[:line])) + line

    def fits(self, token: Token) -> bool:
        return token.type == "table_open"

    def settled(self, text: str, end: int, block: list[Token], lines: list[str]) -> Whole:
        blocks, env = self._parsed(self.source(text, end), is_open=False)
        html = html_of(blocks[0], env)
        self._rows_left -= html.count("<tr>") - 1
        if self._rows_left < 0:
            return Whole(self._references)
        body = html.find("<tbody>")
        if body >= 0:
            self._rows += html[body + len("<tbody>") : html.rindex("</tbody>")].lstrip("\n")
        self.start = end
        return self

    def is_rendered(self, text: str) -> bool:
        return False

    def html(self, text: str) -> str:
        # The browser is sent the whole table each time, so a long one is shown in larger steps.
        unseen = len(self._rows) - self._rows_shown
        if unseen and (len(self._rows) <= SMALL or _is_much(unseen, len(self._rows))):
            html = "".join((self._before, "<tbody>\n", self._rows, "</tbody>\n", self._after))
            self._shown, self._rows_shown = _Shown(html, self.start), len(self._rows)
        return self._shown.html(text, self.start)
