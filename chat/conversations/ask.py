"""A question comes in: check it, then store Turn and Response in one transaction.

Nothing goes upstream from here. Whoever calls starts the run after the transaction is done.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace

from django.conf import settings
from django.db import IntegrityError, connection
from django.utils import timezone

from chat import engines
from chat.conversations import summary as summaries
from chat.conversations.summary import Summary
from chat.files import estimate
from chat.models import Attachment, Conversation, Deployment, Response, Status, Turn, User
from chat.models.conversations import LIVE, TurnAttachment
from chat.models.prepared import Prepared, field
from chat.models.providers import offers_to
from chat.models.writing import insert_row, update_rows, writing
from chat.rendering.escape import tidy
from chat.rendering.live import StoredResponse

PROVISIONAL_TITLE_CHARACTERS = 60
INSTRUCTIONS_MAX_CHARACTERS = 20_000

_stored = Prepared(
    lambda key: Turn.objects.filter(idempotency_key=key).values_list("pk", flat=True), field(Turn, "idempotency_key")
)
# FOR NO KEY UPDATE: rows that refer to the person can still be added.
_lock_person = Prepared(
    lambda pk: User.objects.select_for_update(no_key=True).filter(pk=pk).values_list("pk"), field(User, "id")
)
# Without select_related: PostgreSQL cannot lock the nullable side of a join.
_locked = Prepared(lambda pk: Conversation.objects.select_for_update().filter(pk=pk), field(Conversation, "id"))
_answering = Prepared(
    lambda owner: Turn.objects.filter(conversation__owner=owner, status__in=LIVE).values_list(
        "conversation_id", flat=True
    ),
    field(User, "id"),
)


class Refused(Exception):
    """The question cannot be taken as it is. `sentence` tells the person what to do; their text is kept."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence


@dataclass(frozen=True)
class Question:
    """What the composer sent. `key` makes a double submit one turn; None ids mean "as before"."""

    text: str
    key: uuid.UUID
    attachment_ids: Sequence[uuid.UUID] = ()
    deployment_id: int | None = None
    instructions: str | None = None
    background: bool | None = None  # of a new conversation; None: as the deployment says
    summary: Summary | None = None  # of what is attached; the text is what the person wrote besides


@dataclass(frozen=True)
class Asked:
    """What was stored. A repeat carries the turn of the first submit and must not be run again.

    `earlier` are the responses of the turn that the new one goes on from. `attachments` are those of a new turn.
    """

    conversation: Conversation
    turn: Turn
    response: Response
    is_repeat: bool = False
    earlier: Sequence[StoredResponse] = ()
    attachments: Sequence[Attachment] | None = None
    offered: Sequence[Deployment] | None = None  # to the person, as they were read on the way


def ask(
    owner: User,
    conversation: Conversation | None,
    question: Question,
    *,
    is_full: bool = False,
    process: uuid.UUID | None = None,
) -> Asked:
    """Store a question in `conversation`, or in a new one. Raises Refused.

    `is_full`: the process that would run it carries as many as it may. `process`: the one that begins to run it at
    once, and has the lease from the start.
    """
    question = replace(question, text=tidy(question.text).strip())
    attachments = _check(owner, question)
    question = _worded(question, attachments)
    try:
        with writing():
            lock_person(owner)
            conversation = locked(conversation) if conversation else _new(owner, question)
            # After the locks: the same form may have been stored while this one waited for them.
            repeat = _earlier(owner, question)
            if repeat is not None:
                return repeat
            refuse_while_busy(owner, conversation, is_full=is_full)
            offered = offers_to(owner)
            deployment = _deployment(offered, conversation, question)
            if question.deployment_id is not None:
                conversation.deployment = deployment
            _refuse_what_does_not_fit(attachments, deployment, question.summary)
            turn = _store(conversation, conversation.head_id, question, deployment, attachments, process)
            response = _first_response(turn, attachments, process)
            return Asked(conversation, turn, response, attachments=attachments, offered=offered)
    except IntegrityError:
        # The same form arrived twice at the same moment; the other one won.
        repeat = _earlier(owner, question)
        if repeat is None:
            raise
        return repeat


def ask_again(turn: Turn, key: uuid.UUID, *, is_full: bool = False, process: uuid.UUID | None = None) -> Asked:
    """Ask a turn's question once more, as a sibling: the first answer stays where it was."""
    with writing():
        lock_person(turn.conversation.owner)
        conversation = locked(turn.conversation)
        refuse_while_busy(conversation.owner, conversation, is_full=is_full)
        deployment = _deployment(offers_to(conversation.owner), conversation, None)
        question = Question(turn.question, key, summary=summaries.of_turn(turn))
        attachments = list(turn.attachments.order_by("turnattachment__pk"))
        _refuse_what_does_not_fit(attachments, deployment, question.summary)
        again = _store(conversation, turn.parent_id, question, deployment, attachments, process)
        return Asked(conversation, again, _first_response(again, attachments, process), attachments=attachments)


def provisional_title(text: str, attachments: Sequence[Attachment]) -> str:
    """A title until the first exchange gives a better one: the question's beginning, cut at a word."""
    line = " ".join(text.split())
    if not line:
        return attachments[0].name[:PROVISIONAL_TITLE_CHARACTERS] if attachments else ""
    if len(line) <= PROVISIONAL_TITLE_CHARACTERS:
        return line
    # With the next character: a word that ends exactly at the limit stays.
    cut = line[: PROVISIONAL_TITLE_CHARACTERS + 1]
    return (cut.rsplit(" ", 1)[0] if " " in cut[30:] else cut[:-1]) + "…"


def checked_instructions(text: str) -> str:
    """Instructions as they are kept. Raises Refused."""
    text = tidy(text).strip()
    if len(text) > INSTRUCTIONS_MAX_CHARACTERS:
        raise Refused(
            f"The instructions have {len(text):,} characters; {INSTRUCTIONS_MAX_CHARACTERS:,} fit. Shorten them."
        )
    return text


def _earlier(owner: User, question: Question) -> Asked | None:
    if not _stored(question.key):  # nearly always, and for less
        return None
    turn = Turn.objects.select_related("conversation").get(idempotency_key=question.key)
    # Other words under the same key are no repeat: a page that was brought back asks something new.
    if turn.conversation.owner_id != owner.pk or turn.question != question.text:
        raise Refused("This form was used before. Reload the page and send your message again.")
    return Asked(turn.conversation, turn, turn.responses.latest("order"), is_repeat=True)


def _check(owner: User, question: Question) -> list[Attachment]:
    if not question.text and not question.attachment_ids:
        raise Refused("Write a message or attach a file first.")
    if len(question.text) > settings.QUESTION_MAX_CHARACTERS:
        raise Refused(
            f"The message has {len(question.text):,} characters; {settings.QUESTION_MAX_CHARACTERS:,} fit. "
            "Shorten it, or attach the text as a PDF."
        )
    if not question.attachment_ids:
        return []
    if len(question.attachment_ids) > settings.FILES_PER_TURN:
        raise Refused(
            f"The message has {len(question.attachment_ids)} files; {settings.FILES_PER_TURN} fit. "
            "Remove some, or send them in several messages."
        )
    found = {a.pk: a for a in Attachment.objects.visible_to(owner).filter(pk__in=question.attachment_ids)}
    attachments = []
    for pk in question.attachment_ids:
        attachment = found.get(pk)
        if attachment is None or attachment.forgotten_at is not None:
            raise Refused("An attached file is no longer there. Remove it and attach it again.")
        if attachment.status != Attachment.Status.READY:
            raise Refused(f"“{attachment.name}” is not ready yet. Wait a moment, or remove it.")
        attachments.append(attachment)
    return attachments


def _worded(question: Question, attachments: Sequence[Attachment]) -> Question:
    """A summary is asked for in words of ours."""
    if question.summary is None:
        return question
    try:
        return replace(question, text=summaries.question(question.summary, attachments, question.text))
    except summaries.Unclear as unclear:
        raise Refused(unclear.sentence) from unclear


def _refuse_what_does_not_fit(
    attachments: Sequence[Attachment], deployment: Deployment, summary: Summary | None
) -> None:
    """Asked back before it is sent, with rows that are there already: this is on the way of each question."""
    sent = [attachment for attachment in attachments if attachment.forgotten_at is None]
    if not sent or not deployment.context_window:
        return
    dialect = engines.dialect_of(deployment.provider)
    if summary is not None:
        by_parts = summaries.in_parts(sent, deployment, dialect)
        sent = [attachment for attachment in sent if attachment not in by_parts]
    if sentence := estimate.overflow(sent, deployment.context_window, dialect):
        raise Refused(sentence)


def lock_person(owner: User) -> None:
    """Hold up what the person asks elsewhere at this moment, so that limits count. Before any other lock."""
    if not connection.features.has_select_for_update:
        return  # SQLite: the transaction itself has locked all
    _lock_person(owner.pk)


def locked(conversation: Conversation) -> Conversation:
    """The row, locked against a second question from another tab."""
    found = _locked.first(conversation.pk)
    if found is None:
        raise Conversation.DoesNotExist
    return found


def refuse_while_busy(owner: User, conversation: Conversation, *, is_full: bool) -> None:
    """To be called with the person's lock, before anything is stored. One query, for it is on the way of each question."""
    answering = _answering(owner.pk)
    if conversation.pk in answering:
        raise Refused("An answer is still being written here. Wait for it, or stop it first.")
    if len(answering) >= settings.RUNNING_PER_PERSON:
        answers = "1 answer is" if len(answering) == 1 else f"{len(answering)} answers are"
        raise Refused(f"{answers} being written for you at the moment; wait for one, or stop one.")
    if is_full:
        raise Refused("Very many answers are being written here at the moment. Send this again in a little while.")


def _new(owner: User, question: Question) -> Conversation:
    instructions = checked_instructions(question.instructions or "")
    return Conversation(owner=owner, instructions=instructions, background=question.background)


def _deployment(offered: Sequence[Deployment], conversation: Conversation, question: Question | None) -> Deployment:
    by_key = {deployment.pk: deployment for deployment in offered}
    if question is not None and question.deployment_id is not None:
        chosen = by_key.get(question.deployment_id)
        if chosen is None:
            raise Refused("This model is no longer offered. Choose another one.")
        return chosen
    if not offered:
        raise Refused("No model is set up. Ask the operator of this chat to add one.")
    return by_key.get(conversation.deployment_id or 0, offered[0])


def _store(
    conversation: Conversation,
    parent_id: int | None,
    question: Question,
    deployment: Deployment,
    attachments: Sequence[Attachment],
    process: uuid.UUID | None,
) -> Turn:
    now = timezone.now()
    if not conversation.title:
        conversation.title = provisional_title(question.text, attachments)
    if conversation.deployment_id is None:
        conversation.deployment = deployment
    conversation.last_activity_at = now
    turn = Turn(
        conversation=conversation,
        parent_id=parent_id,
        question=question.text,
        summary=question.summary.stored() if question.summary else None,
        deployment=deployment,
        idempotency_key=question.key,
        status=Status.IN_PROGRESS if process else Status.QUEUED,
        created_at=now,
    )
    insert_row(turn)
    if attachments:
        TurnAttachment.objects.bulk_create([TurnAttachment(turn=turn, attachment=a) for a in attachments])
    conversation.head = turn
    if conversation._state.adding:
        # After the turn, which it names as the turn names it: references are checked when the transaction ends.
        insert_row(conversation)
        return turn
    changed = {
        "head": turn.pk,
        "title": conversation.title,
        "deployment": conversation.deployment_id,
        "last_activity_at": now,
    }
    update_rows(Conversation, [conversation.pk], [changed])
    return turn


def _first_response(turn: Turn, attachments: Sequence[Attachment], process: uuid.UUID | None) -> Response:
    provider = turn.deployment.provider.name if turn.deployment else ""
    response = Response(
        turn=turn,
        status=turn.status,
        provider_name=provider,
        owner=process,
        heartbeat_at=turn.created_at if process else None,
        created_at=turn.created_at,
    )
    insert_row(response)
    response.know(made=[])
    turn.know([response], attachments)
    return response
