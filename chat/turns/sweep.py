"""What died on the way: runs by their silent lease, closed as interrupted with their text; uploads nobody ended."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from django.db import DatabaseError, transaction
from django.db.models import Q
from django.utils import timezone

from chat.files import intake
from chat.models import Response, Status, Turn
from chat.models.conversations import LIVE
from chat.rendering.answer import segments
from chat.turns.db import in_db
from chat.turns.writer import PROCESS

logger = logging.getLogger(__name__)

LEASE_SECONDS = 15.0
SWEEP_SECONDS = 5.0
UPLOADS_SWEEP_SECONDS = 3600.0
UNFINISHED_UPLOADS_LIVE = timedelta(days=1)


async def run(running: Callable[[], Sequence[int]]) -> None:
    """Sweep now and every few seconds until cancelled. `running` names the turns of this process."""
    uploads_due = 0.0
    while True:
        try:
            await in_db(sweep, running())
            if time.monotonic() >= uploads_due:
                await in_db(intake.sweep, UNFINISHED_UPLOADS_LIVE)
                uploads_due = time.monotonic() + UPLOADS_SWEEP_SECONDS
        except DatabaseError:
            logger.exception("the sweep failed; trying again")
        await asyncio.sleep(SWEEP_SECONDS)


def sweep(running: Sequence[int] = ()) -> int:
    """Close each run that has been silent for LEASE_SECONDS, but for those in `running`. How many were closed."""
    limit = timezone.now() - timedelta(seconds=LEASE_SECONDS)
    silent = Q(heartbeat_at__lt=limit) | Q(heartbeat_at=None, created_at__lt=limit)
    stale = Response.objects.filter(silent, status__in=LIVE).exclude(turn_id__in=running)
    return sum(close(response, Status.INTERRUPTED) for response in stale)


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
            logger.warning("response %s: closed as %s, its process is gone", response.pk, status)
    return bool(closed)
