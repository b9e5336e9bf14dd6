"""One writer per process: what was shown is in the database at most a second later.

Responses that changed are written together, in one transaction each WRITE_SECONDS. A final state is its
own commit, before the page is told; one that no database takes is kept here and tried again. Every write names the
owner, so that a process whose lease was taken over cannot write into a run that is no longer its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import DatabaseError, DataError, IntegrityError, transaction
from django.utils import timezone

from chat.models import Conversation, Response, Status, Turn
from chat.models.conversations import LIVE
from chat.models.prices import token_count
from chat.models.providers import ID_LENGTH
from chat.models.writing import update_rows, writing
from chat.responses.fold import Draft
from chat.turns import line
from chat.turns.db import in_db

logger = logging.getLogger(__name__)

PROCESS = uuid.uuid4()
"""Names this process in leases."""

OURS = {"owner": (PROCESS,), "status": LIVE}
"""What is written must still hold: the lease is this process's, and no end has been stored."""

WRITE_SECONDS = 0.7
HEARTBEAT_SECONDS = 4.0
FINAL_ATTEMPTS = 6
# Of ends that wait for a database that stays away. An answer of ten thousand words takes some 60 kB.
OWED_CHARACTERS = 50_000_000


# What no database takes, of one row.
REFUSALS = (DataError, IntegrityError, ValueError, OverflowError, RecursionError)


@dataclass(frozen=True)
class Progress:
    """A response as it stands, in values that another thread may read. No fields: only the heartbeat."""

    pk: int
    fields: dict[str, Any]


@dataclass(frozen=True)
class Final:
    """The one terminal state of a response and its turn."""

    pk: int
    turn_id: int
    conversation_id: Any
    status: Status
    fields: dict[str, Any]


def draft_fields(draft: Draft) -> dict[str, Any]:
    """The columns that follow from a draft."""
    fields: dict[str, Any] = {
        "output": draft.output(),
        "cursor": draft.cursor,
        "model": (draft.model or "")[:200],
        **usage_fields(draft.usage),
    }
    if 0 < len(draft.response_id) <= ID_LENGTH:  # half an id would name nothing
        fields["response_id"] = draft.response_id
    return fields


def usage_fields(usage: dict[str, Any] | None) -> dict[str, Any]:
    known = usage or {}
    return {
        "usage": usage,
        "input_tokens": token_count(known.get("input_tokens")),
        "output_tokens": token_count(known.get("output_tokens")),
    }


def pause_after(seconds: float) -> float:
    """Rounds begin WRITE_SECONDS apart, whatever they take; but half of the time a slow database has for others."""
    return max(WRITE_SECONDS - seconds, WRITE_SECONDS / 2)


class Writer:
    """Collects what changed; `run` writes it. Lives on one event loop.

    `lost` is called with the turn of a response that is no longer ours: closed by another, or deleted.
    """

    def __init__(self, lost: Callable[[int], None]) -> None:
        self._lost = lost
        self._running: dict[int, Draft] = {}
        self._turns: dict[int, int] = {}
        self._changed: set[int] = set()
        self._owed: dict[int, tuple[Final, int]] = {}  # with its size
        self._beat_at = 0.0

    def begin(self, pk: int, turn_pk: int, draft: Draft) -> None:
        """Keep the lease of this response alive from now on."""
        self._running[pk] = draft
        self._turns[pk] = turn_pk
        self._changed.add(pk)

    def changed(self, pk: int) -> None:
        self._changed.add(pk)

    async def run(self) -> None:
        pause = WRITE_SECONDS
        while True:
            await asyncio.sleep(pause)
            began = time.monotonic()
            try:
                await self.settle()
                await self.flush()
            except DatabaseError:
                # What failed stays marked as changed and is written with the next round.
                logger.exception("progress could not be written; trying again")
            pause = pause_after(time.monotonic() - began)

    def owed_turns(self) -> list[int]:
        """The turns whose end is known, and not stored yet."""
        return [final.turn_id for final, _ in self._owed.values()]

    async def settle(self) -> None:
        """Store the ends that the database did not take before. Raises DatabaseError while it takes none."""
        for final, _ in list(self._owed.values()):
            try:
                stored = await in_db(_write_final, final)
            except (DataError, IntegrityError):
                logger.exception("response %s: its end is lost, for no database takes it", final.pk)
            else:
                logger.warning(
                    "response %s: %s", final.pk, "stored at last" if stored else "closed by another meanwhile"
                )
            self._owed.pop(final.pk, None)

    async def flush(self) -> None:
        """Write all that changed, and a heartbeat for the silent ones, now."""
        due = time.monotonic() - self._beat_at >= HEARTBEAT_SECONDS
        changed, self._changed = self._changed & self._running.keys(), set()
        rows = [Progress(pk, draft_fields(self._running[pk])) for pk in changed]
        if due:
            rows += [Progress(pk, {}) for pk in self._running if pk not in changed]
        if not rows:
            return
        try:
            gone = await in_db(_write_progress, rows)
        except DatabaseError:
            self._changed |= changed
            raise
        if due:
            self._beat_at = time.monotonic()
        for pk in gone:
            if pk in self._running:
                self._lost(self._turns[pk])

    async def finish(self, final: Final) -> bool:
        """Store the terminal state; False when another state was stored first.

        A database that is away for a moment is waited for, since losing an answer is worse than a late one.
        """
        self._let_go(final.pk)
        for attempt in range(1, FINAL_ATTEMPTS + 1):
            try:
                async with line.ends():
                    return await in_db(_write_final, final)
            except DatabaseError:
                if attempt == FINAL_ATTEMPTS:
                    self._owe(final)
                    raise
                logger.exception("response %s: final state could not be written, attempt %d", final.pk, attempt)
                await asyncio.sleep(0.2 * 2**attempt)
        raise AssertionError("unreachable")

    def _owe(self, final: Final) -> None:
        """Keep an end for when the database is back, as far as memory goes: the oldest leave first."""
        self._owed[final.pk] = final, len(json.dumps(final.fields["output"]))
        while len(self._owed) > 1 and sum(size for _, size in self._owed.values()) > OWED_CHARACTERS:
            lost, _ = self._owed.pop(next(iter(self._owed)))
            logger.error("response %s: its end is lost, too many wait for the database", lost.pk)

    async def release(self, pk: int, draft: Draft) -> bool:
        """Give up the lease, with all that has arrived, so that another process goes on. False: it was not ours."""
        self._let_go(pk)
        return await in_db(_release, Progress(pk, draft_fields(draft)))

    def _let_go(self, pk: int) -> None:
        self._running.pop(pk, None)
        self._turns.pop(pk, None)
        self._changed.discard(pk)


def _write_progress(rows: Sequence[Progress]) -> list[int]:
    """Write them together; the keys of those that are not ours any more."""
    now = timezone.now()
    try:
        with writing():
            return _written_together(rows, now)
    except REFUSALS:
        with writing():
            return [row.pk for row in rows if not _written_alone(row, now)]


def _written_together(rows: Sequence[Progress], now: datetime) -> list[int]:
    by_columns: dict[tuple[str, ...], list[Progress]] = {}
    for row in rows:
        by_columns.setdefault(tuple(row.fields), []).append(row)
    lost: list[int] = []
    for alike in by_columns.values():
        pks = [row.pk for row in alike]
        written = update_rows(Response, pks, [{"heartbeat_at": now, **row.fields} for row in alike], OURS)
        if written < len(pks):
            ours = Response.objects.filter(pk__in=pks, owner=PROCESS, status__in=LIVE).values_list("pk", flat=True)
            lost += set(pks).difference(ours)
    return lost


def _written(row: Progress, now: datetime) -> bool:
    return bool(update_rows(Response, [row.pk], [{"heartbeat_at": now, **row.fields}], OURS))


def _written_alone(row: Progress, now: datetime) -> bool:
    try:
        with transaction.atomic():
            return _written(row, now)
    except REFUSALS:
        # What no database takes must not hold up the text of everybody else, nor cost this run its lease.
        logger.exception("response %s: its progress could not be written", row.pk)
        return _written(Progress(row.pk, {}), now)


def _release(row: Progress) -> bool:
    mine = Response.objects.filter(pk=row.pk, owner=PROCESS, status__in=LIVE)
    return bool(mine.update(owner=None, heartbeat_at=None, **row.fields))


def _write_final(final: Final) -> bool:
    now = timezone.now()
    with writing():
        end = {"status": final.status, "finished_at": now, "heartbeat_at": now, **final.fields}
        stored = update_rows(Response, [final.pk], [end], OURS)
        if stored:
            update_rows(Turn, [final.turn_id], [{"status": final.status}])
            update_rows(Conversation, [final.conversation_id], [{"last_activity_at": now}])
    return bool(stored)
