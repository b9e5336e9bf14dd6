"""A provider that outlives the kills, as a process of its own: `python -m tests.drills.upstream`.

It prints its port, and ends when its standard input does. Why not the embedded engine: that is the product's own idea of
the wire, and decides itself what it says. Here each answer follows from the question, word for word, so that whoever
reads a stored text knows whether it is what was sent; and every connection's share of it is noted.

A question names itself and its length ("q17 in 60 words"), and the model's name what becomes of an answer whose reader
goes away:
    steady      it ends there and is forgotten, as with a plain streamed request
    lasting     it goes on to its end, and can be fetched by id
and with `background: true`, whatever the model: it goes on, can be resumed by `starting_after`, fetched and cancelled.
`GET /account` tells what was asked, and how much of each answer was sent. See: section F of the API's reference, and
tests/recordings/azure_background.sse for the order of events.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import uvloop

WORDS_PER_SECOND = 30.0
FIRST_WORD_SECONDS = 0.1
WORDS_PER_PARAGRAPH = 15
QUESTION = re.compile(r"\b(q\d+) in (\d+) words")
TITLE = "A walk by the sea"
LIVE = ("queued", "in_progress")


def words_of(marker: str, count: int) -> list[str]:
    """The answer to a question: words that say which they are, with what stands between them."""
    return [
        ("" if n == 1 else "\n\n" if n % WORDS_PER_PARAGRAPH == 1 else " ") + f"{marker}w{n}"
        for n in range(1, count + 1)
    ]


def text_of(marker: str, count: int) -> str:
    return "".join(words_of(marker, count))


@dataclass
class Account:
    """What the provider knows of one question. `sent` counts the words that went out on any connection."""

    marker: str
    words: int
    asked: int = 0
    background: bool = False
    made: int = 0
    sent: int = 0
    status: str = ""
    resumed: int = 0
    fetched: int = 0
    cancelled: int = 0
    sent_at: list[tuple[float, int]] = field(default_factory=list)

    def note(self, words: int) -> None:
        if words > self.sent:
            self.sent = words
            self.sent_at.append((time.monotonic(), words))


class Answer:
    """One response, made at its pace whoever reads it. `events` are (frame, words made until then)."""

    def __init__(self, number: int, body: dict[str, Any], account: Account, *, lasts: bool) -> None:
        self.account = account
        self.lasts = lasts
        self.words = words_of(account.marker, account.words)
        self.made = 0
        self.events: list[tuple[bytes, int]] = []
        self.news = asyncio.Event()
        self._item_id = f"msg_{number:048x}"
        self.response: dict[str, Any] = {
            "id": f"resp_{number:048x}",
            "object": "response",
            "created_at": int(time.time()),
            "status": "queued" if body.get("background") else "in_progress",
            "background": bool(body.get("background")),
            "error": None,
            "incomplete_details": None,
            "model": body["model"],
            "output": [],
            "previous_response_id": body.get("previous_response_id"),
            "store": body.get("store", True),
            "usage": None,
            "metadata": {},
        }
        self.task = asyncio.create_task(self._make())

    @property
    def status(self) -> str:
        return str(self.response["status"])

    def cancel(self) -> None:
        if self.status in LIVE:
            self.task.cancel()
            self._set_status("cancelled")
            self._wake()

    async def _make(self) -> None:
        self._frame("response.created", response=dict(self.response))
        if self.status == "queued":
            self._frame("response.queued", response=dict(self.response))
        await asyncio.sleep(FIRST_WORD_SECONDS)
        self._set_status("in_progress")
        self._frame("response.in_progress", response=dict(self.response))
        self._frame("response.output_item.added", output_index=0, item=self._item("in_progress", []))
        self._frame("response.content_part.added", **self._place, part=self._part(""))
        begun = asyncio.get_running_loop().time()
        for word in self.words:
            self.made += 1
            self.account.made = max(self.account.made, self.made)
            self._frame("response.output_text.delta", **self._place, delta=word, logprobs=[])
            due = begun + self.made / WORDS_PER_SECOND
            await asyncio.sleep(max(0.0, due - asyncio.get_running_loop().time()))
        self._end()

    def _end(self) -> None:
        text = "".join(self.words)
        self._frame("response.output_text.done", **self._place, text=text, logprobs=[])
        self._frame("response.content_part.done", **self._place, part=self._part(text))
        self._frame("response.output_item.done", output_index=0, item=self._item("completed", [self._part(text)]))
        self._set_status("completed")
        self._frame("response.completed", response=self.snapshot())

    def snapshot(self) -> dict[str, Any]:
        """The response as GET gives it."""
        if not self.made:
            return dict(self.response)
        text = "".join(self.words[: self.made])
        status = "completed" if self.status == "completed" else "in_progress"
        usage = {"input_tokens": 12, "output_tokens": self.made, "total_tokens": 12 + self.made}
        return {
            **self.response,
            "output": [self._item(status, [self._part(text)])],
            "usage": usage if self.status == "completed" else None,
        }

    def _set_status(self, status: str) -> None:
        self.response["status"] = self.account.status = status

    @property
    def _place(self) -> dict[str, Any]:
        return {"item_id": self._item_id, "output_index": 0, "content_index": 0}

    def _item(self, status: str, content: list[Any]) -> dict[str, Any]:
        return {"id": self._item_id, "type": "message", "status": status, "content": content, "role": "assistant"}

    def _part(self, text: str) -> dict[str, Any]:
        return {"type": "output_text", "annotations": [], "logprobs": [], "text": text}

    def _frame(self, kind: str, **fields: Any) -> None:
        value = {"type": kind, "sequence_number": len(self.events), **fields}
        data = f"event: {kind}\ndata: {json.dumps(value, separators=(',', ':'))}\n\n".encode()
        self.events.append((data, self.made))
        self._wake()

    def _wake(self) -> None:
        news, self.news = self.news, asyncio.Event()
        news.set()


class Connection:
    """Requests of one connection, one after the other."""

    def __init__(self, provider: Provider, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.provider = provider
        self.reader = reader
        self.writer = writer

    async def serve(self) -> None:
        try:
            while (head := await self.reader.readuntil(b"\r\n\r\n")) and await self._answer(head):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.writer.close()

    async def _answer(self, head: bytes) -> bool:
        method, target, _ = head.decode("latin-1").split(" ", 2)
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        raw = await self.reader.readexactly(int(length[1])) if length else b""
        url = urlsplit(target)
        path = url.path.partition("/v1/")[2]
        query = parse_qs(url.query)
        match method, path.strip("/").split("/"):
            case "GET", _ if url.path == "/account":
                return await self._json(200, [asdict(account) for account in self.provider.accounts.values()])
            case "POST", ["responses"]:
                return await self._create(json.loads(raw))
            case "GET", ["responses", key] if (answer := self.provider.kept(key)) and "stream" in query:
                answer.account.resumed += 1
                return await self._stream(answer, int(query.get("starting_after", ["-1"])[0]) + 1)
            case "GET", ["responses", key] if answer := self.provider.kept(key):
                answer.account.fetched += 1
                answer.account.note(answer.made)
                return await self._json(200, answer.snapshot())
            case "POST", ["responses", key, "cancel"] if answer := self.provider.kept(key):
                answer.account.cancelled += 1
                answer.cancel()
                return await self._json(200, answer.snapshot())
            case "DELETE", ["responses", key]:
                return await self._json(200, {"id": key, "object": "response", "deleted": True})
        error = {"message": f"{path} not found", "type": "invalid_request_error", "param": None, "code": "not_found"}
        return await self._json(404, {"error": error})

    async def _create(self, body: dict[str, Any]) -> bool:
        answer = self.provider.begin(body)
        if body.get("stream"):
            return await self._stream(answer, 0)
        await answer.task
        answer.account.note(answer.made)
        return await self._json(200, answer.snapshot())

    async def _stream(self, answer: Answer, place: int) -> bool:
        """Send the events from `place` on, as they come. False when the reader has gone."""
        self.writer.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        while not self._is_left():
            news = answer.news
            for data, words in answer.events[place:]:
                self.writer.write(b"%x\r\n%s\r\n" % (len(data), data))
                answer.account.note(words)
            place = max(place, len(answer.events))
            if answer.status not in LIVE:
                self.writer.write(b"0\r\n\r\n")
                await self.writer.drain()
                return True
            await news.wait()
        if not (answer.lasts or answer.response["background"]):
            answer.cancel()
            self.provider.forget(answer)
        return False

    def _is_left(self) -> bool:
        return self.reader.at_eof() or self.writer.transport.is_closing()

    async def _json(self, status: int, value: Any) -> bool:
        data = json.dumps(value).encode()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        self.writer.write(head.encode() + data)
        await self.writer.drain()
        return True


class Provider:
    """The answers that are kept, and the account of each question."""

    def __init__(self) -> None:
        self.accounts: dict[str, Account] = {}
        self._answers: dict[str, Answer] = {}
        self._numbers = itertools.count(1)

    def begin(self, body: dict[str, Any]) -> Answer:
        if "title" in (body.get("instructions") or ""):
            account = Account(TITLE, 0)
        else:
            account = self._account(json.dumps(body["input"]))
            account.asked += 1
            account.background = account.background or bool(body.get("background"))
        answer = Answer(next(self._numbers), body, account, lasts=body["model"] == "lasting")
        if account.marker == TITLE:
            answer.words = [TITLE]
        elif body.get("store", True):
            self._answers[answer.response["id"]] = answer
        return answer

    def _account(self, text: str) -> Account:
        # The last one: without a chain, the history comes before it.
        marker, count = QUESTION.findall(text)[-1]
        return self.accounts.setdefault(marker, Account(marker, int(count)))

    def kept(self, key: str) -> Answer | None:
        return self._answers.get(key)

    def forget(self, answer: Answer) -> None:
        self._answers.pop(answer.response["id"], None)


async def main() -> None:
    loop = asyncio.get_running_loop()
    provider = Provider()
    server = await asyncio.start_server(lambda *streams: Connection(provider, *streams).serve(), "127.0.0.1", 0)
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
