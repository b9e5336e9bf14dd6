"""What stands before several processes: each new connection goes to the next one, or to another if that is not there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

Address = tuple[str, int]
CHUNK_BYTES = 64 * 1024


@asynccontextmanager
async def round_robin(addresses: Sequence[Address]) -> AsyncIterator[str]:
    """The URL of such a proxy, for as long as the context lasts."""
    turns = itertools.cycle(range(len(addresses)))

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(turns)
        for address in [*addresses[first:], *addresses[:first]]:
            try:
                there = await asyncio.open_connection(*address)
            except OSError:
                continue
            await asyncio.gather(_pump(reader, there[1]), _pump(there[0], writer))
            return
        writer.transport.abort()

    server = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until one side has gone; then the other side is told. A process that is killed cuts all of its connections."""
    with suppress(OSError):
        while data := await reader.read(CHUNK_BYTES):
            writer.write(data)
            await writer.drain()
    writer.close()
