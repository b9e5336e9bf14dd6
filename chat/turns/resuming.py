"""A stream that ended without a last word: go on where it stopped, or fetch what the provider has made of it.

What works in the background goes on at the provider whatever happens here. Its stream is resumed behind the last event
that came, as often as it breaks; where it cannot be resumed, its response is asked for until it is over. Anything else
is asked for once, for some providers keep it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

from chat import engines
from chat.models import Response
from chat.rendering.views import FootView, render_foot
from chat.responses.client import Client
from chat.responses.errors import BadStream, RateLimited, ResponsesError, ServerFault, Unreachable
from chat.responses.events import Terminal, event_from_response
from chat.turns.job import Job

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
PAUSE_GROWTH = 1.7
MOST_PAUSE_SECONDS = 30.0
FRUITLESS_RESUMES = 5  # one after the other, without anything new
MOST_POLLING_SECONDS = 3_600.0
NOTE_SECONDS = 5.0
CANCEL_SECONDS = 10.0

NOTE = "The connection to the provider broke. It goes on answering, and its answer is being fetched."

# What may go better a moment later. Any other refusal is the provider's answer.
_PASSING = (Unreachable, ServerFault, RateLimited, BadStream)


async def finish(job: Job) -> None:
    """Bring the answer to its end, as far as the provider knows it."""
    if job.client is None or not job.draft.response_id or job.draft.terminal_seen:
        return
    if not job.in_background:
        await _fetch_once(job)
        return
    with _Trouble(job) as trouble:
        if job.dialect.resume:
            await _resume(job, trouble)
        if not job.draft.terminal_seen:
            await _poll(job)


async def cancel(job: Job) -> None:
    """Stop what the provider does in the background. That it could not be stopped is no business of the person."""
    if job.in_background and job.client is not None:
        await _cancel(job.client, job.draft.response_id, job.response.pk)


async def cancel_left(response: Response) -> None:
    """As `cancel`, for a run that this process has closed without carrying it. Its turn is loaded to the provider."""
    deployment = response.turn.deployment
    if not response.background or deployment is None:
        return
    try:
        client = engines.client_for(deployment.provider, deployment)
    except (ResponsesError, ValueError) as error:  # not set up any more, or with an override that is none
        logger.info("response %s: could not be cancelled: %s", response.pk, error)
        return
    await _cancel(client, response.response_id, response.pk)


async def _cancel(client: Client, response_id: str, pk: int) -> None:
    if not response_id or not client.endpoint.dialect.cancel:
        return
    try:
        async with asyncio.timeout(CANCEL_SECONDS):
            await client.cancel(response_id)
    except (ResponsesError, TimeoutError) as error:
        logger.info("response %s: could not be cancelled: %s", pk, error)


async def _resume(job: Job, trouble: _Trouble) -> None:
    """Follow the stream until its last word, through any number of breaks. Returns without it where that is no use."""
    assert job.client is not None
    fruitless = 0
    pauses = _pauses()
    while not job.draft.terminal_seen and fruitless < FRUITLESS_RESUMES:
        await asyncio.sleep(next(pauses))
        response_id, cursor = job.draft.response_id, job.draft.cursor
        if cursor is None and job.draft.items:  # without numbers all of it comes again
            job.restart(response_id)
        fruitless += 1
        try:
            async with job.client.resume(response_id, starting_after=cursor, pace=job.live.pace) as events:
                async for event in events:
                    if fruitless:
                        fruitless, pauses = 0, _pauses()
                        trouble.over()
                    job.take(event)
            trouble.again()
        except _PASSING as error:
            trouble.again()
            logger.info("response %s: its stream broke again: %s", job.response.pk, error)
        except ResponsesError as error:
            logger.info("response %s: cannot be resumed: %s", job.response.pk, error)
            return


async def _poll(job: Job) -> None:
    """Ask in growing pauses until it is over; its final payload brings what is missing."""
    assert job.client is not None
    waited = 0.0
    for pause in _pauses():
        try:
            fetched = event_from_response(await job.client.retrieve(job.draft.response_id))
        except _PASSING as error:
            logger.info("response %s: could not be fetched: %s", job.response.pk, error)
        except ResponsesError as error:
            logger.warning("response %s: is not kept any more: %s", job.response.pk, error)
            return
        else:
            if isinstance(fetched, Terminal):
                job.take(fetched)
                return
        waited += pause
        if waited > MOST_POLLING_SECONDS:
            logger.warning("response %s: given up after %.0f seconds", job.response.pk, waited)
            return
        await asyncio.sleep(pause)


async def _fetch_once(job: Job) -> None:
    """A provider that keeps responses may know how it went."""
    if job.client is None or not (job.dialect.retrieve and job.is_kept_upstream):
        return
    try:
        fetched = event_from_response(await job.client.retrieve(job.draft.response_id))
    except ResponsesError as error:
        logger.info("response %s: could not be fetched after its stream broke off: %s", job.response.pk, error)
        return
    if isinstance(fetched, Terminal):
        # As the stream's own last word: what was shown and is missing in it stays.
        job.take(fetched)


def _pauses() -> Iterator[float]:
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause
        pause = min(pause * PAUSE_GROWTH, MOST_PAUSE_SECONDS)


class _Trouble:
    """Tells the page what goes on, when it takes so long that somebody wonders; and when it is over."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._is_told = False

    def __enter__(self) -> _Trouble:
        self._timer = asyncio.get_running_loop().call_later(NOTE_SECONDS, self._tell)
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def over(self) -> None:
        self._timer.cancel()
        if self._is_told:
            self._is_told = False
            self._say("")

    def again(self) -> None:
        self._timer.cancel()
        if not self._is_told:
            self.__enter__()

    def _tell(self) -> None:
        self._is_told = True
        self._say(NOTE)

    def _say(self, note: str) -> None:
        foot = FootView(self._job.turn.pk, True, self._job.turn.status, note=note, oob=True)
        html = render_foot(foot)
        for tab in self._job.live.tabs:
            tab.push(html)
