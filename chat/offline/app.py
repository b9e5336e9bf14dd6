"""The embedded engine as an ASGI application: addresses, refusals, and what is kept between requests."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, MutableMapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from . import mcp_server
from .answer import input_tokens, think
from .bench import Bench
from .compaction import compacted
from .containers import check_new
from .faults import HEADER, BadFault, Deed, Fault, Scripts, Stall, Status
from .framing import Framing, for_wire
from .intake import Asked, parse, public_item, take_in
from .keys import check_key
from .multipart import BadForm, Form, FormTooLarge, read_form
from .narration import Narrator
from .payload import new_payload
from .refusals import fitted
from .spoiling import HungUp, Over, refuse, spoiled, status_reply
from .store import MAX_FILE_BYTES, Blob, EventLog, Kept, Store, new_id
from .tools import check as check_tools
from .wires import (
    MODEL,
    WIRES,
    Json,
    Wire,
    WireError,
    bad_value,
    unknown_address,
    unknown_file,
    unknown_response,
)

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

# OpenAI's address and Azure's, a Foundry project's, and two older ones: of a project, which names its version instead,
# and the one to which Azure's documents upload files.
ADDRESS = re.compile(
    r"(?:/v1|(?:/api/projects/[^/]+)?/openai/v1|/openai(?=/files)|(?P<dated>/api/projects/[^/]+/openai))/(?P<rest>.+)",
    re.DOTALL,
)
MAX_BODY_BYTES = 80 * 1024 * 1024  # a file of 50 MB in base64, and room for the rest
THREAD_BYTES = 256 * 1024  # larger bodies are decoded in a thread, so that other streams go on
CHUNK_BYTES = 64 * 1024
TERMINAL = ("completed", "incomplete", "failed", "cancelled")
FILE_SECONDS = (3_600, 2_592_000)  # how soon and how late a file may expire
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


def create_app(
    *,
    dialect: str = "openai",
    pace_seconds: float = 0.015,
    delta_characters: int = 5,
    key: str | None = None,
    models: Iterable[str] | None = None,
    store: bool = False,
    lag_seconds: float = 0.0,
    faults: Iterable[Fault | str] = (),
    faults_from_header: bool = False,
) -> OfflineEngine:
    """Make an engine that speaks as `dialect`, one of WIRES.

    `pace_seconds` is the pause before each delta, `lag_seconds` the one before the first byte of a reply. With a
    `key`, requests without it get 401. With `models`, every other model name gets 404; without, any name is served.
    `store` makes a server keep responses that does so only on request (ValueError: it never does). `faults` go wrong
    in their order, see `faults`; with `faults_from_header` a request may bring its own in `x-engine-fault`.
    """
    names = None if models is None else tuple(models)
    wire = WIRES[dialect].storing() if store else WIRES[dialect]
    scripts = Scripts(faults, from_header=faults_from_header)
    return OfflineEngine(wire, pace_seconds, lag_seconds, delta_characters, key, names, scripts)


class Gone(Exception):
    """The client left; there is nobody to answer."""


class OfflineEngine:
    def __init__(
        self,
        wire: Wire,
        pace_seconds: float,
        lag_seconds: float,
        delta_characters: int,
        key: str | None,
        models: tuple[str, ...] | None,
        faults: Scripts,
    ) -> None:
        self.wire = wire
        self.pace_seconds = pace_seconds
        self.lag_seconds = lag_seconds
        self.delta_characters = delta_characters
        self.store = Store()
        self.bench = Bench(self.store)
        self.faults = faults
        self._key = key
        self._models = models
        self._background: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await _Request(self, scope, receive, send).answer()
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)

    async def aclose(self) -> None:
        """End what runs in the background."""
        for task in list(self._background):
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.aclose()
        await send({"type": "lifespan.shutdown.complete"})

    def check_key(self, headers: dict[str, str]) -> None:
        check_key(headers, self._key, self.wire)

    def accept(self, raw: bytes) -> Asked:
        return take_in(fitted(parse(raw), self.wire), self.wire, self.store, self.bench.seal, self._models)

    def model_names(self) -> tuple[str, ...]:
        return self._models or (MODEL,)

    def prepare(self, asked: Asked, pace_seconds: float) -> tuple[Kept, Narrator]:
        model = MODEL if self.wire.own_model_name else asked.model
        kept = Kept(new_payload(asked, model), asked.new_items, asked.previous)
        narrator = Narrator(
            kept.payload, self.wire, partial(think, asked, self.bench), pace_seconds, self.delta_characters
        )
        return kept, narrator

    def start_in_background(self, kept: Kept, narrator: Narrator) -> EventLog:
        kept.log = log = EventLog()
        self.store.keep(kept)
        kept.task = asyncio.create_task(self._run(kept, narrator, log))
        self._background.add(kept.task)
        kept.task.add_done_callback(self._background.discard)
        return log

    async def _run(self, kept: Kept, narrator: Narrator, log: EventLog) -> None:
        try:
            async with aclosing(narrator.events()) as events:
                async for event in events:
                    log.add(event)
        except asyncio.CancelledError:
            kept.payload["status"] = "cancelled"
            kept.payload["output"] = [*kept.payload["output"], *log.unfinished()]
            raise
        finally:
            if kept.payload["status"] not in TERMINAL:  # a fault of this engine: who polls must not wait for ever
                kept.payload["status"] = "failed"
                kept.payload["error"] = {"code": "server_error", "message": "The engine had a fault of its own."}
            log.close()

    async def cancel(self, kept: Kept) -> None:
        if not kept.payload["background"]:
            raise WireError(400, "Cannot cancel a synchronous response.")
        if not (self.wire.cancels_again or kept.payload["status"] in ("queued", "in_progress")):
            raise WireError(400, "Cannot cancel a synchronous response.", param="response_id")
        if kept.task is not None and not kept.task.done():
            kept.task.cancel()
            await asyncio.wait({kept.task})


class _Request:
    """One HTTP request on its way to an answer."""

    def __init__(self, engine: OfflineEngine, scope: Message, receive: Receive, send: Send) -> None:
        self.engine = engine
        self.wire = engine.wire
        self.store = engine.store
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.query = parse_qs(scope["query_string"].decode("latin-1"))
        self.headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
        self.request_id = new_id("req_")
        self._receive = receive
        self._send = send
        self._hang_up: Callable[[], None] | None = scope.get("extensions", {}).get("engine.hang_up")
        self._raw: bytes | None = None

    async def answer(self) -> None:
        try:
            await self._answer()
        except WireError as error:
            await self._json(error.payload(self.wire), error.status)
        except Gone:
            logger.debug("%s: the client left", self.request_id)
        except Over:
            logger.debug("%s: a fault ended the reply", self.request_id)
        except HungUp:
            if self._hang_up is None:  # a server that cuts the connection of an application that fails
                raise
            self._hang_up()

    async def _answer(self) -> None:
        if self.engine.lag_seconds:
            self._send = spoiled(self._send, Stall(self.engine.lag_seconds), self.wire)
        address = ADDRESS.fullmatch(self.path)
        words = address["rest"].rstrip("/").split("/") if address else []
        deed = await self._fault(words)
        if isinstance(deed, Status):
            await self._fail(deed)
            return
        if deed is not None:
            refuse(deed, self.wire)
            self._send = spoiled(self._send, deed, self.wire)
        self.engine.check_key(self.headers)
        if address and address["dated"] and "api-version" not in self.query:
            raise WireError(400, "Missing required query parameter: api-version", code="BadRequest")
        if self.path == mcp_server.PATH:
            await self._tool_server()
        else:
            await self._dispatch(words)

    async def _tool_server(self) -> None:
        if self.method != "POST":
            raise WireError(405, "Send a message of the Model Context Protocol with POST.")
        reply = mcp_server.answer(await self._body())
        if reply is not None:
            await self._json(reply)
            return
        await self._send_head(202, "application/json", [(b"content-length", b"0")])
        await self._send({"type": "http.response.body", "body": b""})

    async def _dispatch(self, words: list[str]) -> None:
        wire = self.wire
        match (self.method, *words):
            case ("POST", "responses"):
                await self._create()
            case ("GET", "responses", response_id) if wire.stateful and wire.retrieves:
                await self._retrieve(self._kept(response_id))
            case ("DELETE", "responses", response_id) if wire.stateful and wire.deletes:
                await self._delete(self._kept(response_id))
            case ("POST", "responses", response_id, "cancel") if wire.stateful and wire.background:
                kept = self._kept(response_id)
                await self.engine.cancel(kept)
                await self._json(for_wire(kept.payload, wire))
            case ("GET", "responses", response_id, "input_items") if wire.stateful and wire.lists_inputs:
                await self._input_items(self._kept(response_id))
            case ("POST", "responses", "input_tokens") if wire.counts_tokens:
                count = await asyncio.to_thread(input_tokens, await self._asked())
                await self._json({"object": "response.input_tokens", "input_tokens": count})
            case ("POST", "responses", "compact") if wire.compacts:
                await self._json(await asyncio.to_thread(compacted, await self._asked(), self.engine.bench))
            case (_, "containers", *rest) if wire.containers:
                await self._containers(rest)
            case ("POST", "files") if wire.files:
                await self._upload()
            case ("GET", "files") if wire.files:
                await self._list_files()
            case (method, "files", file_id, *rest) if wire.files:
                await self._file(method, file_id, rest)
            case ("GET", "models"):
                data = [_model(name) for name in self.engine.model_names()]
                await self._json({"object": "list", "data": data})
            case _:
                raise unknown_address(wire, self.method, self.path)

    # Faults

    async def _fault(self, words: list[str]) -> Deed | None:
        """What goes wrong with this request on purpose."""
        try:
            script = self.engine.faults.script_for(self.headers)
        except BadFault as error:
            raise bad_value(HEADER, str(error)) from error
        if not script:
            return None
        operation = self._operation(words)
        return script.take(operation, await self._body() if operation == "create" else b"")

    def _operation(self, words: list[str]) -> str:
        match (self.method, *words):
            case ("POST", "responses"):
                return "create"
            case ("GET", "responses", _):
                return "resume" if self._says_yes("stream") else "retrieve"
            case ("DELETE", "responses", _):
                return "delete"
            case ("POST", "responses", ("compact" | "input_tokens") as operation):
                return operation
            case (_, "responses", _, ("cancel" | "input_items") as operation):
                return operation
            case (_, ("files" | "containers" | "models") as operation, *_):
                return operation
        return "any"

    async def _fail(self, deed: Status) -> None:
        content_type, body = status_reply(deed, self.wire)
        headers = [(name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in deed.headers]
        await self._send_head(deed.status, content_type, [(b"content-length", b"%d" % len(body)), *headers])
        await self._send({"type": "http.response.body", "body": body})

    # Responses

    async def _create(self) -> None:
        asked = await self._asked()
        pace_seconds = self.engine.pace_seconds if asked.streamed else 0.0
        padded = (asked.body.get("stream_options") or {}).get("include_obfuscation") is True
        kept, narrator = self.engine.prepare(asked, pace_seconds)
        if asked.background:
            log = self.engine.start_in_background(kept, narrator)
            if asked.streamed:
                await self._until_gone(self._stream(follow(log), padded=padded))
            else:
                await self._json(for_wire(kept.payload, self.wire))
        elif asked.streamed:
            await self._until_gone(self._stream(self._stored_at_the_end(kept, narrator, asked), padded=padded))
        else:
            await self._until_gone(self._whole(kept, narrator, asked))

    async def _asked(self) -> Asked:
        raw = await self._body()
        long = len(raw) > THREAD_BYTES
        asked = await asyncio.to_thread(self.engine.accept, raw) if long else self.engine.accept(raw)
        asked.host = self.headers.get("host", "")
        check_tools(asked, self.engine.bench, self.wire, self.headers)
        return asked

    async def _whole(self, kept: Kept, narrator: Narrator, asked: Asked) -> None:
        async with aclosing(self._stored_at_the_end(kept, narrator, asked)) as events:
            async for _ in events:
                pass
        await self._json(for_wire(kept.payload, self.wire))

    async def _stored_at_the_end(self, kept: Kept, narrator: Narrator, asked: Asked) -> AsyncGenerator[Json, None]:
        """A response whose reader leaves before the end is never kept: nothing can be chained to half an answer."""
        async with aclosing(narrator.events()) as events:
            async for event in events:
                if asked.stored and kept.payload["status"] in TERMINAL:
                    self.store.keep(kept)
                yield event

    async def _retrieve(self, kept: Kept) -> None:
        if not self._says_yes("stream"):
            await self._json(for_wire(kept.payload, self.wire))
            return
        if kept.log is None:
            raise unknown_response(kept.id)
        padded = self._says_yes("include_obfuscation")
        after = self._integer("starting_after", -1)
        await self._until_gone(self._stream(follow(kept.log), after=after, padded=padded))

    def _says_yes(self, name: str) -> bool:
        return "true" in (value.lower() for value in self.query.get(name, []))

    async def _delete(self, kept: Kept) -> None:
        if kept.task is not None:
            kept.task.cancel()
        self.store.forget(kept.id)
        await self._json({"id": kept.id, "object": "response", "deleted": True})

    async def _input_items(self, kept: Kept) -> None:
        include = self.query.get("include[]", []) + self.query.get("include", [])
        items = [
            item for link in kept.chain() if link is not kept for item in (*link.new_items, *link.payload["output"])
        ]
        items += kept.new_items
        with_images = "message.input_image.image_url" in include
        data, has_more = self._page(items, default=20, ceiling=100)
        await self._json(_list([public_item(item, with_images=with_images) for item in data], has_more))

    def _kept(self, response_id: str) -> Kept:
        kept = self.store.responses.get(response_id)
        if kept is None:
            raise unknown_response(response_id)
        return kept

    # Files

    async def _form(self) -> Form:
        """Read an upload; its file is there and not empty."""
        try:
            form = await read_form(
                self._chunks(), self.headers.get("content-type", ""), self.store.scratch, MAX_FILE_BYTES
            )
        except FormTooLarge as error:
            text = f"The file is larger than the limit of {MAX_FILE_BYTES // 1024 // 1024} MB."
            raise WireError(413, text, code="file_too_large", param="file") from error
        except BadForm as error:
            raise WireError(400, f"Could not parse multipart form: {error}") from error
        upload = form.uploads.get("file")
        if upload is None or upload.size == 0:
            form.discard()
            if upload is None:
                raise bad_value("file", "'file' is a required property", "missing_required_parameter")
            raise bad_value("file", "File is empty.", "empty_file")
        return form

    async def _upload(self) -> None:
        form = await self._form()
        upload = form.uploads["file"]
        try:
            purpose = self._purpose(form.fields.get("purpose"))
            lifetime = _lifetime(form.fields)
        except WireError:
            form.discard()
            raise
        blob = self.store.adopt(upload.path, upload.sha256, upload.size, upload.media_type)
        stored = self.store.add_file(self.wire.file_prefix, blob, upload.filename, purpose, lifetime)
        await self._json(stored.payload())

    def _purpose(self, purpose: str | None) -> str:
        if purpose is None:
            raise bad_value("purpose", "'purpose' is a required property", "missing_required_parameter")
        allowed = [name for name in PURPOSES if name not in self.wire.refused_purposes]
        if purpose not in allowed:
            raise bad_value("purpose", f"'{purpose}' is not one of {allowed} - 'purpose'")
        return purpose

    async def _list_files(self) -> None:
        purpose = self.query.get("purpose", [None])[0]
        alive = [file for file_id in list(self.store.files) if (file := self.store.file(file_id))]
        files = [file.payload() for file in alive if purpose in (None, file.purpose)]
        data, has_more = self._page(files, default=10_000, ceiling=10_000)
        await self._json(_list(data, has_more))

    async def _file(self, method: str, file_id: str, rest: list[str]) -> None:
        stored = self.store.file(file_id)
        if stored is None:
            raise unknown_file(file_id, status=404)
        match (method, *rest):
            case ("GET",):
                await self._json(stored.payload())
            case ("DELETE",):
                del self.store.files[file_id]
                await self._json({"id": file_id, "object": "file", "deleted": True})
            case ("GET", "content"):
                await self._bytes(stored.blob)
            case _:
                raise unknown_address(self.wire, self.method, self.path)

    # Containers

    async def _containers(self, words: list[str]) -> None:
        containers = self.engine.bench.containers
        match (self.method, *words):
            case ("POST",):
                container = containers.create(*check_new(parse(await self._body())))
                await self._json(containers.payload(container))
            case ("GET",):
                listed = [containers.payload(container) for container in containers.listed()]
                await self._json(_list(*self._page(listed, default=20, ceiling=100)))
            case ("GET", container_id):
                await self._json(containers.payload(containers.get(container_id)))
            case ("DELETE", container_id):
                containers.delete(container_id)
                await self._json({"id": container_id, "object": "container.deleted", "deleted": True})
            case ("POST", container_id, "files"):
                container = containers.use(container_id)
                if self.headers.get("content-type", "").startswith("application/json"):
                    file = containers.copy(container, str(parse(await self._body()).get("file_id")))
                else:
                    form = await self._form()
                    upload = form.uploads["file"]
                    blob = self.store.adopt(upload.path, upload.sha256, upload.size, upload.media_type)
                    file = containers.put(container, blob, upload.filename, "user")
                await self._json(file.payload())
            case ("GET", container_id, "files"):
                files = [file.payload() for file in containers.get(container_id).files.values()]
                await self._json(_list(*self._page(files, default=20, ceiling=100)))
            case ("GET", container_id, "files", file_id):
                await self._json(containers.file(container_id, file_id).payload())
            case ("DELETE", container_id, "files", file_id):
                containers.file(container_id, file_id)
                del containers.get(container_id).files[file_id]
                await self._json({"id": file_id, "object": "container.file.deleted", "deleted": True})
            case ("GET", container_id, "files", file_id, "content"):
                await self._bytes(containers.file(container_id, file_id).blob)
            case _:
                raise unknown_address(self.wire, self.method, self.path)

    async def _bytes(self, blob: Blob) -> None:
        await self._send_head(200, "application/octet-stream", [(b"content-length", b"%d" % blob.size)])
        with blob.path.open("rb") as file:
            while chunk := file.read(CHUNK_BYTES):
                await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._send({"type": "http.response.body", "body": b""})

    # Reading and sending

    async def _chunks(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise Gone
            yield message.get("body", b"")
            if not message.get("more_body", False):
                return

    async def _body(self) -> bytes:
        if self._raw is None:
            body = bytearray()
            async for chunk in self._chunks():
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    raise WireError(413, "The request is larger than the limit of the embedded engine.")
            self._raw = bytes(body)
        return self._raw

    async def _until_gone(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work, and stop it when the client leaves: that is how a person stops a synchronous response."""
        working = asyncio.ensure_future(work)
        leaving = asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, leaving):
                task.cancel()
            await asyncio.wait({working, leaving})
        if working.cancelled():
            raise Gone
        working.result()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stream(self, events: AsyncGenerator[Json, None], *, after: int = -1, padded: bool = False) -> None:
        """Send the events with a higher number than `after`; the others shape them, too."""
        await self._send_head(200, "text/event-stream; charset=utf-8", [(b"cache-control", b"no-cache")])
        framing = Framing(self.wire, padded=padded)
        async with aclosing(events):
            async for event in events:
                if (body := framing.feed(event)) and event["sequence_number"] > after:
                    await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await self._send({"type": "http.response.body", "body": framing.end()})

    async def _json(self, payload: Json, status: int = 200) -> None:
        body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
        await self._send_head(status, "application/json", [(b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})

    async def _send_head(self, status: int, content_type: str, more: list[tuple[bytes, bytes]]) -> None:
        headers = [(b"content-type", content_type.encode()), *more]
        if name := self.wire.request_id_header:
            headers.append((name.encode(), self.request_id.encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    def _page(self, rows: list[Json], default: int, ceiling: int) -> tuple[list[Json], bool]:
        """Cut the page that `order`, `after` and `limit` ask for; newest first unless asked otherwise."""
        if self.query.get("order", ["desc"])[0] != "asc":
            rows = rows[::-1]
        if after := self.query.get("after", [""])[0]:
            ids = [row["id"] for row in rows]
            rows = rows[ids.index(after) + 1 :] if after in ids else []
        limit = min(max(self._integer("limit", default), 1), ceiling)
        return rows[:limit], len(rows) > limit

    def _integer(self, name: str, default: int) -> int:
        value = self.query.get(name, [str(default)])[0]
        try:
            return int(value)
        except ValueError as error:
            raise bad_value(name, f"Invalid type for '{name}': expected an integer.", "invalid_type") from error


def _lifetime(fields: dict[str, str]) -> int | None:
    """Seconds until a file expires, from the form of its upload; None for ever."""
    seconds, anchor = fields.get("expires_after[seconds]"), fields.get("expires_after[anchor]")
    if seconds is None and anchor is None:
        return None
    if anchor != "created_at":
        raise bad_value("expires_after.anchor", "Invalid 'expires_after.anchor': expected 'created_at'.")
    least, most = FILE_SECONDS
    if seconds is None or not seconds.isdecimal() or not least <= int(seconds[:9]) <= most:
        text = f"Invalid 'expires_after.seconds': expected a whole number from {least} to {most}."
        raise bad_value("expires_after.seconds", text)
    return int(seconds)


async def follow(log: EventLog) -> AsyncGenerator[Json, None]:
    """Yield the events of a background response, those that were and those that come."""
    position = 0
    while True:
        while position < len(log.events):
            yield log.events[position]
            position += 1
        if log.closed:
            return
        await log.wait()


def _list(data: list[Json], has_more: bool) -> Json:
    return {
        "object": "list",
        "data": data,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
        "has_more": has_more,
    }


def _model(name: str) -> Json:
    return {"id": name, "object": "model", "created": 1735689600, "owned_by": "embedded"}
