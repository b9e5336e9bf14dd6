"""Making a fault happen: the refusals and error replies that it stands for, and what it does to a reply on its way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NoReturn

from .faults import (
    ContentType,
    Deed,
    Drip,
    Drop,
    Duplicate,
    ErrorEvent,
    Malformed,
    NoTerminal,
    Place,
    Refusal,
    Stall,
    Status,
)
from .framing import TERMINAL
from .wires import Json, Wire, WireError, expired_token, unknown_model, unknown_previous

Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]


class HungUp(ConnectionError):
    """The connection is to be cut here."""


class Over(Exception):
    """The reply has ended before its time; nothing more is to be made for it."""


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
