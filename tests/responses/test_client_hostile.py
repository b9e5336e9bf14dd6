"""Whatever a server answers to whatever is asked: it ends in a value or in an error of the tree, after few requests."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import ResponsesError
from tests.hypothesis_profiles import often
from tests.responses.telling import Tape

BODY = {"model": "m", "input": "Hello"}
TOKEN = "eyJ-a-token-of-some-length"
MOST_REQUESTS = 8  # three attempts and a renewed token; a list asks for its second page before it sees the circle

Operation = Callable[[Client, Path], Awaitable[Any]]


async def _stream(client: Client, _: Path) -> int:
    async with client.stream(BODY) as events:
        return len([event async for event in events])


async def _resume(client: Client, _: Path) -> int:
    async with client.resume("resp_1", 3) as events:
        return len([event async for event in events])


async def _all(entries: AsyncIterator[dict[str, Any]]) -> list[dict[str, Any]]:
    return [entry async for entry in entries]


OPERATIONS: dict[str, Operation] = {
    "create": lambda client, _: client.create(BODY),
    "stream": _stream,
    "resume": _resume,
    "retrieve": lambda client, _: client.retrieve("resp_1"),
    "wait": lambda client, _: client.wait("resp_1", most_seconds=4),
    "delete": lambda client, _: client.delete("resp_1"),
    "cancel": lambda client, _: client.cancel("resp_1"),
    "input_items": lambda client, _: client.input_items("resp_1"),
    "input_items_page": lambda client, _: client.input_items_page("resp_1", limit=2),
    "input_tokens": lambda client, _: client.input_tokens(BODY),
    "compact": lambda client, _: client.compact(BODY),
    "models": lambda client, _: client.models(),
    "upload_file": lambda client, folder: client.upload_file(folder / "file", "a.pdf", "application/pdf"),
    "files": lambda client, _: _all(client.files()),
    "retrieve_file": lambda client, _: client.retrieve_file("file-1"),
    "delete_file": lambda client, _: client.delete_file("file-1"),
    "download_file": lambda client, folder: client.download_file("file-1", folder / "down", 300),
    "create_container": lambda client, _: client.create_container("c"),
    "containers": lambda client, _: _all(client.containers()),
    "retrieve_container": lambda client, _: client.retrieve_container("cntr_1"),
    "delete_container": lambda client, _: client.delete_container("cntr_1"),
    "upload_container_file": lambda client, folder: client.upload_container_file(
        "cntr_1", folder / "file", "a.csv", "text/csv"
    ),
    "copy_to_container": lambda client, _: client.copy_to_container("cntr_1", "file-1"),
    "container_files": lambda client, _: _all(client.container_files("cntr_1")),
    "retrieve_container_file": lambda client, _: client.retrieve_container_file("cntr_1", "cfile_1"),
    "delete_container_file": lambda client, _: client.delete_container_file("cntr_1", "cfile_1"),
    "download_container_file": lambda client, folder: client.download_container_file(
        "cntr_1", "cfile_1", folder / "down", 300
    ),
}

# Answers: of any kind, and often of the kinds that come close to what is expected. All of one is read off a tape of
# bytes, for hypothesis takes longer over a second draw than the client over an answer.

WORDS = [
    "completed",
    "failed",
    "queued",
    "in_progress",
    "response",
    "message",
    "content_filter",
    "invalid_api_key",
    "context_length_exceeded",
    "insufficient_quota",
    "rate_limit_exceeded",
    "model_not_found",
    "invalid_prompt",
    "error",
    "resp_1",
    "file-1",
    "429",
    "401",
    "500",
    ".",
    "..",
    "/",
]
NAMES = [
    "id",
    "object",
    "status",
    "output",
    "error",
    "code",
    "message",
    "type",
    "param",
    "data",
    "has_more",
    "last_id",
    "first_id",
    "input_tokens",
    "usage",
    "detail",
    "innererror",
    "content_filters",
    "content_filter_result",
    "content_filter_results",
    "incomplete_details",
    "reason",
    "response",
    "item",
    "delta",
    "sequence_number",
    "output_index",
    "item_id",
    "content_index",
    "part",
    "text",
    "n_ctx",
    "n_prompt_tokens",
]
TYPES = [
    "response.created",
    "response.in_progress",
    "response.completed",
    "response.failed",
    "response.incomplete",
    "error",
    "response.output_item.added",
    "response.output_item.done",
    "response.output_text.delta",
    "response.output_text.done",
    "response.function_call_arguments.delta",
    "response.odd",
]
SCALARS = [None, True, False, 0, -1, 10**30, 1e400, "", "half \ud800", "\x00\x1b[31m", "日本", {}, [], *WORDS]
FIXED = [
    b"[" * 5_000,
    b'{"error":' * 900 + b"1" + b"}" * 900,
    b'{"error": {"message": ' + b"[" * 900 + b"]" * 900 + b"}}",
    b"9" * 5_000,
    b"data: [DONE]\n\n",
    b'{"data": [{"id": ""}], "has_more": true, "last_id": ""}',
    b'{"error": "x"}' + b" " * 70_000,
]
HEADERS = [
    (b"content-type", b"application/json"),
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"content-type", b"text/html"),
    (b"content-type", b";;=\x7f"),
    (b"content-encoding", b"gzip"),
    (b"content-encoding", b"deflate, gzip, odd"),
    (b"content-length", b"-1"),
    (b"retry-after", b"1"),
    (b"retry-after", b"Wed, 21 Oct 2015 07:28:00 GMT"),
    (b"retry-after", b"0 0 0 0 0 +0"),
    (b"retry-after", b"\xb2"),
    (b"retry-after-ms", b"1e999"),
    (b"x-should-retry", b"true"),
    (b"x-should-retry", b"false"),
    (b"x-request-id", b"\x1b[31mred" * 100),
    (b"location", b""),
    (b"location", b"http://[::1"),
    (b"location", b"//\x7f:99999/"),
    (b"set-cookie", b"a=b; expires=odd; domain=..; path"),
    (b"set-cookie", b"\x80"),
]
STATUSES = [200, 200, 200, 200, 201, 204, 302, 400, 401, 403, 404, 408, 413, 429, 500, 503]
FAILURES = [
    None,
    None,
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
    httpx.ConnectError,
    httpx.PoolTimeout,
]


def a_value(tape: Tape, depth: int = 0) -> Any:
    match tape.below(8 if depth < 3 else 4):
        case 4 | 5:
            return an_object(tape, depth + 1)
        case 6:
            return [a_value(tape, depth + 1) for _ in range(tape.below(4))]
        case 7:
            return tape.below(256) * tape.below(256) - 100
    return tape.pick(SCALARS)


def an_object(tape: Tape, depth: int = 0) -> dict[str, Any]:
    return {tape.pick(NAMES): a_value(tape, depth) for _ in range(tape.below(6))}


def a_body(tape: Tape) -> bytes:
    match tape.below(7):
        case 0:
            return bytes(tape.below(256) for _ in range(tape.below(64)))
        case 1:
            return tape.pick(FIXED)
        case 2:
            return json.dumps(a_value(tape)).encode()
        case 3:
            return json.dumps(an_object(tape)).encode()
        case 4:
            return json.dumps({"error": an_object(tape)}).encode()
    frames = [{"type": tape.pick(TYPES), **an_object(tape)} for _ in range(tape.below(6))]
    return b"".join(b"data: %s\n\n" % json.dumps(frame).encode() for frame in frames)


def some_headers(tape: Tape) -> list[tuple[bytes, bytes]]:
    odd = bytes(tape.below(256) for _ in range(tape.below(8)))
    return [
        (name, odd if tape.below(6) == 5 else value)
        for name, value in (tape.pick(HEADERS) for _ in range(tape.below(4)))
    ]


@dataclass
class Answer:
    """What the server says to every request of one operation."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    size: int = 500
    failure: type[httpx.TransportError] | None = None

    def response(self) -> httpx.Response:
        return httpx.Response(self.status, headers=self.headers, stream=Pieces(self.body, self.size, self.failure))


def an_answer(tape: Tape) -> Answer:
    status = 100 + tape.below(250) * 2 if tape.below(8) == 7 else tape.pick(STATUSES)
    size = 1 + tape.below(40) * 7
    return Answer(status, some_headers(tape), a_body(tape), size, tape.pick(FAILURES))


class Pieces(httpx.AsyncByteStream):
    """A body in pieces of one size, that may break."""

    def __init__(self, body: bytes, size: int, failure: type[httpx.TransportError] | None) -> None:
        self._pieces = [body[at : at + size] for at in range(0, len(body), size)]
        self._failure = failure

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            yield piece
        if self._failure is not None:
            raise self._failure("broken in its middle")


class Tokens:
    async def token(self, *, renew: bool = False) -> str:
        return TOKEN


class Runner:
    """One event loop for thousands of short runs."""

    def __init__(self, runner: asyncio.Runner) -> None:
        self._runner = runner

    def error_of(self, asking: Coroutine[Any, Any, Any]) -> ResponsesError | None:
        """The error of the tree that it ended in, if any. What else is raised goes through."""
        try:
            self._runner.run(asking)
        except ResponsesError as error:
            return error
        return None


@pytest.fixture(scope="module")
def runner() -> Iterator[Runner]:
    log = logging.getLogger("chat.responses")
    log.disabled = True  # each failure logs a line
    with asyncio.Runner() as runner:
        yield Runner(runner)
    log.disabled = False


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "file").write_bytes(b"%PDF-1.7")
        yield Path(name)


@often
@given(st.binary(max_size=200))
def test_every_answer_ends_in_a_value_or_an_error_of_the_tree(runner: Runner, folder: Path, data: bytes) -> None:
    tape = Tape(data)
    operation, dialect = tape.pick(sorted(OPERATIONS)), tape.pick(["openai", "azure", "ollama"])
    ends_well(runner, folder, operation, an_answer(tape), dialect=dialect, with_token=bool(tape.below(2)))


@pytest.mark.parametrize(
    "answer",
    [
        *(Answer(status, [], body) for status in (200, 500) for body in FIXED),
        Answer(401, [(b"set-cookie", b"\x80")], b""),
        Answer(302, [(b"location", b""), (b"set-cookie", b"\x80")], b""),
        Answer(302, [(b"location", b"http://[::1")], b""),
        Answer(200, [(b"content-encoding", b"gzip")], b"no gzip"),
    ],
    ids=lambda answer: f"{answer.status}-{answer.headers}-{answer.body[:20]!r}",
)
def test_the_worst_answers_do_too(runner: Runner, folder: Path, answer: Answer) -> None:
    for operation in sorted(OPERATIONS):
        ends_well(runner, folder, operation, answer, with_token=True)


async def test_what_follows_a_compressed_body_is_neither_kept_nor_read_for_ever() -> None:
    """zlib keeps it: a server that never stops would fill the memory, and no limit would count it."""
    given = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given
        yield gzip.compress(b'{"data": [{"id": "m"}]}')
        while given < 1000:
            given += 1
            yield bytes(16 * 1024)

    def reply(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"content-encoding": "gzip"}, content=endless())

    async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
        assert await Client(Endpoint("http://test/v1", DIALECTS["openai"], "sk"), http).models() == ["m"]
    assert given < 10


def ends_well(
    runner: Runner, folder: Path, operation: str, answer: Answer, *, dialect: str = "openai", with_token: bool
) -> None:
    requests: list[httpx.Request] = []

    def reply(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return answer.response()

    async def no_wait(_: float) -> None:
        return None

    async def ask() -> None:
        credential = Tokens() if with_token else None
        endpoint = Endpoint("http://test/v1", DIALECTS[dialect], "sk-a-key-of-some-length", credential=credential)
        async with httpx.AsyncClient(transport=httpx.MockTransport(reply)) as http:
            await OPERATIONS[operation](Client(endpoint, http, sleep=no_wait), folder)

    error = runner.error_of(ask())
    if error is not None:
        assert error.user_message
        assert len(str(error)) < 3_000
        assert str(error).isprintable()
    assert 1 <= len(requests) <= MOST_REQUESTS
    assert not list(folder.glob(".*.part"))


@given(st.text(max_size=12), st.dictionaries(st.text(), st.text(), max_size=2))
def test_every_id_and_every_header_does_too(runner: Runner, odd: str, headers: dict[str, str]) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.raw_path.startswith(b"/v1/responses/")
        return httpx.Response(200, json={"id": odd.encode("utf-8", "replace").decode(), "status": "completed"})

    async def ask() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as http:
            client = Client(Endpoint("http://test/v1", DIALECTS["openai"], odd, headers=headers), http)
            await client.retrieve(odd)
            await client.input_items(odd)

    error = runner.error_of(ask())
    assert error is None or error.user_message
