"""The crash drill in its short form, and whether it can fail."""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import uuid
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench.figures import table
from tests.drills import verdict
from tests.drills.drill import Plan, drill
from tests.drills.people import Question
from tests.drills.sabotaged import launch_sabotaged
from tests.drills.store import Row, StoredResponse
from tests.drills.upstream import text_of
from tests.drills.verdict import Death, Record, errors_in, figures, judge
from tests.house.serving import launch


@pytest.mark.quiet
@pytest.mark.timeout(300)
def test_nothing_is_lost_in_twenty_kills(prepared_data: Path, tmp_path: Path) -> None:
    plan = Plan(kills=20, seed=random.randrange(10**6), launch=launch, starting_seconds=0.5)
    record = asyncio.run(drill(plan, Path(shutil.copytree(prepared_data, tmp_path / "data"))))
    found = judge(record)
    print(table({"drill": figures(record, found)}))
    print(f"seed {plan.seed}")
    assert found.sentences == [], f"seed {plan.seed}"
    assert list(errors_in(record.output)) == []
    # Or nothing was tried.
    assert sum(question.is_accepted for question in record.questions) > 10
    assert found.lost_seconds, "no answer was cut while it was shown"
    assert any(row.status == "completed" for row in record.rows)


def test_a_product_that_forgets_is_found_out(prepared_data: Path, tmp_path: Path) -> None:
    plan = Plan(
        kills=2,
        seed=1,
        while_starting=0,
        shutdowns=0,
        until_shown=1.5,
        settle_seconds=4,
        tabs_seconds=0,
        launch=launch_sabotaged,
    )
    record = asyncio.run(drill(plan, Path(shutil.copytree(prepared_data, tmp_path / "data"))))
    found = judge(record)
    assert found.complaints[verdict.TEXT_LOST]
    assert found.complaints[verdict.ENDLESS]
    assert found.complaints[verdict.PAGES], "tabs were left waiting"
    assert not found.complaints[verdict.LOST], found.sentences


# The verdict, on a record of one question


WORDS = 40


def whole_row() -> Row:
    text = text_of("q1", WORDS)
    return Row(1, "q1 in 40 words, please.", KEY, "completed", (StoredResponse("completed", False, text, text),))


def cut_row(words: int, status: str = "interrupted", *, background: bool = False, text: str | None = None) -> Row:
    text = text_of("q1", words) if text is None else text
    return replace(whole_row(), status=status, responses=(StoredResponse(status, background, text, text),))


KEY = uuid.UUID(int=1).hex


def record_of(*rows: Row, death: Death | None = None, background: bool = False, output: str = "") -> Record:
    """One question, taken and shown up to its end at second 20; 30 words of it at second 11."""
    question = Question("q1", "q1 in 40 words, please.", WORDS, KEY, "steady", sent=1, answers=[200], turn=1)
    question.shown = [(10.0, 10), (10.5, 20), (11.0, 30)]
    account = {"asked": 1, "sent": WORDS, "background": background, "resumed": 0, "status": "completed"}
    return Record([question], [death] if death else [], rows, {"q1": account}, output)


def death(*rows: Row, at: float = 11.2, how: signal.Signals = signal.SIGKILL) -> Death:
    return Death(began=9.0, at=at, how=how, served=True, rows=rows)


LIVE_ROW = cut_row(20, "in_progress")


def test_a_whole_answer_and_an_interrupted_one_are_fine() -> None:
    assert judge(record_of(whole_row())).sentences == []
    assert judge(record_of(cut_row(20), death=death(LIVE_ROW))).sentences == []


@pytest.mark.parametrize(
    ("record", "promise"),
    [
        (record_of(), verdict.LOST),
        (record_of(replace(whole_row(), question="something else")), verdict.LOST),
        (record_of(whole_row(), replace(whole_row(), pk=2, key="another")), verdict.TWICE),
        (record_of(cut_row(20, "in_progress")), verdict.ENDLESS),
        (record_of(replace(whole_row(), status="in_progress")), verdict.ENDLESS),
        (record_of(replace(whole_row(), responses=whole_row().responses * 2)), verdict.SECOND_END),
        (record_of(replace(whole_row(), status="interrupted")), verdict.SECOND_END),
        (record_of(whole_row(), death=death(cut_row(30))), verdict.SECOND_END),
        (record_of(cut_row(20), death=death(cut_row(9, "in_progress"))), verdict.TEXT_LOST),
        (record_of(cut_row(20), death=death(LIVE_ROW, how=signal.SIGTERM)), verdict.TEXT_LOST),
        (record_of(cut_row(20), death=death()), verdict.TEXT_LOST),
        (record_of(cut_row(20, text="q1w1 q1w1 q1w2")), verdict.GARBLED),
        (record_of(cut_row(20, text="q1w1 q1w")), verdict.GARBLED),
        (record_of(cut_row(20, "completed")), verdict.GARBLED),
        (record_of(cut_row(WORDS + 1)), verdict.GARBLED),
        (record_of(cut_row(20, background=True), background=True), verdict.BACKGROUND_LOST),
        (record_of(whole_row(), output="ERROR\ndjango.db.utils.OperationalError: database is locked"), verdict.LOCKED),
        (record_of(whole_row(), output="Traceback (most recent call last):"), verdict.TRACEBACKS),
    ],
)
def test_each_promise_can_be_broken(record: Record, promise: str) -> None:
    found = judge(record)
    assert promise in found.complaints, found.sentences
    assert next(figure for figure in figures(record, found) if figure.name == promise).value > 0


def test_what_a_shutdown_ended_had_no_end_of_its_own() -> None:
    assert verdict.ENDLESS in judge(replace(record_of(cut_row(20)), settled_rows=[LIVE_ROW])).complaints


def test_what_one_process_lost_is_not_lost_again_with_another() -> None:
    deaths = [death(LIVE_ROW), death(cut_row(20), at=100.0)]
    found = judge(replace(record_of(cut_row(20)), deaths=deaths))
    assert found.sentences == []
    assert len(found.lost_seconds) == 1


def test_what_a_tab_was_told_has_to_be_stored() -> None:
    record = record_of(cut_row(30), death=death(cut_row(30, "in_progress")))
    record.questions[0].ends = [(11.1, "interrupted")]
    assert verdict.PAGES in judge(record).complaints


def test_the_form_goes_upstream_once() -> None:
    record = record_of(whole_row())
    accounts = {"q1": {**record.accounts["q1"], "asked": 2}}
    assert verdict.ASKED_TWICE in judge(replace(record, accounts=accounts)).complaints


def test_background_text_is_judged_by_its_end_alone() -> None:
    unknown = cut_row(5, "in_progress", background=True)
    known = replace(unknown, responses=(replace(unknown.responses[0], response_id="resp_1"),))
    assert judge(record_of(whole_row(), death=death(known), background=True)).sentences == []
    assert verdict.TEXT_LOST in judge(record_of(whole_row(), death=death(unknown), background=True)).complaints


def test_background_text_that_was_shown_counts_even_without_an_id() -> None:
    unheard = cut_row(0, background=True)
    assert verdict.BACKGROUND_LOST in judge(record_of(unheard, background=True)).complaints
    record = record_of(unheard, background=True)
    record.questions[0].shown = []
    assert judge(record).sentences == []
