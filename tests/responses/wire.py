"""The shortest way from a recording's bytes to a draft."""

from __future__ import annotations

from typing import Any

from chat.responses.events import Event, event_from_frame
from chat.responses.fold import Draft
from chat.responses.sse import ServerSentEvent, SSEDecoder
from tests.recordings import BY_NAME, RECORDINGS

NAMES = [recording.name for recording in RECORDINGS]
WHOLE = [recording.name for recording in RECORDINGS if recording.ends]


def recording(name: str) -> bytes:
    return BY_NAME[name].bytes


def frames_of(data: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [*decoder.feed(data), *decoder.flush()]


def events_of(name: str) -> list[Event]:
    decoder = SSEDecoder()
    events = [event_from_frame(frame) for frame in decoder.feed(recording(name))]
    return [event for event in events if event is not None]


def beginning_of(name: str) -> Draft:
    """The draft that a recording begins with: a new one, or that of the stream which it resumes, as it was stored."""
    before = BY_NAME[name].continues
    if not before:
        return Draft()
    stored = fold(events_of(before))
    return Draft.restore(stored.response_id, stored.output(), stored.cursor)


def draft_of(name: str) -> Draft:
    return fold(events_of(name), beginning_of(name))


def fold(events: list[Event], draft: Draft | None = None) -> Draft:
    draft = draft or Draft()
    for event in events:
        draft.apply(event)
    return draft


def essence(output: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What was said and asked for: without ids, statuses and what only a done item brings."""
    return [
        (
            item["type"],
            item.get("name"),
            item.get("arguments"),
            item.get("code"),
            tuple(part.get("text", part.get("refusal")) for part in item.get("content") or ()),
            tuple(part["text"] for part in item.get("summary") or ()),
        )
        for item in output
    ]
