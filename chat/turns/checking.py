"""At the end of a summary: whether what it states stands on the pages that it cites.

It is compared by its words, as the notes are that it is made from, when the answer is complete and before its end is
stored: the row then has what came of it, and no page shows an answer that is still to be checked. What was said by the
model stays as it came.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Sequence, Set
from typing import Any

from chat.conversations import summary as summaries
from chat.files import pdf
from chat.files.errors import Refused, StorageAway
from chat.files.portions import stands_in, words_in
from chat.files.storage import on_disk
from chat.models import Attachment
from chat.rendering.answer import text_blocks
from chat.rendering.cited import Citation, Read, Statement, statements_in
from chat.turns.job import Job

logger = logging.getLogger(__name__)

MOST_PAGES = 500  # of all documents, that are read for it
MOST_CITED_AT_ONCE = 50  # pages, as in (pp. 1–50)
READ_SECONDS = 20.0  # of one document

# Of all words that are compared. Below, the answer is in another language than the document. Two that are near, such as
# both ways to write Chinese, share more, so that a language of its own tips the scale.
LEAST_SHARED, LEAST_SHARED_TRANSLATED = 0.25, 0.5

LEAST_HERE = 0.25  # of a statement, on the very pages that it cites

TRANSLATED, UNREADABLE = "translated", "unreadable"


async def check(job: Job) -> None:
    """Compare what a summary states with what it cites. The result goes into the row together with the end."""
    summary = summaries.of_turn(job.turn)
    if summary is None:
        return
    documents = summaries.documents(list(job.turn.attachments.all()))
    job.citations = await asyncio.to_thread(checked, job.draft.output(), documents, bool(summary.language))


def checked(output: Sequence[dict[str, Any]], documents: Sequence[Attachment], may_translate: bool) -> dict[str, Any]:
    """What the row keeps: counts, and the numbers of the citations that do not hold; or why nothing was compared."""
    read = statements_in(text_blocks(output))
    kept: dict[str, Any] = {"uncited": read.uncited}
    if not read.statements:
        return kept
    try:
        pages = _Pages(read, documents)
    except (Refused, StorageAway, OSError) as error:
        logger.warning("the pages that a summary cites cannot be read: %s", error)
        return {**kept, "unchecked": UNREADABLE}
    compared = [statement for statement in read.statements if pages.can_tell(statement)]
    said = frozenset[str]().union(*(statement.words for statement in compared))
    if len(pages.of_all(said)) < len(said) * (LEAST_SHARED_TRANSLATED if may_translate else LEAST_SHARED):
        return {**kept, "unchecked": TRANSLATED}
    wrong = [statement for statement in compared if not pages.hold(statement)]
    return {
        **kept,
        "compared": len(compared),
        "pictures": len(read.statements) - len(compared),
        "not_found": [statement.citations[-1].number for statement in wrong],
    }


class _Pages:
    """The words of the pages that are cited, and of those behind them: a sentence may go on there."""

    def __init__(self, read: Read, documents: Sequence[Attachment]) -> None:
        self._documents = documents
        wanted: dict[Attachment, set[int]] = defaultdict(set)
        for statement in read.statements:
            for document, number in self._cited(statement):
                if sum(map(len, wanted.values())) < MOST_PAGES:
                    wanted[document] |= {number, number + 1}
        self._words: dict[tuple[Attachment, int], set[str]] = {}
        for document, numbers in wanted.items():
            with on_disk(document) as path:
                texts = pdf.texts_of(path, sorted(numbers), called=document.name, seconds=READ_SECONDS)
            self._words.update({(document, number): words_in(text) for number, text in texts.items()})

    def can_tell(self, statement: Statement) -> bool:
        """Not where the pages are pictures. That a page does not exist is told."""
        pages = self._cited(statement)
        return not pages or any(self._words.get(page) for page in pages)

    def of_all(self, words: Set[str]) -> Set[str]:
        """Those that stand on any page that was read."""
        return words & set[str]().union(*self._words.values())

    def hold(self, statement: Statement) -> bool:
        """It may go on behind its pages, but there it has to begin."""
        cited = self._cited(statement)
        here = self._standing(statement.words, cited)
        behind = self._standing(statement.words - here, [(document, number + 1) for document, number in cited])
        return len(here) >= len(statement.words) * LEAST_HERE and stands_in(statement.words, here | behind)

    def _standing(self, words: Set[str], pages: Sequence[tuple[Attachment, int]]) -> Set[str]:
        there = [self._words.get(page, set()) for page in pages]
        return {word for word in words if any(word in page for page in there)}

    def _cited(self, statement: Statement) -> list[tuple[Attachment, int]]:
        return [page for citation in statement.citations for page in self._meant(citation)]

    def _meant(self, citation: Citation) -> list[tuple[Attachment, int]]:
        """Where the link leads, as `web.library` has it: to the last document with such a page."""
        for document in reversed(self._documents):
            pages = document.pages or 0
            if citation.file.lower() in ("", document.name.lower()) and 0 < citation.first <= pages:
                last = min(citation.last, pages, citation.first + MOST_CITED_AT_ONCE)
                return [(document, number) for number in range(citation.first, max(last, citation.first) + 1)]
        return []
