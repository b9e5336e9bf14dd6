"""Carry out what was noted to be forgotten: delete it at the provider, and try again until it is gone there.

Beside the sweep, in every process. A row is had by one conditional UPDATE, which also says when it is tried next: whoever
dies in the middle loses nothing. Once an hour also what is old enough to be deleted by itself, and what was left half done.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import TypeVar

from django.conf import settings
from django.db import DatabaseError, connections
from django.db.models import F, Q
from django.utils import timezone

from chat import engines
from chat.conversations import forget
from chat.models import Attachment, Conversation, Forgetting, ProviderFile, Response, Turn
from chat.models.conversations import LIVE
from chat.models.writing import writing
from chat.responses.client import Client
from chat.responses.errors import NotFound, ResponsesError
from chat.turns.db import in_db

logger = logging.getLogger(__name__)

LOOK_SECONDS = 10.0
TIDY_SECONDS = 3600.0
BATCH = 50
FIRST_PAUSE = timedelta(minutes=1)
LONGEST_PAUSE = timedelta(days=1)
GONE_ALREADY = "It was not there any more."
NEVER_SENT_LIVES = timedelta(days=7)
LATE = timedelta(hours=3)
"""For so long after a deletion it is looked at again: an answer that was being written then has its id only now."""

R = TypeVar("R")
Kind = Forgetting.Kind


async def run() -> None:
    """Look every few seconds until cancelled. Nothing of it is urgent, so it begins with a pause."""
    tidy_due = time.monotonic()
    while True:
        await asyncio.sleep(LOOK_SECONDS)
        try:
            while await carry_out_due() == BATCH:
                pass
            if time.monotonic() >= tidy_due:
                await apart(tidy)
                tidy_due = time.monotonic() + TIDY_SECONDS
        except DatabaseError:
            logger.exception("what is to be forgotten could not be looked at; trying again")


async def carry_out_due() -> int:
    """One batch of what is due; how many rows there were."""
    due = await in_db(_due)
    for row in due:
        if await in_db(_claim, row):
            await _carry_out(row)
    return len(due)


def try_now(rows: list[int]) -> int:
    """Make these rows due, where they are not done; how many."""
    return Forgetting.objects.filter(pk__in=rows, done_at=None).update(next_try_at=timezone.now())


def _due() -> list[Forgetting]:
    waiting = Forgetting.objects.filter(done_at=None, next_try_at__lte=timezone.now())
    return list(waiting.select_related("provider").order_by("next_try_at")[:BATCH])


def _claim(row: Forgetting) -> bool:
    """Take it for one try. False when another process has it, or when somebody needs it again."""
    if row.kind == Kind.FILE and _is_needed(row):
        Forgetting.objects.filter(pk=row.pk, done_at=None).delete()
        return False
    unchanged = Forgetting.objects.filter(pk=row.pk, done_at=None, next_try_at=row.next_try_at)
    return bool(unchanged.update(next_try_at=timezone.now() + _pause(row.tries), tries=F("tries") + 1))


def _pause(tries: int) -> timedelta:
    doubled: int = 2 ** min(tries, 20)
    return min(FIRST_PAUSE * doubled, LONGEST_PAUSE)


def _is_needed(row: Forgetting) -> bool:
    """Whether the file was sent again since its conversation was deleted. Of one that was deleted itself no row is left."""
    copies = ProviderFile.objects.filter(provider=row.provider, file_id=row.upstream_id).select_related("attachment")
    return any(forget.is_needed(copy) for copy in copies)


async def _carry_out(row: Forgetting) -> None:
    try:
        # Its own pauses are longer than the client's: no retries within a try.
        await _delete(engines.client_for(row.provider, max_retries=0), row)
    except NotFound:
        await in_db(_done, row, GONE_ALREADY)
    except (ResponsesError, KeyError, ValueError) as error:  # also a dialect or an override that there is not any more
        logger.warning("%s at %s: not deleted: %s", row, row.provider, error)
        await in_db(Forgetting.objects.filter(pk=row.pk).update, error=(str(error) or type(error).__name__)[:300])
    else:
        await in_db(_done, row)


async def _delete(client: Client, row: Forgetting) -> None:
    match row.kind:
        case Kind.FILE:
            await client.delete_file(row.upstream_id)
        case Kind.CONTAINER:
            await client.delete_container(row.upstream_id)
        case _:
            await client.delete(row.upstream_id)


def _done(row: Forgetting, note: str = "") -> None:
    with writing():
        Forgetting.objects.filter(pk=row.pk).update(done_at=timezone.now(), error=note)
        if row.kind == Kind.RESPONSE:  # a conversation that came back does not go on from it
            Response.objects.filter(response_id=row.upstream_id, provider_name=row.provider.name).update(store=False)
        if row.kind == Kind.FILE:
            ProviderFile.objects.filter(provider=row.provider, file_id=row.upstream_id).delete()


async def apart(work: Callable[[], R]) -> R:
    """Run in a thread of its own: what is deleted by the thousand must not hold up the runs' one."""

    def call() -> R:
        try:
            return work()
        finally:
            connections.close_all()

    return await asyncio.to_thread(call)


def tidy() -> None:
    """What is old enough to go by itself, and what could not be finished when it was deleted."""
    for conversation in _old_conversations():
        forget.erase_conversation(conversation)
    for attachment in (*_old_files(), *_never_sent()):
        forget.forget_attachment(attachment)
    for conversation in Conversation.objects.filter(deleted_at__gte=timezone.now() - LATE):
        forget.forget_conversation(conversation)
    for attachment in _half_forgotten():
        with writing():
            forget.let_go_of(attachment)
        if attachment.file:
            forget.drop(attachment)


def _old_conversations() -> Iterator[Conversation]:
    if not settings.CONVERSATIONS_KEPT_DAYS:
        return
    limit = timezone.now() - timedelta(days=settings.CONVERSATIONS_KEPT_DAYS)
    at_work = Turn.objects.filter(status__in=LIVE).values("conversation")
    yield from Conversation.objects.filter(last_activity_at__lt=limit).exclude(pk__in=at_work)


def _old_files() -> Iterator[Attachment]:
    if not settings.FILES_KEPT_DAYS:
        return
    limit = timezone.now() - timedelta(days=settings.FILES_KEPT_DAYS)
    yield from Attachment.objects.ready().filter(created_at__lt=limit, forgotten_at=None)


def _never_sent() -> Iterator[Attachment]:
    limit = timezone.now() - NEVER_SENT_LIVES
    unused = Attachment.objects.ready().filter(turns=None, made_by=None, forgotten_at=None)
    yield from unused.filter(created_at__lt=limit)


def _half_forgotten() -> Iterator[Attachment]:
    """Bytes that the storage would not delete, copies that were made meanwhile, answers that ended meanwhile."""
    late = Q(forgotten_at__gte=timezone.now() - LATE)
    left = ~Q(file="") | Q(provider_files__isnull=False)
    yield from Attachment.objects.filter(late | left, forgotten_at__isnull=False).distinct()
