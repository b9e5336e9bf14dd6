"""Rows as they are after a while of use, made without running anything."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import Any

from django.core.files.base import ContentFile
from django.db.models import F
from django.utils import timezone

from chat.models import Attachment, Conversation, Deployment, Provider, Response, Status, Turn, User


def make_deployment(
    name: str = "m-1", *, provider: str = "Scripted", dialect: str = "openai", **fields: Any
) -> Deployment:
    row, _ = Provider.objects.get_or_create(
        name=provider, defaults={"dialect": dialect, "base_url": "http://upstream.test/v1/"}
    )
    fields.setdefault("is_default", not Deployment.objects.filter(is_default=True).exists())
    return Deployment.objects.create(provider=row, name=name, **fields)


def message(text: str, **more: Any) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": []}
    return {"type": "message", "role": "assistant", "status": "completed", "content": [part], **more}


def make_turn(
    conversation: Conversation,
    question: str = "Why?",
    answer: str = "Because.",
    *,
    parent: Turn | None = None,
    status: Status = Status.COMPLETED,
    **response: Any,
) -> Turn:
    """One turn with its answer, at the end of the conversation or after `parent`."""
    turn = Turn.objects.create(
        conversation=conversation,
        parent=parent or conversation.head,
        question=question,
        deployment=conversation.deployment,
        status=status,
    )
    fields = {
        "response_id": f"resp_{turn.pk}",
        "provider_name": conversation.deployment.provider.name if conversation.deployment else "",
        "output": [message(answer, id=f"msg_{turn.pk}")] if answer else [],
        "text": answer,
        **response,
    }
    Response.objects.create(turn=turn, status=status, **fields)
    conversation.head = turn
    conversation.save(update_fields=["head"])
    return turn


def make_conversation(owner: User, deployment: Deployment | None = None, turns: int = 0, **fields: Any) -> Conversation:
    """A conversation with a path of that many answered turns, however many."""
    conversation = Conversation.objects.create(owner=owner, deployment=deployment, title="Talk", **fields)
    if turns:
        _make_path(conversation, turns)
    return conversation


def _make_path(conversation: Conversation, count: int) -> None:
    deployment = conversation.deployment
    provider = deployment.provider.name if deployment else ""
    made = Turn.objects.bulk_create(
        Turn(conversation=conversation, question=f"Question {n}", deployment=deployment, status=Status.COMPLETED)
        for n in range(count)
    )
    rows = Turn.objects.filter(conversation=conversation)
    assert [turn.pk for turn in made] == list(range(made[0].pk, made[0].pk + count))
    rows.exclude(pk=made[0].pk).update(parent_id=F("pk") - 1)
    Response.objects.bulk_create(
        Response(
            turn=turn,
            status=Status.COMPLETED,
            provider_name=provider,
            response_id=f"resp_{turn.pk}",
            output=[message(f"Answer {n} with **some** Markdown.\n\n- one\n- two", id=f"msg_{turn.pk}")],
            text=f"Answer {n}",
            usage={"input_tokens": 3, "output_tokens": 5},
        )
        for n, turn in enumerate(made)
    )
    conversation.head = rows.get(pk=made[-1].pk)
    conversation.save(update_fields=["head"])


def make_conversations(owner: User, count: int, *, apart: timedelta = timedelta(minutes=1)) -> list[Conversation]:
    """That many conversations, the newest first."""
    now = timezone.now()
    return Conversation.objects.bulk_create(
        Conversation(owner=owner, title=f"Talk {n}", last_activity_at=now - n * apart) for n in range(count)
    )


def make_attachment(owner: User, name: str = "report.pdf", content: bytes = b"%PDF-1.4", **fields: Any) -> Attachment:
    """A file that is ready to be sent; with `content=b""` none is stored."""
    fields = {"status": Attachment.Status.READY, "media_type": "application/pdf", "pages": 3, **fields}
    attachment = Attachment(owner=owner, name=name, size=len(content), received=len(content), **fields)
    if content:
        attachment.file.save("a", ContentFile(content), save=False)
    attachment.save()
    return attachment


def form(question: str = "Why?", **fields: Any) -> dict[str, Any]:
    """What the composer sends."""
    return {"question": question, "key": str(uuid.uuid4()), **fields}
