"""Rename, settings, delete, and undo."""

from __future__ import annotations

import uuid

from django.utils import timezone

from chat.conversations.ask import Refused, checked_instructions
from chat.conversations.forget import forget_conversation, keep_conversation
from chat.models import Conversation, Deployment, User
from chat.models.writing import writing
from chat.rendering.escape import tidy

TITLE_MAX_CHARACTERS = 200
BACKGROUND = {"": None, "on": True, "off": False}  # as a form says it; None: as the deployment says


def rename(conversation: Conversation, title: str) -> None:
    """Give the owner's title, which no made-up one replaces later."""
    title = _one_line(title)
    if not title:
        raise Refused("A title needs at least one character.")
    conversation.title = title
    conversation.titled_by_owner = True
    conversation.save(update_fields=["title", "titled_by_owner"])


def give_title(conversation_id: uuid.UUID, title: str) -> bool:
    """Set a made-up title, unless the owner gave one meanwhile."""
    title = _one_line(title)
    if not title:
        return False
    changed = Conversation.objects.filter(pk=conversation_id, titled_by_owner=False).update(title=title)
    return bool(changed)


def _one_line(title: str) -> str:
    return " ".join(tidy(title).split())[:TITLE_MAX_CHARACTERS].rstrip()


def choose(
    owner: User,
    conversation: Conversation,
    *,
    deployment_id: int | None = None,
    instructions: str | None = None,
    background: str | None = None,
) -> None:
    """Set the model, instructions and where it works for the turns to come. Raises Refused.

    None leaves each as it is; `background` is one of BACKGROUND.
    """
    if background is not None:
        conversation.background = BACKGROUND.get(background)
    if instructions is not None:
        conversation.instructions = checked_instructions(instructions)
    if deployment_id is not None:
        deployment = Deployment.objects.offered_to(owner).filter(pk=deployment_id).first()
        if deployment is None:
            raise Refused("This model is no longer offered. Choose another one.")
        conversation.deployment = deployment
    conversation.save(update_fields=["deployment", "instructions", "background"])


def delete(conversation: Conversation) -> None:
    """Hide it from its owner. Reviewers keep it, providers do not, and for a while `restore` undoes all of it."""
    with writing():
        conversation.deleted_at = timezone.now()
        conversation.save(update_fields=["deleted_at"])
        forget_conversation(conversation)


def restore(conversation: Conversation) -> None:
    """Bring it back. What a provider has deleted since goes up again when it is needed."""
    with writing():
        conversation.deleted_at = None
        conversation.save(update_fields=["deleted_at"])
        keep_conversation(conversation)
