"""After the first answer: ask the same model for a title. A failure here costs a title and nothing else."""

from __future__ import annotations

import asyncio
import logging

from chat.conversations import keep, title
from chat.responses.errors import ResponsesError
from chat.responses.fold import Draft
from chat.turns import notices
from chat.turns.db import in_db
from chat.turns.job import Job

logger = logging.getLogger(__name__)

TITLE_SECONDS = 30.0


async def give_title(job: Job) -> None:
    if not title.wants_title(job.turn) or job.client is None:
        return
    body = title.title_request(job.turn, job.draft.text(), job.deployment, job.dialect)
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
