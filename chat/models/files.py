"""Files that people gave us, and their copies at providers."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import models
from django.utils import timezone

from chat.models.providers import ID_LENGTH, Provider

if TYPE_CHECKING:
    from chat.models.people import User

# A container's id and a file's in it, with a slash between.
MADE_NAME_LENGTH = 2 * ID_LENGTH + 1


def stored_name(attachment: Attachment, _name: str) -> str:
    """Where the bytes live. Never the person's file name: names lie, collide and travel."""
    return f"attachments/{attachment.pk.hex[:2]}/{attachment.pk}"


def thumbnail_name(attachment: Attachment, _name: str) -> str:
    return f"thumbnails/{attachment.pk.hex[:2]}/{attachment.pk}.webp"


class AttachmentQuerySet(models.QuerySet["Attachment"]):
    def visible_to(self, user: User) -> AttachmentQuerySet:
        return self.filter(owner=user)

    def ready(self) -> AttachmentQuerySet:
        return self.filter(status=Attachment.Status.READY)

    def made_before(self, attachment: Attachment, name: str) -> AttachmentQuerySet:
        """Files of that name that earlier answers of the conversation made; the newest first."""
        assert attachment.made_by is not None
        earlier = self.ready().filter(made_by__lt=attachment.made_by, name=name, forgotten_at=None)
        return earlier.filter(made_by__turn__conversation__turns=attachment.made_by.turn_id).order_by("-made_by")

    def to_fetch(self, before: datetime) -> AttachmentQuerySet:
        """Files that a model made, and that have waited since before that time; the oldest first."""
        waiting = self.filter(status=Attachment.Status.CHECKING, made_by__isnull=False, created_at__lt=before)
        return waiting.order_by("created_at")


class Attachment(models.Model):
    """A file that a person gave us, or that a model made for them (`made_by`). Only a READY one may be sent."""

    class Status(models.TextChoices):
        UPLOADING = "uploading", "Uploading"
        CHECKING = "checking", "Checking"
        READY = "ready", "Ready"
        REFUSED = "refused", "Refused"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="attachments")
    name = models.CharField(max_length=255)
    status = models.CharField(max_length=10, choices=Status, default=Status.UPLOADING)
    refusal = models.CharField(max_length=300, blank=True, help_text="The sentence shown when it was refused")
    file = models.FileField(upload_to=stored_name, blank=True)
    thumbnail = models.FileField(upload_to=thumbnail_name, blank=True)
    media_type = models.CharField(max_length=100, blank=True)
    size = models.PositiveBigIntegerField(default=0, help_text="Bytes, as announced and then as stored")
    received = models.PositiveBigIntegerField(default=0, help_text="Bytes that have arrived")
    sha256 = models.CharField(max_length=64, blank=True, db_index=True)
    title = models.CharField(max_length=300, blank=True, help_text="What the document calls itself")
    pages = models.PositiveIntegerField(null=True, blank=True)
    text_pages = models.PositiveIntegerField(
        null=True, blank=True, help_text="Pages with text to read; the others are pictures"
    )
    text_characters = models.PositiveBigIntegerField(null=True, blank=True)
    width = models.PositiveIntegerField(null=True, blank=True)
    height = models.PositiveIntegerField(null=True, blank=True)
    made_by = models.ForeignKey(
        "Response",
        null=True,
        blank=True,
        on_delete=models.CASCADE,
        related_name="made",
        help_text="The response in which a model made it; empty for what a person uploaded",
    )
    made_as = models.CharField(
        max_length=MADE_NAME_LENGTH, blank=True, help_text="How the response names it: container/file, or an item's id"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    checking_since = models.DateTimeField(null=True, blank=True, editable=False)
    forgotten_at = models.DateTimeField(
        null=True, blank=True, help_text="When its bytes were deleted; turns still say that it was there"
    )

    objects = AttachmentQuerySet.as_manager()

    class Meta:
        ordering = ["created_at"]
        constraints = [
            models.UniqueConstraint(fields=["made_by", "made_as"], name="made_file_once_per_response"),
        ]
        indexes = [
            # The state in it, not in its condition: SQLite uses none whose condition a query gives as a parameter.
            models.Index(
                fields=["status", "created_at"], name="made_to_fetch", condition=models.Q(made_by__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_image(self) -> bool:
        return self.media_type.startswith("image/")

    @property
    def is_pdf(self) -> bool:
        return self.media_type == "application/pdf"

    @property
    def is_data(self) -> bool:
        """Text, tables, archives: what the code interpreter works with, and nothing else does."""
        return bool(self.media_type) and not self.is_image and not self.is_pdf


class ProviderFile(models.Model):
    """An attachment's copy at a provider, reused by `file_id` across turns and conversations."""

    attachment = models.ForeignKey(Attachment, on_delete=models.CASCADE, related_name="provider_files")
    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="files")
    file_id = models.CharField(max_length=ID_LENGTH)
    purpose = models.CharField(max_length=32)
    expires_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["attachment", "provider", "purpose"], name="one_copy_per_provider_and_purpose"
            ),
        ]

    def __str__(self) -> str:
        return self.file_id


class Forgetting(models.Model):
    """Something at a provider that is to be deleted there, tried again until it is gone."""

    class Kind(models.TextChoices):
        FILE = "file", "File"
        RESPONSE = "response", "Response"
        CONTAINER = "container", "Container"

    provider = models.ForeignKey(Provider, on_delete=models.CASCADE, related_name="forgettings")
    kind = models.CharField(max_length=10, choices=Kind)
    upstream_id = models.CharField(max_length=ID_LENGTH)
    tries = models.PositiveIntegerField(default=0)
    next_try_at = models.DateTimeField(default=timezone.now, help_text="Not before this time")
    error = models.CharField(max_length=300, blank=True, help_text="What the provider said the last time")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    done_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.UniqueConstraint(fields=["provider", "kind", "upstream_id"], name="forgotten_once"),
        ]
        indexes = [
            models.Index(fields=["next_try_at"], name="still_to_forget", condition=models.Q(done_at=None)),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.upstream_id}"
