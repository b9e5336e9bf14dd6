"""Rename, settings, delete, and undo."""

from __future__ import annotations

import uuid

from django.utils import timezone

from chat.conversations.ask import Refused
from chat.models import Conversation, Deployment, User

TITLE_MAX_CHARACTERS = 200
INSTRUCTIONS_MAX_CHARACTERS = 20_000


def rename(conversation: Conversation, title: str) -> None:
    """Give the owner's title, which no made-up one replaces later."""
    title = " ".join(title.split())[:TITLE_MAX_CHARACTERS]
    if not title:
        raise Refused("A title needs at least one character.")
    conversation.title = title
    conversation.titled_by_owner = True
    conversation.save(update_fields=["title", "titled_by_owner"])


def give_title(conversation_id: uuid.UUID, title: str) -> bool:
    """Set a made-up title, unless the owner gave one meanwhile."""
    title = " ".join(title.split())[:TITLE_MAX_CHARACTERS]
    if not title:
        return False
    changed = Conversation.objects.filter(pk=conversation_id, titled_by_owner=False).update(title=title)
    return bool(changed)


def choose(owner: User, conversation: Conversation, *, deployment_id: int | None, instructions: str) -> None:
    """Set the model and instructions for the turns to come."""
    if len(instructions) > INSTRUCTIONS_MAX_CHARACTERS:
        raise Refused(f"The instructions are too long: {INSTRUCTIONS_MAX_CHARACTERS:,} characters fit.")
    if deployment_id is not None:
        deployment = Deployment.objects.offered_to(owner).filter(pk=deployment_id).first()
        if deployment is None:
            raise Refused("This model is no longer offered. Choose another one.")
        conversation.deployment = deployment
    conversation.instructions = instructions.strip()
    conversation.save(update_fields=["deployment", "instructions"])


def delete(conversation: Conversation) -> None:
    """Hide it from its owner. Reviewers keep it, and `restore` undoes it."""
    conversation.deleted_at = timezone.now()
    conversation.save(update_fields=["deleted_at"])


def restore(conversation: Conversation) -> None:
    conversation.deleted_at = None
    conversation.save(update_fields=["deleted_at"])
