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

import asyncio
import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from .framing import TERMINAL
from .wires import Json, Wire, WireError, expired_token, unknown_model, unknown_previous

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]

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


class HungUp(ConnectionError):
    """The connection is to be cut here."""


class Over(Exception):
    """The reply has ended before its time; nothing more is to be made for it."""


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


# Making it happen


def refuse(deed: Deed, wire: Wire) -> None:
    """Raise the refusal that the deed is, in the words of the dialect. Does nothing for other deeds."""
    if isinstance(deed, Refusal):
        match deed.name:
            case "expired token":
                raise expired_token(wire)
            case "previous response not found":
                raise unknown_previous("resp_gone")
            case "content filter":
                raise WireError(400, _FILTERED, code="content_filter", param="prompt", details=_FILTER)
            case "old content filter":
                raise WireError(400, _FILTERED, code="content_filter", param="prompt", details=_OLD_FILTER)
            case "context too long":
                raise WireError(400, _TOO_LONG, code="context_length_exceeded", param="input")
            case "deployment missing":
                raise unknown_model(wire, "that-model")
            case "quota used up":
                raise WireError(429, _NO_QUOTA, code="insufficient_quota")


_FILTERED = (
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy. "
    "Please modify your prompt and retry."
)
_TOO_LONG = "Your input exceeds the context window of this model. Please adjust your input and try again."
_NO_QUOTA = "You exceeded your current quota, please check your plan and billing details."
_RESULTS: Json = {
    "hate": {"filtered": False, "severity": "safe"},
    "jailbreak": {"detected": False, "filtered": False},
    "self_harm": {"filtered": False, "severity": "safe"},
    "sexual": {"filtered": False, "severity": "safe"},
    "violence": {"filtered": True, "severity": "medium"},
}
_FILTER: Json = {
    "content_filters": [
        {
            "blocked": True,
            "source_type": "prompt",
            "content_filter_results": _RESULTS,
            "content_filter_offsets": {"start_offset": 0, "end_offset": 5608, "check_offset": 0},
        }
    ]
}
_OLD_FILTER: Json = {
    "status": 400,
    "innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": _RESULTS},
}
_MESSAGES = {
    401: "Access denied.",
    403: "You have no permission for this.",
    404: "Resource not found.",
    429: "Rate limit reached. Please try again later.",
    503: "The engine is currently overloaded, please try again later.",
}


def status_reply(deed: Status, wire: Wire) -> tuple[str, bytes]:
    """Content type and body of an error reply."""
    text = _MESSAGES.get(deed.status, "The server had an error while processing your request.")
    match deed.body:
        case "html":
            page = f"<!DOCTYPE html><html><head><title>{deed.status}</title></head><body><h1>{text}</h1></body></html>"
            return "text/html", page.encode()
        case "text":
            return "text/plain", text.encode()
        case "nothing":
            return "text/plain", b""
    code = {401: "invalid_api_key", 429: "rate_limit_exceeded"}.get(deed.status)
    return "application/json", json.dumps(WireError(deed.status, text, code=code).payload(wire)).encode()


def spoiled(send: Send, deed: Deed, wire: Wire) -> Send:
    """The way of a reply's messages to the caller, with the fault in it."""
    match deed:
        case Drop(place=place):
            return _AtAPlace(send, place, hang_up)
        case Stall(seconds=seconds, place=place):
            return _AtAPlace(send, place, lambda: _pause(seconds))
        case ErrorEvent():
            return _FailingStream(send, deed, wire)
        case Drip():
            return _Dripping(send, deed)
        case Malformed() | Duplicate() | NoTerminal():
            return _SpoiledStream(send, deed)
        case ContentType(value=value):
            return _Mislabelled(send, value)
    return send


async def hang_up() -> NoReturn:
    raise HungUp("a fault cut the connection")


async def _pause(seconds: float | None) -> None:
    if seconds is None:
        await asyncio.get_running_loop().create_future()
    else:
        await asyncio.sleep(seconds)


class _Spoiler:
    """Passes messages on; its kinds change what passes."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._is_stream = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            types = [value for name, value in message["headers"] if name == b"content-type"]
            self._is_stream = any(value.startswith(b"text/event-stream") for value in types)
            await self.start(message)
        else:
            await self.body(message["body"], message.get("more_body", False))

    async def start(self, message: Message) -> None:
        await self._send(message)

    async def body(self, body: bytes, more: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more})


class _AtAPlace(_Spoiler):
    """Does something once, when so much of the reply has been sent."""

    def __init__(self, send: Send, place: Place | None, act: Callable[[], Awaitable[None]]) -> None:
        super().__init__(send)
        self._place = place
        self._act = act
        self._seen = 0
        self._done = False

    async def start(self, message: Message) -> None:
        if self._place is None:
            self._done = True
            await self._act()
        await super().start(message)

    async def body(self, body: bytes, more: bool) -> None:
        at = self._position(body)
        if at is not None:
            self._done = True
            if body[:at]:
                await super().body(body[:at], True)
            await self._act()
            body = body[at:]
        await super().body(body, more)

    def _position(self, body: bytes) -> int | None:
        """Where in this chunk the place is; None: not in it."""
        if self._done or self._place is None:
            return None
        if self._place.unit == "bytes":
            at = self._place.count - self._seen
            self._seen += len(body)
            return at if at <= len(body) else None
        at = 0
        for frame in _frames(body):
            if self._seen == self._place.count:
                return at
            self._seen += 1
            at += len(frame)
        return at if self._seen == self._place.count else None


class _FailingStream(_AtAPlace):
    """Ends a stream with an error event."""

    def __init__(self, send: Send, deed: ErrorEvent, wire: Wire) -> None:
        super().__init__(send, deed.place or Place(1, "events"), self._fail)
        self._deed = deed
        self._wire = wire
        self._opening: Json = {}

    async def body(self, body: bytes, more: bool) -> None:
        if self._is_stream and not self._opening and body:
            self._opening = _data(_frames(body)[0])
        await super().body(body, more)

    async def _fail(self) -> None:
        said: Json = {"code": "server_error", "message": "The model stopped by accident.", "param": None}
        nested = {"error": {"type": "server_error", **said}}
        forms: dict[str, Json] = {
            "flat": {"type": "error", **said},
            "nested": {"type": "error", **nested},
            "bare": nested,
        }
        events = [forms[self._deed.form]]
        if self._deed.then_failed:
            error = {"code": "server_error", "message": "The model stopped by accident."}
            response = {**self._opening.get("response", {}), "status": "failed", "error": error}
            events.append({"type": "response.failed", "response": response})
        if "sequence_number" in self._opening:
            events = [{**event, "sequence_number": self._seen + number} for number, event in enumerate(events)]
        await _Spoiler.body(self, b"".join(_frame(event, self._wire) for event in events), False)
        raise Over


class _Dripping(_Spoiler):
    def __init__(self, send: Send, deed: Drip) -> None:
        super().__init__(send)
        self._deed = deed

    async def body(self, body: bytes, more: bool) -> None:
        for at in range(0, len(body), self._deed.size):
            await asyncio.sleep(self._deed.seconds)
            await super().body(body[at : at + self._deed.size], True)
        if not more:
            await super().body(b"", False)


class _SpoiledStream(_Spoiler):
    """Changes single events; a reply that is no stream passes as it is."""

    def __init__(self, send: Send, deed: Malformed | Duplicate | NoTerminal) -> None:
        super().__init__(send)
        self._deed = deed
        self._seen = 0

    async def body(self, body: bytes, more: bool) -> None:
        if self._is_stream:
            body = b"".join(self._spoil(frame) for frame in _frames(body))
        if body or not more:
            await super().body(body, more)

    def _spoil(self, frame: bytes) -> bytes:
        self._seen += 1
        match self._deed:
            case Duplicate():
                return frame * 2
            case Malformed(number=number) if number == self._seen:
                return frame.rstrip(b"\n")[: -len(frame) // 2] + b"\n\n"
            case NoTerminal() if _ends(frame):
                return b""
        return frame


class _Mislabelled(_Spoiler):
    def __init__(self, send: Send, value: str) -> None:
        super().__init__(send)
        self._value = value.encode()

    async def start(self, message: Message) -> None:
        headers = [pair for pair in message["headers"] if pair[0] != b"content-type"]
        await super().start({**message, "headers": [*headers, (b"content-type", self._value)]})


def _frames(body: bytes) -> list[bytes]:
    """The frames of a chunk: the engine sends whole ones."""
    return [frame + b"\n\n" for frame in body.split(b"\n\n") if frame]


def _frame(event: Json, wire: Wire) -> bytes:
    line = f"event: {event['type']}\n" if wire.event_lines and "type" in event else ""
    return f"{line}data: {json.dumps(event, ensure_ascii=False)}\n\n".encode()


def _data(frame: bytes) -> Json:
    line = next(line for line in frame.split(b"\n") if line.startswith(b"data: "))
    value: Json = json.loads(line.removeprefix(b"data: "))
    return value


def _ends(frame: bytes) -> bool:
    return b"data: [DONE]" in frame or _data(frame).get("type") in TERMINAL
