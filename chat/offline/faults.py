"""Faults on purpose: how the embedded engine fails when a test, a demonstration or a rehearsal wants it to.

A fault is one line of plain words. A list of them is a script: each request takes the first fault that fits it and is
not used up, and is answered well when there is none left.

    DEED [on OPERATION] [once | twice | N times | always] [# REMARK]

    drop [after N bytes | after N events]       cut the connection; without a place, before any byte
    stall S seconds [after …]                   say nothing for that long, then go on
    stall forever [after …]
    drip N bytes every S seconds                send the whole reply that slowly
    malformed event N                           half of the JSON of the Nth event
    duplicate events                            each event twice
    no terminal event                           end without the last event
    error event [nested | bare] [then failed] [after N events]
                                                an `error` event, response.failed after it or not, and the end; nested:
                                                its fields inside `error`; bare: those alone, as llama.cpp sends them
    content type TYPE                           a good reply under a wrong content type
    STATUS [as json | html | text | nothing] [with NAME: VALUE; NAME: VALUE …]
                                                an error reply, such as `429 with retry-after: 2 twice`
    expired token                               401
    previous response not found                 of a request that continues a response
    content filter                              400 of Azure's filter; `old content filter` in its older shape
    context too long | deployment missing | quota used up
    pass                                        answer well, to keep a place in the script

OPERATION is create (the default), retrieve, resume, delete, cancel, input_items, compact, input_tokens, files,
containers, models or any. A fault happens once unless it says otherwise. Bytes and events are counted in the body of
the reply, from 1.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

HEADER = "x-engine-fault"
MAX_BROUGHT = 1_000
GRAMMAR = (__doc__ or "").partition("\n\n")[2]
OPERATIONS = (
    "create",
    "retrieve",
    "resume",
    "delete",
    "cancel",
    "input_items",
    "compact",
    "input_tokens",
    "files",
    "containers",
    "models",
    "any",
)


class BadFault(ValueError):
    """A line that is no fault. Its text says what a fault looks like."""


# What can happen


@dataclass(frozen=True)
class Place:
    """So far into the body of a reply."""

    count: int
    unit: Literal["bytes", "events"]


@dataclass(frozen=True)
class Drop:
    place: Place | None = None


@dataclass(frozen=True)
class Stall:
    seconds: float | None
    """None: for ever."""
    place: Place | None = None


@dataclass(frozen=True)
class Drip:
    size: int
    seconds: float


@dataclass(frozen=True)
class Malformed:
    number: int


@dataclass(frozen=True)
class Duplicate:
    pass


@dataclass(frozen=True)
class NoTerminal:
    pass


@dataclass(frozen=True)
class ErrorEvent:
    form: Literal["flat", "nested", "bare"] = "flat"
    then_failed: bool = False
    place: Place | None = None


@dataclass(frozen=True)
class ContentType:
    value: str


@dataclass(frozen=True)
class Status:
    status: int
    body: str = "json"
    headers: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Refusal:
    name: str


@dataclass(frozen=True)
class Pass:
    pass


Deed = Drop | Stall | Drip | Malformed | Duplicate | NoTerminal | ErrorEvent | ContentType | Status | Refusal | Pass


@dataclass(frozen=True)
class Fault:
    deed: Deed
    operation: str = "create"
    times: int | None = 1
    """None: always."""

    def strikes(self, operation: str, body: bytes) -> bool:
        if self.operation not in ("any", operation):
            return False
        return self.deed != Refusal("previous response not found") or _CONTINUES.search(body) is not None


_CONTINUES = re.compile(rb'"previous_response_id"\s*:\s*"')


class Script:
    """Faults in the order in which requests meet them."""

    def __init__(self, faults: Iterable[Fault | str] = ()) -> None:
        self._left: list[tuple[Fault, int | None]] = []
        for fault in faults:
            known = parse(fault) if isinstance(fault, str) else fault
            self._left.append((known, known.times))

    def __bool__(self) -> bool:
        return bool(self._left)

    def take(self, operation: str, body: bytes) -> Deed | None:
        """What happens to this request; None: nothing."""
        for index, (fault, left) in enumerate(self._left):
            if fault.strikes(operation, body):
                if left == 1:
                    del self._left[index]
                elif left is not None:
                    self._left[index] = (fault, left - 1)
                return fault.deed
        return None


class Scripts:
    """The faults of an engine: its own, and those that requests bring where it lets them."""

    def __init__(self, faults: Iterable[Fault | str] = (), *, from_header: bool = False) -> None:
        self._own = Script(faults)
        self._from_header = from_header
        self._brought: OrderedDict[str, Script] = OrderedDict()

    def script_for(self, headers: Mapping[str, str]) -> Script:
        """The script of a request. Those with the same header share one, as the tries of a client do. Or BadFault."""
        text = headers.get(HEADER, "") if self._from_header else ""
        if not text:
            return self._own
        if text not in self._brought:
            self._brought[text] = Script([text])
            if len(self._brought) > MAX_BROUGHT:
                self._brought.popitem(last=False)
        return self._brought[text]


# From words


def parse(line: str) -> Fault:
    """One fault. Raises BadFault, which says what is wrong and what a fault looks like."""
    text = " ".join(line.partition("#")[0].split())
    text, times = _times(text)
    text, operation = _operation(text)
    for pattern, make in _DEEDS:
        if match := pattern.fullmatch(text):
            return Fault(make(match), operation, times)
    if not text:
        raise BadFault(f"There is no fault in “{line}”. A fault is:\n\n{GRAMMAR}")
    raise BadFault(f"“{text}” is no fault. A fault is:\n\n{GRAMMAR}")


def _times(text: str) -> tuple[str, int | None]:
    match = re.fullmatch(r"(.*?) ?\b(once|twice|always|(\d+) times?)", text)
    if match is None:
        return text, 1
    if match[3] is not None and int(match[3]) < 1:
        raise BadFault(f"“{match[2]}” is no number of times; the least is once.")
    counts = {"once": 1, "twice": 2, "always": None}
    return match[1], int(match[3]) if match[3] else counts[match[2]]


def _operation(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"(.*?) on (\w+)", text)
    if match is None:
        return text, "create"
    if match[2] not in OPERATIONS:
        raise BadFault(f"“{match[2]}” is no operation; there are {', '.join(OPERATIONS)}.")
    return match[1], match[2]


_PLACE = r"(?: after (?P<count>\d+) (?P<unit>byte|event)s?)?"
_SECONDS = r"(?P<seconds>\d+(?:\.\d+)?) seconds?"


def _place(match: re.Match[str]) -> Place | None:
    if match["count"] is None:
        return None
    return Place(int(match["count"]), "bytes" if match["unit"] == "byte" else "events")


def _error_event(match: re.Match[str]) -> ErrorEvent:
    place = Place(int(match["count"]), "events") if match["count"] else None
    forms: dict[str, Literal["nested", "bare"]] = {" nested": "nested", " bare": "bare"}
    return ErrorEvent(forms.get((match["form"] or "").lower(), "flat"), match["failed"] is not None, place)


def _status(match: re.Match[str]) -> Status:
    headers = []
    for pair in filter(None, (match["headers"] or "").split(";")):
        name, colon, value = pair.partition(":")
        if not colon or not re.fullmatch(r"[\w-]+", name.strip()):
            raise BadFault(f"“{pair.strip()}” is no header; headers are NAME: VALUE, with ; between them.")
        headers.append((name.strip().lower(), value.strip()))
    return Status(int(match["status"]), match["body"] or "json", tuple(headers))


def _positive(match: re.Match[str], name: str) -> int:
    value = int(match[name])
    if value < 1:
        raise BadFault(f"“{match[0]}” counts from 1.")
    return value


_DEEDS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Deed]], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), make)
    for pattern, make in (
        (rf"drop{_PLACE}", lambda match: Drop(_place(match))),
        (rf"stall {_SECONDS}{_PLACE}", lambda match: Stall(float(match["seconds"]), _place(match))),
        (rf"stall forever{_PLACE}", lambda match: Stall(None, _place(match))),
        (
            rf"drip (?P<size>\d+) bytes? every {_SECONDS}",
            lambda match: Drip(_positive(match, "size"), float(match["seconds"])),
        ),
        (r"malformed event (?P<number>\d+)", lambda match: Malformed(_positive(match, "number"))),
        (r"duplicate events", lambda match: Duplicate()),
        (r"no terminal event", lambda match: NoTerminal()),
        (
            r"error event(?P<form> nested| bare)?(?P<failed> then failed)?(?: after (?P<count>\d+) events?)?",
            _error_event,
        ),
        (r"content type (?P<type>[\w.+-]+/[\w.+-]+)", lambda match: ContentType(match["type"])),
        (
            r"(?P<status>[345]\d\d)(?: as (?P<body>json|html|text|nothing))?(?: with (?P<headers>.+))?",
            _status,
        ),
        (
            r"(?P<name>expired token|previous response not found|(?:old )?content filter"
            r"|context too long|deployment missing|quota used up)",
            lambda match: Refusal(match["name"].lower()),
        ),
        (r"pass", lambda match: Pass()),
    )
)
