"""The usual delta, read out of its bytes: a short cut past sse and events that nearly every frame can take.

A server writes all deltas of a text alike: the same keys in the same order, with the same spaces. One that went the
general way teaches the shape of those that follow. What has it is an object of these keys, each once, with plain integers
and strings without escapes, so that parsing it would say the same; whatever differs goes the general way.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from .events import DELTAS, Delta, Event, decode_json
from .sse import LIMITS, Limits, ServerSentEvent, SSEDecoder

MOST_LESSONS = 64  # a stream: a server that writes each delta in another way is not to have patterns made for it
_NUMBER = "(0|[1-9][0-9]{0,14})"  # far below the largest that events take
_STRING = r'"([^"\\\x00-\x1f]*)"'
_VALUES = {
    "sequence_number": _NUMBER,
    "item_id": _STRING,
    "output_index": _NUMBER,
    "content_index": _NUMBER,
    "summary_index": _NUMBER,
    "delta": _STRING,
    "logprobs": r"\[\]",
    "obfuscation": _STRING,
}


if TYPE_CHECKING:
    from collections.abc import Callable

    _UsualDelta: Callable[..., Delta]  # its `raw` may be a match
else:

    class _UsualDelta(Delta):
        """A Delta whose `raw` is parsed if somebody asks for it. Equal to one that went the general way."""

        __slots__ = ("_frame",)
        __qualname__ = "Delta"
        __setattr__ = object.__setattr__  # as in events: the setters of a frozen dataclass cost more than the parsing
        __delattr__ = object.__delattr__

        def __init__(self, type, sequence_number, raw, target, item_id, output_index, index, delta):
            self.type = type
            self.sequence_number = sequence_number
            self._frame = raw
            self.target = target
            self.item_id = item_id
            self.output_index = output_index
            self.index = index
            self.delta = delta

        @property
        def raw(self):
            return (
                decode_json(self._frame["json"].decode("utf-8", "replace"))
                if isinstance(self._frame, re.Match)
                else self._frame
            )

        def __eq__(self, other):
            if not isinstance(other, Delta):
                return NotImplemented
            return all(getattr(self, name) == getattr(other, name) for name in Delta.__match_args__)

        __hash__ = None  # `raw` has none either


class DeltaReader(SSEDecoder):
    """The decoder of a stream that also knows how its deltas look: nothing at first, then what `learn` was shown."""

    __slots__ = ("_lessons_left", "_match", "_name", "_place", "_place_read", "_target", "_told_of")

    def __init__(self, limits: Limits = LIMITS) -> None:
        super().__init__(limits)
        self._lessons_left = MOST_LESSONS
        self._match: Callable[[bytes, int], re.Match[bytes] | None] = _no_match
        self._told_of: Callable[[re.Match[bytes]], tuple[bytes, ...]]
        self._place: tuple[bytes, ...] = ()
        self._place_read: tuple[str | None, int | None, int | None] = (None, None, None)

    def read(self, data: bytes) -> tuple[list[Event], bytes]:
        """The deltas with which the bytes begin, and the bytes after them: those are for `feed`. Raises as that does."""
        events: list[Event] = []
        found = self._match(data, 0) if self._is_between else None
        if found is None or len(data) > self._usual_size:
            return events, data
        end = 0
        while found is not None:
            told = self._told_of(found)
            place = told[2:]
            if place != self._place:
                self._place, self._place_read = place, _read(*place)
            try:
                text = told[1].decode()
            except UnicodeDecodeError:
                break
            number = told[0]
            event = _UsualDelta(
                self._name, int(number) if number else None, found, self._target, *self._place_read, text
            )
            events.append(event)
            end = found.end()
            found = self._match(data, end) if end != len(data) else None
        self._bytes_left -= end
        self._frames_left -= len(events)
        if self._bytes_left < 0 or self._frames_left < 0:
            raise self._too_long()
        return events, data[end:]

    def learn(self, event: Event, frame: ServerSentEvent) -> None:
        """See how this one looks, if it is a delta, and read those that look alike from now on."""
        if not isinstance(event, Delta) or not self._lessons_left or "\\" in frame.data:
            return
        self._lessons_left -= 1
        told = event.raw.get("type")
        if told not in DELTAS or frame.event not in ("", told):
            return
        space = {True: " ", False: ""}
        pattern = _pattern(told, tuple(event.raw), space['", "' in frame.data], space['": ' in frame.data])
        if pattern is None or not pattern.fullmatch(f"event: {told}\ndata: {frame.data}\n\n".encode()):
            return
        index_name = DELTAS[event.type][1]
        names = ("sequence_number", "delta", "item_id", "output_index", index_name)
        groups = [pattern.groupindex.get(name, pattern.groups) for name in names]  # the last one is empty
        self._told_of = itemgetter(*groups)
        self._match = pattern.match
        self._name, self._target = event.type, event.target


def _no_match(data: bytes, place: int) -> None:
    """Of whoever has not learned anything yet."""


@lru_cache(maxsize=MOST_LESSONS)
def _pattern(told: str, keys: tuple[str, ...], after_comma: str, after_colon: str) -> re.Pattern[bytes] | None:
    """What matches the whole frame of such a delta. None when there is something in it that has no usual form."""
    values = {"type": f'"{re.escape(told)}"', **_VALUES}
    if not values.keys() >= set(keys):
        return None
    values = {key: value.replace("(", f"(?P<{key}>", 1) for key, value in values.items()}
    fields = f",{after_comma}".join(f'"{key}":{after_colon}{values[key]}' for key in keys)
    name = re.escape(told)
    return re.compile(rf"(?:event: ?{name}\r?\n)?data: ?(?P<json>\{{{fields}\}})\r?\n\r?\n()".encode())


def _read(item_id: bytes, output_index: bytes, index: bytes) -> tuple[str | None, int | None, int | None]:
    return (
        item_id.decode("utf-8", "replace") or None,
        int(output_index) if output_index else None,
        int(index) if index else None,
    )
