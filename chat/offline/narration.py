"""What to say → the events of one response, in the order of the wire, at the pace of a model."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass, field

from .store import new_id
from .wires import Json, Wire


@dataclass(frozen=True)
class Speech:
    text: str


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str


@dataclass(frozen=True)
class Musing:
    """A summary of what was done before answering; told only to those who asked for reasoning summaries."""

    text: str


Piece = Speech | Call | Musing


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

    async def events(self) -> AsyncGenerator[Json, None]:
        """Yield the events in wire order; the last is response.completed or response.incomplete."""
        yield self._event("response.created", response=self._snapshot())
        if self.payload["status"] == "queued":
            yield self._event("response.queued", response=self._snapshot())
            self.payload["status"] = "in_progress"
        yield self._event("response.in_progress", response=self._snapshot())
        answer = await asyncio.to_thread(self.think)
        budget = self.payload["max_output_tokens"] or 10**9
        used = 0
        for piece in answer.pieces:
            text = piece.arguments if isinstance(piece, Call) else piece.text
            tokens = estimate_tokens(text)
            cut = isinstance(piece, Speech) and used + tokens > budget
            if cut:
                piece = Speech(text[: (budget - used) * 4])
            used = min(budget, used + tokens)
            async with aclosing(self._tell(piece, cut)) as events:
                async for event in events:
                    yield event
            if cut:
                self.payload["incomplete_details"] = {"reason": "max_output_tokens"}
        yield self._end(answer, used)

    def _end(self, answer: Answer, used: int) -> Json:
        self.payload["status"] = "incomplete" if self.payload["incomplete_details"] else "completed"
        self.payload["completed_at"] = int(time.time())
        self.payload["usage"] = {
            "input_tokens": answer.input_tokens,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": used,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": answer.input_tokens + used,
        }
        return self._event(f"response.{self.payload['status']}", response=self._snapshot())

    def _tell(self, piece: Piece, cut: bool) -> AsyncGenerator[Json, None]:
        if isinstance(piece, Call):
            return self._call(piece)
        if isinstance(piece, Musing):
            return self._musing(piece)
        return self._speech(piece, "incomplete" if cut else "completed")

    async def _speech(self, piece: Speech, status: str) -> AsyncGenerator[Json, None]:
        item = {"id": new_id("msg_"), "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        where = {"item_id": item["id"], "output_index": len(self.payload["output"]), "content_index": 0}
        part = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield self._added(item)
        yield self._event("response.content_part.added", **where, part=part)
        for delta in self._cut(piece.text):
            await asyncio.sleep(self.pace_seconds)
            yield self._event("response.output_text.delta", **where, delta=delta, logprobs=[])
        yield self._event("response.output_text.done", **where, text=piece.text, logprobs=[])
        part = {**part, "text": piece.text}
        yield self._event("response.content_part.done", **where, part=part)
        yield self._done({**item, "status": status, "content": [part]})

    async def _call(self, piece: Call) -> AsyncGenerator[Json, None]:
        item = {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": new_id("call_"),
            "name": piece.name,
            "arguments": "",
        }
        where = {"item_id": item["id"], "output_index": len(self.payload["output"])}
        yield self._added(item)
        for delta in self._cut(piece.arguments):
            await asyncio.sleep(self.pace_seconds)
            yield self._event("response.function_call_arguments.delta", **where, delta=delta)
        done = {"arguments": piece.arguments, "name": piece.name}
        yield self._event("response.function_call_arguments.done", **where, **done)
        yield self._done({**item, "status": "completed", "arguments": piece.arguments})

    async def _musing(self, piece: Musing) -> AsyncGenerator[Json, None]:
        item = {"id": new_id("rs_"), "type": "reasoning", "summary": []}
        where = {"item_id": item["id"], "output_index": len(self.payload["output"]), "summary_index": 0}
        part = {"type": "summary_text", "text": ""}
        yield self._added(item)
        yield self._event("response.reasoning_summary_part.added", **where, part=part)
        for delta in self._cut(piece.text):
            await asyncio.sleep(self.pace_seconds)
            yield self._event("response.reasoning_summary_text.delta", **where, delta=delta)
        yield self._event("response.reasoning_summary_text.done", **where, text=piece.text)
        part = {**part, "text": piece.text}
        yield self._event("response.reasoning_summary_part.done", **where, part=part)
        yield self._done({**item, "summary": [part]})

    def _cut(self, text: str) -> Iterator[str]:
        """Cut where a tokenizer would about cut: blanks go with the word that follows."""
        for match in re.finditer(rf"\s*\S{{1,{self.delta_characters}}}|\s+", text):
            yield match[0]

    def _added(self, item: Json) -> Json:
        return self._event("response.output_item.added", output_index=len(self.payload["output"]), item=item)

    def _done(self, item: Json) -> Json:
        self.payload["output"] = [*self.payload["output"], item]
        return self._event("response.output_item.done", output_index=len(self.payload["output"]) - 1, item=item)

    def _event(self, kind: str, **fields: object) -> Json:
        event = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        return event

    def _snapshot(self) -> Json:
        return dict(self.payload)


def estimate_tokens(text: str) -> int:
    return -(-len(text) // 4)
