"""The latest heading in Markdown that is still being written: what a model that thinks aloud is thinking about.

Summaries of reasoning come in parts that each begin with a heading in bold; open models write headings as such.
"""

import re

LONGEST = 120

_HEADING = re.compile(r" {0,3}(?:\*\*(?P<bold>[^*]+)\*\*|#{1,6}[ \t]+(?P<marked>.+?)[ \t]*#*)[ \t]*")
_MARKS = re.compile(r"[*_`]")


class LatestHeading:
    """Reads pieces of text as they come, each once. `text` is the last heading whose line is complete, or ""."""

    def __init__(self) -> None:
        self.text = ""
        self._line = ""

    def read(self, piece: str) -> None:
        *lines, rest = piece.split("\n")
        for line in lines:
            self._end_line(self._line + line)
            self._line = ""
        # A line that is too long to be a heading is not kept.
        self._line = (self._line + rest)[: LONGEST + 1]

    def _end_line(self, line: str) -> None:
        found = _HEADING.fullmatch(line.removesuffix("\r")) if len(line) <= LONGEST else None
        if found is not None:
            self.text = _MARKS.sub("", found["bold"] or found["marked"]).strip()
