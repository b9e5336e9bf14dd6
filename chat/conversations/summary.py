"""A summary of documents: what can be chosen, the words of the question, and what the model has to keep to.

Whatever is stated cites its page as `(p. 7)`, which the page makes a link to it: so that it can be checked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from chat.conversations.parameters import thrifty_reasoning
from chat.files import estimate, portions
from chat.files.errors import quoted
from chat.models import Attachment, Deployment, Turn
from chat.rendering.escape import tidy
from chat.responses.dialects import Dialect

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


def in_parts(attachments: Sequence[Attachment], deployment: Deployment, dialect: Dialect) -> list[Attachment]:
    """Those that are too long for the model to read at once, all together, and that are read by parts instead."""
    window = deployment.context_window
    readable = [attachment for attachment in documents(attachments) if _has_text(attachment)]
    if not window or sum(estimate.tokens(file, dialect) for file in readable) <= window * estimate.SHARE_FOR_FILES:
        return []
    return readable


def _has_text(attachment: Attachment) -> bool:
    return bool(attachment.text_characters) and attachment.forgotten_at is None


def noted(turn: Turn) -> dict[str, Any] | None:
    """The question as it was asked with notes in the place of files that were read by parts, where it was."""
    if turn.summary is None:
        return None
    items = (item for response in turn.responses.all() for item in response.input or [])
    return next((dict(item) for item in items if portions.stand_in(item)), None)


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


# By parts


def noting(words: int) -> str:
    """What is asked for about some pages of a document."""
    return (
        f"Take notes on these pages for a summary of the whole document, in at most {words} words: what matters, with "
        "names, numbers and results. Write one statement a line. End each line with the page that it stands on, as the "
        "marks say, exactly in the form (p. 7). Where a chapter or section begins, write its title on a line that begins "
        "with ###. Write nothing else."
    )


def condensing(words: int) -> str:
    """What is asked for about notes that are too long themselves."""
    return (
        f"Condense these notes to at most {words} words: keep what matters most of each part of the document. Write one "
        "statement a line, keep the page at its end in the form (p. 7), and keep the lines that begin with ###. "
        "Write nothing else."
    )


def part_request(text: str, wish: str, most: int, deployment: Deployment, dialect: Dialect) -> dict[str, Any]:
    """The body that asks for notes. It is not stored upstream where that can be said."""
    content = [{"type": "input_text", "text": text}, {"type": "input_text", "text": wish}]
    body: dict[str, Any] = {
        "model": deployment.name,
        "input": [{"type": "message", "role": "user", "content": content}],
        "max_output_tokens": most,
    }
    if reasoning := thrifty_reasoning(deployment, dialect):
        body["reasoning"] = reasoning
    if dialect.store:
        body["store"] = False
    return body
