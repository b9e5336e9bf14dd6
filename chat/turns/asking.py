"""Ask the provider: the body of a request, its stream, and another way to ask for what a provider has forgotten."""

from __future__ import annotations

import logging
import re
from contextlib import ExitStack
from typing import Any

from django.db import DatabaseError

from chat import engines
from chat.conversations import history
from chat.conversations import summary as summaries
from chat.conversations.parameters import parameters_of, runs_code, with_container_files, works_in_background
from chat.files import delivery
from chat.models import Attachment, Response, Turn
from chat.models.writing import update_rows
from chat.responses.errors import (
    BadStream,
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    Refused,
    Unreachable,
)
from chat.turns import parts
from chat.turns.db import in_db
from chat.turns.job import Job
from chat.turns.writer import OURS

logger = logging.getLogger(__name__)

# How providers refuse reasoning that is sent back: not theirs, changed, or without its neighbour; and the wish for it.
_REASONING_REFUSED = re.compile(
    r"encrypted.content|\brs_\w|reasoning' item|type 'reasoning'|required following item", re.I
)
_FILE_LOST = re.compile(r"\bfiles?\b.{0,120}\b(not found|expired|deleted|does not exist|no longer)|no such file", re.I)
_BACKGROUND_REFUSED = re.compile(r"\bbackground\b", re.I)
_ENCRYPTION_REFUSED = re.compile(r"encrypted content is not supported|reasoning\.encrypted_content", re.I)

_without_encryption: set[int] = set()
"""Deployments that refused to encrypt reasoning, since they have none. Known for as long as this process lives."""


async def ask(job: Job) -> None:
    """Ask, and read the answer as far as it comes. Raises ResponsesError when there is none."""
    job.begin()
    job.client = engines.client_for(job.deployment.provider, job.deployment)
    with ExitStack() as held:  # files that a request is sent from, once more if need be
        await _ask(job, held)


async def _ask(job: Job, held: ExitStack) -> None:
    plan = job.plan
    if plan is not None and await parts.read(job, plan):
        plan = await _planned(job)
    while plan is not None:
        try:
            await _stream(job, plan, held)
            break
        except Refused as error:
            plan = await _mended(job, plan, error)
            if plan is None:
                raise
            logger.info("response %s: %s; asking in another way", job.response.pk, error)
            job.restart()
        except (Unreachable, BadStream) as error:
            # Half an answer stays, and may have another half. What is no protocol at all is only asked for again where
            # the provider goes on by itself.
            if not job.draft.response_id or (isinstance(error, BadStream) and not job.in_background):
                raise
            logger.warning("response %s: broke off: %s", job.response.pk, error)
            break


async def take_up(job: Job) -> None:
    """What another process asked: nothing is asked again, and what has arrived stands in the draft."""
    job.begin()
    job.client = engines.client_for(job.deployment.provider, job.deployment)
    job.most_tokens = job.deployment.as_parameters().get("max_output_tokens")


async def _mended(job: Job, plan: history.Plan, error: Refused) -> history.Plan | None:
    """Another way to ask, for what a provider may have forgotten. Each is tried once; None when there is none."""
    if isinstance(error, PreviousResponseNotFound):
        return await _planned(job, chain=False) if plan.previous_response_id else None
    if not isinstance(error, InvalidRequest | NotFound):
        return None
    if job.in_background and _BACKGROUND_REFUSED.search(str(error)):
        job.in_background = False  # some models cannot, where others of the same provider can
        return plan
    # Whether this request asked: another that runs beside it may have been refused, and have noted it, meanwhile.
    if _ENCRYPTION_REFUSED.search(error.message) and job.asked_for_encryption:
        _without_encryption.add(job.deployment.pk)
        return await _planned(job, chain=bool(plan.previous_response_id))
    if plan.has_reasoning and _REASONING_REFUSED.search(str(error)):
        job.echoes_reasoning = False
        return await _planned(job)
    lost = [pk for pk, file_id in _file_ids(job).items() if file_id in str(error)]
    if not lost and plan.previous_response_id and _FILE_LOST.search(str(error)):
        return await _planned(job, chain=False)  # a file of an earlier question: its copy expired, or was deleted there
    if job.files_renewed or not lost:
        return None
    job.files_renewed = True
    for attachment in await in_db(_attachments, lost):
        await delivery.vanished(attachment, job.deployment.provider)
        job.parts.pop(str(attachment.pk), None)
        job.container_files.pop(str(attachment.pk), None)
    return plan


def _file_ids(job: Job) -> dict[str, str]:
    """What the request named by id, by the attachment."""
    in_parts = {pk: str(part["file_id"]) for pk, part in job.parts.items() if part.get("file_id")}
    return {**in_parts, **job.container_files}


def prepare(job: Job) -> bool:
    """All that is asked of the database before a question can go up, for its thread: each way there and back costs.

    False when the response is over already.
    """
    job.in_background = works_in_background(job.turn.conversation, job.deployment, job.dialect)
    job.plan = _plan(job)
    return _note_request(job, job.plan)


async def _planned(job: Job, *, chain: bool = True) -> history.Plan:
    return await in_db(_plan, job, chain=chain)


def _plan(job: Job, *, chain: bool = True) -> history.Plan:
    reasoning = job.echoes_reasoning and job.deployment.pk not in _without_encryption
    return history.plan(
        job.turn,
        job.deployment.provider,
        job.dialect,
        chain=chain,
        reasoning=reasoning,
        response=job.response,
    )


async def _stream(job: Job, plan: history.Plan, held: ExitStack) -> None:
    """One request, and its events as they come."""
    assert job.client is not None
    if job.noted != _way(job, plan):
        await in_db(_note_request, job, plan)
    body = await _body(job, plan, held)
    job.live.sent.set()
    async with job.client.stream(body, pace=job.live.pace) as events:
        async for event in events:
            job.request_id = events.request_id or ""
            job.take(event)
            if job.in_background and job.draft.response_id != job.response.response_id:
                await _store_id(job)
    # Some servers say only in the stream that they know nothing to go on from, or cannot read what they are given.
    failure = job.draft.failure()
    if failure is None or job.draft.items:
        return
    if isinstance(failure, PreviousResponseNotFound) or _REASONING_REFUSED.search(str(failure)):
        raise failure


async def _store_id(job: Job) -> None:
    """Before any text of it is shown: what goes on in the background can be fetched by its id alone."""
    job.response.response_id = job.draft.response_id
    try:
        await job.writer.flush()
    except DatabaseError:
        logger.exception("response %s: its id is not stored yet; the writer tries again", job.response.pk)


async def _body(job: Job, plan: history.Plan, held: ExitStack) -> dict[str, Any]:
    await _load_parts(job, plan, held)
    body: dict[str, Any] = {
        **with_container_files(job.parameters, list(job.container_files.values())),
        "model": job.deployment.name,
        "input": [_with_files(item, job.parts) for item in plan.items],
    }
    if instructions := _instructions(job.turn):
        body["instructions"] = instructions
    if plan.previous_response_id:
        body["previous_response_id"] = plan.previous_response_id
    return body


def _instructions(turn: Turn) -> str:
    """What the conversation keeps to, and what a summary has to."""
    summary = summaries.of_turn(turn)
    told = summaries.instructions(summary, list(turn.attachments.all())) if summary else ""
    return "\n\n".join(filter(None, [turn.conversation.instructions, told]))


async def _load_parts(job: Job, plan: history.Plan, held: ExitStack) -> None:
    """The parts that the files of `plan` become, and the ids of those that the code interpreter works with."""
    assert job.client is not None
    with_code = runs_code(job.deployment, job.dialect)
    way: dict[str, Any] = {"provider": job.deployment.provider, "client": job.client, "dialect": job.dialect}
    wanted = [pk for pk in plan.attachment_ids if str(pk) not in job.parts]
    attachments = await in_db(_attachments, wanted) if wanted else []
    crowded = delivery.is_crowded(attachments)
    for attachment in attachments:
        part = await delivery.content_part(attachment, **way, held=held, runs_code=with_code, is_crowded=crowded)
        job.parts[str(attachment.pk)] = part
    for attachment in await in_db(_data_of, job.turn) if with_code else ():
        if str(attachment.pk) not in job.container_files:
            job.container_files[str(attachment.pk)] = await delivery.file_id(attachment, **way)


def _data_of(turn: Turn) -> list[Attachment]:
    """The data of the whole way to this turn: a container does not live as long as a conversation."""
    files = Attachment.objects.ready().filter(turns__in=Turn.objects.path_ids(turn.pk), forgotten_at=None).distinct()
    return [file for file in files if file.is_data]


def _attachments(pks: list[Any]) -> list[Attachment]:
    return list(Attachment.objects.filter(pk__in=pks))


def _with_files(item: dict[str, Any], parts: dict[str, dict[str, Any]]) -> dict[str, Any]:
    content = item.get("content")
    if not isinstance(content, list):
        return item
    return {**item, "content": [parts[p["id"]] if p.get("type") == "attachment" else p for p in content]}


def _way(job: Job, plan: history.Plan) -> tuple[Any, ...]:
    """What a request depends on: another way to ask is another one."""
    return plan, job.in_background, job.deployment.pk in _without_encryption


def _note_request(job: Job, plan: history.Plan) -> bool:
    """What whoever takes this run over has to know, before anything is sent. False when it is not ours any more."""
    job.noted = _way(job, plan)
    job.asked_for_encryption = job.deployment.pk not in _without_encryption
    job.parameters = parameters_of(
        job.deployment, job.dialect, encrypted=job.asked_for_encryption, background=job.in_background
    )
    job.most_tokens = job.parameters.get("max_output_tokens")
    job.is_kept_upstream = bool(job.parameters.get("store", True))
    # Its own items alone: the history stands in the turns before it, and would be stored again with each.
    noted = {
        "input": plan.own_items,
        "previous_response_id": plan.previous_response_id,
        "store": job.is_kept_upstream,
        "background": job.in_background,
    }
    return bool(update_rows(Response, [job.response.pk], [noted], OURS))
