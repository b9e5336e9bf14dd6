"""What a run works on: its rows, loaded once, its place in the page, and the client to its provider."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from django.utils import timezone

from chat import engines
from chat.conversations.ask import Asked
from chat.conversations.history import Plan
from chat.models import Attachment, Deployment, Response, Status, Turn
from chat.models.conversations import LIVE
from chat.models.providers import ID_LENGTH
from chat.models.writing import writing
from chat.rendering.live import LiveResponse
from chat.rendering.made import preview_html
from chat.responses.client import Client
from chat.responses.dialects import Dialect
from chat.responses.events import Event, PartialImage
from chat.responses.fold import Draft
from chat.turns.hub import LiveTurn
from chat.turns.made import Pictures, Previews
from chat.turns.writer import PROCESS, Final, Writer


@dataclass
class Job:
    """One response on its way. `live` is the turn in the page, and `shown` this response of it."""

    turn: Turn
    response: Response
    dialect: Dialect
    live: LiveTurn
    shown: LiveResponse
    writer: Writer
    client: Client | None = None
    request_id: str = ""
    parts: dict[str, dict[str, Any]] = field(default_factory=dict)
    container_files: dict[str, str] = field(default_factory=dict)  # their ids at the provider, by attachment
    files_renewed: bool = False
    echoes_reasoning: bool = True
    asked_for_encryption: bool = False
    is_kept_upstream: bool = True
    in_background: bool = False
    is_new: bool = True  # nothing has been asked yet
    plan: Plan | None = None  # of the first request
    parameters: dict[str, Any] = field(default_factory=dict)
    noted: tuple[Any, ...] = ()  # how it was asked, as far as the row says it
    most_tokens: int | None = None  # that were asked for
    is_stored: bool = False
    pictures: Pictures = field(default_factory=Pictures)
    made: list[Attachment] = field(default_factory=list)  # to be fetched
    citations: dict[str, Any] | None = None  # what came of the check of a summary
    spent: dict[str, Any] | None = None  # by the requests for the parts of a summary

    @property
    def draft(self) -> Draft:
        return self.shown.draft

    @property
    def deployment(self) -> Deployment:
        assert self.turn.deployment is not None
        return self.turn.deployment

    def begin(self) -> None:
        """From here on the writer stores what comes, and keeps the lease alive."""
        self.writer.begin(self.response.pk, self.turn.pk, self.draft)

    def restart(self, response_id: str = "") -> None:
        """Begin anew: another request, or the same answer from its start. What was shown stays until then."""
        self.shown.restart()
        self.draft.response_id = response_id
        self.begin()

    def turn_at_its_end(self, final: Final) -> Turn:
        """The turn as it has just been stored, with no query."""
        response, turn = copy(self.response), copy(self.turn)
        for name, value in final.fields.items():
            setattr(response, name, value)
        response.status = turn.status = final.status
        response.know(self.made)
        earlier = [other for other in self.turn.responses.all() if other.pk != response.pk]
        turn.know([*earlier, response], list(self.turn.attachments.all()))
        return turn

    @property
    def can_be_left(self) -> bool:
        """Whether another process can take up the answer where this one leaves it, without losing any."""
        is_there = 0 < len(self.draft.response_id) <= ID_LENGTH
        return self.in_background and is_there and not self.draft.terminal_seen

    def take(self, event: Event) -> None:
        """An event goes into the draft; tabs and writer are told that there is something new."""
        self.live.take(self.shown, self.pictures.taken_out(event))
        self.writer.changed(self.response.pk)
        if isinstance(event, PartialImage) and event.item_id:
            self.previews.came(event.item_id)

    @cached_property
    def previews(self) -> Previews:
        def show(name: str, picture: bytes) -> None:
            self.shown.show_preview(name, preview_html(picture))
            self.live.changed()

        return Previews(self.pictures, show)


def claim(live: LiveTurn, shown: LiveResponse, writer: Writer, *, asked: Asked | None = None) -> Job | None:
    """Take the lease with one conditional UPDATE; None when somebody else has it or it is over.

    What has just been `asked` for this process has its lease from the beginning, and its rows are there.
    """
    if asked is not None and asked.response.owner == PROCESS:
        return _job(asked.turn, asked.response, live, shown, writer)
    with writing():
        mine = Response.objects.filter(pk=shown.pk, owner=None, status__in=LIVE).update(
            owner=PROCESS, heartbeat_at=timezone.now(), status=Status.IN_PROGRESS
        )
        if not mine:
            return None
        Turn.objects.filter(pk=live.pk).update(status=Status.IN_PROGRESS)
    return _loaded(live, shown, writer)


def load(live: LiveTurn, shown: LiveResponse, writer: Writer) -> Job:
    """The rows of a response that is adopted: its lease is ours, and it was asked elsewhere."""
    Turn.objects.filter(pk=live.pk).update(status=Status.IN_PROGRESS)
    job = _loaded(live, shown, writer)
    job.is_new = False
    job.in_background, job.is_kept_upstream = job.response.background, job.response.store
    job.request_id = job.response.request_id
    return job


def _loaded(live: LiveTurn, shown: LiveResponse, writer: Writer) -> Job:
    turn = Turn.objects.with_answers().get(pk=live.pk)
    response = next(response for response in turn.responses.all() if response.pk == shown.pk)
    return _job(turn, response, live, shown, writer)


def _job(turn: Turn, response: Response, live: LiveTurn, shown: LiveResponse, writer: Writer) -> Job:
    if turn.deployment is None:
        raise LookupError(f"turn {turn.pk} has no deployment")
    return Job(turn, response, engines.dialect_of(turn.deployment.provider), live, shown, writer)
