"""Rows → input items: what a request has to say so that the provider knows the conversation.

Where the provider keeps state, that is the last response id and what came after it; where it does not,
may not, or has forgotten, it is the whole path of turns, with the model's reasoning where that came
encrypted. Files appear as placeholders
`{"type": "attachment", "id": UUID}`: their bytes join at the last moment and are never stored twice. Of one that was
deleted there is only the name.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from chat.conversations import summary as summaries
from chat.conversations.parameters import is_kept
from chat.files import delivery
from chat.models import Attachment, Provider, Response, Status, Turn
from chat.rendering.answer import segments
from chat.responses.dialects import Dialect

PATH_BATCH = 50
GO_ON = (
    "Your answer broke off. Go on exactly where it stopped, with the very next character. "
    "Repeat nothing of it, and say nothing about the break."
)
Item = dict[str, Any]

# What may stand in an answer that is sent back whole. Approvals wait for somebody, and images are too large.
_SENT_BACK = ("reasoning", "message", "function_call", "web_search_call", "file_search_call", "code_interpreter_call")


@dataclass(frozen=True)
class Plan:
    """The `input` of a request, and the response it continues ("" for none)."""

    previous_response_id: str
    items: list[Item]

    @property
    def own_items(self) -> list[Item]:
        """What this response adds: the question, or the wish to go on, which is always last."""
        return self.items[-1:]

    @property
    def has_reasoning(self) -> bool:
        return any(item.get("type") == "reasoning" for item in self.items)

    @property
    def attachment_ids(self) -> list[uuid.UUID]:
        return [uuid.UUID(part["id"]) for part in self._parts() if part.get("type") == "attachment"]

    def _parts(self) -> Iterator[Item]:
        for item in self.items:
            content = item.get("content")
            if isinstance(content, list):
                yield from content


def plan(
    turn: Turn,
    provider: Provider,
    dialect: Dialect,
    *,
    chain: bool = True,
    reasoning: bool = True,
    response: Response | None = None,
) -> Plan:
    """What to send for `turn`, or for a `response` of it that goes on with an answer that broke off.

    With `chain=False` the whole history, whatever the dialect can do; with `reasoning=False` none of what the model
    thought, even where nothing is kept.
    """
    kept = is_kept(turn.deployment, dialect) if turn.deployment else dialect.state
    echo = reasoning and not kept and dialect.encrypted_reasoning
    newest_first = [[question_item(turn)]]
    previous = ""
    if earlier := [other for other in turn.responses.all() if response is not None and other.order < response.order]:
        previous = _chainable_id(earlier[-1], provider) if chain and kept else ""
        if previous:
            return Plan(previous, [go_on_item()])
        newest_first[0] += [*_items_of(earlier, dialect), go_on_item()]
    if chain and kept and (previous := _id_of_parent(turn, provider)):
        return Plan(previous, newest_first[0])
    for ancestor in ancestors(turn):
        if chain and kept:
            previous = chainable_id(ancestor, provider)
            if previous:
                break
        is_same_model = ancestor.deployment_id == turn.deployment_id
        reader = provider if echo and is_same_model else None
        newest_first.append([question_item(ancestor), *answer_items(ancestor, dialect, reader)])
    items = [item for group in reversed(newest_first) for item in group]
    return Plan(previous, items)


def ancestors(turn: Turn) -> Iterator[Turn]:
    """From the parent upwards, in batches, so that a chained turn reads one ancestor of a thousand."""
    next_id = turn.parent_id
    batch = 1
    while next_id is not None:
        ids = Turn.objects.path_ids(next_id, batch)
        rows = {row.pk: row for row in Turn.objects.filter(pk__in=ids).with_items()}
        for pk in ids:
            yield rows[pk]
        next_id = rows[ids[-1]].parent_id
        batch = PATH_BATCH


def _id_of_parent(turn: Turn, provider: Provider) -> str:
    """What nearly every turn of a provider that keeps state continues, in one small query."""
    if turn.parent_id is None:
        return ""
    last = Response.objects.filter(turn_id=turn.parent_id).order_by("-order").first()
    return _chainable_id(last, provider) if last is not None else ""


def chainable_id(turn: Turn, provider: Provider) -> str:
    """The response id that a next turn may continue, or "".

    A response that was stopped or broke off ended upstream with the connection and is not kept there.
    """
    last = turn.last_response
    return _chainable_id(last, provider) if last is not None else ""


def _chainable_id(response: Response, provider: Provider) -> str:
    if not response.store or response.status not in (Status.COMPLETED, Status.INCOMPLETE):
        return ""
    return response.response_id if response.provider_name == provider.name else ""


def question_item(turn: Turn) -> Item:
    """The person's message: files first, as the models read them best, then the text.

    What was read by parts is not sent again: it would be too long. The notes on it stand for it.
    """
    if (noted := summaries.noted(turn)) is not None:
        return noted
    parts = [_attachment_part(attachment) for attachment in turn.attachments.all()]
    if turn.question:
        parts.append({"type": "input_text", "text": turn.question})
    return {"type": "message", "role": "user", "content": parts}


def _attachment_part(attachment: Attachment) -> Item:
    if attachment.forgotten_at is None:
        return {"type": "attachment", "id": str(attachment.pk)}
    return delivery.forgotten_part(attachment)


def go_on_item() -> Item:
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": GO_ON}]}


def answer_items(turn: Turn, dialect: Dialect, reader: Provider | None = None) -> list[Item]:
    """What the model said in a turn, as input: text messages and function pairs, in order.

    A response that `reader` gave goes back to it whole and as it came, when all of its reasoning came encrypted.
    Otherwise reasoning is left out together with the ids of what it led to, since a provider refuses one without
    the other; dialects that demand ids on assistant messages get them. An answer that broke off and went on is told
    as one, without the wish to go on.
    """
    return _items_of(list(turn.responses.all()), dialect, reader)


def _items_of(responses: Sequence[Response], dialect: Dialect, reader: Provider | None = None) -> list[Item]:
    outputs = _function_outputs(responses)
    broke_off = any(map(_goes_on, responses))
    found: list[Item] = []
    for response in responses:
        whole = reader is not None and not broke_off and _can_go_back_whole(response, outputs, reader, dialect)
        items = list((_echoed if whole else _told)(response.output or [], outputs, dialect))
        found = _joined(found, items) if _goes_on(response) else [*found, *items]
    return found


def _goes_on(response: Response) -> bool:
    """Whether it was asked to go on with the one before it; what follows a function call brings its output instead."""
    return response.order > 0 and any(item.get("role") == "user" for item in response.input or [])


def _joined(before: list[Item], after: list[Item]) -> list[Item]:
    """The last message of what was said, and the first one of what went on with it, as one."""
    first = next((number for number, item in enumerate(after) if item.get("type") == "message"), None)
    if first is None or not before or before[-1].get("type") != "message":
        return [*before, *after]
    texts = [message["content"][0]["text"] for message in (before[-1], after[first])]
    part = {**before[-1]["content"][0], "text": "".join(texts)}
    return [*before[:-1], *after[:first], {**before[-1], "content": [part]}, *after[first + 1 :]]


def _function_outputs(responses: Iterable[Response]) -> dict[str, Item]:
    """What functions gave back, by the id of the call. It is in the input of the response that follows a call."""
    return {
        str(item.get("call_id")): item
        for response in responses
        for item in response.input or []
        if item.get("type") == "function_call_output"
    }


def _can_go_back_whole(response: Response, outputs: dict[str, Item], reader: Provider, dialect: Dialect) -> bool:
    """Whether its items can stand in an input as they are: complete, readable there, nothing without its pair."""
    if response.provider_name != reader.name or response.status not in (Status.COMPLETED, Status.INCOMPLETE):
        return False
    items = response.output or []
    types = [item.get("type") for item in items]
    return (
        "reasoning" in types
        and types[-1] != "reasoning"  # cut off before it led to anything
        and all(kind in _SENT_BACK and dialect.accepts_item(kind) for kind in types)
        and all(_is_readable(item, outputs) for item in items)
    )


def _is_readable(item: Item, outputs: dict[str, Item]) -> bool:
    if not isinstance(item.get("id"), str):
        return False
    if item["type"] == "reasoning":
        return isinstance(item.get("encrypted_content"), str) and bool(item["encrypted_content"])
    return item["type"] != "function_call" or str(item.get("call_id")) in outputs


def _echoed(output: Iterable[Item], outputs: dict[str, Item], dialect: Dialect) -> Iterator[Item]:
    for item in output:
        if item["type"] in ("reasoning", "message"):
            # Fields that are null in an answer are unknown ones in an input.
            item = {key: value for key, value in item.items() if value is not None}
        yield {"summary": [], **item} if item["type"] == "reasoning" else item
        if item["type"] == "function_call":
            yield outputs[str(item["call_id"])]


def _told(output: Iterable[Item], outputs: dict[str, Item], dialect: Dialect) -> Iterator[Item]:
    thought = False
    for item in output:
        match item.get("type"):
            case "reasoning":
                thought = True
            case "message":
                text = "".join(s.text for s in segments([item]))
                if text:
                    yield _assistant_message(text, {} if thought else item, dialect)
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
