"""Traces of reviewers: who looked at what, and when."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils import timezone


class ReviewEvent(models.Model):
    """A reviewer's deed. Written by the admin, never changed; it outlives what it speaks of."""

    class Action(models.TextChoices):
        LOOKED = "looked", "Looked at the transcript"
        OPENED_FILE = "opened_file", "Opened an attachment"

    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    action = models.CharField(max_length=16, choices=Action)
    conversation_id = models.UUIDField(db_index=True)
    owner_name = models.CharField(max_length=150)
    detail = models.CharField(max_length=300, blank=True)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-at"]

    def __str__(self) -> str:
        return f"{self.reviewer} {self.get_action_display()}"
