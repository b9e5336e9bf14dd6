"""The Markdown that models write: CommonMark, tables, strikethrough, task lists, bare links, TeX and cited pages.

Every block rule here decides by lines that are already complete, and never takes back a block that was
followed by another: that is what lets `LiveMarkdown` close blocks for good while the text still grows.
Markup that a model writes itself is text (`html` is off); links and images are reduced to what may leave
the page. The result still passes the sanitiser in `markdown`.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.rules_block import StateBlock, table
from markdown_it.rules_core import StateCore
from markdown_it.rules_inline import StateInline
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict

from chat.rendering import math
from chat.rendering.escape import escape
from chat.rendering.highlight import highlight

# Containers deeper than this are shown as text; a list item counts two.
MAX_BLOCK_DEPTH = 18
MAX_INLINE_DEPTH = 16
MAX_COLUMNS = 64
MAX_INLINE_MATH = 2_000
MAX_URL = 2_000
MAX_LANGUAGE = 30

_LINKED = re.compile(r"(?:https?://|mailto:)[^\s]", re.IGNORECASE)
# Parsed, but not linked: places inside the model's own sandbox or of no page; pictures carried in the text.
_INERT = re.compile(r"(?:[#/]|\.\.?/|sandbox:|made:|data:image/)", re.IGNORECASE)
# Of those, what the model made: marked here, and pointed at our copy in `made`.
_MADE = re.compile(r"(?:sandbox|made):", re.IGNORECASE)
# "(p. 7)", "[pp. 3–5]", and of one of several documents "(report.pdf, p. 7)"
_PAGES = r"pp?\.\s?(\d{1,5})(?:\s?[–-]\s?\d{1,5})?"
_FILE = r"(?:((?:[^()\[\]\n]|\([^()\[\]\n]{0,60}\)){1,150}?\.[Pp][Dd][Ff]),\s)?"
_PAGE_REF = re.compile(rf"\({_FILE}{_PAGES}\)|\[{_FILE}{_PAGES}\]")


def build_parser() -> MarkdownIt:
    options = {"html": False, "xhtmlOut": False, "tasklists": True, "maxNesting": MAX_BLOCK_DEPTH + 2}
    md = MarkdownIt("commonmark", options, renderer_cls=AnswerRenderer).enable(["table", "strikethrough"])
    md.validateLink = _is_link_or_inert  # type: ignore[method-assign]
    md.block.ruler.at("table", narrow_table, {"alt": ["paragraph", "reference"]})
    md.block.ruler.before("table", "too_deep", too_deep)
    md.block.ruler.before("fence", "math_block", math_block, {"alt": ["paragraph", "reference", "blockquote", "list"]})
    md.inline.ruler.before("escape", "math_inline", math_inline)
    md.inline.ruler.push("bare_link", bare_link)
    md.core.ruler.before("inline", "mark_open_end", mark_open_end)
    md.core.ruler.push("settle_inline", settle_inline)
    return md


def _is_link_or_inert(url: str, validator: object = None) -> bool:
    return bool(_LINKED.match(url) or _INERT.match(url))


# Blocks


def too_deep(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """Show what is nested beyond all reason as one paragraph of text; the parser itself would drop it."""
    if state.level < MAX_BLOCK_DEPTH or silent:
        return False
    line = start + 1
    while line < end and (state.isEmpty(line) or state.sCount[line] >= state.blkIndent):
        line += 1
    _push_text(state, "plain", start, line)
    return True


def narrow_table(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    """A table of a width that a page can show; short rows of a wide one are filled up, which costs."""
    if start + 2 > end or state.src.count("|", state.bMarks[start + 1], state.eMarks[start + 1]) > MAX_COLUMNS + 1:
        return False
    return table(state, start, end, silent)


_MATH_CLOSER = {"$$": "$$", "\\[": "\\]"}
_AFTER_MATH = re.compile(r"[\s.,;:]*")
# Inside a paragraph a formula may begin only where it cannot be prose.
_INTERRUPTS = re.compile(r"\s*(?:$|\\(?!\])|\\?[a-zA-Z]+\s*(?:[=^_({]|\\))")


def math_block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    r"""`$$ … $$` or `\[ … \]` on lines of its own, up to the closing mark or the next blank line.

    Without the closing mark the same lines are a paragraph, so that a formula half written never decides
    about what follows the blank line.
    """
    if state.is_code_block(start):
        return False
    position = state.bMarks[start] + state.tShift[start]
    opener = state.src[position : position + 2]
    if opener not in _MATH_CLOSER:
        return False
    first = state.src[position + 2 : state.eMarks[start]]
    closer = _MATH_CLOSER[opener]
    found = _math_end(first, closer)
    if found == "inside" or (found is None and silent and not _INTERRUPTS.match(first)):
        return False
    if silent:
        return True
    lines = [first]
    line = start + 1
    while found is None and line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
        lines.append(state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]])
        found = _math_end(lines[-1], closer)
        line += 1
    if found is None or found == "inside":
        while line < end and not state.isEmpty(line) and state.sCount[line] >= state.blkIndent:
            line += 1
        if found is None and state.env.get("open"):
            _push_text(state, "math_unfinished", start, line)
        else:
            _push_paragraph(state, start, line)
        return True
    last = lines[-1].rstrip()
    cut = last.rindex(closer)
    lines[-1] = last[:cut] + last[cut + 2 :]
    token = state.push("math_block", "math", 0)
    token.content = "\n".join(lines)
    token.map = [start, line]
    state.line = line
    return True


def _math_end(line: str, closer: str) -> str | None:
    """`end` when the line ends the formula, `inside` when prose follows the mark, None without the mark."""
    at = line.find(closer)
    if at < 0:
        return None
    return "end" if _AFTER_MATH.fullmatch(line, at + 2) else "inside"


def _push_text(state: StateBlock, kind: str, start: int, end: int) -> None:
    token = state.push(kind, "p", 0)
    token.map = [start, end]
    token.content = state.getLines(start, end, state.blkIndent, False).strip()
    state.line = end


def _push_paragraph(state: StateBlock, start: int, end: int) -> None:
    token = state.push("paragraph_open", "p", 1)
    token.map = [start, end]
    token = state.push("inline", "", 0)
    token.map = [start, end]
    token.content = state.getLines(start, end, state.blkIndent, False).strip()
    token.children = []
    state.push("paragraph_close", "p", -1)
    state.line = end


# Inside a block


def math_inline(state: StateInline, silent: bool) -> bool:
    r"""`\( … \)`, `\[ … \]`, `$ … $` and `$$ … $$` in a line; a price is not a formula."""
    mark = state.src[state.pos]
    if mark == "\\":
        return _delimited_math(state, silent, {"\\(": "\\)", "\\[": "\\]"})
    if mark != "$":
        return False
    if state.src.startswith("$$", state.pos):
        return _delimited_math(state, silent, {"$$": "$$"})
    return _dollar_math(state, silent)


def _delimited_math(state: StateInline, silent: bool, marks: dict[str, str]) -> bool:
    start = state.pos + 2
    opener = state.src[state.pos : start]
    if opener not in marks:
        return False
    end = state.src.find(marks[opener], start, min(state.posMax, start + MAX_INLINE_MATH))
    if end < 0 or not state.src[start:end].strip():
        return False
    _push_math(state, silent, state.src[start:end], end + 2, display=opener != "\\(")
    return True


def _dollar_math(state: StateInline, silent: bool) -> bool:
    src, start = state.src, state.pos + 1
    limit = min(state.posMax, start + MAX_INLINE_MATH)
    if start >= limit or src[start].isspace() or (state.pos and _is_word(src[state.pos - 1])):
        return False
    end = src.find("$", start, limit)
    while end > 0 and src[end - 1] == "\\":
        end = src.find("$", end + 1, limit)
    if end <= start or src[end - 1].isspace():
        return False
    if end + 1 < state.posMax and (src[end + 1] == "$" or _is_word(src[end + 1])):
        return False
    _push_math(state, silent, src[start:end], end + 1, display=False)
    return True


def _is_word(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _push_math(state: StateInline, silent: bool, source: str, end: int, *, display: bool) -> None:
    if not silent:
        token = state.push("math_inline", "math", 0)
        token.content = source
        token.meta = {"display": display}
    state.pos = end


# Letters of other scripts end a bare link: Chinese text follows an address without a space.
_REST_OF_URL = re.compile(rf"://[A-Za-z0-9\[][^\s<>\"`|\\^{{}}\x00-\x20\x7f-\U0010ffff]{{0,{MAX_URL}}}")
_SCHEME = re.compile(r"(?:^|[^A-Za-z0-9])(https?)$")
_TRAILING = "?!.,:;*_~'\"[]"


def bare_link(state: StateInline, silent: bool) -> bool:
    """Link `https://…` where it stands in the text. A link that touches the open end may be half an address."""
    if silent or state.linkLevel or state.src[state.pos] != ":" or not state.src.startswith("://", state.pos):
        return False
    pending = state.pending
    scheme = _SCHEME.search(pending[-6:])
    rest = _REST_OF_URL.match(state.src, state.pos, state.posMax)
    if scheme is None or rest is None:
        return False
    if rest.end() == len(state.src) and state.src == state.env.get("open_end"):
        return False
    address = _without_trailing_punctuation(scheme[1] + rest[0])
    if not _LINKED.match(address) or not host_of(address):
        return False
    state.pending = pending[: -len(scheme[1])]
    _push_link(state, address)
    state.pos += len(address) - len(scheme[1])
    return True


def _without_trailing_punctuation(address: str) -> str:
    while address:
        last = address[-1]
        if last in _TRAILING or (last == ")" and address.count(")") > address.count("(")):
            address = address[:-1]
        else:
            break
    return address


def _push_link(state: StateInline, address: str) -> None:
    token = state.push("link_open", "a", 1)
    token.attrs = {"href": state.md.normalizeLink(address)}
    token = state.push("text", "", 0)
    token.content = address
    state.push("link_close", "a", -1)


def host_of(url: str) -> str:
    """The host as it is on the wire (punycode stays visible), or an empty string."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


# Between parsing and rendering


def mark_open_end(state: StateCore) -> None:
    """Tell the inline rules which text is still being written, and close the marks that it ends in."""
    if not state.env.get("open"):
        return
    last = next((token for token in reversed(state.tokens) if token.type == "inline" and token.content), None)
    if last is None:
        return
    if all(token.nesting == -1 for token in state.tokens[state.tokens.index(last) + 1 :]):
        last.content = with_marks_closed(last.content)
    state.env["open_end"] = last.content


def with_marks_closed(text: str) -> str:
    """`text` as it will read when what its end begins is complete: no stars, ticks or halves of addresses meanwhile.

    A guess for the moment, made where little can follow but what is expected: a block that ends is read anew.
    """
    return _with_bold_closed(_with_italics_closed(_with_code_closed(_without_half_address(text))))


# Possessive where it repeats: otherwise what opens and opens again is tried in all ways.
_HALF_LINK = re.compile(
    r"""(!?)\[([^\[\]`\\\n]{1,300})\]\("""
    r"""(?:<([^<>\n]*)|((?:[^()\s<>]|\([^()\s<>]*+(?:\)|\Z)){0,2000}+)(?:[ ](?:"[^"\n]*+"?|'[^'\n]*+'?))?)\Z"""
)
_HALF_IMAGE = re.compile(r"!\[[^\[\]`\n]{0,300}\]?\Z")
_ADDRESSES = ("http://", "https://", "mailto:", "#", "/", "./", "../", "sandbox:", "made:", "data:image/")


def _without_half_address(text: str) -> str:
    """A link is its words until its address is there; a picture is nothing."""
    found = _HALF_LINK.search(text, max(0, text.rfind("](") - 301))
    if found is None:
        image = _HALF_IMAGE.search(text, max(0, text.rfind("![")))
        return text if image is None or text.count("`", 0, image.start()) % 2 else text[: image.start()]
    address = (found[3] or found[4] or "").lower()
    is_likely = any(address.startswith(known) or known.startswith(address) for known in _ADDRESSES)
    is_index = not found[1] and found.start() > 0 and text[found.start() - 1].isalnum()
    if not is_likely or is_index or text.count("`", 0, found.start()) % 2:
        return text
    return text[: found.start()] + ("" if found[1] else found[2])


GUESSED = 100  # characters on one line: for more of them no mark is guessed

_TICKS = re.compile("`+")


def _with_code_closed(text: str) -> str:
    ticks = list(_TICKS.finditer(text))
    if not ticks or any(found.end() - found.start() > 1 for found in ticks[:-1]):
        return text
    last = ticks[-1]
    if len(ticks) % 2 == 0 or (last.start() and (text[last.start() - 1] == "\\" or text[last.start() - 1].isalnum())):
        return text
    code = text[last.end() :].rstrip()
    if not code:
        return text[: last.start()]
    is_likely = last.end() - last.start() == 1 and len(code) <= GUESSED and "\n" not in code
    return f"{text[: last.end()]}{code}`" if is_likely else text


_BARE_MARK = re.compile(r"(?<![\\*])\*\*?\Z")
_BOLD_MARK = re.compile(r"(?<![\\*])\*\*(?!\*)")
_STAR = re.compile(r"(?<![\\*])\*(?!\*)")
_CODE_SPAN = re.compile(r"`[^`]*`")
# What may stand among the words without ending them: code, links, the beginning of one.
_INSIDE = re.compile(r"`[^`]*`|\[[^\[\]]*\]\([^()\s]*\)|\[[^\[\]()]*\]?\Z")
_NOT_PLAIN = frozenset("*`[]\\<$")
_NEXT_SENTENCE = re.compile(r"[.!?] ")


def _with_italics_closed(text: str) -> str:
    bare = _CODE_SPAN.sub(lambda code: "x" * len(code[0]), text)
    stars = [star.start() for star in _STAR.finditer(bare)]
    if len(stars) % 2 == 0 or (stars[-1] and bare[stars[-1] - 1].isalnum()) or "`" in bare:
        return text
    words = text[stars[-1] + 1 :]
    if not _are_plain(words) or len(words) > GUESSED or "\n" in words or _NEXT_SENTENCE.search(words):
        return text
    return f"{text[: stars[-1]]}*{words.rstrip()}*{words[len(words.rstrip()) :]}"


def _with_bold_closed(text: str) -> str:
    bare = _BARE_MARK.search(text)
    if bare and text.count("*", 0, bare.start()) % 2 == 0:
        text = text[: bare.start()]
    at = max((mark.start() for mark in _BOLD_MARK.finditer(text)), default=-1)
    before, words = text[: max(at, 0)], text[at + 2 :].removesuffix("*")
    if at < 0 or not _are_plain(words):
        return text
    if before.count("`") % 2 or _CODE_SPAN.sub("", before).count("**") % 2:
        return text
    bold = words.rstrip()
    return f"{before}**{bold}**{words[len(bold) :]}"


def _are_plain(words: str) -> bool:
    words = _INSIDE.sub("x", words)
    return words[:1].isalnum() and _NOT_PLAIN.isdisjoint(words) and "://" not in words


# A mark of a list, a line below a heading, or the first lines of a table: what they mean is known with what follows.
_HALF_MARK = re.compile(r"[ \t>]*(?:[-+*=_][-+*=_ \t]*|\d{1,9}(?:[.)][ \t]*)?)")
_ROW = re.compile(r"[ \t>]*\|[^\n]{0,200}")
_DELIMITERS = re.compile(r"[ \t>]*(?:\||:?-+:?[ \t]*\|)[ \t|:-]*")


def half_line(text: str) -> int:
    """Where the lines at the end of an open text begin that are better not shown yet; its length where there are none."""
    line = text.rfind("\n") + 1
    if not text[line:].strip(" \t>"):
        return _lone_row(text, line)
    if _HALF_MARK.fullmatch(text, line):
        # A number that is the whole answer, or a line drawn through it, is no mark.
        return line if line or not (text[:1].isdigit() or text.startswith(("---", "==="))) else len(text)
    if _DELIMITERS.fullmatch(text, line):
        return min(_lone_row(text, line), line)
    return line if _ROW.fullmatch(text, line) else len(text)


def _lone_row(text: str, end: int) -> int:
    """Where the line begins that ends there, if it can be the head of a table, and no line of one; else the text's length."""
    line = text.rfind("\n", 0, max(end - 1, 0)) + 1
    before = text.rfind("\n", 0, max(line - 1, 0)) + 1
    is_lone = (
        line < end and _ROW.fullmatch(text, line, end - 1) and not (line and _ROW.fullmatch(text, before, line - 1))
    )
    return line if is_lone else len(text)


def whole_end(text: str) -> int:
    """How far an open text goes without anything that is not shown as it stands: what comes next may be put behind that."""
    end = len(text)
    for _ in range(2):  # a mark of a list behind the head of a table
        if (cut := half_line(text[:end])) < end:
            end = len(text[:cut].rstrip())
    last = text.rfind("\n", 0, end) + 1
    shown = with_marks_closed(text[last:end])
    for at, letter in enumerate(text[last:end]):
        if shown[at : at + 1] != letter:
            return last + at
    return end


def settle_inline(state: StateCore) -> None:
    """Take away links that lead nowhere allowed, and emphasis nested beyond what a browser draws; mark cited pages."""
    for block in state.tokens:
        if block.children:
            _settle(block.children)
            if "p." in block.content:
                block.children = list(_with_page_refs(block.children))


def _with_page_refs(tokens: list[Token]) -> Iterator[Token]:
    links = 0
    for token in tokens:
        links += (token.type == "link_open") - (token.type == "link_close")
        if token.type == "text" and not links:
            yield from _page_refs(token)
        else:
            yield token


def _page_refs(token: Token) -> Iterator[Token]:
    end = 0
    for found in _PAGE_REF.finditer(token.content):
        if end < found.start():
            yield token.copy(content=token.content[end : found.start()])
        file, page = (found[1], found[2]) if found[2] else (found[3], found[4])
        yield token.copy(type="page_ref", content=found[0], meta={"page": int(page), "file": file or ""})
        end = found.end()
    if end < len(token.content):
        yield token.copy(content=token.content[end:])


def _settle(tokens: list[Token]) -> None:
    depth = 0
    inert = False
    for token in tokens:
        address = str(token.attrs.get("href", "")) if token.type == "link_open" else ""
        if _MADE.match(address):
            token.attrs = {"class": "made-link", "data-made": address}
        elif token.type == "link_open" and not _LINKED.match(address):
            inert = True
            token.tag, token.attrs = "span", {"class": "link-inert"}
        elif token.type == "link_close" and inert:
            inert = False
            token.tag = "span"
        depth -= token.nesting == -1
        if depth >= MAX_INLINE_DEPTH and token.nesting:
            token.hidden = True
        depth += token.nesting == 1


# Rendering

_Tokens = Sequence[Token]


class AnswerRenderer(RendererHTML):
    """Markup with classes only: the content security policy refuses inline style and script."""

    def heading_open(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<h{_level(tokens[idx])}>"

    def heading_close(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"</h{_level(tokens[idx])}>\n"

    def table_open(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return '<div class="table-wrap"><table>\n'

    def table_close(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return "</table></div>\n"

    def th_open(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return _cell(tokens[idx])

    def td_open(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return _cell(tokens[idx])

    def fence(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        language = language_of(token.info)
        # The fence that is still being written is coloured once, when it closes.
        is_open = env.get("open") and idx >= len(tokens) - 1 - _closers_at_end(tokens)
        return code_block_html(language, escape(token.content) if is_open else highlight(token.content, language))

    def code_block(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return code_block_html("", escape(tokens[idx].content))

    def math_block(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<div class="math-block">{math.to_html(tokens[idx].content, display=True)}</div>\n'

    def math_inline(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        return math.to_html(token.content, display=token.meta["display"])

    def page_ref(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        file = f' data-file="{escape(token.meta["file"])}"' if token.meta["file"] else ""
        return f'<span class="page-ref" data-page="{token.meta["page"]}"{file}>{escape(token.content)}</span>'

    def math_unfinished(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return f'<p><code class="math-source">{escape(tokens[idx].content)}</code></p>\n'

    def plain(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        return f"<p>{escape(tokens[idx].content)}</p>\n"

    def image(self, tokens: _Tokens, idx: int, options: OptionsDict, env: EnvType) -> str:
        token = tokens[idx]
        alt = self.renderInlineAsText(token.children, options, env)
        source = str(token.attrs.get("src", ""))
        if _MADE.match(source):
            return f'<span class="made-image" data-made="{escape(source)}">{escape(alt)}</span>'
        host = host_of(source) if _LINKED.match(source) else ""
        if not host:
            return f'<span class="image-dropped">{escape(alt)}</span>'
        return (
            f'<span class="remote-image" data-src="{escape(source)}" data-alt="{escape(alt)}">'
            f'<button type="button" class="remote-image__show" data-show-image>Show image from {escape(host)}</button>'
            f"</span>"
        )


def _level(token: Token) -> int:
    """The page's own outline uses h1 and h2."""
    return min(int(token.tag[1]) + 2, 6)


def _cell(token: Token) -> str:
    align = str(token.attrs.get("style", "")).removeprefix("text-align:")
    return f'<{token.tag} class="align-{align}">' if align else f"<{token.tag}>"


def _closers_at_end(tokens: _Tokens) -> int:
    count = 0
    while count < len(tokens) and tokens[-1 - count].nesting == -1:
        count += 1
    return count


def language_of(info: str) -> str:
    words = info.split(maxsplit=1)
    return words[0][:MAX_LANGUAGE] if words else ""


def code_block_html(language: str, inner: str) -> str:
    """The one structure of code in an answer; `inner` is safe HTML already."""
    return f"{code_head(language)}{inner}{CODE_TAIL}\n"


def code_head(language: str) -> str:
    return (
        f'<div class="code"><div class="code__bar"><span class="code__lang">{escape(language)}</span>'
        '<button type="button" class="code__copy" data-copy="">Copy</button></div><pre><code class="hl">'
    )


CODE_TAIL = "</code></pre></div>"

ANSWER_CLASSES: dict[str, Any] = {
    "a": {"made-link"},
    "div": {"code", "code__bar", "table-wrap", "math-block"},
    "span": {"code__lang", "remote-image", "image-dropped", "link-inert", "made-image", "page-ref"},
    "code": {"hl", "math-source"},
    "button": {"code__copy", "remote-image__show"},
    "ul": {"contains-task-list"},
    "ol": {"contains-task-list"},
    "li": {"task-list-item"},
    "input": {"task-list-item-checkbox"},
    "th": {"align-left", "align-center", "align-right"},
    "td": {"align-left", "align-center", "align-right"},
}
