"""A stream that ended without a last word: what the provider knows of its answer."""

from __future__ import annotations

import logging

from chat.responses.errors import ResponsesError
from chat.responses.events import Terminal, event_from_response
from chat.turns.job import Job

logger = logging.getLogger(__name__)


async def finish(job: Job) -> None:
    """Bring the answer to its end, as far as the provider keeps it."""
    if not job.draft.terminal_seen:
        await _fetch_once(job)


async def _fetch_once(job: Job) -> None:
    """A provider that keeps responses may know how it went."""
    draft = job.draft
    if job.client is None or not draft.response_id or not (job.dialect.retrieve and job.is_kept_upstream):
        return
    try:
        fetched = event_from_response(await job.client.retrieve(draft.response_id))
    except ResponsesError as error:
        logger.info("response %s: could not be fetched after its stream broke off: %s", job.response.pk, error)
        return
    if isinstance(fetched, Terminal):
        # As the stream's own last word: what was shown and is missing in it stays.
        job.take(fetched)
