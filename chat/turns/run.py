"""Carry one turn from queued to its one terminal state.

A run belongs to no request and no socket: closing the tab changes nothing. The order at the end is fixed:
the final state is stored, then the page is told, then a title is asked for.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from django.db import DatabaseError
from django.utils import timezone

from chat import engines
from chat.conversations import history, keep, title
from chat.conversations.ask import Asked
from chat.conversations.parameters import parameters_of
from chat.files import delivery
from chat.files.errors import Refused as FileRefused
from chat.models import Attachment, Response, Status, Turn
from chat.models.conversations import LIVE
from chat.rendering.answer import response_html
from chat.rendering.live import LiveResponse
from chat.rendering.views import FootView, foot_view, render_foot
from chat.responses.client import Client
from chat.responses.dialects import Dialect
from chat.responses.errors import (
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    Refused,
    ResponsesError,
    Unreachable,
)
from chat.responses.events import Terminal, event_from_response
from chat.responses.filters import content_filters
from chat.responses.fold import Draft
from chat.turns import notices
from chat.turns.db import in_db
from chat.turns.hub import LiveTurn, hub
from chat.turns.writer import PROCESS, Final, Writer, draft_fields

logger = logging.getLogger(__name__)

SHUTDOWN = "shutdown"
NOT_BEGUN = "Something went wrong here before the answer could begin. Reload the page."
NOT_SAVED = "The answer could not be saved: the database does not answer. Copy what you need before you reload."
NOT_READ = "The answer is saved, but could not be read back. Reload the page."
DELETED = "This conversation was deleted while it was being answered."
TITLE_SECONDS = 30.0

# How providers refuse reasoning that is sent back: not theirs, changed, or without its neighbour; and the wish for it.
_REASONING_REFUSED = re.compile(
    r"encrypted.content|\brs_\w|reasoning' item|type 'reasoning'|required following item", re.I
)
_ENCRYPTION_REFUSED = re.compile(r"encrypted content is not supported|reasoning\.encrypted_content", re.I)

_without_encryption: set[int] = set()
"""Deployments that refused to encrypt reasoning, since they have none. Known for as long as this process lives."""

_tasks: dict[int, asyncio.Task[None]] = {}
_ending: set[int] = set()


@dataclass(frozen=True)
class Outcome:
    """How a response ended. `error` is what the row keeps: a code, the person's sentence, no upstream text."""

    status: Status
    error: dict[str, Any] | None = None
    request_id: str = ""


@dataclass
class Job:
    """The rows of a run, loaded once, and the client to their provider."""

    turn: Turn
    response: Response
    dialect: Dialect
    live: LiveResponse
    client: Client | None = None
    request_id: str = ""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    files_renewed: bool = False
    echoes_reasoning: bool = True
    asked_for_encryption: bool = False
    is_kept_upstream: bool = True
    most_tokens: int | None = None  # that were asked for
    is_stored: bool = False


def start(asked: Asked) -> None:
    """Begin to answer a stored question, in a task of this process's event loop. A repeat is left alone."""
    if asked.is_repeat or asked.turn.pk in _tasks:
        return
    live = hub.open(asked.turn.pk, str(asked.conversation.pk))
    response = LiveResponse(asked.response.pk)
    live.responses.append(response)
    # A context of its own: the request's would tie the run's threads to a request that ends.
    task = asyncio.get_running_loop().create_task(
        _carry(live, response), name=f"turn-{live.pk}", context=contextvars.Context()
    )
    _tasks[live.pk] = task
    task.add_done_callback(lambda done: _forget(live, done))


def _forget(live: LiveTurn, task: asyncio.Task[None]) -> None:
    if _tasks.get(live.pk) is task:
        del _tasks[live.pk]
    if hub.turns.get(live.pk) is live:  # cancelled before its first step
        hub.over(live, _broken_foot(live.pk, NOT_BEGUN))
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
    """End every run of this process as interrupted, its text stored. For shutdown."""
    tasks = dict(_tasks)
    for turn_pk, task in tasks.items():
        _cancel(turn_pk, task, SHUTDOWN)
    if tasks:
        await asyncio.wait(tasks.values(), timeout=seconds)


def running() -> list[int]:
    """The turns that this process carries."""
    return list(_tasks)


def _lost(turn_pk: int) -> None:
    """The lease is somebody else's now, or the rows were deleted: asking on would be for nobody."""
    task = _tasks.get(turn_pk)
    if task is not None:
        _cancel(turn_pk, task)


writer = Writer(_lost)


async def wait_for(turn_pk: int) -> None:
    """Wait until a run of this process has ended; for those that need the answer, not the page."""
    task = _tasks.get(turn_pk)
    if task is not None:
        await asyncio.wait([task])


async def _carry(live: LiveTurn, response: LiveResponse) -> None:
    job, outcome = await _carried(live, response)
    _ending.add(live.pk)
    foot = _broken_foot(live.pk, NOT_SAVED)
    try:
        foot = await _last_word(live, job, outcome)
        if job is not None:
            response.finish()
    finally:
        # Whatever went wrong on the way here: no page may wait for ever.
        hub.over(live, foot)
        _ending.discard(live.pk)
    if job is not None and job.is_stored and outcome is not None and outcome.status == Status.COMPLETED:
        await _give_title(job)


async def _carried(live: LiveTurn, response: LiveResponse) -> tuple[Job | None, Outcome | None]:
    """All of the run that a stop can cut short. Without a job nothing is ours to store."""
    job: Job | None = None
    outcome: Outcome | None = None
    try:
        job, stopped_early = await _claimed(response)
        if stopped_early is not None:
            raise stopped_early
        if job is not None:
            outcome = await _answer(job, live)
    except asyncio.CancelledError as stopped:
        interrupted = stopped.args and stopped.args[0] == SHUTDOWN
        outcome = Outcome(Status.INTERRUPTED if interrupted else Status.CANCELLED)
    except (ResponsesError, FileRefused) as error:
        outcome = _failure(response.pk, error)
    except Exception:
        logger.exception("response %s: failed", response.pk)
        outcome = Outcome(Status.FAILED, {"code": "internal", "message": "Something went wrong here. Try again."})
    return job, outcome


async def _last_word(live: LiveTurn, job: Job | None, outcome: Outcome | None) -> str:
    """Store the end, and read back what the page is told of it."""
    if job is None or outcome is None:
        # Stopped before it began, or somebody else's: the row says what became of it.
        return _broken_foot(live.pk, NOT_BEGUN) if outcome else await _read_back(live.pk, is_ours=False)
    try:
        job.is_stored = await _store(job, outcome)
    except DatabaseError:
        logger.exception("response %s: the final state is lost", job.response.pk)
        return _broken_foot(live.pk, NOT_SAVED)
    return await _read_back(live.pk, is_ours=job.is_stored)


async def _read_back(turn_pk: int, *, is_ours: bool) -> str:
    try:
        return await in_db(_render_foot if is_ours else _render_end, turn_pk)
    except Turn.DoesNotExist:
        return _broken_foot(turn_pk, DELETED)
    except DatabaseError:
        logger.exception("turn %s: the end could not be read back", turn_pk)
        return _broken_foot(turn_pk, NOT_READ)


async def _claimed(response: LiveResponse) -> tuple[Job | None, asyncio.CancelledError | None]:
    """The job, even when the run is stopped meanwhile: a lease that was taken must be given an end."""
    claim = asyncio.ensure_future(in_db(_claim, response))
    try:
        return await asyncio.shield(claim), None
    except asyncio.CancelledError as stopped:
        return await claim, stopped


def _claim(live: LiveResponse) -> Job | None:
    """Take the lease with one conditional UPDATE; None when somebody else has it or it is over."""
    now = timezone.now()
    mine = Response.objects.filter(pk=live.pk, owner=None, status__in=LIVE).update(
        owner=PROCESS, heartbeat_at=now, status=Status.IN_PROGRESS
    )
    if not mine:
        return None
    response = Response.objects.get(pk=live.pk)
    Turn.objects.filter(pk=response.turn_id).update(status=Status.IN_PROGRESS)
    turn = Turn.objects.with_answers().select_related("conversation", "deployment__provider").get(pk=response.turn_id)
    if turn.deployment is None:
        raise LookupError(f"turn {turn.pk} has no deployment")
    return Job(turn, response, engines.dialect_of(turn.deployment.provider), live)


async def _answer(job: Job, live: LiveTurn) -> Outcome:
    assert job.turn.deployment is not None
    writer.begin(job.response.pk, job.turn.pk, job.live.draft)
    job.client = engines.client_for(job.turn.deployment.provider, job.turn.deployment)
    plan: history.Plan | None = await _planned(job)
    while plan is not None:
        try:
            await _stream(job, live, plan)
            break
        except Refused as error:
            plan = await _mended(job, plan, error)
            if plan is None:
                raise
            logger.info("response %s: %s; asking in another way", job.response.pk, error)
            job.live.restart()
            writer.begin(job.response.pk, job.turn.pk, job.live.draft)
        except Unreachable as error:
            if not job.live.draft.response_id:
                raise
            logger.warning("response %s: broke off: %s", job.response.pk, error)
            break
    if not job.live.draft.terminal_seen:
        await _fetch_once(job, live)
    return _outcome(job)


async def _mended(job: Job, plan: history.Plan, error: Refused) -> history.Plan | None:
    """Another way to ask, for what a provider may have forgotten. Each is tried once; None when there is none."""
    deployment = job.turn.deployment
    assert deployment is not None
    if isinstance(error, PreviousResponseNotFound):
        return await _planned(job, chain=False) if plan.previous_response_id else None
    if not isinstance(error, InvalidRequest | NotFound):
        return None
    # Whether this request asked: another that runs beside it may have been refused, and have noted it, meanwhile.
    if _ENCRYPTION_REFUSED.search(error.message) and job.asked_for_encryption:
        _without_encryption.add(deployment.pk)
        return await _planned(job, chain=bool(plan.previous_response_id))
    if plan.has_reasoning and _REASONING_REFUSED.search(str(error)):
        job.echoes_reasoning = False
        return await _planned(job)
    lost = [pk for pk, part in job.parts.items() if part.get("file_id") and str(part["file_id"]) in str(error)]
    if job.files_renewed or not lost:
        return None
    job.files_renewed = True
    for attachment in await in_db(_attachments, lost):
        await delivery.vanished(attachment, deployment.provider)
        del job.parts[str(attachment.pk)]
    return plan


async def _planned(job: Job, *, chain: bool = True) -> history.Plan:
    deployment = job.turn.deployment
    assert deployment is not None
    reasoning = job.echoes_reasoning and deployment.pk not in _without_encryption
    return await in_db(history.plan, job.turn, deployment.provider, job.dialect, chain=chain, reasoning=reasoning)


async def _stream(job: Job, live: LiveTurn, plan: history.Plan) -> None:
    """One request. Each event goes into the draft; tabs and writer are told that there is something new."""
    assert job.client is not None
    body = await _body(job, plan)
    job.most_tokens = body.get("max_output_tokens")
    job.is_kept_upstream = bool(body.get("store", True))
    await in_db(_note_request, job.response.pk, plan, job.is_kept_upstream)
    async with job.client.stream(body) as events:
        async for event in events:
            job.request_id = events.request_id or ""
            live.take(job.live, event)
            writer.changed(job.response.pk)
    # Some servers say only in the stream that they know nothing to go on from, or cannot read what they are given.
    failure = job.live.draft.failure()
    if failure is None or job.live.draft.items:
        return
    if isinstance(failure, PreviousResponseNotFound) or _REASONING_REFUSED.search(str(failure)):
        raise failure


async def _body(job: Job, plan: history.Plan) -> dict[str, Any]:
    deployment = job.turn.deployment
    assert deployment is not None
    await _load_parts(job, plan)
    job.asked_for_encryption = deployment.pk not in _without_encryption
    body: dict[str, Any] = {
        **parameters_of(deployment, job.dialect, encrypted=job.asked_for_encryption),
        "model": deployment.name,
        "input": [_with_files(item, job.parts) for item in plan.items],
    }
    if job.turn.conversation.instructions:
        body["instructions"] = job.turn.conversation.instructions
    if plan.previous_response_id:
        body["previous_response_id"] = plan.previous_response_id
    return body


async def _load_parts(job: Job, plan: history.Plan) -> None:
    assert job.turn.deployment is not None
    assert job.client is not None
    wanted = [pk for pk in plan.attachment_ids if str(pk) not in job.parts]
    for attachment in await in_db(_attachments, wanted):
        job.parts[str(attachment.pk)] = await delivery.content_part(
            attachment, provider=job.turn.deployment.provider, client=job.client, dialect=job.dialect
        )


def _attachments(pks: list[Any]) -> list[Attachment]:
    return list(Attachment.objects.filter(pk__in=pks))


def _with_files(item: dict[str, Any], parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = item.get("content")
    if not isinstance(content, list):
        return item
    return {**item, "content": [parts[p["id"]] if p.get("type") == "attachment" else p for p in content]}


def _note_request(pk: int, plan: history.Plan, store: bool) -> None:
    # Its own items alone: the history stands in the turns before it, and would be stored again with each.
    Response.objects.filter(pk=pk, owner=PROCESS).update(
        input=plan.own_items, previous_response_id=plan.previous_response_id, store=store
    )


async def _fetch_once(job: Job, live: LiveTurn) -> None:
    """The stream ended without a last word: a provider that keeps responses may know how it went."""
    draft = job.live.draft
    if job.client is None or not draft.response_id or not (job.dialect.retrieve and job.is_kept_upstream):
        return
    try:
        fetched = event_from_response(await job.client.retrieve(draft.response_id))
    except ResponsesError as error:
        logger.info("response %s: could not be fetched after its stream broke off: %s", job.response.pk, error)
        return
    if isinstance(fetched, Terminal):
        # As the stream's own last word: what was shown and is missing in it stays.
        job.live.apply(fetched)
        live.changed()


def _outcome(job: Job) -> Outcome:
    draft = job.live.draft
    if draft.status == "completed" and not job.dialect.marks_cut and _reached_limit(job):
        draft.status, draft.incomplete_reason = "incomplete", "max_output_tokens"
    match draft.status if draft.is_terminal else "interrupted":
        case "completed":
            return Outcome(Status.COMPLETED, request_id=job.request_id)
        case "incomplete":
            found = content_filters({"content_filters": draft.content_filters})
            details = {"content_filters": found} if found else {}
            error = _kept(draft.incomplete_reason, draft.notice(), details)
            return Outcome(Status.INCOMPLETE, error, job.request_id)
        case "cancelled":
            return Outcome(Status.CANCELLED, request_id=job.request_id)
        case "failed":
            failure = draft.failure()
            logger.warning("response %s: %s (request id %s)", job.response.pk, failure, job.request_id)
            error = _kept((draft.error or {}).get("code"), draft.notice(), failure.details if failure else {})
            return Outcome(Status.FAILED, error, job.request_id)
        case _:
            logger.warning("response %s: the stream ended early (request id %s)", job.response.pk, job.request_id)
            return Outcome(Status.INTERRUPTED, {"code": "stream_ended"}, job.request_id)


def _reached_limit(job: Job) -> bool:
    """Whether the answer used all the tokens that it might: local servers call it completed all the same.

    All that were allowed, or all that the model can read at once, the question among them.
    """
    assert job.turn.deployment is not None
    usage = job.live.draft.usage or {}
    most = {"output_tokens": job.most_tokens, "total_tokens": job.turn.deployment.context_window}
    return any(
        isinstance(used := usage.get(name), int) and isinstance(limit, int) and used >= limit
        for name, limit in most.items()
    )


def _failure(pk: int, error: ResponsesError | FileRefused) -> Outcome:
    if isinstance(error, FileRefused):
        return Outcome(Status.FAILED, {"code": "file", "message": error.sentence})
    logger.warning("response %s: %s: %s", pk, type(error).__name__, error)
    kept = _kept(error.code, error.user_message, error.details)
    return Outcome(Status.FAILED, kept, request_id=error.request_id or "")


def _kept(code: object, message: str | None, details: Mapping[str, Any]) -> dict[str, Any]:
    """What the row keeps of a failure: a code, the person's sentence, and known facts for whoever reviews it."""
    kept: dict[str, Any] = {"code": str(code or ""), "message": message or ""}
    return {**kept, "details": dict(details)} if details else kept


async def _store(job: Job, outcome: Outcome) -> bool:
    """False when another end was stored first, or the rows are gone."""
    draft = job.live.draft
    final = Final(
        pk=job.response.pk,
        turn_id=job.turn.pk,
        conversation_id=job.turn.conversation_id,
        status=outcome.status,
        fields={
            **draft_fields(draft),
            "text": draft.text(),
            "error": outcome.error,
            "request_id": outcome.request_id[:255],
        },
    )
    return await writer.finish(final)


def _render_foot(turn_pk: int) -> str:
    turn = Turn.objects.with_answers().get(pk=turn_pk)
    return render_foot(foot_view(turn, is_new=True, oob=True))


def _render_end(turn_pk: int) -> str:
    """The whole answer as it is stored: what this run showed of it does not count."""
    turn = Turn.objects.with_answers().get(pk=turn_pk)
    answers = "".join(response_html(response) for response in turn.responses.all())
    answer = f'<div class="answer" id="t{turn_pk}-answer" hx-swap-oob="true">{answers}</div>'
    return answer + render_foot(foot_view(turn, is_new=True, oob=True))


def _broken_foot(turn_pk: int, problem: str) -> str:
    """What the page says when the row could not be brought to say it."""
    return render_foot(FootView(turn_pk, False, Status.FAILED, problem=problem, is_new=True, oob=True))


async def _give_title(job: Job) -> None:
    """A failure here costs a title and nothing else."""
    if not title.wants_title(job.turn) or job.client is None or job.turn.deployment is None:
        return
    body = title.title_request(job.turn, job.live.draft.text(), job.turn.deployment, job.dialect)
    draft = Draft()
    try:
        # Streamed, to hang up when it is there: a small model goes on until it is stopped.
        async with asyncio.timeout(TITLE_SECONDS), job.client.stream(body) as events:
            async for event in events:
                draft.apply(event)
                if title.is_written(draft.text()):
                    break
    except (ResponsesError, TimeoutError) as error:
        logger.info("conversation %s: no title: %s", job.turn.conversation_id, error)
        return
    name = title.clean_title(draft.text())
    given = bool(name) and await in_db(keep.give_title, job.turn.conversation_id, name)
    if given:
        await notices.titled(job.turn.conversation.owner_id, job.turn.conversation_id)
