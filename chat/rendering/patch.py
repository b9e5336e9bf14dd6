"""What the open block gained since a tab saw it last, so that bytes follow the length of the answer.

Two complete HTML strings are compared as text. Where the new one is the old one with something put in
before its last closing tags, that something is appended in the browser. Where they differ only inside the
last list item, cell or row, its content is swapped. Only what is left is sent whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from chat.rendering.escape import names

VOID = names("area base br col embed hr img input link meta param source track wbr")

# The browser parses what stands in these by other rules than a fragment sent by itself.
_FOREIGN = names("caption colgroup select optgroup option math svg template table")
_DROPS_FIRST_NEWLINE = frozenset(("pre", "textarea", "listing"))

_CLOSING = re.compile(r"</([a-z][a-z0-9]*)>")
_TAG = re.compile(r"""<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:[^<>"']|"[^"]*"|'[^']*')*)>""")
_MAX_DEPTH = 40


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


def patch(old: str, new: str) -> Append | Swap | None:
    """Return the smallest step from `old` to `new`, or None where the block must be replaced."""
    closing = _closing_tags_at_end(old)
    return _append(old, new, closing) or _swap(old, new, closing)


def _append(old: str, new: str, closing: list[tuple[str, int]]) -> Append | None:
    gained = len(new) - len(old)
    if gained < 0:
        return None
    for depth in range(len(closing), -1, -1):
        cut = closing[depth - 1][1] if depth else len(old)
        path = [name for name, _ in closing[:depth]]
        if not new.startswith(old[:cut]) or not new.endswith(old[cut:]):
            continue
        html = new[cut : cut + gained]
        if _may_fill(path, html):
            return Append(_selector(path), _carrier(path), html)
    return None


def _swap(old: str, new: str, closing: list[tuple[str, int]]) -> Swap | None:
    """The deepest of the last elements that holds every difference."""
    starts = _content_starts(old, len(closing))
    for depth in range(len(starts), 0, -1):
        start, end = starts[depth - 1], closing[depth - 1][1]
        after = len(old) - end
        path = [name for name, _ in closing[:depth]]
        if len(new) - after < start or not new.startswith(old[:start]) or not new.endswith(old[end:]):
            continue
        html = new[start : len(new) - after]
        if _may_fill(path, html):
            return Swap(_selector(path), _carrier(path), html)
    return None


def _content_starts(html: str, depth: int) -> list[int]:
    """Where the content of each element begins that the last `depth` closing tags close, outermost first."""
    stack: list[int] = []
    last: list[int] = []
    for tag in _TAG.finditer(html):
        if not tag[1]:
            if tag[2].lower() not in VOID:
                stack.append(tag.end())
        elif stack:
            last.append(stack.pop())
    return last[-depth:][::-1] if depth and not stack else []


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
