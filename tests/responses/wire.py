"""Recordings, and the shortest way from their bytes to a draft."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from chat.responses.events import Event, event_from_frame
from chat.responses.fold import Draft
from chat.responses.sse import ServerSentEvent, SSEDecoder

RECORDINGS = Path(__file__).parent.parent / "recordings"
NAMES = sorted(path.stem for path in RECORDINGS.glob("*.sse"))
ENDLESS = {"azure_cut_off"}  # those without a terminal event
WHOLE = [name for name in NAMES if name not in ENDLESS]


def recording(name: str) -> bytes:
    return (RECORDINGS / f"{name}.sse").read_bytes()


def frames_of(data: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    return [*decoder.feed(data), *decoder.flush()]


def events_of(name: str) -> list[Event]:
    decoder = SSEDecoder()
    events = [event_from_frame(frame) for frame in decoder.feed(recording(name))]
    return [event for event in events if event is not None]


def fold(events: list[Event]) -> Draft:
    draft = Draft()
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
