"""A provider that takes whatever comes, as a process of its own: `python -m tests.turns.sink`.

It prints its port, and ends when its standard input does. It keeps nothing of a body but its size and its hash.
`--wait SECONDS` pauses before each reply, and `--rate BYTES` reads no more than so many a second, as a provider far away.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.request import urlopen

from tests.upstream import frame, text_events

CHUNK_BYTES = 256 * 1024


class Sink:
    def __init__(self, wait: float, rate: float) -> None:
        self.wait, self.rate = wait, rate
        self.seen: list[dict[str, Any]] = []

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                method, path, _ = head.split(" ", 2)
                lines = (line.partition(":") for line in head.split("\r\n")[1:])
                headers = {name.lower(): value.strip() for name, _, value in lines}
                if method == "POST":
                    await self._take(path, int(headers["content-length"]), reader)
                    await asyncio.sleep(self.wait)
                writer.write(self._reply(method, path))
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _take(self, path: str, size: int, reader: asyncio.StreamReader) -> None:
        digest, left = hashlib.sha256(), size
        while left:
            chunk = await reader.readexactly(min(left, CHUNK_BYTES))
            digest.update(chunk)
            left -= len(chunk)
            if self.rate:
                await asyncio.sleep(len(chunk) / self.rate)
        self.seen.append({"path": path, "size": size, "sha256": digest.hexdigest()})

    def _reply(self, method: str, path: str) -> bytes:
        if method == "GET":
            return _http("application/json", json.dumps(self.seen).encode())
        if path.endswith("/files"):
            file = {"id": f"file-{len(self.seen)}", "object": "file", "status": "processed"}
            return _http("application/json", json.dumps(file).encode())
        return _http("text/event-stream", b"".join(map(frame, text_events(["Read."]))))


def _http(kind: str, body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s" % (kind.encode(), len(body), body)


@contextmanager
def sink(wait: float = 0.0, rate: float = 0.0) -> Iterator[str]:
    """Its base URL."""
    command = [sys.executable, "-m", "tests.turns.sink", "--wait", str(wait), "--rate", str(rate)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1/"
        finally:
            process.stdin.close()


def seen(url: str) -> list[dict[str, Any]]:
    """The requests with a body, in order."""
    with urlopen(f"{url}seen") as reply:
        return list(json.loads(reply.read()))


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--wait", type=float, default=0.0)
    parser.add_argument("--rate", type=float, default=0.0)
    server = await asyncio.start_server(Sink(**vars(parser.parse_args())).connected, "127.0.0.1", 0, limit=CHUNK_BYTES)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
