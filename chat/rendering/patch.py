"""What the open block gained since a tab saw it last, so that bytes follow the length of the answer.

Two complete HTML strings are compared as text. Where the new one is the old one with something put in
before each of its last closing tags, that is appended in the browser, to the innermost element first. Where
they differ inside the last list item, sentence, cell or row, its content is swapped, and what follows it is
appended. Only what is left is sent whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from chat.rendering.escape import names

VOID = names("area base br col embed hr img input link meta param source track wbr")

# The browser parses what stands in these by other rules than a fragment sent by itself.
_FOREIGN = names("caption colgroup select optgroup option math svg template table")
_DROPS_FIRST_NEWLINE = frozenset(("pre", "textarea", "listing"))

_CLOSING = re.compile(r"</([a-z][a-z0-9]*)>")
_TAG = re.compile(r"""<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:[^<>"']|"[^"]*"|'[^']*')*)>""")
_MAX_DEPTH = 40
_MAY_HOLD_TAGS = ('title="', 'data-alt="', 'data-src="')


@dataclass(frozen=True, slots=True)
class Append:
    """`html` goes to the end of the element that the selector `path` reaches from the block's wrapper.

    `tag` is the element to send `html` in, so that the browser parses it as what it is. An empty path is
    the wrapper itself.
    """

    path: str
    tag: str
    html: str

    def fragment(self, wrapper_id: str) -> str:
        """The out-of-band swap that takes the step in a page."""
        return f'<{self.tag} hx-swap-oob="beforeend:#{wrapper_id}{self.path}">{self.html}</{self.tag}>'


@dataclass(frozen=True, slots=True)
class Swap:
    """`html` takes the place of all that the element at `path` contains."""

    path: str
    tag: str
    html: str

    def fragment(self, wrapper_id: str) -> str:
        return f'<{self.tag} hx-swap-oob="innerHTML:#{wrapper_id}{self.path}">{self.html}</{self.tag}>'


def patch(old: str, new: str) -> tuple[Append | Swap, ...] | None:
    """Return the smallest steps from `old` to `new`, in their order, or None where the block must be replaced."""
    closing = _closing_tags_at_end(old)
    end = closing[-1][1] if closing else len(old)
    steps = _steps(Append, old, new, closing, end)
    if steps is not None:
        return steps
    for depth, start in zip(range(len(closing), 0, -1), _content_starts(old, closing), strict=False):
        steps = _steps(Swap, old, new, closing[:depth], start)
        if steps is not None:
            return steps
    return None


def _steps(
    first: type[Append] | type[Swap], old: str, new: str, closing: list[tuple[str, int]], start: int
) -> tuple[Append | Swap, ...] | None:
    """The step from `start` on in the innermost element of `closing`, and what each element around it gained then."""
    if not new.startswith(old[:start]):
        return None
    path = [name for name, _ in closing]
    found: list[Append | Swap] = []
    step, known = first, ""
    while True:
        end = _end_of_element(new, start, path[-1]) if path else len(new)
        if end < 0 or not new.startswith(known, start, end):
            return None
        html = new[start + len(known) : end]
        if html or step is Swap:
            if not _may_fill(path, html):
                return None
            found.append(step(_selector(path), _carrier(path), html))
        if not path:
            return tuple(found)
        # Behind the closing tag stands what the element around it had already: space between two tags.
        tag = len(path.pop()) + len("</>")
        start = end + tag
        known = old[closing[len(path)][1] + tag : closing[len(path) - 1][1] if path else len(old)]
        step = Append


def _end_of_element(html: str, start: int, name: str) -> int:
    """Where the tag stands that closes the element which is open at `start`; -1 when another one is closed first."""
    stack: list[str] = []
    for tag in _TAG.finditer(html, start):
        opened = tag[2].lower()
        if not tag[1]:
            if opened not in VOID:
                stack.append(opened)
        elif not stack:
            return tag.start() if opened == name else -1
        elif stack.pop() != opened:
            return -1
    return -1


def _content_starts(html: str, closing: list[tuple[str, int]]) -> Iterator[int]:
    """Where the content of each element begins that one of the last closing tags closes, innermost first.

    From the end, for the beginning of a long block is of no interest; but the values of some attributes may hold
    what looks like a tag from there.
    """
    if any(name in html for name in _MAY_HOLD_TAGS):
        yield from _content_starts_from_the_beginning(html, len(closing))
        return
    at = closing[-1][1] if closing else 0
    for _ in closing:
        closed = 0
        while True:
            at = html.rfind("<", 0, at)
            tag = _TAG.match(html, at) if at >= 0 else None
            if tag is None:
                return
            if tag[1]:
                closed += 1
            elif tag[2].lower() not in VOID:
                if not closed:
                    break
                closed -= 1
        yield tag.end()


def _content_starts_from_the_beginning(html: str, depth: int) -> list[int]:
    stack: list[int] = []
    last: list[int] = []
    for tag in _TAG.finditer(html):
        if not tag[1]:
            if tag[2].lower() not in VOID:
                stack.append(tag.end())
        elif stack:
            last.append(stack.pop())
    # The elements at the end close one after the other, innermost first.
    return last[-depth:] if depth and not stack else []


def _selector(path: list[str]) -> str:
    return "".join(f">{name}:last-child" for name in path)


def _carrier(path: list[str]) -> str:
    last = path[-1] if path else "div"
    return "div" if last in ("td", "th") else last


def _closing_tags_at_end(html: str) -> list[tuple[str, int]]:
    """The closing tags that end `html` with nothing but space between them: (name, position), outermost first."""
    found: list[tuple[str, int]] = []
    end = len(html)
    while len(found) < _MAX_DEPTH:
        while end and html[end - 1].isspace():
            end -= 1
        start = html.rfind("</", max(0, end - 24), end)
        tag = _CLOSING.fullmatch(html, start, end) if start >= 0 else None
        if tag is None:
            break
        found.append((tag[1], start))
        end = start
    return found


def _may_fill(path: list[str], html: str) -> bool:
    """Whether the browser makes of `html`, sent by itself, what it would be at the end of `path`."""
    inside = {name for name in path if name != "table"}
    if not _FOREIGN.isdisjoint(inside) or path[-1:] == ["table"]:
        return False
    if path and path[-1] in _DROPS_FIRST_NEWLINE and html.startswith("\n"):
        return False
    return is_balanced(html)


def is_balanced(html: str) -> bool:
    """Tell whether each tag in `html` is closed in it, in order, and no tag is cut."""
    if "<" not in html:
        return True
    stack: list[str] = []
    end = 0
    for tag in _TAG.finditer(html):
        if "<" in html[end : tag.start()]:
            return False
        end = tag.end()
        closes, name = tag[1], tag[2].lower()
        if closes:
            if not stack or stack.pop() != name:
                return False
        elif name not in VOID:
            stack.append(name)
    return not stack and "<" not in html[end:]
