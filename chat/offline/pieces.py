"""The pieces of an answer, and the events that tell each: text, function calls, reasoning.

A piece tells itself as events without numbers; `narration` numbers and paces them. The built-in tools have
pieces of their own in `code`, `drawing` and `mcp`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

from .store import new_id
from .wires import Json


@dataclass(frozen=True)
class Stage:
    """Where a piece is told: its place in the output, and into how small deltas text is cut."""

    output_index: int
    delta_characters: int

    def added(self, item: Json) -> Json:
        return {"type": "response.output_item.added", "output_index": self.output_index, "item": item}

    def done(self, item: Json) -> Json:
        return {"type": "response.output_item.done", "output_index": self.output_index, "item": item}

    def event(self, kind: str, item: Json, **fields: object) -> Json:
        return {"type": f"response.{kind}", "item_id": item["id"], "output_index": self.output_index, **fields}

    def deltas(self, kind: str, item: Json, text: str, **fields: object) -> Iterator[Json]:
        """Cut where a tokenizer would about cut: blanks go with the word that follows."""
        for match in re.finditer(rf"\s*\S{{1,{self.delta_characters}}}|\s+", text):
            yield self.event(kind, item, delta=match[0], **fields)


class Piece(Protocol):
    @property
    def written(self) -> str:
        """What a model would have written for it: this counts as output."""

    def cut(self, characters: int) -> Piece | None:
        """The piece as far as the limit of tokens allows; None when it cannot be begun."""

    def tell(self, stage: Stage) -> Iterator[Json]:
        """Yield its events; the last is output_item.done."""


@dataclass(frozen=True)
class Speech:
    text: str
    annotations: tuple[Json, ...] = ()
    status: str = "completed"

    @property
    def written(self) -> str:
        return self.text

    def cut(self, characters: int) -> Speech | None:
        kept = tuple(note for note in self.annotations if note["end_index"] <= characters)
        return Speech(self.text[:characters], kept, "incomplete") if characters > 0 else None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item = {"id": new_id("msg_"), "type": "message", "status": "in_progress", "role": "assistant", "content": []}
        part: Json = {"type": "output_text", "text": "", "annotations": [], "logprobs": []}
        yield stage.added(item)
        yield stage.event("content_part.added", item, content_index=0, part=part)
        yield from stage.deltas("output_text.delta", item, self.text, content_index=0, logprobs=[])
        for number, note in enumerate(self.annotations):
            where = {"content_index": 0, "annotation_index": number, "annotation": note}
            yield stage.event("output_text.annotation.added", item, **where)
        yield stage.event("output_text.done", item, content_index=0, text=self.text, logprobs=[])
        part = {**part, "text": self.text, "annotations": list(self.annotations)}
        yield stage.event("content_part.done", item, content_index=0, part=part)
        yield stage.done({**item, "status": self.status, "content": [part]})


@dataclass(frozen=True)
class Call:
    name: str
    arguments: str
    status: str = "completed"

    @property
    def written(self) -> str:
        return self.arguments

    def cut(self, characters: int) -> Call | None:
        return replace(self, arguments=self.arguments[:characters], status="incomplete") if characters > 0 else None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item = {
            "id": new_id("fc_"),
            "type": "function_call",
            "status": "in_progress",
            "call_id": new_id("call_"),
            "name": self.name,
            "arguments": "",
        }
        yield stage.added(item)
        yield from stage.deltas("function_call_arguments.delta", item, self.arguments)
        yield stage.event("function_call_arguments.done", item, arguments=self.arguments, name=self.name)
        yield stage.done({**item, "status": self.status, "arguments": self.arguments})


@dataclass(frozen=True)
class Musing:
    """What was done before answering, for those who asked for reasoning."""

    thoughts: tuple[str, ...]
    is_shown: bool
    """Whether a summary was asked for. The work is counted either way."""
    encrypted: str | None = None

    @property
    def written(self) -> str:
        return "\n\n".join(self.thoughts)

    def cut(self, characters: int) -> Musing:
        return replace(self, thoughts=(self.written[:characters],))

    def tell(self, stage: Stage) -> Iterator[Json]:
        item: Json = {"id": new_id("rs_"), "type": "reasoning", "summary": []}
        parts = [{"type": "summary_text", "text": thought} for thought in self.thoughts] if self.is_shown else []
        yield stage.added(item)
        for number, part in enumerate(parts):
            empty = {"type": "summary_text", "text": ""}
            yield stage.event("reasoning_summary_part.added", item, summary_index=number, part=empty)
            yield from stage.deltas("reasoning_summary_text.delta", item, part["text"], summary_index=number)
            yield stage.event("reasoning_summary_text.done", item, summary_index=number, text=part["text"])
            yield stage.event("reasoning_summary_part.done", item, summary_index=number, part=part)
        done = {**item, "summary": parts}
        yield stage.done(done if self.encrypted is None else {**done, "encrypted_content": self.encrypted})
