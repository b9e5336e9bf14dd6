"""A summary of documents: what can be chosen, the words of the question, and what the model has to keep to.

Whatever is stated cites its page as `(p. 7)`, which the page makes a link to it: so that it can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chat.files.errors import quoted
from chat.models import Attachment, Turn
from chat.rendering.escape import tidy

SHORT, DETAILED, CHAPTERS, COMPARE = "short", "detailed", "chapters", "compare"
KINDS = {SHORT: "Short", DETAILED: "Detailed", CHAPTERS: "By chapter", COMPARE: "Compare"}

# Offered; any other can be written.
LANGUAGES = (
    *("English", "German", "French", "Spanish", "Italian", "Portuguese", "Dutch", "Polish", "Russian"),
    *("Chinese (simplified)", "Chinese (traditional)", "Japanese", "Korean"),
)
LANGUAGE_MAX_CHARACTERS = 40
_LANGUAGE = re.compile(r"[^\W\d_](?:[^\W_]|[ ()'’.-])*")

_HOW = {SHORT: " briefly", DETAILED: " in detail", CHAPTERS: " chapter by chapter"}
_SHAPES = {
    SHORT: "Write a short summary: one paragraph of what it is about, then its five to eight main points as a list.",
    DETAILED: "Write a detailed summary under headings of your own, which follow the order of the document.",
    CHAPTERS: "Summarize chapter by chapter: the title of each as a heading, under it what the chapter says. "
    "Without chapters, take the sections that there are.",
    COMPARE: "Compare the documents: what they share, where they differ or contradict each other, and what only one "
    "of them says. Take them point by point, not one after the other.",
}


class Unclear(Exception):
    """What was chosen is no summary that can be written. `sentence` tells the person what to do."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Summary:
    """What a person chose. Without a language it is that of the document."""

    kind: str
    language: str = ""

    def stored(self) -> dict[str, str]:
        return {"kind": self.kind, "language": self.language}


def chosen(kind: str, language: str) -> Summary | None:
    """What a form says; None for a question of the person's own. Raises Unclear."""
    if not kind:
        return None
    language = " ".join(tidy(language).split())
    if kind not in KINDS:
        raise Unclear("This kind of summary does not exist. Reload the page and choose again.")
    if language and (len(language) > LANGUAGE_MAX_CHARACTERS or not _LANGUAGE.fullmatch(language)):
        raise Unclear("Name the language of the summary in a word or two, such as German.")
    return Summary(kind, language)


def of_turn(turn: Turn) -> Summary | None:
    """What a turn asks for; None for a question of the person's own."""
    kept: Any = turn.summary
    return Summary(kept["kind"], kept.get("language", "")) if isinstance(kept, dict) and "kind" in kept else None


def documents(attachments: Sequence[Attachment]) -> list[Attachment]:
    """Those that can be summarized."""
    return [attachment for attachment in attachments if attachment.is_pdf]


def question(summary: Summary, attachments: Sequence[Attachment], added: str = "") -> str:
    """What the page shows as the question; what the person wrote besides stands under it. Raises Unclear."""
    names = [quoted(attachment.name) for attachment in documents(attachments)]
    if not names:
        raise Unclear("Attach a PDF first, then choose its summary.")
    if summary.kind == COMPARE and len(names) < 2:
        raise Unclear("Attach a second PDF to compare, or choose another summary.")
    verb = "Compare" if summary.kind == COMPARE else "Summarize"
    how = _HOW.get(summary.kind, "") + (f", in {summary.language}" if summary.language else "")
    return "\n\n".join(filter(None, [f"{verb} {_listed(names)}{how}.", added]))


def instructions(summary: Summary, attachments: Sequence[Attachment]) -> str:
    """What the model is told besides the question."""
    names = [attachment.name for attachment in documents(attachments)]
    language = summary.language or f"the language of the document{'' if len(names) == 1 else 's'}"
    lines = [
        _SHAPES[summary.kind],
        "State only what the text says. End each statement with the page that it stands on, "
        + _citation(names)
        + " Count pages as the marks in the text or the pages of the file do, from 1; a number that is printed on a page "
        "may be another one. Leave out what you cannot cite.",
        f"Write in {language}.",
    ]
    return "\n".join(lines)


def _citation(names: Sequence[str]) -> str:
    if len(names) == 1:
        return "exactly in the form (p. 7); where there are two, (p. 7) (p. 9)."
    return f"with the file before it, exactly in the form ({names[0]}, p. 7)."


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
