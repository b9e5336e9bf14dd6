"""From the body of a reply to events: how a stream is read, how long it is waited for, and how it may end.

The client opens and closes the reply; here it is read. A whole body is read here, too, within a limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager, suppress

import httpx

from .errors import BadStream, ConnectionLost, ResponsesError, TimedOut, request_id_of
from .events import Event, Failure, Terminal, decode_json, event_from_frame, event_from_response, parse_event
from .sse import LIMITS, Limits, ServerSentEvent, SSEDecoder
from .transport import READ, Read

MAX_ERROR_BYTES = 64 * 1024
ERROR_BODY_SECONDS = 10.0
# After the last event: how long to wait for the end of the reply, so that the connection can be used again.
LINGER_SECONDS = 0.2
# After an `error` event: how long `response.failed` may take to follow.
AFTER_FAILURE_SECONDS = 5.0
UNPACKED_BYTES = (
    64 * 1024
)  # of a compressed body, at a time: a kilobyte may hold a megabyte, and each of its bytes another


async def events_of(
    response: httpx.Response, after: int | None = None, limits: Limits = LIMITS
) -> AsyncGenerator[Event, None]:
    """The events of a stream. With `after`, those that follow it: there are servers that begin anew."""
    decoder = SSEDecoder(limits)
    patience: float | None = None
    try:
        async with _reading(response) as read:
            chunk = await read()
            if chunk.lstrip().startswith(b"{"):  # a proxy that says 200 whatever came, and calls it what it likes
                yield await _event_of_object(chunk, read, limits)
                return
            while True:
                for frame in decoder.feed(chunk) if chunk else decoder.flush():
                    event = _event(frame, cut_off=not chunk)
                    if event is None:
                        if frame.data.strip() == "[DONE]":
                            await _linger(read)
                            return
                        continue
                    if after is None or event.sequence_number is None or event.sequence_number > after:
                        yield event
                    if isinstance(event, Terminal):
                        await _linger(read)
                        return
                    if isinstance(event, Failure):
                        patience = AFTER_FAILURE_SECONDS
                if not chunk:
                    return
                chunk = await read() if patience is None else await _read_for(patience, read)
    except httpx.HTTPError as error:
        raise broken(error, response) from error


async def _event_of_object(begun: bytes, read: Read, limits: Limits) -> Event:
    """The event that says the same as a body which is one JSON object: an error, or a whole response."""
    data = bytearray(begun)
    while chunk := await read():
        data += chunk
        if len(data) > limits.frame:
            raise BadStream(f"an object in place of a stream, larger than {limits.frame} bytes")
    try:
        value = decode_json(data.decode("utf-8", "replace"))
    except ValueError as error:
        raise BadStream(f"something else in place of a stream: {error}") from error
    is_response = isinstance(value.get("status"), str) or isinstance(value.get("output"), list)
    return event_from_response(value) if is_response else parse_event(value)


def _event(frame: ServerSentEvent, *, cut_off: bool) -> Event | None:
    try:
        return event_from_frame(frame)
    except BadStream:
        if cut_off:  # the last frame of a stream that broke inside it: an end like any other
            return None
        raise


async def _read_for(seconds: float, read: Read) -> bytes:
    """The next bytes; none at the end, and none when they do not come in time."""
    with suppress(TimeoutError, httpx.HTTPError):
        async with asyncio.timeout(seconds):
            return await read()
    return b""


async def _linger(read: Read) -> None:
    """Wait a moment for the end of the reply: a connection that was read to its end can carry the next request."""
    with suppress(TimeoutError, httpx.HTTPError, BadStream):
        async with asyncio.timeout(LINGER_SECONDS):
            while await read():
                pass


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    data = bytearray()
    try:
        async with _reading(response) as read:
            while chunk := await read():
                data += chunk
                if len(data) > limit:
                    raise BadStream(f"a reply larger than {limit} bytes", request_id=request_id_of(response.headers))
    except httpx.HTTPError as error:
        raise broken(error, response) from error
    return bytes(data)


async def read_error(response: httpx.Response) -> bytes:
    """The beginning of an error's body; what breaks or dawdles here must not hide the status."""
    data = bytearray()
    with suppress(TimeoutError, httpx.HTTPError, BadStream):
        async with asyncio.timeout(ERROR_BODY_SECONDS), _reading(response) as read:
            while len(data) < MAX_ERROR_BYTES and (chunk := await read()):
                data += chunk
    return bytes(data[:MAX_ERROR_BYTES])


@asynccontextmanager
async def _reading(response: httpx.Response) -> AsyncIterator[Read]:
    """What reads the body as it comes in; it returns b"" at the end.

    Past httpx's layers where the transport has a way: they cost as much as the parsing.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity" and READ in response.extensions:
        yield response.extensions[READ]
        return
    if response.is_stream_consumed:  # a mock's reply
        body = response.aiter_bytes()
    elif encoding == "identity":
        body = response.aiter_raw()
    else:
        body = _unpacked(response.aiter_raw(), encoding, response)
    async with aclosing(body):  # type: ignore[type-var]
        yield lambda: anext(body, b"")


async def _unpacked(body: AsyncIterator[bytes], encoding: str, response: httpx.Response) -> AsyncIterator[bytes]:
    """A compressed body, a little at a time whatever it grows to."""
    request_id = request_id_of(response.headers)
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadStream(f"a reply compressed as {encoding[:50]!r}, which was not asked for", request_id=request_id)
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either of both
    try:
        async for packed in body:
            while not unpack.eof:
                data = unpack.decompress(packed, UNPACKED_BYTES)
                if data:
                    yield data
                packed = unpack.unconsumed_tail
                if not packed and len(data) < UNPACKED_BYTES:
                    break
    except zlib.error as error:
        raise BadStream(f"a reply that does not unpack: {error}", request_id=request_id) from error


def broken(error: httpx.HTTPError, response: httpx.Response) -> ResponsesError:
    details = f"{type(error).__name__}: {error}"
    request_id = request_id_of(response.headers)
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(details, request_id=request_id)
    if isinstance(error, httpx.DecodingError):
        return BadStream(details, request_id=request_id)
    return ConnectionLost(details, request_id=request_id)
