"""Events to one answer: the draft that grows while a response streams.

Rules of the fold, for streams of every dialect:
1. A delta for an unknown item or part creates it.
2. `done` values override what the deltas added up to; an empty one overrides nothing that was shown.
3. The terminal event's output, where it has one, overrides everything, but what was shown and is not in it stays.
4. A stream that ends without a terminal event leaves `terminal_seen` False; what to do is the caller's business.
5. Unknown events change nothing, and neither does one that a restored draft took in before it was stored.

Time is linear in the stream: text is kept in pieces, and joined when somebody reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .errors import BadStream, Refused
from .events import (
    HALF_PAIR,
    AnnotationAdded,
    Delta,
    Event,
    Failure,
    ItemEvent,
    ItemStatus,
    PartEvent,
    Snapshot,
    Target,
    Terminal,
    Whole,
    event_from_response,
)
from .filters import content_filter_sentence
from .refusals import error_from_object

Kind = Literal["text", "refusal", "reasoning", "arguments", "item", "status"]

TERMINAL = frozenset({"completed", "failed", "incomplete", "cancelled"})
# Of one response. The longest that tools make have a few hundred; fold and page take time for each.
MOST_ITEMS = 2_000
RESPONSE = -1  # as the item of a Change: the response as a whole

_KINDS: dict[Target, Kind] = {
    Target.TEXT: "text",
    Target.REFUSAL: "refusal",
    Target.REASONING: "reasoning",
    Target.SUMMARY: "reasoning",
    Target.ARGUMENTS: "arguments",
    Target.INPUT: "arguments",
    Target.CODE: "arguments",
}
# The item, and the part in it, that a delta belongs to when nothing announced them.
_ITEM_TYPES: dict[Target, tuple[str, ...]] = {
    Target.TEXT: ("message",),
    Target.REFUSAL: ("message",),
    Target.REASONING: ("reasoning",),
    Target.SUMMARY: ("reasoning",),
    Target.ARGUMENTS: ("function_call",),
    Target.INPUT: ("custom_tool_call",),
    Target.CODE: ("code_interpreter_call",),
}
_PART_TYPES = {
    Target.TEXT: "output_text",
    Target.REFUSAL: "refusal",
    Target.REASONING: "reasoning_text",
    Target.SUMMARY: "summary_text",
}
_TARGET_OF_PART = {part_type: target for target, part_type in _PART_TYPES.items()}
_FIELDS = ("arguments", "input", "code")


@dataclass(frozen=True, slots=True)
class Change:
    """What one event changed.

    `item` is the position in `draft.items`, or RESPONSE. `part` is the position among the parts of the item's content,
    or of its summary. `delta` is text that was appended; None says: read it again. A change of kind "item" may also
    have moved the items behind it, and one of kind "status" on RESPONSE may have replaced all of them.
    """

    item: int
    part: int
    kind: Kind
    delta: str | None
    target: Target | None = None


class Pieces:
    """A text that grows at its end. Joins halves of surrogate pairs that two deltas share."""

    __slots__ = ("_half", "_pieces")

    def __init__(self, text: str = "") -> None:
        self.become(text)

    def append(self, delta: str) -> str:
        """Append, and return what can be shown now: a trailing half waits for its other half."""
        if self._half or HALF_PAIR.search(delta):
            delta = self._paired(delta)
        if delta:
            self._pieces.append(delta)
        return delta

    def become(self, text: str) -> None:
        self._pieces = [text] if text else []
        self._half = ""

    def __str__(self) -> str:
        if len(self._pieces) > 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0] if self._pieces else ""

    def __bool__(self) -> bool:
        return bool(self._pieces)

    def _paired(self, delta: str) -> str:
        delta = self._half + delta
        self._half = ""
        if delta and "\ud800" <= delta[-1] <= "\udbff":
            delta, self._half = delta[:-1], delta[-1]
        return delta.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class DraftPart:
    """One part of a message or of reasoning: its wire shape, and its text apart.

    `position` is its place in the list on the wire; its index may be another, where a server begins to count at 1.
    """

    __slots__ = ("_shape", "pieces", "position", "target")

    def __init__(self, shape: Mapping[str, Any]) -> None:
        self.position = 0
        self._shape = dict(shape)
        if isinstance(shape.get("annotations"), list):
            self._shape["annotations"] = list(shape["annotations"])
        self.target = _TARGET_OF_PART.get(str(shape.get("type")))
        text = shape.get(self._key)
        self.pieces = Pieces(text if isinstance(text, str) else "")

    @property
    def type(self) -> str:
        return str(self._shape.get("type", ""))

    @property
    def text(self) -> str:
        """The text, or the refusal."""
        return str(self.pieces)

    @property
    def annotations(self) -> list[dict[str, Any]]:
        found = self._shape.get("annotations")
        return [entry for entry in found if isinstance(entry, dict)] if isinstance(found, list) else []

    def annotate(self, index: int | None, annotation: Mapping[str, Any]) -> None:
        annotations = self._shape.get("annotations")
        if not isinstance(annotations, list):
            annotations = []
        if index is not None and index < len(annotations):
            annotations[index] = annotation
        else:
            annotations.append(annotation)
        self._shape["annotations"] = annotations

    def to_wire(self) -> dict[str, Any]:
        wire = dict(self._shape)
        if self.target is not None:
            wire[self._key] = self.text
        if isinstance(wire.get("annotations"), list):
            wire["annotations"] = list(wire["annotations"])
        return wire

    @property
    def _key(self) -> str:
        return "refusal" if self.target is Target.REFUSAL else "text"


class Parts(dict[int, DraftPart]):
    """Parts by their index on the wire. Each knows its position, for servers begin to count at 1, or leave some out."""

    __slots__ = ("_highest",)

    def __init__(self, parts: Iterable[DraftPart] = ()) -> None:
        super().__init__(enumerate(parts))
        self._highest = len(self) - 1
        for index, part in self.items():
            part.position = index

    def put(self, index: int, part: DraftPart) -> DraftPart:
        """Put the part at its index, in place of the one that is there."""
        if index in self:
            part.position = self[index].position
        elif index > self._highest:
            part.position = len(self)
            self._highest = index
        elif len(self) >= MOST_ITEMS:
            raise BadStream(f"more than {MOST_ITEMS} parts of an item, out of order")  # each moves all others
        else:
            part.position = sum(key < index for key in self)
            for key, other in self.items():
                other.position += key > index
        self[index] = part
        return part


class DraftItem:
    """One output item: its wire shape, and apart from it the texts that grow."""

    __slots__ = ("_shape", "content", "done", "fields", "output_index", "position", "summary")

    def __init__(self, shape: Mapping[str, Any], output_index: int | None, position: int) -> None:
        self.output_index = output_index
        self.position = position
        self.done = False
        self._shape: dict[str, Any] = {}
        self.content = Parts()  # by content_index
        self.summary = Parts()  # by summary_index
        self.fields: dict[str, Pieces] = {}
        self.adopt(shape)

    @property
    def type(self) -> str:
        return str(self._shape.get("type", ""))

    @property
    def id(self) -> str | None:
        value = self._shape.get("id")
        return value if isinstance(value, str) and value else None

    @property
    def call_id(self) -> str | None:
        value = self._shape.get("call_id")
        return value if isinstance(value, str) and value else None

    @property
    def is_named(self) -> bool:
        """Whether it was announced, or was made up for a delta that came without."""
        return self.id is not None or self.call_id is not None

    @property
    def status(self) -> str | None:
        value = self._shape.get("status")
        return value if isinstance(value, str) else None

    @status.setter
    def status(self, value: str) -> None:
        self._shape["status"] = value

    @property
    def text(self) -> str:
        """What a message says, its refusals included."""
        return "".join(self.content[index].text for index in sorted(self.content))

    def get(self, name: str) -> Any:
        """Another field of the item, as it came: `name`, `call_id`, `server_label`, `results`, …"""
        return str(self.fields[name]) if name in self.fields else self._shape.get(name)

    def adopt(self, shape: Mapping[str, Any]) -> None:
        """Become this item; keep those texts that it leaves out or empty, for they were shown."""
        self._shape = dict(shape)
        self.content = _parts(shape.get("content"), self.content)
        self.summary = _parts(shape.get("summary"), self.summary)
        for name in _FIELDS:
            if isinstance(value := shape.get(name), str) and (value or not self.fields.get(name)):
                self.fields[name] = Pieces(value)

    def pieces_of(self, target: Target, index: int | None) -> tuple[int, Pieces]:
        """The text of this target, created if need be, and the position of its part."""
        if target not in _PART_TYPES:
            return 0, self.fields.setdefault(target.value, Pieces())
        part = self.part_of(target, index)
        return part.position, part.pieces

    def part_of(self, target: Target, index: int | None) -> DraftPart:
        """The part of this target at this index, or the last one of it; created if need be."""
        parts = self.parts_of(target)
        if index is None:
            index = next((key for key in reversed(parts) if parts[key].target is target), len(parts))
        part = parts.get(index)
        if part is None or part.target is not target:
            part = parts.put(index, _empty_part(target))
        return part

    def parts_of(self, target: Target | None) -> Parts:
        return self.summary if target is Target.SUMMARY else self.content

    def to_wire(self) -> dict[str, Any]:
        wire = dict(self._shape)
        for name, parts in (("content", self.content), ("summary", self.summary)):
            if parts:
                wire[name] = [parts[index].to_wire() for index in sorted(parts)]
        for name, pieces in self.fields.items():
            if pieces or name in wire:
                wire[name] = str(pieces)
        return wire


class Draft:
    """One response while it grows, and when it is whole."""

    def __init__(self) -> None:
        self.items: list[DraftItem] = []
        self.response_id = ""
        self.status = "in_progress"
        self.model = ""
        self.usage: dict[str, Any] | None = None
        self.error: dict[str, Any] | None = None
        self.incomplete_reason: str | None = None
        self.content_filters: list[Any] | None = None
        self.cursor: int | None = None
        self.terminal_seen = False
        self._by_id: dict[str, DraftItem] = {}
        self._by_place: dict[tuple[int, str], DraftItem] = {}  # by output_index and family
        self._taken_in = -1  # the last sequence number before this draft was stored

    @classmethod
    def from_response(cls, payload: Mapping[str, Any]) -> Draft:
        """The draft of a response that came whole: from create, retrieve or cancel."""
        draft = cls()
        draft.apply(event_from_response(payload))
        draft._replace_items(_objects(payload.get("output")))
        return draft

    @classmethod
    def restore(cls, response_id: str, output: Iterable[Mapping[str, Any]], cursor: int | None) -> Draft:
        """A draft as it was stored in the middle of its stream; the events behind its cursor continue it.

        Those up to the cursor change nothing, should the server send them again.
        """
        draft = cls()
        draft.response_id = response_id
        draft.cursor = cursor
        draft._taken_in = -1 if cursor is None else cursor
        draft._replace_items(list(output))
        return draft

    @property
    def is_terminal(self) -> bool:
        return self.status in TERMINAL

    def apply(self, event: Event) -> Change | None:
        """Take in one event. None when nothing changed that somebody could see. Raises BadStream beyond all measure."""
        number = event.sequence_number
        if number is not None:
            if number <= self._taken_in:
                return None
            if self.cursor is None or number > self.cursor:
                self.cursor = number
        match event:
            case Delta():
                return self._append(event)
            case Whole():
                return self._replace(event)
            case ItemEvent():
                return self._item_event(event)
            case PartEvent():
                return self._part_event(event)
            case ItemStatus():
                return self._move_on(event)
            case AnnotationAdded():
                item = self._find(("message",), event.item_id, event.output_index)
                part = item.part_of(Target.TEXT, event.index)
                part.annotate(event.annotation_index, event.annotation)
                return Change(item.position, part.position, "item", None)
            case Terminal():
                return self._finish(event)
            case Snapshot():
                before = (self.response_id, self.status, self.model)
                queued = "queued" in (event.type.removeprefix("response."), event.response.get("status"))
                self._take_facts(event.response, "queued" if queued else "in_progress")
                changed = before != (self.response_id, self.status, self.model)
                return Change(RESPONSE, 0, "status", None) if changed else None
            case Failure():
                self.error = dict(event.error)
                self.status = "failed"
                self.terminal_seen = True
                self._close_items("incomplete")
                return Change(RESPONSE, 0, "status", None)
        return None

    def output(self) -> list[dict[str, Any]]:
        """The items in wire shape and output order: a snapshot to store or to send back, unaffected by later events."""
        return [item.to_wire() for item in self.items]

    def text(self) -> str:
        """All output_text parts, joined."""
        return "".join(
            item.content[index].text
            for item in self.items
            if item.type == "message"
            for index in sorted(item.content)
            if item.content[index].target is Target.TEXT
        )

    def part_text(self, change: Change) -> str:
        """The whole text that a change is about; "" for the other kinds."""
        if change.target is None or not 0 <= change.item < len(self.items):
            return ""
        item = self.items[change.item]
        if change.target not in _PART_TYPES:
            return str(item.fields.get(change.target.value, ""))
        parts = item.parts_of(change.target).values()
        return next((part.text for part in parts if part.position == change.part), "")

    def function_calls(self) -> list[dict[str, Any]]:
        """The calls of our own functions, which the next request has to answer, all of them."""
        return [item.to_wire() for item in self.items if item.type == "function_call"]

    def approval_requests(self) -> list[dict[str, Any]]:
        """What a hosted tool server wants to do and waits for, although the response says completed."""
        return [item.to_wire() for item in self.items if item.type == "mcp_approval_request"]

    def failure(self) -> Refused | None:
        """The error that ended the response, with its sentence for the person."""
        return error_from_object(self.error) if self.error is not None else None

    def notice(self) -> str | None:
        """One sentence for the person when the answer is not whole; None when there is nothing to say."""
        if (failure := self.failure()) is not None:
            return failure.user_message
        if self.status == "failed":
            return error_from_object({}).user_message
        if self.status != "incomplete":
            return None
        if self.incomplete_reason == "content_filter":
            sentence = content_filter_sentence({"content_filters": self.content_filters})
            return sentence.replace("blocked this question", "cut this answer").replace("blocked", "cut")
        if self.incomplete_reason in ("max_output_tokens", "max_tokens"):
            return "The answer reached its length limit and stops here; ask the model to continue."
        return "The provider ended the answer early; ask the model to continue."

    # Texts

    def _append(self, event: Delta) -> Change | None:
        item = self._find(_item_types(event), event.item_id, event.output_index)
        position, pieces = item.pieces_of(event.target, event.index)
        shown = pieces.append(event.delta)
        return Change(item.position, position, _KINDS[event.target], shown, event.target) if shown else None

    def _replace(self, event: Whole) -> Change | None:
        item = self._find(_item_types(event), event.item_id, event.output_index)
        position, pieces = item.pieces_of(event.target, event.index)
        if event.value == str(pieces) or (pieces and not event.value):
            return None
        pieces.become(event.value)
        return Change(item.position, position, _KINDS[event.target], None, event.target)

    def _part_event(self, event: PartEvent) -> Change | None:
        target = Target.SUMMARY if event.summary else _TARGET_OF_PART.get(str(event.part.get("type")))
        types = ("reasoning",) if target in (Target.SUMMARY, Target.REASONING) else ("message",)
        item = self._find(types, event.item_id, event.output_index)
        parts = item.parts_of(target)
        index = event.index
        if index is None:
            index = max(len(parts) - 1, 0) if event.done else len(parts)
        old, new = parts.get(index), DraftPart(event.part)
        if old is not None and old.pieces and not new.pieces and new.target in (old.target, None):
            return None  # announced late, or closed without its text: what was shown stays
        parts.put(index, new)
        if old is not None and old.target is new.target and old.text == new.text:
            return None
        kind = _KINDS[new.target] if new.target is not None else "item"
        return Change(item.position, new.position, kind, None, new.target)

    # Items

    def _move_on(self, event: ItemStatus) -> Change | None:
        item = self._find((event.item_type,), event.item_id, event.output_index)
        if item.done:
            return None
        if item.type != "mcp_list_tools":  # has no status on the wire, and is refused with one when it is sent back
            item.status = event.status
        return Change(item.position, 0, "item", None)

    def _item_event(self, event: ItemEvent) -> Change | None:
        if event.item is None:
            return None
        item_type = str(event.item.get("type", ""))
        item = self._known(event.item.get("id")) or self._known(event.item.get("call_id"))
        if item is None or item.type != item_type:
            item = self._open_item_at(event.output_index, item_type, announced=not event.done)
        if item is None:
            item = self._insert(event.item, event.output_index)
        elif event.done or not item.done:
            item.adopt(event.item)
            self._register(item, event.output_index)
        item.done = item.done or event.done
        return Change(item.position, 0, "item", None)

    def _open_item_at(self, output_index: int | None, item_type: str, *, announced: bool) -> DraftItem | None:
        """The item of that type that still grows there.

        What is announced beside one that has a name is another item, even where a gateway numbers all of them 0; and
        where nothing is numbered, what has another name is.
        """
        if output_index is not None:
            item = self._by_place.get((output_index, _family(item_type)))
        else:
            item = next((item for item in reversed(self.items) if not item.done), None)
        is_another = announced or output_index is None
        if item is None or item.done or item.type != item_type or (is_another and item.is_named):
            return None
        return item

    def _find(self, types: tuple[str, ...], item_id: str | None, output_index: int | None) -> DraftItem:
        """The item by its id, else by its index, else the last one of these types that still grows; else a new one.

        The id is asked first (some gateways send output_index 0 for everything), and an unknown id does not count
        (others make up a new one for each event). LiteLLM does both: there an index means one item of each family.
        """
        item = self._known(item_id)
        if item is None and output_index is not None:
            item = self._by_place.get((output_index, _family(types[0])))
        elif item is None:
            growing = (item for item in reversed(self.items) if item.type in types and not item.done)
            item = next((item for item in growing if item_id is None or item.id is None), None)
        if item is not None:
            return item
        shape: dict[str, Any] = {"type": types[0], "status": "in_progress"}
        if item_id is not None:
            shape = {"id": item_id, **shape}
        if types[0] == "message":
            shape |= {"role": "assistant", "content": []}
        if types[0] == "reasoning":
            shape |= {"summary": []}
        return self._insert(shape, output_index)

    def _insert(self, shape: Mapping[str, Any], output_index: int | None) -> DraftItem:
        place = len(self.items)
        if place >= MOST_ITEMS:
            raise BadStream(f"more than {MOST_ITEMS} items of a response")
        if output_index is not None:
            while place and (self.items[place - 1].output_index or 0) > output_index:
                place -= 1
        item = DraftItem(shape, output_index, place)
        self.items.insert(place, item)
        for later in range(place + 1, len(self.items)):
            self.items[later].position = later
        self._register(item, output_index)
        return item

    def _register(self, item: DraftItem, output_index: int | None) -> None:
        if output_index is not None:
            self._by_place[output_index, _family(item.type)] = item
        if item.id is not None:
            self._by_id[item.id] = item
        # llama.cpp's calls have no id, and its deltas name them by their call_id.
        if item.type.endswith("_call") and item.call_id is not None:
            self._by_id.setdefault(item.call_id, item)

    def _known(self, item_id: Any) -> DraftItem | None:
        return self._by_id.get(item_id) if isinstance(item_id, str) else None

    def _replace_items(self, output: list[Mapping[str, Any]]) -> None:
        self.items, self._by_id, self._by_place = [], {}, {}
        for index, shape in enumerate(output):
            item = self._insert(shape, index)
            item.done = item.status in (None, *TERMINAL)

    # The response as a whole

    def _finish(self, event: Terminal) -> Change:
        # Some servers name the event `completed` whatever the response says of itself.
        said = event.response.get("status")
        status = said if event.status == "completed" and isinstance(said, str) and said in TERMINAL else event.status
        self._take_facts(event.response, status)
        self.terminal_seen = True
        self._close_items("completed" if status == "completed" else "incomplete")
        if output := _objects(event.response.get("output")):
            self._replace_items(self._with_what_was_shown(output, status))
        return Change(RESPONSE, 0, "status", None)

    def _with_what_was_shown(self, output: list[Mapping[str, Any]], status: str) -> list[Mapping[str, Any]]:
        """The items of the last word; and between them those that it leaves out.

        A response that failed or was cut leaves out what it had begun. Ollama leaves out what the model said before it
        called a function, and there only a message is worth keeping whose text is said nowhere else.
        """
        same = _the_same(self.items, output)
        said = "\n".join(DraftItem(shape, None, 0).text for shape in output if shape.get("type") == "message")
        whole = list(output)
        left_out: dict[int, list[Mapping[str, Any]]] = {}  # by the number of the item that they stand behind
        last = -1
        for item in self.items:
            if item.position in same:
                last = same[item.position]
                item.adopt(output[last])
                whole[last] = item.to_wire()
            elif item.text not in said if item.type == "message" else status != "completed":
                left_out.setdefault(last, []).append(item.to_wire())
        for number in sorted(left_out, reverse=True):
            whole[number + 1 : number + 1] = left_out[number]
        return whole

    def _close_items(self, status: str) -> None:
        for item in self.items:
            if item.status not in (None, *TERMINAL):
                item.status = status

    def _take_facts(self, response: Mapping[str, Any], status: str) -> None:
        self.status = status
        for name, attribute in (("id", "response_id"), ("model", "model")):
            if isinstance(value := response.get(name), str) and value:
                setattr(self, attribute, value)
        if isinstance(usage := response.get("usage"), dict):
            self.usage = dict(usage)
        if isinstance(error := response.get("error"), dict):
            self.error = dict(error)
        elif isinstance(error, str) and error:
            self.error = {"code": None, "message": error}
        details = response.get("incomplete_details")
        if isinstance(details, dict) and isinstance(reason := details.get("reason"), str):
            self.incomplete_reason = reason
        if isinstance(filters := response.get("content_filters"), list):
            self.content_filters = list(filters)


def _family(item_type: str) -> str:
    """Message, reasoning, or a call of any kind: what is said, what is thought, what is done."""
    return item_type if item_type in ("message", "reasoning") else "call"


def _item_types(event: Delta | Whole) -> tuple[str, ...]:
    return ("mcp_call",) if event.type.startswith("response.mcp_") else _ITEM_TYPES[event.target]


def _parts(value: Any, shown: Parts) -> Parts:
    """The parts of a list on the wire; those that were shown stay when there are none, and texts when they are empty."""
    if isinstance(value, str) and value:
        value = [{"type": "output_text", "text": value, "annotations": []}]
    parts = Parts(DraftPart(part) for part in _objects(value))
    for index, new in parts.items():
        old = shown.get(index)
        if old is not None and new.target is old.target and not new.pieces:
            new.pieces = old.pieces
    return parts or shown


def _the_same(items: list[DraftItem], output: list[Mapping[str, Any]]) -> dict[int, int]:
    """Which item of the last word each shown one is, as positions in both.

    The same id says so, or call_id, else type and order: vLLM makes up new ids for its last word.
    """
    named: dict[str, int] = {}
    by_type: dict[str, list[int]] = {}
    for number, shape in enumerate(output):
        by_type.setdefault(str(shape.get("type", "")), []).append(number)
        for name in ("id", "call_id"):
            if isinstance(value := shape.get(name), str) and value:
                named.setdefault(value, number)
    same: dict[int, int] = {}
    taken: set[int] = set()
    for item in items:
        found = named.get(item.id or "", named.get(item.call_id or ""))
        if found is not None and found not in taken:
            taken.add(found)
            same[item.position] = found
    free = {item_type: iter([n for n in numbers if n not in taken]) for item_type, numbers in by_type.items()}
    for item in items:
        if item.position not in same and (number := next(free.get(item.type, iter(())), -1)) >= 0:
            same[item.position] = number
    return same


def _empty_part(target: Target) -> DraftPart:
    shape: dict[str, Any] = {"type": _PART_TYPES[target], "refusal" if target is Target.REFUSAL else "text": ""}
    if target is Target.TEXT:
        shape["annotations"] = []
    return DraftPart(shape)


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [entry for entry in value if isinstance(entry, dict)] if isinstance(value, list) else []
