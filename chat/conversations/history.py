"""Rows → input items: what a request has to say so that the provider knows the conversation.

Where the provider keeps state, that is the last response id and what came after it; where it does not,
or has forgotten, it is the whole path of turns. Files appear as placeholders
`{"type": "attachment", "id": UUID}`: their bytes join at the last moment and are never stored twice.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from chat.models import Provider, Response, Status, Turn
from chat.rendering.answer import segments
from chat.responses.dialects import Dialect

PATH_BATCH = 50
Item = dict[str, Any]


@dataclass(frozen=True)
class Plan:
    """The `input` of a request, and the response it continues ("" for none)."""

    previous_response_id: str
    items: list[Item]

    @property
    def own_items(self) -> list[Item]:
        """What this turn adds: the question, which is always last."""
        return self.items[-1:]

    @property
    def attachment_ids(self) -> list[uuid.UUID]:
        return [uuid.UUID(part["id"]) for part in self._parts() if part.get("type") == "attachment"]

    def _parts(self) -> Iterator[Item]:
        for item in self.items:
            content = item.get("content")
            if isinstance(content, list):
                yield from content


def plan(turn: Turn, provider: Provider, dialect: Dialect, *, chain: bool = True) -> Plan:
    """What to send for `turn`. With `chain=False` the whole history, whatever the dialect can do."""
    newest_first = [[question_item(turn)]]
    previous = ""
    for ancestor in ancestors(turn):
        if chain and dialect.state:
            previous = chainable_id(ancestor, provider)
            if previous:
                break
        newest_first.append([question_item(ancestor), *answer_items(ancestor, dialect)])
    items = [item for group in reversed(newest_first) for item in group]
    return Plan(previous, items)


def ancestors(turn: Turn) -> Iterator[Turn]:
    """From the parent upwards, in batches, so that a chained turn reads one ancestor of a thousand."""
    next_id = turn.parent_id
    batch = 1
    while next_id is not None:
        ids = Turn.objects.path_ids(next_id, batch)
        rows = {row.pk: row for row in Turn.objects.filter(pk__in=ids).with_answers()}
        for pk in ids:
            yield rows[pk]
        next_id = rows[ids[-1]].parent_id
        batch = PATH_BATCH


def chainable_id(turn: Turn, provider: Provider) -> str:
    """The response id that a next turn may continue, or "".

    A response that was stopped or broke off ended upstream with the connection and is not kept there.
    """
    last = turn.last_response
    if last is None or not last.store or last.status not in (Status.COMPLETED, Status.INCOMPLETE):
        return ""
    return last.response_id if last.provider_name == provider.name else ""


def question_item(turn: Turn) -> Item:
    """The person's message: files first, as the models read them best, then the text."""
    parts: list[Item] = [{"type": "attachment", "id": str(a.pk)} for a in turn.attachments.all()]
    if turn.question:
        parts.append({"type": "input_text", "text": turn.question})
    return {"type": "message", "role": "user", "content": parts}


def answer_items(turn: Turn, dialect: Dialect) -> list[Item]:
    """What the model said in a turn, as input: text messages and function pairs, in order.

    Reasoning items are left out together with the ids of the others, since a provider refuses one
    without its neighbour; dialects that demand ids on assistant messages get them.
    """
    responses = list(turn.responses.all())
    outputs = _function_outputs(responses)
    return [item for response in responses for item in _replayed(response.output or [], outputs, dialect)]


def _function_outputs(responses: Iterable[Response]) -> dict[str, Item]:
    """What functions gave back, by the id of the call. It is in the input of the response that follows a call."""
    return {
        str(item.get("call_id")): item
        for response in responses
        for item in response.input or []
        if item.get("type") == "function_call_output"
    }


def _replayed(output: Iterable[Item], outputs: dict[str, Item], dialect: Dialect) -> Iterator[Item]:
    for item in output:
        match item.get("type"):
            case "message":
                text = "".join(s.text for s in segments([item]))
                if text:
                    yield _assistant_message(text, item, dialect)
            case "function_call" if (result := outputs.get(str(item.get("call_id")))) is not None:
                # A call goes with what came of it or not at all: providers refuse one without the other.
                yield {key: item[key] for key in ("type", "call_id", "name", "arguments") if key in item}
                yield result


def _assistant_message(text: str, item: Item, dialect: Dialect) -> Item:
    message: Item = {
        "type": "message",
        "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}],
    }
    if dialect.keeps_assistant_ids:
        message["id"] = item.get("id") or f"msg_{uuid.uuid4().hex}"
        message["status"] = "completed"
    return message
