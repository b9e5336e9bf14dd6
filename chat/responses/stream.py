"""From the body of a reply to events: how a stream is read, how long it is waited for, and how it may end.

The client opens and closes the reply; here it is read. A whole body is read here, too, within a limit.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from typing import Any

import httpx

from .errors import BadStream, ConnectionLost, ResponsesError, TimedOut, request_id_of
from .events import Event, Failure, Terminal, decode_json, event_from_frame, event_from_response, parse_event
from .shapes import DeltaReader
from .sse import LIMITS, Limits, too_much
from .transport import DIRECT, Direct

MAX_ERROR_BYTES = 64 * 1024
ERROR_BODY_SECONDS = 10.0
# After the last event: how long to wait for the end of the reply, so that the connection can be used again.
LINGER_SECONDS = 0.2
# After an `error` event: how long `response.failed` may take to follow.
AFTER_FAILURE_SECONDS = 5.0
PACED_BYTES = 16 * 1024  # that came at once: whoever sends so much is not asked to wait
LARGE = 256 * 1024  # characters of one event: a picture, whose parsing would hold up all other streams
UNPACKED_BYTES = (
    64 * 1024
)  # of a compressed body, at a time: a kilobyte may hold a megabyte, and each of its bytes another


async def events_of(
    response: httpx.Response,
    after: int | None = None,
    limits: Limits = LIMITS,
    pace: Callable[[], float] | None = None,
) -> AsyncGenerator[Event, None]:
    """The events of a stream. With `after`, those that follow it: there are servers that begin anew.

    `pace` is asked after deltas that came slowly: for how many seconds the next ones may wait, to be read together.
    """
    decoder = DeltaReader(limits)
    patience: float | None = None
    async with _reading(response) as body:
        read = body.read
        chunk = await read()
        if chunk.lstrip().startswith(b"{"):  # a proxy that says 200 whatever came, and calls it what it likes
            yield await _event_of_object(chunk, body, limits)
            return
        while True:
            usual, rest = decoder.read(chunk)
            for delta in usual:
                if after is None or delta.sequence_number is None or delta.sequence_number > after:
                    yield delta
            if not rest and chunk:
                if pace is not None and len(chunk) < PACED_BYTES and (seconds := pace()) > 0:
                    body.rest(seconds)
                chunk = await read() if patience is None else await _read_for(patience, body)
                continue
            for frame in decoder.feed(rest) if chunk else decoder.flush():
                try:
                    if len(frame.data) < LARGE:
                        event = event_from_frame(frame)
                    else:
                        event = await asyncio.to_thread(event_from_frame, frame)
                except BadStream:
                    if chunk:
                        raise
                    return  # the last frame of a stream that broke inside it: an end like any other
                if event is None:
                    if frame.data.strip() == "[DONE]":
                        await _linger(body)
                        return
                    continue
                if after is None or event.sequence_number is None or event.sequence_number > after:
                    yield event
                if isinstance(event, Terminal):
                    await _linger(body)
                    return
                if isinstance(event, Failure):
                    patience = AFTER_FAILURE_SECONDS
                decoder.learn(event, frame)
            if not chunk:
                return
            chunk = await read() if patience is None else await _read_for(patience, body)


async def _event_of_object(begun: bytes, body: Direct, limits: Limits) -> Event:
    """The event that says the same as a body which is one JSON object: an error, or a whole response."""
    data = bytearray(begun)
    while chunk := await body.read():
        data += chunk
        if len(data) > limits.frame:
            raise too_much(f"an object in place of a stream, larger than {limits.frame} bytes")
    try:
        value = await json_of(data.decode("utf-8", "replace"))
    except ValueError as error:
        raise BadStream(f"something else in place of a stream: {error}") from error
    is_response = isinstance(value.get("status"), str) or isinstance(value.get("output"), list)
    return event_from_response(value) if is_response else parse_event(value)


async def _read_for(seconds: float, body: Direct) -> bytes:
    """The next bytes; none at the end, and none when they do not come in time."""
    with suppress(TimeoutError, *body.errors):
        async with asyncio.timeout(seconds):
            return await body.read()
    return b""


async def _linger(body: Direct) -> None:
    """Wait a moment for the end of the reply: a connection that was read to its end can carry the next request."""
    with suppress(TimeoutError, *body.errors, BadStream):
        async with asyncio.timeout(LINGER_SECONDS):
            while await body.read():
                pass


async def json_of(text: str) -> Any:
    """As `decode_json`; what is large is read in a thread."""
    return decode_json(text) if len(text) < LARGE else await asyncio.to_thread(decode_json, text)


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    data = bytearray()
    async with _reading(response) as body:
        while chunk := await body.read():
            data += chunk
            if len(data) > limit:
                raise too_much(f"a reply larger than {limit} bytes")
    return bytes(data)


async def pieces_of(response: httpx.Response, size: int) -> AsyncGenerator[bytes, None]:
    """A whole body in pieces of about that size, each before the next one is asked for."""
    piece = bytearray()
    async with _reading(response) as body:
        while chunk := await body.read():
            piece += chunk
            if len(piece) >= size:
                yield bytes(piece)
                piece.clear()
    if piece:
        yield bytes(piece)


async def read_error(response: httpx.Response) -> bytes:
    """The beginning of an error's body; what breaks or dawdles here must not hide the status."""
    data = bytearray()
    with suppress(TimeoutError, ResponsesError):
        async with asyncio.timeout(ERROR_BODY_SECONDS), _reading(response) as body:
            while len(data) < MAX_ERROR_BYTES and (chunk := await body.read()):
                data += chunk
    return bytes(data[:MAX_ERROR_BYTES])


@asynccontextmanager
async def _reading(response: httpx.Response) -> AsyncIterator[Direct]:
    """The body as it comes in, past httpx's layers where the transport has a way: they cost as much as the parsing.

    What breaks within the context leaves it as a ResponsesError.
    """
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    direct: Direct | None = response.extensions.get(DIRECT)
    async with AsyncExitStack() as stack:
        if direct is None or encoding != "identity":
            chunks = await stack.enter_async_context(aclosing(_chunks(response, encoding)))
            direct = Direct(lambda: anext(chunks, b""), (httpx.HTTPError,), lambda error: error)
        try:
            yield direct
        except direct.errors as error:
            raise broken(direct.translated(error), response) from error
        except BadStream as error:
            error.request_id = error.request_id or request_id_of(response.headers)
            raise


async def _chunks(response: httpx.Response, encoding: str) -> AsyncGenerator[bytes, None]:
    """The body through httpx, unpacked a little at a time whatever it grows to."""
    if response.is_stream_consumed:  # a mock's reply
        yield await response.aread()
        return
    if encoding == "identity":
        async for chunk in response.aiter_raw():
            yield chunk
        return
    if encoding not in ("gzip", "x-gzip", "deflate"):
        raise BadStream(f"a reply compressed as {encoding[:50]!r}, which was not asked for")
    unpack = zlib.decompressobj(zlib.MAX_WBITS | 32)  # either form
    surplus = 0
    try:
        async for packed in response.aiter_raw():
            if unpack.eof:  # it would keep what follows. A little is read, to reach the end of the reply
                surplus += len(packed)
                if surplus > UNPACKED_BYTES:
                    return
                continue
            is_whole = False
            while not is_whole:
                chunk = unpack.decompress(packed, UNPACKED_BYTES)
                if chunk:
                    yield chunk
                packed = unpack.unconsumed_tail
                is_whole = unpack.eof or (not packed and len(chunk) < UNPACKED_BYTES)
    except zlib.error as error:
        raise BadStream(f"a reply that does not unpack: {error}") from error


def broken(error: httpx.HTTPError, response: httpx.Response) -> ResponsesError:
    details = f"{type(error).__name__}: {error}"
    request_id = request_id_of(response.headers)
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(details, request_id=request_id)
    if isinstance(error, httpx.DecodingError):
        return BadStream(details, request_id=request_id)
    return ConnectionLost(details, request_id=request_id)
