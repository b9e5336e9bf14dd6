"""Three accounts are compared: what people sent and were shown, what is stored, and what the provider sent.

Pure: it gets values and gives back complaints, each under the promise that was broken.
"""

from __future__ import annotations

import re
import signal
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.bench.figures import Figure
from tests.drills.people import Question
from tests.drills.store import Row
from tests.drills.upstream import text_of

MOST_LOST_SECONDS = 1.0
SETTLE_SECONDS = 30.0
TERMINAL = ("completed", "incomplete", "failed", "cancelled", "interrupted")

LOST = "questions_lost"
TWICE = "double_turns"
ASKED_TWICE = "asked_upstream_twice"
TEXT_LOST = "text_lost_too_much"
BACKGROUND_LOST = "background_text_lost"
ENDLESS = "runs_without_end"
SECOND_END = "ends_that_changed"
GARBLED = "texts_garbled"
PAGES = "pages_that_were_wrong"
SHUTDOWN = "shutdowns_that_failed"
LOCKED = "database_is_locked"
TRACEBACKS = "tracebacks"
PROMISES = (
    *(
        LOST,
        TWICE,
        ASKED_TWICE,
        TEXT_LOST,
        BACKGROUND_LOST,
        ENDLESS,
        SECOND_END,
        GARBLED,
        PAGES,
        SHUTDOWN,
        LOCKED,
        TRACEBACKS,
    ),
)


@dataclass(frozen=True)
class Death:
    """One end of the process: when, how, and what was on the disk then."""

    began: float
    at: float
    how: signal.Signals
    served: bool
    rows: Sequence[Row]
    code: int = 0

    @property
    def is_clean(self) -> bool:
        """A kill has no manners; a shutdown that was asked for has, but for one that came before there was anything."""
        return self.how == signal.SIGKILL or self.code == 0 or (not self.served and self.code == -signal.SIGTERM)


@dataclass
class Record:
    """All that the verdict is made of."""

    questions: Sequence[Question]
    deaths: Sequence[Death]
    rows: Sequence[Row]
    accounts: Mapping[str, Mapping[str, Any]]
    output: str
    strange: Sequence[str] = ()
    tabs_left_waiting: Sequence[str] = ()
    settled_seconds: float = 0.0
    settled_rows: Sequence[Row] = ()  # before the last shutdown, which ends everything


@dataclass
class Verdict:
    complaints: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    lost_seconds: list[float] = field(default_factory=list)
    never_heard_of: int = 0
    # Of several processes one dies while another lives on: what is lost with the first is not lost again with the other.
    judged_until: dict[str, float] = field(default_factory=dict)

    def complain(self, promise: str, sentence: str) -> None:
        self.complaints[promise].append(sentence)

    @property
    def sentences(self) -> list[str]:
        return [f"{promise}: {sentence}" for promise, found in self.complaints.items() for sentence in found]


def judge(record: Record) -> Verdict:
    verdict = Verdict()
    _questions(record, verdict)
    _ends(record, verdict)
    _texts(record, verdict)
    for death in record.deaths:
        _losses(record, death, verdict)
        if not death.is_clean:
            verdict.complain(SHUTDOWN, f"it ended with {death.code}, {'' if death.served else 'not yet '}serving")
    for sentence in [*record.strange, *record.tabs_left_waiting]:
        verdict.complain(PAGES, sentence)
    for line in record.output.splitlines():
        if "database is locked" in line:
            verdict.complain(LOCKED, line)
        elif line.startswith("Traceback"):
            verdict.complain(TRACEBACKS, line)
    return verdict


def _questions(record: Record, verdict: Verdict) -> None:
    by_key = {row.key: row for row in record.rows}
    stored = Counter(row.question for row in record.rows)
    for question in record.questions:
        row = by_key.get(question.key)
        if question.is_accepted and (row is None or row.question != question.text):
            verdict.complain(LOST, f"{question.marker} was taken ({question.answers}) and is not stored")
        if stored[question.text] > 1:
            verdict.complain(TWICE, f"{question.marker} is {stored[question.text]} turns")
        if (asked := record.accounts.get(question.marker, {}).get("asked", 0)) > 1:
            verdict.complain(ASKED_TWICE, f"{question.marker} went upstream {asked} times")
    for text in stored.keys() - {question.text for question in record.questions}:
        verdict.complain(TWICE, f"nobody asked “{text}”")


def _ends(record: Record, verdict: Verdict) -> None:
    ended: dict[int, str] = {}
    for rows in [*(death.rows for death in record.deaths), record.rows]:
        for row in rows:
            before = ended.get(row.pk)
            if before is not None and row.status != before:
                verdict.complain(SECOND_END, f"turn {row.pk} was {before} and is {row.status}")
            if row.status in TERMINAL:
                ended[row.pk] = row.status
    for row in [*record.settled_rows, *record.rows]:
        statuses = [response.status for response in row.responses]
        if row.status not in TERMINAL or not set(statuses) <= set(TERMINAL):
            verdict.complain(ENDLESS, f"turn {row.pk} ({row.question}) is {row.status}, its responses {statuses}")
        elif statuses != [row.status]:
            verdict.complain(SECOND_END, f"turn {row.pk} is {row.status}, its responses {statuses}")
    statuses_by_key = {row.key: row.status for row in record.rows}
    for question in record.questions:
        for _, told in question.ends:
            if told != (stored := statuses_by_key.get(question.key)):
                verdict.complain(PAGES, f"{question.marker}: a tab was told {told}, and {stored} is stored")


def _texts(record: Record, verdict: Verdict) -> None:
    by_key = {row.key: row for row in record.rows}
    for question in record.questions:
        for gap in question.gaps:
            verdict.complain(GARBLED, gap)
        row = by_key.get(question.key)
        if row is None:
            continue
        whole = text_of(question.marker, question.words)
        account = record.accounts.get(question.marker, {})
        if not is_prefix(row.text, question):
            verdict.complain(GARBLED, f"{question.marker}: stored is “{row.text[-60:]}”")
        elif words_in(row.text) > account.get("sent", 0):
            verdict.complain(GARBLED, f"{question.marker}: more is stored than was sent")
        for response in row.responses:
            if response.status in TERMINAL and response.text != response.searched_text:
                verdict.complain(GARBLED, f"{question.marker}: the text for search is not that of the output")
        if row.status == "completed" and row.text != whole:
            verdict.complain(GARBLED, f"{question.marker} is completed with {words_in(row.text)} of {question.words}")
        if account.get("background") and not question.is_stopped and (row.status, row.text) != ("completed", whole):
            if _was_never_heard_of(question, row):
                verdict.never_heard_of += 1
                continue
            stored = f"{row.status} with {words_in(row.text)} of {question.words} words"
            verdict.complain(BACKGROUND_LOST, f"{question.marker} is {stored}; upstream it is {account.get('status')}")


def _was_never_heard_of(question: Question, row: Row) -> bool:
    """The process died between asking and reading the id of what it had asked for: nobody can ask for that again.

    Nothing of it may have been shown then. The person is offered to try again.
    """
    return row.status == "interrupted" and not question.shown and not any(r.response_id for r in row.responses)


def _losses(record: Record, death: Death, verdict: Verdict) -> None:
    """What tabs were shown while this process lived, against what it left on the disk."""
    by_key = {row.key: row for row in death.rows}
    for question in record.questions:
        row = by_key.get(question.key)
        began = max(death.began, verdict.judged_until.get(question.marker, 0.0))
        shown = sorted((at, words) for at, words in question.shown if began < at <= death.at)
        stored = words_in(row.text) if row is not None else 0
        first_lost = next((at for at, words in shown if words > stored), None)
        if first_lost is not None and not _is_safe_upstream(row):
            lost = death.at - first_lost
            verdict.judged_until[question.marker] = death.at
            verdict.lost_seconds.append(lost)
            if lost > MOST_LOST_SECONDS or death.how == signal.SIGTERM:
                words = f"{max(words for _, words in shown)} words were shown and {stored} stored"
                verdict.complain(TEXT_LOST, f"{question.marker}: {words}, {lost:.2f} s of text, {death.how.name}")
        for at, told in question.ends:
            if death.began < at <= death.at and (row is None or row.status != told):
                stored_status = row.status if row else "nothing"
                verdict.complain(PAGES, f"{question.marker}: told {told} before it was stored ({stored_status})")


def _is_safe_upstream(row: Row | None) -> bool:
    """In the background the provider goes on, and the rest is fetched later by its id: the end is judged instead."""
    return row is not None and any(
        response.background and response.response_id and response.status not in TERMINAL for response in row.responses
    )


def is_prefix(text: str, question: Question) -> bool:
    """Whether it is the beginning of the answer, cut after a whole word: that is how it was sent."""
    return text == text_of(question.marker, words_in(text))


def words_in(text: str) -> int:
    return len(text.split())


def figures(record: Record, verdict: Verdict) -> list[Figure]:
    """The table of a drill: what happened, then each promise."""
    deaths = record.deaths
    kills = [death for death in deaths if death.how == signal.SIGKILL]
    statuses = Counter(row.status for row in record.rows)
    accounts = record.accounts.values()
    happened: list[tuple[str, float, str]] = [
        ("kills", len(kills), ""),
        ("kills_while_starting", sum(not death.served for death in kills), ""),
        ("shutdowns", len(deaths) - len(kills), ""),
        ("questions_taken", sum(question.is_accepted for question in record.questions), ""),
        ("forms_sent", sum(question.sent for question in record.questions), ""),
        ("turns", len(record.rows), ""),
        *((f"turns_{status}", statuses[status], "") for status in TERMINAL),
        ("in_background", sum(account["background"] for account in accounts), ""),
        ("never_heard_of", verdict.never_heard_of, ""),
        ("resumed_upstream", sum(account["resumed"] > 0 for account in accounts), ""),
        ("words_sent", sum(account["sent"] for account in accounts), ""),
        ("answers_cut_while_shown", len(verdict.lost_seconds), ""),
    ]
    return [
        *(Figure(name, value, unit) for name, value, unit in happened),
        Figure("text_lost_most", max(verdict.lost_seconds, default=0.0), "s", at_most=MOST_LOST_SECONDS),
        Figure("settled_after", record.settled_seconds, "s", at_most=SETTLE_SECONDS),
        *(Figure(promise, len(verdict.complaints.get(promise, [])), at_most=0) for promise in PROMISES),
    ]


def errors_in(output: str) -> Iterable[str]:
    """The lines that the product logged as errors: for the reader of a report."""
    return re.findall(r"^.* ERROR .*$", output, re.MULTILINE)
