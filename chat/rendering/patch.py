"""What the open block gained since a tab saw it last, so that bytes follow the length of the answer.

Two complete HTML strings are compared as text: where the new one is the old one with something put in
before its last closing tags, that something can be appended in the browser instead of sending all again.
"""

import re
from dataclasses import dataclass

from chat.rendering.escape import names

VOID = names("area base br col embed hr img input link meta param source track wbr")

# The browser parses what stands in these by other rules than a fragment sent by itself.
_FOREIGN = names("table caption colgroup thead tbody tfoot tr td th select optgroup option math svg template")
_DROPS_FIRST_NEWLINE = frozenset(("pre", "textarea", "listing"))

_CLOSING = re.compile(r"</([a-z][a-z0-9]*)>")
_TAG = re.compile(r"""<(/?)([a-zA-Z][a-zA-Z0-9-]*)((?:[^<>"']|"[^"]*"|'[^']*')*)>""")
_MAX_DEPTH = 40


@dataclass(frozen=True, slots=True)
class Append:
    """`html` goes to the end of the element `tag`, reached from the block's wrapper by the selector `path`.

    An empty path is the wrapper itself.
    """

    path: str
    tag: str
    html: str


def patch(old: str, new: str) -> Append | None:
    """Return what to append to `old` to make `new`, or None where the block must be replaced."""
    gained = len(new) - len(old)
    if gained < 0:
        return None
    closing = _closing_tags_at_end(old)
    for depth in range(len(closing), -1, -1):
        cut = closing[depth - 1][1] if depth else len(old)
        path = [name for name, _ in closing[:depth]]
        if not new.startswith(old[:cut]) or not new.endswith(old[cut:]):
            continue
        html = new[cut : cut + gained]
        if _may_append(path, html):
            selector = "".join(f">{name}:last-child" for name in path)
            return Append(selector, path[-1] if path else "div", html)
    return None


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


def _may_append(path: list[str], html: str) -> bool:
    if not _FOREIGN.isdisjoint(path):
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
