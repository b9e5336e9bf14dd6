"""An answer broke off: have the model go on with it, in the same turn, where it stopped.

As with a question, nothing goes upstream from here.
"""

from __future__ import annotations

from django.utils import timezone

from chat.conversations import history
from chat.conversations.ask import (
    Asked,
    Refused,
    lock_person,
    locked,
    refuse_while_busy,
)
from chat.models import Deployment, Response, Status, Turn
from chat.models.writing import writing
from chat.rendering.views import stored_responses


def go_on(turn: Turn, after: int, *, is_full: bool = False) -> Asked:
    """Store the next response of `turn`. `after` is the response whose end was shown when that was asked for.

    The same wish twice is one: if something follows `after` already, that is it. Raises Refused.
    """
    with writing():
        lock_person(turn.conversation.owner)
        conversation = locked(turn.conversation)
        turn = Turn.objects.with_answers().get(pk=turn.pk)
        responses = list(turn.responses.all())
        if any(response.pk == after for response in responses[:-1]):
            return Asked(conversation, turn, responses[-1], is_repeat=True)
        refuse_while_busy(conversation.owner, conversation, is_full=is_full)
        if conversation.head_id != turn.pk:
            raise Refused("The conversation has gone on since. Ask in the message box.")
        if not turn.can_go_on or responses[-1].pk != after:
            raise Refused("This answer cannot be gone on with. Try again instead.")
        offered = Deployment.objects.offered_to(conversation.owner)
        deployment = offered.filter(pk=turn.deployment_id).first() if turn.deployment_id else None
        if deployment is None:
            raise Refused("The model that wrote this is no longer offered. Choose another one, and try again.")
        response = Response.objects.create(
            turn=turn,
            order=responses[-1].order + 1,
            provider_name=deployment.provider.name,
            input=[history.go_on_item()],
        )
        Turn.objects.filter(pk=turn.pk).update(status=Status.QUEUED)
        conversation.last_activity_at = timezone.now()
        conversation.save(update_fields=["last_activity_at"])
    return Asked(conversation, turn, response, earlier=stored_responses(responses))
