"""Delete what a person gave and was given, here at once and at the providers as soon as they do it.

Nothing goes upstream from here: what is to be deleted there is noted as Forgetting rows, which turns.forgetting carries
out. A deleted conversation can be brought back for a while, so its rows wait; a deleted file cannot.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import groupby
from typing import Any, NamedTuple

from django.db.models import Min, Q, QuerySet
from django.utils import timezone

from chat import engines
from chat.files.slices import slices_of
from chat.files.storage import drop_bytes
from chat.models import Attachment, Conversation, Forgetting, Provider, ProviderFile, Response, Turn
from chat.models.conversations import LIVE, TurnAttachment
from chat.models.writing import writing

logger = logging.getLogger(__name__)

UNDO_WITHIN = timedelta(hours=1)
"""For so long after a conversation was deleted nothing of it is deleted at a provider."""

BATCH = 500
Kind = Forgetting.Kind


class Thing(NamedTuple):
    """What a provider holds, by its id there."""

    provider_id: int
    kind: Kind
    upstream_id: str


def forget_attachment(attachment: Attachment) -> None:
    """Delete a file for good: its bytes now, the provider's copies and the responses that read it soon.

    Its row stays, with `forgotten_at`, where a turn shows it. A storage that does not answer is asked again later.
    """
    with writing():
        attachment.forgotten_at = attachment.forgotten_at or timezone.now()
        Attachment.objects.filter(pk=attachment.pk).update(forgotten_at=attachment.forgotten_at)
        let_go_of(attachment)
    drop(attachment)


def let_go_of(attachment: Attachment) -> None:
    """Note what providers hold of a forgotten file, as far as it is known by now. Within a transaction."""
    _note(_copies_without_heir(attachment))
    responses = _that_saw(attachment)
    _note(_things_of(responses))
    # The next question goes on from what came before the file, or says everything anew.
    responses.update(store=False)


def drop(attachment: Attachment) -> None:
    """Delete the bytes of a forgotten file, and its row if nothing shows it."""
    try:
        slices_of(attachment).drop(attachment)
        drop_bytes(attachment)
    except OSError as away:
        logger.warning("what is stored of %s could not be deleted yet: %s", attachment.pk, away)
        return
    if attachment.made_by_id is None and not attachment.turns.exists():
        attachment.delete()
    else:
        Attachment.objects.filter(pk=attachment.pk).update(file="", thumbnail="")


def forget_conversation(conversation: Conversation, *, after: timedelta = UNDO_WITHIN) -> None:
    """Note what providers hold of a deleted conversation, to be deleted there `after` a while. Nothing is lost here."""
    with writing():
        _note(_things_of(Response.objects.filter(turn__conversation=conversation)), after)
        _note((_thing(copy) for copy in _copies_of(conversation) if not is_needed(copy)), after)


def keep_conversation(conversation: Conversation) -> None:
    """It is wanted again: withdraw what has not been deleted yet."""
    with writing():
        copies = map(_thing, _copies_of(conversation))
        for thing in [*_things_of(Response.objects.filter(turn__conversation=conversation)), *copies]:
            Forgetting.objects.filter(**thing._asdict(), done_at=None).delete()


def erase_conversation(conversation: Conversation) -> None:
    """Delete a conversation with all its rows, and the files that no other one shows. Reviewers lose it too."""
    with writing():
        conversation.deleted_at = conversation.deleted_at or timezone.now()
        Conversation.objects.filter(pk=conversation.pk).update(deleted_at=conversation.deleted_at)
        forget_conversation(conversation, after=timedelta())
        files = _files_of(conversation)
        # What another conversation shows as well stays, as if it had been uploaded.
        Attachment.objects.filter(made_by__turn__conversation=conversation).update(made_by=None)
        conversation.delete()
    for file in Attachment.objects.filter(pk__in=[file.pk for file in files], turns=None):
        forget_attachment(file)


def is_needed(copy: ProviderFile) -> bool:
    """Whether a conversation that is not deleted shows this content, under whichever name."""
    return TurnAttachment.objects.filter(
        attachment__owner_id=copy.attachment.owner_id,
        attachment__sha256=copy.attachment.sha256,
        attachment__forgotten_at=None,
        turn__conversation__deleted_at=None,
    ).exists()


def _files_of(conversation: Conversation) -> list[Attachment]:
    of_it = Q(turns__conversation=conversation) | Q(made_by__turn__conversation=conversation)
    return list(Attachment.objects.filter(of_it).distinct())


def _copies_of(conversation: Conversation) -> QuerySet[ProviderFile]:
    """Of its files, and of the same content attached elsewhere: all questions of a person share one copy."""
    contents = {file.sha256 for file in _files_of(conversation)} - {""}
    return ProviderFile.objects.filter(
        attachment__owner_id=conversation.owner_id, attachment__sha256__in=contents
    ).select_related("attachment")


def _copies_without_heir(attachment: Attachment) -> list[Thing]:
    """The copies that go; where the person has the same content under another name, the copy becomes that one's."""
    same = Attachment.objects.filter(owner_id=attachment.owner_id, sha256=attachment.sha256, forgotten_at=None)
    heir = same.ready().exclude(pk=attachment.pk).first() if attachment.sha256 else None
    going = []
    for copy in attachment.provider_files.all():
        own = {"provider_id": copy.provider_id, "purpose": copy.purpose}
        if heir is None or heir.provider_files.filter(**own).exists():
            going.append(_thing(copy))
            copy.delete()
        else:
            copy.attachment = heir
            copy.save(update_fields=["attachment"])
    return going


def _thing(copy: ProviderFile) -> Thing:
    return Thing(copy.provider_id, Kind.FILE, copy.file_id)


def _that_saw(attachment: Attachment) -> QuerySet[Response]:
    """The responses that read the file, and all that went on from them until it was deleted: they hold what came before."""
    turns = Turn.objects.filter(Q(attachments=attachment) | Q(responses__made=attachment))
    firsts = turns.order_by().values("conversation").annotate(first=Min("pk")).values_list("conversation", "first")
    saw = Q(pk=None)
    for conversation_id, first in firsts:
        saw |= Q(turn__conversation_id=conversation_id, turn_id__gte=first)
    until = attachment.forgotten_at or timezone.now()
    # Of what is still being written the id may be unknown; the hourly round comes back to it.
    return Response.objects.filter(saw, created_at__lte=until).exclude(status__in=LIVE)


def _things_of(responses: QuerySet[Response]) -> list[Thing]:
    """The responses that are kept upstream, and the containers that their code ran in."""
    known = _Providers()
    kept = responses.filter(store=True).exclude(response_id="").exclude(status__in=LIVE)
    rows = kept.order_by("pk").values_list("provider_name", "turn__deployment__provider", "response_id", "output")
    things: dict[Thing, None] = {}
    for name, provider_id, response_id, output in rows.iterator(BATCH):
        provider = known.find(name, provider_id)
        if known.can(provider, "delete"):
            things[Thing(provider.pk, Kind.RESPONSE, response_id)] = None
        if known.can(provider, "containers"):
            things |= dict.fromkeys(Thing(provider.pk, Kind.CONTAINER, each) for each in _containers_in(output))
    return list(things)


def _containers_in(output: Any) -> Iterator[str]:
    for item in output or []:
        if item.get("type") == "code_interpreter_call" and isinstance(item.get("container_id"), str):
            yield item["container_id"]


class _Providers:
    """All of them, read once; and what each can do."""

    def __init__(self) -> None:
        self._all = list(Provider.objects.all())

    def find(self, name: str, pk: int | None) -> Any:
        """The one that answered, by the name that the response noted; or of the deployment, when it was renamed since."""
        by_name = next((provider for provider in self._all if provider.name == name), None)
        return by_name or next((provider for provider in self._all if provider.pk == pk), None)

    def can(self, provider: Provider | None, capability: str) -> bool:
        if provider is None:
            return False
        try:
            return bool(getattr(engines.dialect_of(provider), capability))
        except (KeyError, ValueError):  # a dialect or an override that there is not any more
            return False


def _note(things: Iterable[Thing], after: timedelta = timedelta()) -> None:
    due = timezone.now() + after
    things = sorted(things)
    rows = (Forgetting(**thing._asdict(), next_try_at=due) for thing in things)
    Forgetting.objects.bulk_create(rows, batch_size=BATCH, ignore_conflicts=True)
    if after:
        return
    for (provider_id, kind), group in groupby(things, key=lambda thing: thing[:2]):
        ids = [thing.upstream_id for thing in group]
        for start in range(0, len(ids), BATCH):  # what was noted before, for later, is due now
            earlier = Forgetting.objects.filter(
                provider_id=provider_id, kind=kind, upstream_id__in=ids[start : start + BATCH], done_at=None, tries=0
            )
            earlier.filter(next_try_at__gt=due).update(next_try_at=due)
