"""What died on the way: runs by their silent lease, and runs that were left at a shutdown; uploads nobody ended.

What a provider may still know of is adopted by this process: it goes on, or is fetched. Anything else is closed as
interrupted, with its text. Every process sweeps, and one conditional UPDATE decides which of them has a run.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from chat import engines
from chat.files import intake
from chat.models import Response, Status, Turn
from chat.models.conversations import LIVE
from chat.rendering.answer import segments
from chat.rendering.live import StoredResponse
from chat.rendering.views import stored_responses
from chat.turns import made
from chat.turns.db import in_db
from chat.turns.writer import HEARTBEAT_SECONDS, PROCESS

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
SWEEP_SECONDS = 5.0
GRACE_SECONDS = 2 * HEARTBEAT_SECONDS
CLOSE_ATTEMPTS = 5
UPLOADS_SWEEP_SECONDS = 3600.0
UNFINISHED_UPLOADS_LIVE = timedelta(days=1)


@dataclass(frozen=True)
class Adopted:
    """A response whose lease this process has just taken over, as it was stored."""

    response: Response
    conversation_id: Any
    earlier: Sequence[StoredResponse] = ()


async def run(spoken_for: Callable[[], Sequence[int]], adopt: Callable[[Adopted], None]) -> None:
    """Sweep now and every few seconds until cancelled. `spoken_for` names the turns of this process."""
    uploads_due = 0.0
    was_away = False
    while True:
        try:
            if was_away:  # for all: whoever lives has to be given the time to say so
                await in_db(Response.objects.exists)
                was_away = False
                await asyncio.sleep(GRACE_SECONDS)
            for adopted in await in_db(sweep, spoken_for()):
                adopt(adopted)
            if time.monotonic() >= uploads_due:
                await in_db(intake.sweep, UNFINISHED_UPLOADS_LIVE)
                uploads_due = time.monotonic() + UPLOADS_SWEEP_SECONDS
        except DatabaseError:
            was_away = True
            logger.exception("the sweep failed; trying again")
        await asyncio.sleep(SWEEP_SECONDS)


def sweep(spoken_for: Sequence[int] = ()) -> list[Adopted]:
    """Take over or close each run that was left, or has been silent for LEASE_SECONDS. Those to go on with.

    As many as this process may carry: the others are for other processes, or for later.
    """
    room = settings.RUNNING_PER_PROCESS - len(spoken_for)
    limit = timezone.now() - timedelta(seconds=LEASE_SECONDS)
    silent = Q(heartbeat_at__lt=limit) | Q(heartbeat_at=None, created_at__lt=limit)
    # What has just been asked has no owner either, and no id upstream.
    left = Q(owner=None, heartbeat_at=None, background=True) & ~Q(response_id="")
    orphans = Response.objects.filter(silent | left, status__in=LIVE).exclude(turn_id__in=spoken_for)
    found: list[Adopted] = []
    for response in orphans.select_related("turn__deployment__provider"):
        if not _may_be_known_upstream(response):
            close(response, Status.INTERRUPTED)
        elif len(found) < room and (adopted := _adopted(response)) is not None:
            found.append(adopted)
    return found


def _may_be_known_upstream(response: Response) -> bool:
    deployment = response.turn.deployment
    if deployment is None or not response.response_id or not (response.background or response.store):
        return False
    try:
        return engines.dialect_of(deployment.provider).retrieve
    except (KeyError, ValueError):  # a dialect or an override that there is not any more
        return False


def _adopted(response: Response) -> Adopted | None:
    """Take the lease as it was seen; None when another process was faster, or its own came back to life."""
    now = timezone.now()
    taken = Response.objects.filter(
        pk=response.pk, owner=response.owner, heartbeat_at=response.heartbeat_at, status__in=LIVE
    ).update(owner=PROCESS, heartbeat_at=now, status=Status.IN_PROGRESS)
    if not taken:
        return None
    logger.warning("response %s: adopted, its process is gone", response.pk)
    # Read again: its process may have stored more after it was seen.
    fresh = Response.objects.select_related("turn").get(pk=response.pk)
    earlier = fresh.turn.responses.filter(order__lt=fresh.order)
    return Adopted(fresh, fresh.turn.conversation_id, stored_responses(earlier))


def close_now(response: Response, status: Status) -> bool:
    """As `close`, also while another process carries it and shows at each heartbeat that it lives."""
    for _ in range(CLOSE_ATTEMPTS):
        if close(response, status):
            return True
        try:
            response.refresh_from_db(fields=["owner", "heartbeat_at", "response_id", "output"])
        except Response.DoesNotExist:
            return False
    return False


def close(response: Response, status: Status) -> bool:
    """End a run that no living process carries. One conditional UPDATE, so that only one sweep wins."""
    now = timezone.now()
    text = "\n\n".join(s.text for s in segments(response.output or []) if s.kind == "text")
    with transaction.atomic():
        closed = Response.objects.filter(
            pk=response.pk, owner=response.owner, heartbeat_at=response.heartbeat_at, status__in=LIVE
        ).update(status=status, finished_at=now, owner=PROCESS, text=text)
        if closed:
            Turn.objects.filter(pk=response.turn_id).update(status=status)
            made.note_closed(response)
            logger.warning("response %s: closed as %s, its process is gone", response.pk, status)
    return bool(closed)
