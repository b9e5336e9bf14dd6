"""Conversations to review, and people with less than all rights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.core.files.base import ContentFile
from django.test import Client

from chat.models import Attachment, Conversation, Deployment, Provider, Response, Status, Turn, User
from tests.conftest import PASSWORD, signed_in


@pytest.fixture(autouse=True)
def media(settings: Any, tmp_path: Any) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def provider(db: None) -> Provider:
    return Provider.objects.create(
        name="House", dialect="openai", base_url="https://models.example/v1/", key_variable="HOUSE_API_KEY"
    )


@pytest.fixture
def deployment(provider: Provider) -> Deployment:
    return Deployment.objects.create(provider=provider, name="large", label="The large one", is_default=True)


@pytest.fixture
def sam_client(db: None) -> Client:
    """Sam is staff without any permission."""
    return signed_in(User.objects.create_user("sam", password=PASSWORD, is_staff=True))


@pytest.fixture
def olga_client(db: None) -> Client:
    """Olga operates: she may change providers and deployments, and read no conversation."""
    olga = User.objects.create_user("olga", password=PASSWORD, is_staff=True)
    operated = Permission.objects.filter(
        content_type__app_label="chat", content_type__model__in=("provider", "deployment")
    )
    olga.user_permissions.set(operated)
    return signed_in(olga)


Asked = Callable[..., Turn]


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return Conversation.objects.create(owner=alice, title="Tides", deployment=deployment)


@pytest.fixture
def ask(deployment: Deployment) -> Asked:
    """Store a turn with one response and make it the head: `ask(conversation, "Why?", "Because.")`."""
    return lambda *arguments, **fields: asked(deployment, *arguments, **fields)


def asked(deployment: Deployment, conversation: Conversation, question: str, answer: str = "", **fields: Any) -> Turn:
    status = fields.pop("status", Status.COMPLETED)
    turn = Turn.objects.create(
        conversation=conversation,
        parent=fields.pop("parent", conversation.head),
        question=question,
        deployment=deployment,
        status=status,
    )
    Response.objects.create(turn=turn, status=status, text=answer, output=output(answer), **fields)
    conversation.head = turn
    conversation.save(update_fields=["head"])
    return turn


def output(text: str) -> list[dict[str, Any]]:
    """The output items of an answer with this text."""
    return [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]}]


def attached(turn: Turn, name: str, content: bytes, media_type: str, **fields: Any) -> Attachment:
    """Store a file and put it to the turn."""
    attachment = Attachment(
        owner=turn.conversation.owner,
        name=name,
        status=Attachment.Status.READY,
        media_type=media_type,
        size=len(content),
        **fields,
    )
    attachment.file.save(name, ContentFile(content), save=False)
    attachment.thumbnail.save(name, ContentFile(b"RIFF thumbnail WEBP"), save=False)
    attachment.save()
    turn.attachments.add(attachment)
    return attachment
