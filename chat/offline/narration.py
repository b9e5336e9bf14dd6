"""What to say → the events of one response, numbered, in the order of the wire, at the pace of a model."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from .pieces import Musing, Piece, Stage
from .wires import Json, Wire

TOKEN_CHARACTERS = 4


PREVIEW_PACES = 40  # as long as so many deltas: who makes pictures takes its time


@dataclass(frozen=True)
class Answer:
    pieces: tuple[Piece, ...]
    input_tokens: int
    """Of everything that was read for it: the replayed conversation and the text of its documents."""


@dataclass
class Narrator:
    """Makes one response. `payload` is the response so far, and what is stored when it has ended."""

    payload: Json
    wire: Wire
    think: Callable[[], Answer]
    pace_seconds: float
    delta_characters: int
    _sequence: int = field(default=0, init=False)
    _used: int = field(default=0, init=False)
    _mused: int = field(default=0, init=False)

    async def events(self) -> AsyncGenerator[Json, None]:
        """Yield the events in wire order; the last is response.completed or response.incomplete."""
        yield self._numbered(self._state("created"))
        if self.payload["status"] == "queued":
            yield self._numbered(self._state("queued"))
            self.payload["status"] = "in_progress"
        yield self._numbered(self._state("in_progress"))
        answer = await asyncio.to_thread(self.think)
        for piece in answer.pieces:
            told = self._within_the_limit(piece)
            if told is not None:
                for event in told.tell(Stage(len(self.payload["output"]), self.delta_characters)):
                    if event["type"].endswith(".delta"):
                        await asyncio.sleep(self.pace_seconds)
                    elif event["type"].endswith(".partial_image"):
                        await asyncio.sleep(self.pace_seconds * PREVIEW_PACES)
                    elif event["type"] == "response.output_item.done":
                        self.payload["output"] = [*self.payload["output"], event["item"]]
                    yield self._numbered(event)
            if told is not piece:
                self.payload["incomplete_details"] = {"reason": "max_output_tokens"}
                break
        yield self._end(answer)

    def _within_the_limit(self, piece: Piece) -> Piece | None:
        """The piece, or what of it fits into max_output_tokens. Counts it."""
        limit = self.payload["max_output_tokens"]
        tokens = estimate_tokens(piece.written)
        if limit is not None and self._used + tokens > limit:
            left = limit - self._used
            told = piece.cut(left * TOKEN_CHARACTERS)
            tokens = left if told is not None else 0
        else:
            told = piece
        self._used += tokens
        self._mused += tokens if isinstance(piece, Musing) else 0
        return told

    def _end(self, answer: Answer) -> Json:
        self.payload["status"] = "incomplete" if self.payload["incomplete_details"] else "completed"
        self.payload["completed_at"] = int(time.time())
        self.payload["usage"] = usage(answer.input_tokens, self._used, self._mused)
        return self._numbered(self._state(self.payload["status"]))

    def _state(self, name: str) -> Json:
        return {"type": f"response.{name}", "response": dict(self.payload)}

    def _numbered(self, event: Json) -> Json:
        numbered = {"type": event["type"], "sequence_number": self._sequence, **event}
        self._sequence += 1
        return numbered


def usage(input_tokens: int, output_tokens: int, reasoning_tokens: int = 0) -> Json:
    return {
        "input_tokens": input_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": output_tokens,
        "output_tokens_details": {"reasoning_tokens": reasoning_tokens},
        "total_tokens": input_tokens + output_tokens,
    }


def estimate_tokens(text: str) -> int:
    return -(-len(text) // TOKEN_CHARACTERS)
