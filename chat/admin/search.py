"""Search of the reviewer: every word somewhere in a conversation, in whichever of its turns."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q
from django.utils.text import smart_split, unescape_string_literal

from chat.models import Response, Turn
from chat.models.conversations import TurnAttachment

# Each word reads all questions and answers once.
MAX_WORDS = 8
MAX_CHARACTERS = 1_000


def words_of(search: str) -> list[str]:
    """Words, and "quoted phrases" as one."""
    words = []
    for bit in smart_split(search[:MAX_CHARACTERS].replace("\x00", "")):
        quoted = len(bit) > 2 and bit[0] in "\"'" and bit[0] == bit[-1]
        words.append(unescape_string_literal(bit) if quoted else bit)
    return words[:MAX_WORDS]


def matching(word: str) -> Q:
    """Where one word is found: title, owner, questions, answers, file names, ids.

    Subqueries and not joins: a joined search would miss two words that stand in different turns, and would
    multiply each conversation by its turns.
    """
    questions = Turn.objects.filter(question__icontains=word)
    files = TurnAttachment.objects.filter(attachment__name__icontains=word)
    answers = Response.objects.filter(
        # Ids from their beginning: in the middle of one, nearly any short word can be found.
        Q(text__icontains=word)
        | Q(response_id__istartswith=word)
        | Q(previous_response_id__istartswith=word)
        | Q(request_id__istartswith=word)
    )
    return (
        Q(title__icontains=word)
        | Q(owner__username__icontains=word)
        | Q(owner__email__icontains=word)
        | Q(pk__in=questions.order_by().values("conversation"))
        | Q(pk__in=files.order_by().values("turn__conversation"))
        | Q(pk__in=answers.order_by().values("turn__conversation"))
        | the_conversation_itself(word)
    )


def the_conversation_itself(word: str) -> Q:
    try:
        return Q(pk=UUID(word))
    except ValueError:
        return Q()
