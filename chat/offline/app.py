"""The embedded engine as an ASGI application: addresses, refusals, and what is kept between requests."""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Coroutine, Iterable, MutableMapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qs

from .answer import think
from .bench import Bench
from .framing import Framing, for_wire
from .intake import Asked, parse, public_item, take_in
from .multipart import BadForm, FormTooLarge, read_form
from .narration import Narrator
from .store import MAX_FILE_BYTES, EventLog, Kept, Store, new_id
from .wires import (
    MODEL,
    WIRES,
    Json,
    Wire,
    WireError,
    bad_value,
    unauthorized,
    unknown_file,
    unknown_response,
)

logger = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PREFIXES = ("/openai/v1", "/v1")
MAX_BODY_BYTES = 80 * 1024 * 1024  # a file of 50 MB in base64, and room for the rest
THREAD_BYTES = 256 * 1024  # larger bodies are decoded in a thread, so that other streams go on
CHUNK_BYTES = 64 * 1024
TERMINAL = ("completed", "incomplete", "failed", "cancelled")
PURPOSES = ("assistants", "batch", "fine-tune", "vision", "user_data", "evals")


def create_app(
    *,
    dialect: str = "openai",
    pace_seconds: float = 0.015,
    delta_characters: int = 5,
    key: str | None = None,
    models: Iterable[str] | None = None,
) -> OfflineEngine:
    """Make an engine that speaks as `dialect`: openai, azure or ofox.

    `pace_seconds` is the pause before each delta. With a `key`, requests without it get 401. With `models`,
    every other model name gets 404; without, any name is served.
    """
    names = None if models is None else tuple(models)
    return OfflineEngine(WIRES[dialect], pace_seconds, delta_characters, key, names)


class Gone(Exception):
    """The client left; there is nobody to answer."""


class OfflineEngine:
    def __init__(
        self, wire: Wire, pace_seconds: float, delta_characters: int, key: str | None, models: tuple[str, ...] | None
    ) -> None:
        self.wire = wire
        self.pace_seconds = pace_seconds
        self.delta_characters = delta_characters
        self.store = Store()
        self.bench = Bench(self.store)
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
        if self._key is None:
            return
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if self.wire.name == "azure":
            given = headers.get("api-key") or given
        if not secrets.compare_digest(given.encode(), self._key.encode()):
            raise unauthorized(self.wire)

    def accept(self, raw: bytes) -> Asked:
        return take_in(parse(raw), self.wire, self.store, self.bench.seal, self._models)

    def model_names(self) -> tuple[str, ...]:
        return self._models or (MODEL,)

    def prepare(self, asked: Asked, pace_seconds: float) -> tuple[Kept, Narrator]:
        kept = Kept(new_payload(asked), asked.new_items, asked.previous)
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
            log.close()

    async def cancel(self, kept: Kept) -> None:
        if not kept.payload["background"]:
            raise WireError(400, "Cannot cancel a synchronous response.")
        if kept.task is not None and not kept.task.done():
            kept.task.cancel()
            await asyncio.wait({kept.task})


def new_payload(asked: Asked) -> Json:
    """The Response object with every field that a strict reader asks for."""
    body = asked.body
    reasoning = body.get("reasoning") or {}
    text = body.get("text") or {}
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "completed_at": None,
        "status": "queued" if asked.background else "in_progress",
        "background": asked.background,
        "model": MODEL,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "previous_response_id": body.get("previous_response_id"),
        "output": [],
        "parallel_tool_calls": body.get("parallel_tool_calls") is not False,
        "tool_choice": body.get("tool_choice") or "auto",
        "tools": [_tool(tool) for tool in body.get("tools") or ()],
        "temperature": _number(body.get("temperature"), 1.0),
        "top_p": _number(body.get("top_p"), 1.0),
        "presence_penalty": 0.0,
        "frequency_penalty": 0.0,
        "top_logprobs": 0,
        "max_output_tokens": body.get("max_output_tokens"),
        "max_tool_calls": body.get("max_tool_calls"),
        "reasoning": {"effort": reasoning.get("effort"), "summary": reasoning.get("summary")},
        "text": {**text, "format": text.get("format") or {"type": "text"}},
        "truncation": body.get("truncation") or "disabled",
        "store": asked.stored,
        "service_tier": body.get("service_tier") or "default",
        "user": body.get("user"),
        "safety_identifier": body.get("safety_identifier"),
        "prompt_cache_key": body.get("prompt_cache_key"),
        "metadata": body.get("metadata") or {},
        "usage": None,
    }


def _number(value: float | None, default: float) -> float:
    return default if value is None else float(value)


def _tool(tool: Json) -> Json:
    if tool["type"] != "function":
        return tool
    return {"description": None, "parameters": None, "strict": None, **tool}


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

    async def answer(self) -> None:
        try:
            self.engine.check_key(self.headers)
            await self._dispatch()
        except WireError as error:
            await self._json(error.payload(), error.status)
        except Gone:
            logger.debug("%s: the client left", self.request_id)

    async def _dispatch(self) -> None:
        prefix = next((prefix for prefix in PREFIXES if self.path.startswith(prefix + "/")), None)
        words = self.path.removeprefix(prefix or "").strip("/").split("/")
        match (self.method, *words) if prefix else ():
            case ("POST", "responses"):
                await self._create()
            case ("GET", "responses", response_id) if self.wire.stateful:
                await self._retrieve(self._kept(response_id))
            case ("DELETE", "responses", response_id) if self.wire.stateful:
                await self._delete(self._kept(response_id))
            case ("POST", "responses", response_id, "cancel") if self.wire.stateful:
                kept = self._kept(response_id)
                await self.engine.cancel(kept)
                await self._json(kept.payload)
            case ("GET", "responses", response_id, "input_items") if self.wire.stateful:
                await self._input_items(self._kept(response_id))
            case ("POST", "files") if self.wire.stateful:
                await self._upload()
            case ("GET", "files") if self.wire.stateful:
                await self._list_files()
            case (method, "files", file_id, *rest) if self.wire.stateful:
                await self._file(method, file_id, rest)
            case ("GET", "models"):
                data = [_model(name) for name in self.engine.model_names()]
                await self._json({"object": "list", "data": data})
            case _:
                raise WireError(404, f"Invalid URL ({self.method} {self.path})", code=None)

    # Responses

    async def _create(self) -> None:
        asked = await self._asked()
        pace_seconds = self.engine.pace_seconds if asked.streamed else 0.0
        kept, narrator = self.engine.prepare(asked, pace_seconds)
        if asked.background:
            log = self.engine.start_in_background(kept, narrator)
            if asked.streamed:
                await self._until_gone(self._stream(follow(log, after=-1)))
            else:
                await self._json(kept.payload)
        elif asked.streamed:
            await self._until_gone(self._stream(self._stored_at_the_end(kept, narrator, asked)))
        else:
            await self._until_gone(self._whole(kept, narrator, asked))

    async def _asked(self) -> Asked:
        raw = await self._body()
        if len(raw) > THREAD_BYTES:
            return await asyncio.to_thread(self.engine.accept, raw)
        return self.engine.accept(raw)

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
        if self.query.get("stream", ["false"])[0].lower() != "true":
            await self._json(kept.payload)
            return
        if kept.log is None:
            raise unknown_response(kept.id)
        await self._until_gone(self._stream(follow(kept.log, self._integer("starting_after", -1))))

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

    async def _upload(self) -> None:
        try:
            form = await read_form(
                self._chunks(), self.headers.get("content-type", ""), self.store.scratch, MAX_FILE_BYTES
            )
        except FormTooLarge as error:
            text = f"The file is larger than the limit of {MAX_FILE_BYTES // 1024 // 1024} MB."
            raise WireError(413, text, code="file_too_large", param="file") from error
        except BadForm as error:
            raise WireError(400, f"Could not parse multipart form: {error}") from error
        try:
            purpose = self._purpose(form.fields.get("purpose"))
            upload = form.uploads.get("file")
            if upload is None:
                raise bad_value("file", "'file' is a required property", "missing_required_parameter")
            if upload.size == 0:
                raise bad_value("file", "File is empty.", "empty_file")
        except WireError:
            form.discard()
            raise
        lifetime = form.fields.get("expires_after[seconds]", "")
        blob = self.store.adopt(upload.path, upload.sha256, upload.size, upload.media_type)
        stored = self.store.add_file(
            self.wire.file_prefix, blob, upload.filename, purpose, int(lifetime) if lifetime.isdecimal() else None
        )
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
        files = [file.payload() for file in self.store.files.values() if purpose in (None, file.purpose)]
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
                await self._send_head(200, "application/octet-stream", [(b"content-length", b"%d" % stored.blob.size)])
                with stored.blob.path.open("rb") as file:
                    while chunk := file.read(CHUNK_BYTES):
                        await self._send({"type": "http.response.body", "body": chunk, "more_body": True})
                await self._send({"type": "http.response.body", "body": b""})
            case _:
                raise WireError(404, f"Invalid URL ({self.method} {self.path})")

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
        body = bytearray()
        async for chunk in self._chunks():
            body += chunk
            if len(body) > MAX_BODY_BYTES:
                raise WireError(413, "The request is larger than the limit of the embedded engine.")
        return bytes(body)

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

    async def _stream(self, events: AsyncGenerator[Json, None]) -> None:
        await self._send_head(200, "text/event-stream; charset=utf-8", [(b"cache-control", b"no-cache")])
        framing = Framing(self.wire)
        async with aclosing(events):
            async for event in events:
                if body := framing.feed(event):
                    await self._send({"type": "http.response.body", "body": body, "more_body": True})
        await self._send({"type": "http.response.body", "body": framing.end()})

    async def _json(self, payload: Json, status: int = 200) -> None:
        body = json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")
        await self._send_head(status, "application/json", [(b"content-length", b"%d" % len(body))])
        await self._send({"type": "http.response.body", "body": body})

    async def _send_head(self, status: int, content_type: str, more: list[tuple[bytes, bytes]]) -> None:
        name = b"apim-request-id" if self.wire.name == "azure" else b"x-request-id"
        headers = [(b"content-type", content_type.encode()), (name, self.request_id.encode()), *more]
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


async def follow(log: EventLog, after: int) -> AsyncGenerator[Json, None]:
    """Yield the events of a background response with a higher sequence number, then those that come."""
    position = 0
    while True:
        while position < len(log.events):
            event = log.events[position]
            position += 1
            if event["sequence_number"] > after:
                yield event
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
