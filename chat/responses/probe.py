"""What a server says of itself: one look at its models, one short question, and what can be learnt from the answer.

For the person who sets a provider up. Nothing is asked that costs more than a few words, and nothing stays there: what
was stored for the question is deleted again where that is possible.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .client import Client
from .errors import NotFound, Refused, ResponsesError
from .events import Delta, Event, Target, Terminal
from .fold import Draft

QUESTION = "Reply with the single word: ready"
# The least that servers of the larger kind accept is 16; models that reason need room for it.
MAX_OUTPUT_TOKENS = 200
MODELS_SHOWN = 8


@dataclass
class Findings:
    """`sentences` tell all of it to a person, in order. `suggestions` are capability overrides that would fit better."""

    ok: bool = False
    sentences: list[str] = field(default_factory=list)
    models: list[str] | None = None
    suggestions: dict[str, Any] = field(default_factory=dict)
    error: ResponsesError | None = None
    first_words_seconds: float | None = None


async def probe(client: Client, model: str, *, may_store: bool = True) -> Findings:
    """Ask and tell. Never raises a ResponsesError: what failed is in `error`, with its sentence among the others.

    Without `may_store` the question is asked with `store: false`, and whether answers are kept stays unknown.
    """
    found = Findings()
    await _look_at_models(client, model, found)
    try:
        wire, draft = await _ask(client, model, found, may_store)
    except ResponsesError as error:
        _tell_failure(error, found)
        return found
    _tell_answer(model, draft, found)
    if found.ok:
        _tell_wire(client, wire, draft, found)
    if found.ok and may_store:
        await _look_for_state(client, draft, found)
    return found


async def _look_at_models(client: Client, model: str, found: Findings) -> None:
    if not client.endpoint.dialect.lists_models:
        return
    try:
        found.models = await client.models()
    except ResponsesError as error:
        found.sentences.append(f"It did not list its models ({_in_short(error)}).")
        return
    if not found.models:
        found.sentences.append("It lists no models.")
    elif model in found.models:
        found.sentences.append(f"It lists {_count(found.models)}, and “{model}” is one of them.")
    else:
        shown = ", ".join(found.models[:MODELS_SHOWN])
        more = ", …" if len(found.models) > MODELS_SHOWN else ""
        # Azure lists the models of a region here, not the deployments of the resource.
        found.sentences.append(f"It lists {_count(found.models)} ({shown}{more}); “{model}” is not among them.")


@dataclass
class _Wire:
    """What the stream looked like."""

    deltas: int = 0
    numbered: bool = False


async def _ask(client: Client, model: str, found: Findings, may_store: bool) -> tuple[_Wire, Draft]:
    body: dict[str, Any] = {"model": model, "input": QUESTION, "max_output_tokens": MAX_OUTPUT_TOKENS}
    if not may_store:
        body["store"] = False
    wire, draft = _Wire(), Draft()
    begun = time.monotonic()
    async with client.stream(body) as stream:
        async for event in stream:
            if _is_text(event):
                wire.deltas += 1
                if found.first_words_seconds is None:
                    found.first_words_seconds = time.monotonic() - begun
            wire.numbered = wire.numbered or event.sequence_number is not None
            draft.apply(event)
            if isinstance(event, Terminal):
                break
    return wire, draft


def _is_text(event: Event) -> bool:
    return isinstance(event, Delta) and event.target in (Target.TEXT, Target.REASONING, Target.SUMMARY)


def _tell_failure(error: ResponsesError, found: Findings) -> None:
    found.error = error
    found.sentences.append(error.user_message)
    said = _in_short(error)
    if not any(said in sentence for sentence in found.sentences):  # of the models it may have said the same
        found.sentences.append(f"What it said: {said}.")


def _tell_answer(model: str, draft: Draft, found: Findings) -> None:
    if (failure := draft.failure()) is not None:
        _tell_failure(failure, found)
        return
    if not draft.terminal_seen:
        found.sentences.append("Its answer broke off without an end. Is there a proxy in between that cuts streams?")
        return
    found.ok = True
    answered = f"“{model}” answers"
    if draft.model and draft.model != model:
        answered += f" (as {draft.model})"
    if found.first_words_seconds is not None:
        answered += f"; its first words came after {found.first_words_seconds:.1f} s"
    found.sentences.append(f"{answered}.")
    if not draft.text().strip():
        found.sentences.append(
            "It wrote no text: a model that reasons may have used the room for it, so that real questions need more."
        )
    if draft.usage is None:
        found.sentences.append("It does not say how many tokens it used.")


def _tell_wire(client: Client, wire: _Wire, draft: Draft, found: Findings) -> None:
    if wire.deltas == 0 and draft.text():
        found.sentences.append("It sends its answers whole, not as they grow.")
    elif wire.deltas == 1 and len(draft.text()) > 20:
        found.sentences.append("Its whole answer came in one piece: something on the way may collect what it sends.")
    if wire.numbered != client.endpoint.dialect.sequence_numbers:
        found.suggestions["sequence_numbers"] = wire.numbered


async def _look_for_state(client: Client, draft: Draft, found: Findings) -> None:
    """Whether the answer can be fetched by its id, which is what continuing a conversation by id needs."""
    dialect = client.endpoint.dialect
    if not draft.response_id:
        return
    try:
        await client.retrieve(draft.response_id)
    except Refused as error:
        if dialect.retrieve and isinstance(error, NotFound):
            found.sentences.append("It does not give the answer back by its id, though its dialect says it would.")
            found.suggestions |= {"retrieve": False, "state": False}
        elif not dialect.retrieve:
            found.sentences.append("It keeps no answers: the whole conversation goes with each question.")
        else:
            found.sentences.append(f"Fetching the answer by its id failed ({_in_short(error)}).")
        return
    except ResponsesError as error:
        found.sentences.append(f"Fetching the answer by its id failed ({_in_short(error)}).")
        return
    if dialect.state:
        found.sentences.append("It keeps answers: conversations continue by the id of the last one.")
    else:
        found.sentences.append("It gives answers back by their id: it may also continue conversations by it.")
        found.suggestions |= {"retrieve": True, "store": True}
    await _tidy(client, draft.response_id)


async def _tidy(client: Client, response_id: str) -> None:
    if not client.endpoint.dialect.delete:
        return
    try:
        await client.delete(response_id)
    except ResponsesError:
        return  # it expires there by itself


def _in_short(error: ResponsesError) -> str:
    return str(error)[:300].rstrip(".")


def _count(models: list[str]) -> str:
    return "1 model" if len(models) == 1 else f"{len(models)} models"
