"""From the body of a reply to events: how a stream is read, how long it is waited for, and how it may end.

The client opens and closes the reply; here it is read. A whole body is read here, too, within a limit.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import httpx

from .errors import BadStream, ConnectionLost, ResponsesError, TimedOut, request_id_of
from .events import Event, Failure, Terminal, event_from_frame
from .sse import ServerSentEvent, SSEDecoder

MAX_ERROR_BYTES = 64 * 1024
ERROR_BODY_SECONDS = 10.0
# After the last event: how long to wait for the end of the reply, so that the connection can be used again.
LINGER_SECONDS = 0.2
# After an `error` event: how long `response.failed` may take to follow.
AFTER_FAILURE_SECONDS = 5.0


async def events_of(response: httpx.Response) -> AsyncGenerator[Event, None]:
    decoder = SSEDecoder()
    patience: float | None = None
    async with aclosing(_chunks(response)) as chunks:
        while True:
            chunk = await _next(chunks, patience)
            for frame in decoder.feed(chunk) if chunk is not None else decoder.flush():
                if frame.data.strip() == "[DONE]":
                    await _linger(chunks)
                    return
                event = _event(frame, cut_off=chunk is None)
                if event is None:
                    continue
                yield event
                if isinstance(event, Terminal):
                    await _linger(chunks)
                    return
                if isinstance(event, Failure):
                    patience = AFTER_FAILURE_SECONDS
            if chunk is None:
                return


def _event(frame: ServerSentEvent, *, cut_off: bool) -> Event | None:
    try:
        return event_from_frame(frame)
    except BadStream:
        if cut_off:  # the last frame of a stream that broke inside it: an end like any other
            return None
        raise


async def _next(chunks: AsyncGenerator[bytes, None], patience: float | None) -> bytes | None:
    """The next bytes; None at the end, or when there was only so much patience left."""
    if patience is None:
        return await anext(chunks, None)
    try:
        async with asyncio.timeout(patience):
            return await anext(chunks, None)
    except (TimeoutError, ResponsesError):
        return None


async def _linger(chunks: AsyncGenerator[bytes, None]) -> None:
    """Wait a moment for the end of the reply: a connection that was read to its end can carry the next request."""
    with suppress(TimeoutError, ResponsesError):
        async with asyncio.timeout(LINGER_SECONDS):
            async for _ in chunks:
                pass


async def _chunks(response: httpx.Response) -> AsyncGenerator[bytes, None]:
    """The body as it comes in. Without compression, past httpx's decoders: they cost more than the parsing."""
    decode = "content-encoding" in response.headers or response.is_stream_consumed  # a mock's reply was read already
    body = response.aiter_bytes() if decode else response.aiter_raw()
    try:
        async for chunk in body:
            yield chunk
    except httpx.HTTPError as error:
        raise broken(error, response) from error


async def read_whole(response: httpx.Response, limit: int) -> bytes:
    data = bytearray()
    async with aclosing(_chunks(response)) as chunks:
        async for chunk in chunks:
            data += chunk
            if len(data) > limit:
                raise BadStream(f"a reply larger than {limit} bytes", request_id=request_id_of(response.headers))
    return bytes(data)


async def read_error(response: httpx.Response) -> bytes:
    """The beginning of an error's body; what breaks or dawdles here must not hide the status."""
    data = bytearray()
    with suppress(TimeoutError, ResponsesError):
        async with asyncio.timeout(ERROR_BODY_SECONDS), aclosing(_chunks(response)) as chunks:
            async for chunk in chunks:
                data += chunk
                if len(data) >= MAX_ERROR_BYTES:
                    break
    return bytes(data[:MAX_ERROR_BYTES])


def broken(error: httpx.HTTPError, response: httpx.Response) -> ResponsesError:
    details = f"{type(error).__name__}: {error}"
    request_id = request_id_of(response.headers)
    if isinstance(error, httpx.TimeoutException):
        return TimedOut(details, request_id=request_id)
    if isinstance(error, httpx.DecodingError):
        return BadStream(details, request_id=request_id)
    return ConnectionLost(details, request_id=request_id)
