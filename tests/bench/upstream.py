"""A provider that streams at a pace, as a process of its own: `python -m tests.bench.upstream`.

It prints its port, and ends when its standard input does. Each POST is answered with a stream of frames as the
Responses API sends them, up to the first delta. The deltas of all streams of a run begin when its client says `go`, and
the frames that close a stream follow PAUSE seconds after the last delta, so that a client can look at its CPU clock
before the first and after the last. Each delta carries the moment at which it was written.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvloop

PAUSE = 0.4  # seconds


class Run:
    """The streams that belong together, written to in turn so that each event wakes the client by itself."""

    def __init__(self, per_second: float, seconds: float) -> None:
        self.per_second = per_second
        self.deltas = round(per_second * seconds)
        self.streams: list[PacedStream] = []

    def go(self) -> None:
        start = asyncio.get_running_loop().time() + 1 / self.per_second
        for place, stream in enumerate(self.streams):
            stream.begin(start + place / len(self.streams) / self.per_second)


class Stream:
    """One answer, frame by frame."""

    def __init__(self, transport: Any, number: int) -> None:
        self._transport = transport
        self._id = f"msg_{number:048x}"
        self._response = {
            "id": f"resp_{number:048x}",
            "object": "response",
            "created_at": 1763700000,
            "status": "in_progress",
            "background": False,
            "error": None,
            "incomplete_details": None,
            "instructions": "You are a helpful assistant.",
            "max_output_tokens": None,
            "model": "gpt-4.1-mini-2025-04-14",
            "output": [],
            "parallel_tool_calls": True,
            "previous_response_id": None,
            "reasoning": {"effort": None, "summary": None},
            "store": True,
            "temperature": 1.0,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": 1.0,
            "truncation": "disabled",
            "usage": None,
            "user": None,
            "metadata": {},
        }
        self._sequence = 0
        self._sent: list[str] = []

    def open(self) -> None:
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n"
            b"Cache-Control: no-cache\r\nx-request-id: req_bench\r\n\r\n"
        )
        self._frame("response.created", response=self._response)
        self._frame("response.in_progress", response=self._response)
        self._frame("response.output_item.added", output_index=0, item=self._item("in_progress", []))
        self._frame("response.content_part.added", **self._place, part=self._part(""))

    def delta(self, text: str) -> bytes:
        """The frame of the next delta, to be written."""
        self._sent.append(text)
        # Padding of varying length is what the API sends to hide how long tokens are.
        return self._encoded(
            "response.output_text.delta",
            **self._place,
            delta=text,
            logprobs=[],
            obfuscation="qX3vB7mK2pR9tL"[: 2 + self._sequence % 12],
        )

    def close(self) -> None:
        text = "".join(self._sent)
        item = self._item("completed", [self._part(text)])
        self._frame("response.output_text.done", **self._place, text=text, logprobs=[])
        self._frame("response.content_part.done", **self._place, part=self._part(text))
        self._frame("response.output_item.done", output_index=0, item=item)
        usage = {"input_tokens": 12, "output_tokens": len(self._sent), "total_tokens": 12 + len(self._sent)}
        details: dict[str, Any] = {
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens_details": {"reasoning_tokens": 0},
        }
        done = {**self._response, "status": "completed", "output": [item], "usage": usage | details}
        self._frame("response.completed", response=done)
        self._transport.write(b"0\r\n\r\n")

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._id, "output_index": 0, "content_index": 0}

    def _item(self, status: str, content: list[Any]) -> dict[str, Any]:
        return {"id": self._id, "type": "message", "status": status, "content": content, "role": "assistant"}

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def _frame(self, kind: str, **fields: Any) -> None:
        self._transport.write(self._encoded(kind, **fields))

    def _encoded(self, kind: str, **fields: Any) -> bytes:
        value = {"type": kind, "sequence_number": self._sequence, **fields}
        self._sequence += 1
        data = f"event: {kind}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
        return b"%x\r\n%s\r\n" % (len(data), data)


class PacedStream(Stream):
    """An answer of times, at the pace of its run."""

    def __init__(self, transport: Any, run: Run, number: int) -> None:
        super().__init__(transport, number)
        self._run = run

    def begin(self, first: float) -> None:
        self._first = first
        asyncio.get_running_loop().call_at(first, self._next)

    def _next(self) -> None:
        self._transport.write(self.delta(f" {time.monotonic_ns()}"))
        loop = asyncio.get_running_loop()
        if len(self._sent) < self._run.deltas:
            loop.call_at(self._first + len(self._sent) / self._run.per_second, self._next)
        else:
            last_of_all = self._first + self._run.deltas / self._run.per_second
            loop.call_at(last_of_all + PAUSE, self.close)


class Connection(asyncio.Protocol):
    """Reads one request at a time. The path names the run: /PER_SECOND/SECONDS/NAME/v1/responses, and GET …/go."""

    runs: dict[str, Run] = {}
    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: Any = transport  # uvloop's own class
        self._received = b""

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)content-length: *(\d+)", head)
        if not end or len(body) < int(length[1] if length else 0):
            return
        self._received = b""
        name, _, deed = head.split(b" ")[1].decode().rpartition("/v1/")
        per_second, seconds, _ = name.strip("/").split("/")
        run = self.runs.setdefault(name, Run(float(per_second), float(seconds)))
        if deed == "go":
            run.go()
            self._transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            return
        Connection.count += 1
        run.streams.append(PacedStream(self._transport, run, Connection.count))
        run.streams[-1].open()


async def main() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)  # until whoever started us is gone
    server.close()


@contextmanager
def serving() -> Iterator[int]:
    """The port of such a process, for as long as the context lasts."""
    with subprocess.Popen(
        [sys.executable, "-m", __name__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.stdin.close()


if __name__ == "__main__":
    uvloop.run(main())
