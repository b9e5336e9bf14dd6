"""Before a summary: documents that the model cannot read at once are read by parts, and notes taken on each.

A few parts are read at a time, by requests of their own that nobody sees; what is read is told in the place of the answer.
The notes then stand in the question in the place of the files, as they are kept in the row. Where even they are too long
they are condensed first, as often as it takes.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from chat.conversations import history
from chat.conversations import summary as summaries
from chat.conversations.history import Plan
from chat.files import estimate, pdf, portions
from chat.files.errors import Refused, StorageAway, quoted
from chat.files.portions import Portion
from chat.files.storage import on_disk
from chat.models import Attachment
from chat.responses.errors import BadStream
from chat.responses.events import parse_event
from chat.responses.fold import Draft
from chat.turns.job import Job
from chat.turns.writer import usage_fields

logger = logging.getLogger(__name__)

AT_ONCE = 3
MOST_PARTS = 400
MOST_LEVELS = 4
LEAST_GAIN = 0.8  # of a level; a model that does not condense by that much never will

# Of the context window. The rest is for what is asked, for the answer, and for tokens that are shorter than usual.
TEXT_SHARE = 0.5
NOTES_SHARE = 0.25
# A model that could read more at once notes less of it.
MOST_TEXT_TOKENS = 16_000
MOST_NOTES_TOKENS = 4_000
WORDS_PER_TOKEN = 0.5
FEWEST_WORDS, MOST_WORDS = 60, 400

# For what is foreseen: parts are cut for the most tokens that their text may have, not for those that it usually has.
CAUTION = 4 / 3
TOKENS_PER_WISH = 120

T = TypeVar("T")


@dataclass
class Reading:
    """One document: its portions, and the notes on those that have been read."""

    attachment: Attachment
    pages: list[str]
    portions: list[Portion]
    begun: set[int] = field(default_factory=set)
    notes: dict[int, list[str]] = field(default_factory=dict)
    is_thinned: bool = False

    @property
    def lines(self) -> list[str]:
        return [line for number in sorted(self.notes) for line in self.notes[number]]

    def condensed(self, lines: list[str]) -> None:
        self.notes = {0: lines}

    @property
    def words(self) -> str:
        """What is being read, for the page."""
        open_now = sorted(self.begun - self.notes.keys())
        if not open_now:
            return ""
        first, last = self.portions[open_now[0]].first, self.portions[open_now[-1]].last
        pages = f"page {first:,}" if first == last else f"pages {first:,}–{last:,}"
        return f"{pages} of {len(self.pages):,}"

    @property
    def text(self) -> str:
        """What the model is given in the place of the document."""
        lines = self.lines
        if unread := portions.without_text(self.pages):
            lines = [*lines, f"(pages that are pictures without text, and were not read: {_ranges(unread)})"]
        if self.is_thinned:
            lines = [*lines, "(there were more notes than fit here; some were left out all over the document)"]
        return portions.notes_text(self.attachment.name, len(self.pages), lines)


async def read(job: Job, plan: Plan) -> bool:
    """Take notes where that is needed; True when there are some now, and the request has to be planned anew.

    Raises as any request does, and Refused for a document that cannot be read so.
    """
    window = job.deployment.context_window
    wanted = _wanted(job, plan)
    if not wanted or not window:
        return False
    try:
        await _read(job, wanted, window)
    finally:
        job.restart()  # nothing of an answer is there yet; what is shown stays until it is
    return True


async def _read(job: Job, wanted: Sequence[Attachment], window: int) -> None:
    _tell(job, "Reading…")
    readings = [await asyncio.to_thread(_opened, attachment, _room(window)) for attachment in wanted]
    count = sum(len(reading.portions) for reading in readings)
    if count > MOST_PARTS:
        names = ", ".join(quoted(attachment.name) for attachment in wanted)
        raise Refused(
            f"{names}: this model would have to read {count:,} parts. Choose a model that reads more at once."
        )
    words = _words(window * TEXT_SHARE / max(1, count))
    await _all(
        [_note(job, readings, reading, at, words) for reading in readings for at in range(len(reading.portions))]
    )
    _refuse_without_notes(readings)
    await _condense(job, readings, window)
    _refuse_without_notes(readings)
    _into_the_question(job, readings)
    _tell(job, "Writing the summary…")


def _room(window: int) -> int:
    """For the text of one part, in tokens."""
    return max(1, int(min(window * TEXT_SHARE, MOST_TEXT_TOKENS)))


def _refuse_without_notes(readings: Sequence[Reading]) -> None:
    lines = (line for reading in readings for line in reading.lines if portions.NO_NOTES not in line)
    if not any(map(portions.cited, lines)):
        raise Refused("This model took no notes that can be used. Choose a larger model, or some of the pages.")


def _wanted(job: Job, plan: Plan) -> list[Attachment]:
    """Files of this question that are in the request, and too long for it. What was noted before is in none."""
    if summaries.of_turn(job.turn) is None:
        return []
    sent = set(plan.attachment_ids)
    attachments = [attachment for attachment in job.turn.attachments.all() if attachment.pk in sent]
    return summaries.in_parts(attachments, job.deployment, job.dialect)


def _opened(attachment: Attachment, room: int) -> Reading:
    called = quoted(attachment.name)
    try:
        with on_disk(attachment) as path:
            pages = pdf.page_texts(path, called=called)
    except FileNotFoundError as error:
        raise Refused(f"{called} is no longer stored. Attach it again, or go on without it.") from error
    except StorageAway as error:
        raise Refused(f"{called} cannot be read just now. Try again in a moment.") from error
    return Reading(attachment, pages, portions.cut(pages, room))


async def _all(deeds: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """A few at a time. The first that fails ends the others, and so does a stop."""
    places = asyncio.Semaphore(AT_ONCE)

    async def in_its_place(deed: Coroutine[Any, Any, T]) -> T:
        async with places:
            return await deed

    tasks = [asyncio.ensure_future(in_its_place(deed)) for deed in deeds]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for deed in deeds:
            deed.close()  # of those that never began


async def _note(job: Job, readings: Sequence[Reading], reading: Reading, at: int, words: int) -> None:
    portion = reading.portions[at]
    reading.begun.add(at)
    _tell(job, _progress(readings))
    text = f"{portions.heading(reading.attachment.name)}\n\n{portion.text}"
    said = await _asked(job, text, summaries.noting(words))
    kept = await asyncio.to_thread(portions.kept_notes, said, portion.first, portion.last, reading.pages)
    reading.notes[at] = kept or [f"- {portions.NO_NOTES} (pp. {portion.first}–{portion.last})"]
    _tell(job, _progress(readings))


async def _condense(job: Job, readings: Sequence[Reading], window: int) -> None:
    """Until all notes fit together with question and answer. A model that makes nothing shorter has some left out."""
    for _ in range(MOST_LEVELS):
        size = _size(readings)
        if size <= window * TEXT_SHARE:
            return
        _tell(job, "Putting the notes together…")
        share = window * TEXT_SHARE / size
        for reading in readings:
            cut = portions.cut_notes(reading.lines, int(window * NOTES_SHARE))
            found = await _all([_condensed(job, reading, lines, share) for lines in cut])
            reading.condensed([line for lines in found for line in lines])
        if _size(readings) > size * LEAST_GAIN:
            break
    while (size := _size(readings)) > window * TEXT_SHARE and any(len(reading.lines) > 1 for reading in readings):
        logger.info("response %s: its notes stay too long, and some are left out", job.response.pk)
        for reading in readings:
            reading.is_thinned = True
            reading.condensed(portions.thinned(reading.lines, window * TEXT_SHARE / size * 0.9))


def _size(readings: Sequence[Reading]) -> int:
    return sum(portions.most_tokens(reading.text) for reading in readings)


async def _condensed(job: Job, reading: Reading, lines: list[str], share: float) -> list[str]:
    text = portions.notes_text(reading.attachment.name, len(reading.pages), lines)
    words = max(20, int(portions.most_tokens("\n".join(lines)) * share * WORDS_PER_TOKEN * 0.8))
    said = await _asked(job, text, summaries.condensing(words))
    pages = portions.cited("\n".join(lines))
    first, last = min(pages, default=1), max(pages, default=1)
    return await asyncio.to_thread(portions.kept_notes, said, first, last, reading.pages) or lines


async def _asked(job: Job, text: str, wish: str) -> str:
    """What the model says to a request of its own. It is streamed, since a slow one takes minutes."""
    assert job.client is not None
    assert job.deployment.context_window is not None
    most = int(min(job.deployment.context_window * NOTES_SHARE, MOST_NOTES_TOKENS))
    body = summaries.part_request(text, wish, most, job.deployment, job.dialect)
    draft = Draft()
    try:
        async with job.client.stream(body) as events:
            async for event in events:
                draft.apply(event)
    finally:
        job.spent = added(job.spent, draft.usage)
    if (failure := draft.failure()) is not None:
        raise failure
    if not draft.terminal_seen:
        raise BadStream("the notes on a part ended in the middle")
    return draft.text()


def _into_the_question(job: Job, readings: Sequence[Reading]) -> None:
    """The question of this turn with the notes in it, in memory: whoever plans the request stores it."""
    texts = {str(reading.attachment.pk): reading.text for reading in readings}
    question = history.question_item(job.turn)
    content = [
        {"type": "input_text", "text": texts[part["id"]]} if part.get("id") in texts else part
        for part in question["content"]
    ]
    job.response.input = [{**question, "content": content}]


# What the page is told, and what it costs


def foreseen(attachments: Sequence[Attachment], window: int) -> tuple[int, int]:
    """About how many tokens are read and written before the summary: the documents once, the notes on them twice."""
    if not attachments:
        return 0, 0
    sizes = [estimate.text_tokens(attachment) for attachment in attachments]
    count = sum(math.ceil(size * CAUTION / _room(window)) for size in sizes)
    notes = int(count * _words(window * TEXT_SHARE / count) / WORDS_PER_TOKEN)
    return sum(sizes) + count * TOKENS_PER_WISH + notes, notes


def _progress(readings: Sequence[Reading]) -> str:
    found = [(reading.attachment.name, reading.words) for reading in readings if reading.words]
    if len(readings) == 1:
        return f"Reading {found[0][1]}" if found else "Putting the notes together…"
    return "; ".join(f"Reading {words} in {quoted(name)}" for name, words in found) or "Putting the notes together…"


def _tell(job: Job, words: str) -> None:
    """As an item of the answer, which goes where an answer goes: to other tabs and processes, and into the row."""
    item = {"id": "reading", "type": "reading", "status": "in_progress", "text": words}
    job.take(parse_event({"type": "response.output_item.done", "output_index": 0, "item": item}))


def usage_fields_of(job: Job) -> dict[str, Any]:
    """The columns of what an answer took, with the notes that were taken for it; none where none were."""
    return usage_fields(added(job.spent, job.draft.usage)) if job.spent else {}


def added(one: dict[str, Any] | None, other: dict[str, Any] | None) -> dict[str, Any] | None:
    """Counts of tokens, summed up with those in them."""
    if not one or not other:
        return one or other
    found = {**one, **other}
    for name in one.keys() & other.keys():
        mine, theirs = one[name], other[name]
        if isinstance(mine, dict) and isinstance(theirs, dict):
            found[name] = added(mine, theirs)
        elif isinstance(mine, int) and isinstance(theirs, int):
            found[name] = mine + theirs
    return found


def _words(tokens: float) -> int:
    return max(FEWEST_WORDS, min(MOST_WORDS, int(tokens * WORDS_PER_TOKEN)))


def _ranges(numbers: Sequence[int]) -> str:
    """Such as 3, 7–9."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(first) if first == last else f"{first}–{last}" for first, last in runs)
