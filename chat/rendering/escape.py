"""Text as the rooms below want it: escaped for HTML, and free of what no page or database can carry."""

import re
from html import escape as escape

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


def tidy(text: str) -> str:
    """Return `text` with `\\n` as its only line ending, and U+FFFD for NUL and for halves of surrogate pairs.

    A provider may cut an emoji between two deltas, each half escaped in its own JSON string: halves that
    meet again become the emoji.
    """
    if "\r" in text:
        text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "\0" in text:
        text = text.replace("\0", "\ufffd")
    if _LONE_SURROGATE.search(text):
        text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def names(line: str) -> frozenset[str]:
    """The set of names in one line; a list of forty would fill a screen."""
    return frozenset(line.split())
