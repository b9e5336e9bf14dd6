"""What the page of a run is told at its end: what is stored."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from django.db import DatabaseError

from chat.models import Status, Turn
from chat.rendering.answer import changed_blocks_html, response_html
from chat.rendering.views import FootView, foot_view, render_foot
from chat.turns import line
from chat.turns.db import in_db

logger = logging.getLogger(__name__)

NOT_BEGUN = "Something went wrong here before the answer could begin. Reload the page."
NOT_SAVED = "The answer could not be saved: the database does not answer. Copy what you need before you reload."
NOT_READ = "The answer is saved, but could not be read back. Reload the page."
DELETED = "This conversation was deleted while it was being answered."


async def read_back(turn_pk: int) -> str:
    """The whole answer and its foot as they are stored, where another process had the last word."""
    return await _told(turn_pk, partial(end_html, turn_pk))


async def last_word(turn: Turn) -> str:
    """The foot of a turn that stands as it was just stored."""
    return await _told(turn.pk, partial(foot_of, turn))


async def _told(turn_pk: int, how: Callable[[], str]) -> str:
    try:
        async with line.ends():
            return await in_db(how)
    except Turn.DoesNotExist:
        return broken_foot(turn_pk, DELETED)
    except DatabaseError:
        logger.exception("turn %s: the end could not be read back", turn_pk)
        return broken_foot(turn_pk, NOT_READ)


def foot_of(turn: Turn) -> str:
    """The foot, and what reads otherwise now than while it streamed.

    What the answer looks like in the end is remembered by this: the event loop has not the time to render it.
    """
    changed = "".join(changed_blocks_html(response) for response in turn.responses.all())
    return render_foot(foot_view(turn, is_new=True, oob=True)) + changed


def end_html(turn_pk: int) -> str:
    """The whole answer as it is stored: what this run showed of it does not count. "" while it goes on elsewhere."""
    turn = Turn.objects.with_answers().get(pk=turn_pk)
    if turn.is_live:
        return ""
    answers = "".join(response_html(response) for response in turn.responses.all())
    answer = f'<div class="answer" id="t{turn_pk}-answer" hx-swap-oob="true">{answers}</div>'
    return answer + render_foot(foot_view(turn, is_new=True, oob=True))


def broken_foot(turn_pk: int, problem: str) -> str:
    """What the page says when the row could not be brought to say it."""
    return render_foot(FootView(turn_pk, False, Status.FAILED, problem=problem, is_new=True, oob=True))
