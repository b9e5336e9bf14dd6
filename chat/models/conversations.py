"""The tree of turns. It is also the tree of response ids: nothing that was said is ever rewritten."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connections, models
from django.db.models import Q
from django.utils import timezone

from chat.models.files import Attachment
from chat.models.prices import COST_PLACES
from chat.models.providers import ID_LENGTH, Deployment

if TYPE_CHECKING:
    from chat.models.people import User


class Status(models.TextChoices):
    """Where a turn or response stands. The last five are terminal: exactly one is ever reached."""

    QUEUED = "queued", "Queued"
    IN_PROGRESS = "in_progress", "Answering"
    WAITING = "waiting", "Waiting for approval"
    COMPLETED = "completed", "Completed"
    INCOMPLETE = "incomplete", "Cut off"
    FAILED = "failed", "Failed"
    CANCELLED = "cancelled", "Stopped"
    INTERRUPTED = "interrupted", "Interrupted"


LIVE = (Status.QUEUED, Status.IN_PROGRESS)
LENGTH_REASONS = ("max_output_tokens", "max_tokens")
TERMINAL = (Status.COMPLETED, Status.INCOMPLETE, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)


class ConversationQuerySet(models.QuerySet["Conversation"]):
    def visible_to(self, user: User) -> ConversationQuerySet:
        """The person's own, without those that they deleted."""
        return self.filter(owner=user, deleted_at=None)

    def newest_first(self) -> ConversationQuerySet:
        return self.order_by("-last_activity_at", "-pk")


class Conversation(models.Model):
    """A tree of turns with an owner. `head` is the turn that the page ends with."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="conversations")
    title = models.CharField(max_length=200, blank=True)
    titled_by_owner = models.BooleanField(default=False, editable=False)
    deployment = models.ForeignKey(Deployment, null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    instructions = models.TextField(blank=True)
    background = models.BooleanField(
        "works in the background", null=True, blank=True, help_text="Unknown: as the deployment says."
    )
    head = models.ForeignKey("Turn", null=True, blank=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    last_activity_at = models.DateTimeField(default=timezone.now, editable=False)
    deleted_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = ConversationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "-last_activity_at", "-id"], name="sidebar", condition=Q(deleted_at=None)),
            models.Index(fields=["-last_activity_at"], name="review_list"),
        ]

    def __str__(self) -> str:
        return self.title or "New conversation"


def with_turns() -> tuple[str, models.Prefetch[str]]:
    """To be prefetched: what a page shows of turns besides their own rows."""
    return "responses", models.Prefetch("attachments", Attachment.objects.order_by("turnattachment__pk"))


def _know(row: models.Model, **related: Sequence[models.Model]) -> None:
    row._prefetched_objects_cache = {}  # type: ignore[attr-defined]
    for name, rows in related.items():
        known = getattr(row, name).get_queryset()
        known._result_cache, known._prefetch_done = list(rows), True
        row._prefetched_objects_cache[name] = known  # type: ignore[attr-defined]


class TurnQuerySet(models.QuerySet["Turn"]):
    def path_ids(self, turn_id: int, limit: int | None = None) -> list[int]:
        """Ids from `turn_id` up to its oldest ancestor, the newest first, at most `limit`.

        One recursive query, whose cost follows `limit` and not the length of the conversation.
        SQLite and PostgreSQL both have it.
        """
        table = self.model._meta.db_table
        bound = "" if limit is None else " WHERE path.depth < %s"
        sql = (
            f"WITH RECURSIVE path(id, parent_id, depth) AS ("
            f" SELECT id, parent_id, 1 FROM {table} WHERE id = %s"
            f" UNION ALL"
            f" SELECT t.id, t.parent_id, path.depth + 1 FROM {table} t JOIN path ON t.id = path.parent_id{bound}"
            f") SELECT id FROM path ORDER BY depth"
        )
        params = [turn_id] if limit is None else [turn_id, limit]
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql, params)
            return [row[0] for row in cursor.fetchall()]

    def with_answers(self) -> TurnQuerySet:
        """With all that a page shows of a turn, in a fixed number of queries."""
        return self.with_items().prefetch_related("responses__made")

    def with_items(self) -> TurnQuerySet:
        """With what was said in a turn: its files and its responses."""
        return self.select_related("conversation", "deployment__provider").prefetch_related(*with_turns())


class Turn(models.Model):
    """One question and everything that answers it. Siblings (same parent) are versions of each other."""

    conversation = models.ForeignKey(Conversation, on_delete=models.CASCADE, related_name="turns")
    parent = models.ForeignKey("self", null=True, blank=True, on_delete=models.CASCADE, related_name="children")
    question = models.TextField(blank=True)
    summary: models.JSONField[Any] = models.JSONField(
        null=True, blank=True, help_text="Kind and language of the summary that the question asks for."
    )
    attachments: models.ManyToManyField[Attachment, TurnAttachment] = models.ManyToManyField(
        Attachment, through="TurnAttachment", related_name="turns", blank=True
    )
    deployment = models.ForeignKey(Deployment, null=True, on_delete=models.SET_NULL, related_name="+")
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)
    idempotency_key = models.UUIDField(unique=True, default=uuid.uuid4, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = TurnQuerySet.as_manager()

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=Status.values), name="turn_status_is_known"),
        ]
        indexes = [models.Index(fields=["conversation", "status"], name="turns_by_status")]

    def __str__(self) -> str:
        return f"Turn {self.pk}"

    def know(self, responses: Sequence[Response], attachments: Sequence[Attachment]) -> None:
        """As if both had been prefetched: of rows that were just stored. Reading them again costs more than storing."""
        _know(self, responses=responses, attachments=attachments)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE

    @property
    def can_go_on(self) -> bool:
        """Whether the answer stops somewhere in the middle, so that the model can be asked to go on from there."""
        responses = list(self.responses.all())
        return bool(responses) and responses[-1].is_cut_short and any(response.text for response in responses)

    @property
    def last_response(self) -> Response | None:
        """The newest response; reads the prefetched list where there is one."""
        responses = list(self.responses.all())
        return responses[-1] if responses else None


class TurnAttachment(models.Model):
    """An attachment in the order in which the person added it."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE)
    attachment = models.ForeignKey(Attachment, on_delete=models.CASCADE)

    class Meta:
        ordering = ["pk"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "attachment"], name="attachment_once_per_turn"),
        ]

    def __str__(self) -> str:
        return f"{self.attachment_id} in turn {self.turn_id}"


class Response(models.Model):
    """One call to the Responses API made for a turn. A turn has several when tools are called."""

    turn = models.ForeignKey(Turn, on_delete=models.CASCADE, related_name="responses")
    order = models.PositiveSmallIntegerField(default=0)
    status = models.CharField(max_length=12, choices=Status, default=Status.QUEUED)
    provider_name = models.CharField(max_length=100, blank=True)
    response_id = models.CharField(max_length=ID_LENGTH, blank=True, db_index=True)
    previous_response_id = models.CharField(max_length=ID_LENGTH, blank=True)
    store = models.BooleanField(default=True)
    background = models.BooleanField(default=False)
    input: models.JSONField[Any] = models.JSONField(
        default=list,
        blank=True,
        help_text="This response's own input items, without the history; file contents are replaced by their attachment.",
    )
    output: models.JSONField[Any] = models.JSONField(default=list, blank=True, help_text="Output items as received")
    text = models.TextField(blank=True, help_text="The answer's plain text, for search")
    model = models.CharField(max_length=200, blank=True)
    usage: models.JSONField[Any] = models.JSONField(null=True, blank=True)
    input_tokens = models.PositiveIntegerField(null=True, blank=True)
    output_tokens = models.PositiveIntegerField(null=True, blank=True)
    cost = models.DecimalField(
        max_digits=18,
        decimal_places=COST_PLACES,
        null=True,
        blank=True,
        help_text="Of these tokens, at the prices that the deployment had when they were used",
    )
    error: models.JSONField[Any] = models.JSONField(null=True, blank=True)
    citations: models.JSONField[Any] = models.JSONField(
        null=True, blank=True, help_text="Of a summary: which cited statements stand on their pages"
    )
    request_id = models.CharField(max_length=255, blank=True)
    cursor = models.BigIntegerField(null=True, blank=True, help_text="Last sequence_number seen upstream")
    owner = models.UUIDField(null=True, blank=True, editable=False, help_text="The process that runs it")
    heartbeat_at = models.DateTimeField(null=True, blank=True, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    finished_at = models.DateTimeField(null=True, blank=True, editable=False)

    class Meta:
        ordering = ["turn", "order"]
        constraints = [
            models.UniqueConstraint(fields=["turn", "order"], name="one_response_per_place"),
            models.CheckConstraint(condition=Q(status__in=Status.values), name="response_status_is_known"),
        ]
        indexes = [
            models.Index(fields=["heartbeat_at"], name="live_responses", condition=Q(status__in=LIVE)),
        ]

    def __str__(self) -> str:
        return self.response_id or f"Response {self.pk}"

    def know(self, made: Sequence[Attachment]) -> None:
        """As if what it made had been prefetched."""
        _know(self, made=made)

    @property
    def has_tokens(self) -> bool:
        """Whether the provider said how much was used."""
        return self.input_tokens is not None or self.output_tokens is not None

    @property
    def is_cut_short(self) -> bool:
        """Interrupted, or at its limit of length. What a filter cut, or the person stopped, is not."""
        reason = self.error.get("code") if isinstance(self.error, dict) else None
        return self.status == Status.INTERRUPTED or (self.status == Status.INCOMPLETE and reason in LENGTH_REASONS)

    @property
    def is_live(self) -> bool:
        return self.status in LIVE
