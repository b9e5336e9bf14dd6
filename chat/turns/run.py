"""Carry one turn from queued to its one terminal state.

A run belongs to no request and no socket: closing the tab changes nothing. The order at the end is fixed:
the final state is stored, then the page is told, then a title is asked for. At a shutdown, what the provider goes on
with by itself is no end: it is left, with all its text stored, for another process to adopt.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import cast

from django.db import DatabaseError

from chat.conversations.ask import Asked
from chat.files.errors import Refused as FileRefused
from chat.models import Status, Turn
from chat.rendering.live import LiveResponse, StoredResponse
from chat.responses.errors import ResponsesError
from chat.responses.fold import Draft
from chat.turns import asking, checking, made, parts, resuming
from chat.turns.db import in_db
from chat.turns.hub import LiveTurn, Tab, hub
from chat.turns.job import Job, claim, load
from chat.turns.last_word import NOT_BEGUN, NOT_SAVED, broken_foot, last_word, read_back
from chat.turns.mirror import mirrors
from chat.turns.outcome import Outcome, failure_of, outcome_of
from chat.turns.sweep import Adopted
from chat.turns.titling import give_title
from chat.turns.writer import Final, Writer, draft_fields

logger = logging.getLogger(__name__)

SHUTDOWN = "shutdown"
LEFT = Outcome(Status.IN_PROGRESS)
"""No end: another process goes on with it."""

Take = Callable[[LiveTurn, LiveResponse, Writer], Job | None]
"""Takes the lease, or has it, and loads the rows."""

_tasks: dict[int, asyncio.Task[None]] = {}
_last_deeds: set[asyncio.Task[None]] = set()
_ending: set[int] = set()


def start(asked: Asked) -> None:
    """Begin to answer a stored question, in a task of this process's event loop. A repeat is left alone."""
    if asked.is_repeat or asked.turn.pk in hub.turns:
        return
    live = hub.open(asked.turn.pk, str(asked.conversation.pk), asked.conversation.owner_id)
    _run(live, LiveResponse(asked.response.pk), asked.earlier, partial(claim, asked=asked))


def adopt(adopted: Adopted) -> None:
    """Go on with a run that another process left or died of. Its lease has been taken."""
    row = adopted.response
    if row.turn_id in hub.turns:
        return
    live = hub.open(row.turn_id, str(adopted.conversation_id))
    draft = Draft.restore(row.response_id, row.output or [], row.cursor)
    draft.model, draft.usage = row.model, row.usage  # what comes may not say them again
    _run(live, LiveResponse(row.pk, draft), adopted.earlier, load)


def _run(live: LiveTurn, response: LiveResponse, earlier: Sequence[StoredResponse], take: Take) -> None:
    live.responses += cast(Sequence[LiveResponse], earlier)  # to a page they are the same
    live.responses.append(response)
    # A context of its own: the request's would tie the run's threads to a request that ends.
    task = asyncio.get_running_loop().create_task(
        _carry(live, response, take), name=f"turn-{live.pk}", context=contextvars.Context()
    )
    if live.pk in _tasks:  # over, but for its title: an answer may be gone on with at once
        _last_deeds.add(_tasks[live.pk])
    _tasks[live.pk] = task
    task.add_done_callback(lambda done: _forget(live, done))


def _forget(live: LiveTurn, task: asyncio.Task[None]) -> None:
    _last_deeds.discard(task)
    if _tasks.get(live.pk) is task:
        del _tasks[live.pk]
    if hub.turns.get(live.pk) is live:  # cancelled before its first step
        hub.over(live, broken_foot(live.pk, NOT_BEGUN))
    if not task.cancelled() and (fault := task.exception()) is not None:
        logger.error("turn %s: its run broke off", live.pk, exc_info=fault)


def stop(turn_pk: int) -> bool:
    """Stop a run of this process; False when it is none of ours."""
    task = _tasks.get(turn_pk)
    if task is None:
        return False
    _cancel(turn_pk, task)
    return True


def _cancel(turn_pk: int, task: asyncio.Task[None], why: str | None = None) -> None:
    """Once, and not any more when the end is being stored: that must happen whole."""
    if turn_pk not in _ending and not task.cancelling():
        task.cancel(why)


async def stop_all(seconds: float = 4.0) -> None:
    """End every run of this process as interrupted, or leave it to another process, its text stored. For shutdown."""
    tasks = dict(_tasks)
    for turn_pk, task in tasks.items():
        _cancel(turn_pk, task, SHUTDOWN)
    for task in _last_deeds:
        task.cancel()
    if everything := {*tasks.values(), *_last_deeds}:
        await asyncio.wait(everything, timeout=seconds)


def running() -> list[int]:
    """The turns that this process carries."""
    return list(_tasks)


def spoken_for() -> list[int]:
    """The turns that no sweep may take: those that are carried, and those whose end is still to be stored."""
    return [*_tasks, *writer.owed_turns()]


def _lost(turn_pk: int) -> None:
    """The lease is somebody else's now, or the rows were deleted: asking on would be for nobody."""
    task = _tasks.get(turn_pk)
    if task is not None:
        _cancel(turn_pk, task)


writer = Writer(_lost)


async def sent(turn_pk: int, seconds: float = 0.1) -> None:
    """Wait until a question that runs here is on its way to the provider, but not for long."""
    live = hub.turns.get(turn_pk)
    if live is not None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await live.sent.wait()


async def wait_for(turn_pk: int) -> None:
    """Wait until a run of this process has ended; for those that need the answer, not the page."""
    task = _tasks.get(turn_pk)
    if task is not None:
        await asyncio.wait([task])


async def _carry(live: LiveTurn, response: LiveResponse, take: Take) -> None:
    job, outcome = await _carried(live, response, take)
    _ending.add(live.pk)
    foot: str | None = None
    tabs = list(live.tabs)
    try:
        foot = await _last_word(live, job, outcome)
        if job is not None:
            response.finish()
    finally:
        # Whatever went wrong on the way here: no page may wait for ever.
        hub.over(live, broken_foot(live.pk, NOT_SAVED) if foot is None else foot)
        _ending.discard(live.pk)
    if not foot and outcome is not LEFT:
        await _watch_elsewhere(live.pk, tabs)
    if job is None or outcome is None or not job.is_stored:
        return
    await asyncio.gather(made.collect(job), _afterwards(job, outcome))


async def _afterwards(job: Job, outcome: Outcome) -> None:
    if outcome.status == Status.COMPLETED:
        await give_title(job)
    elif not job.draft.terminal_seen:  # nobody here waits for it any more
        await resuming.cancel(job)


async def _watch_elsewhere(turn_pk: int, tabs: Sequence[Tab]) -> None:
    """Another process has taken the run over: its pages here see it as those of any turn that runs there."""
    turn = await in_db(Turn.objects.with_answers().filter(pk=turn_pk).first) if tabs else None
    if turn is not None:
        for tab in tabs:
            mirrors.watch(tab, turn)


async def _carried(live: LiveTurn, response: LiveResponse, take: Take) -> tuple[Job | None, Outcome | None]:
    """All of the run that a stop can cut short. Without a job nothing is ours to store."""
    claimed: list[Job] = []
    outcome: Outcome | None = None
    try:
        await _claim(claimed, live, response, take)
        for job in claimed:
            await (asking.ask(job) if job.is_new else asking.take_up(job))
            await resuming.finish(job)
            outcome = outcome_of(job)
            if outcome.status in (Status.COMPLETED, Status.INCOMPLETE):
                await checking.check(job)
    except asyncio.CancelledError as stopped:
        outcome = _stopped(*claimed, is_shutdown=SHUTDOWN in stopped.args)
    except (ResponsesError, FileRefused) as error:
        outcome = failure_of(response.pk, error)
    except Exception:
        logger.exception("response %s: failed", response.pk)
        outcome = Outcome(Status.FAILED, {"code": "internal", "message": "Something went wrong here. Try again."})
    return next(iter(claimed), None), outcome


def _stopped(job: Job | None = None, *, is_shutdown: bool) -> Outcome:
    if job is not None and job.draft.terminal_seen:
        return outcome_of(job)  # it had ended; only its connection had not
    if not is_shutdown:
        return Outcome(Status.CANCELLED)
    return LEFT if job is not None and job.can_be_left else Outcome(Status.INTERRUPTED)


async def _last_word(live: LiveTurn, job: Job | None, outcome: Outcome | None) -> str:
    """Store the end; then what the page is told of it, as it is stored."""
    if job is None or outcome is None:
        # Stopped before it began, or somebody else's: the row says what became of it.
        return broken_foot(live.pk, NOT_BEGUN) if outcome else await read_back(live.pk)
    try:
        if outcome is LEFT:
            await writer.release(job.response.pk, job.draft)
            return ""  # the page, too, goes on elsewhere
        made.no_more(job)
        final = _final(job, outcome)
        job.is_stored = await writer.finish(final)
        if job.is_stored:
            await made.note(job)
    except DatabaseError:
        logger.exception("response %s: its end could not be stored", job.response.pk)
        return broken_foot(live.pk, NOT_SAVED)
    if not job.is_stored:  # another end was stored first, or the rows are gone
        return await read_back(live.pk)
    return await last_word(job.turn_at_its_end(final))


async def _claim(claimed: list[Job], live: LiveTurn, response: LiveResponse, take: Take) -> None:
    """Take the lease. Once it is taken the job is in `claimed`, whatever breaks: it must be given an end."""
    claiming = asyncio.ensure_future(in_db(_claim_now, claimed, live, response, take))
    try:
        await asyncio.shield(claiming)
    except asyncio.CancelledError:
        await claiming
        raise


def _claim_now(claimed: list[Job], live: LiveTurn, response: LiveResponse, take: Take) -> None:
    job = take(live, response, writer)
    if job is not None:
        claimed.append(job)
        if job.is_new and not asking.prepare(job):
            claimed.remove(job)  # stopped before it began


def _final(job: Job, outcome: Outcome) -> Final:
    used = {**draft_fields(job.draft), **parts.usage_fields_of(job)}
    prices = job.deployment.prices
    return Final(
        pk=job.response.pk,
        turn_id=job.turn.pk,
        conversation_id=job.turn.conversation_id,
        status=outcome.status,
        fields={
            **used,
            # Stored: another price tomorrow changes nothing of what was spent today.
            "cost": prices.of_usage(used["usage"]) if prices else None,
            "text": job.draft.text(),
            "citations": job.citations,
            "error": outcome.error,
            "request_id": outcome.request_id[:255],
        },
    )
