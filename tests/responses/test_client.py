"""The client against a real server on a loopback port: what goes up, what comes back, and when it lets go."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
import logging
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.responses import sender as sender_module
from chat.responses import stream as stream_module
from chat.responses.client import Client
from chat.responses.content import DataURL
from chat.responses.errors import (
    BadStream,
    ConnectionLost,
    DeploymentMissing,
    FileGone,
    InvalidRequest,
    NotFound,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from chat.responses.events import Delta, Terminal
from chat.responses.fold import Draft
from chat.responses.transport import open_http
from tests.responses.asking import BODY, KEY, RESPONSE, Waits, client_for, collect, scripted
from tests.responses.server import Connection, reply, serving, stream
from tests.responses.wire import NAMES, events_of, fold, recording

# What goes up


async def test_create_sends_json_and_returns_the_response(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, RESPONSE)) as server:
        assert await client_for(server.url, http).create({"model": "m", "input": "Grüße 😀"}) == RESPONSE
    request = server.requests[0]
    assert (request.method, request.target) == ("POST", "/v1/responses")
    assert request.json == {"model": "m", "input": "Grüße 😀", "stream": False}
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert request.headers["content-type"] == "application/json"


async def test_a_proxy_is_asked_for_others_and_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    async with serving(reply(200, RESPONSE)) as proxy, serving(reply(200, RESPONSE)) as server:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
        async with open_http() as http:
            assert await client_for(server.url, http).create(BODY) == RESPONSE
            assert (len(server.requests), proxy.requests) == (1, [])
            assert await client_for("http://upstream.test/v1/", http).create(BODY) == RESPONSE
    assert [request.target for request in proxy.requests] == ["http://upstream.test/v1/responses"]


async def test_azure_gets_its_own_key_header_and_path(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, RESPONSE)) as server:
        url = server.url.replace("/v1/", "")
        await client_for(url, http, "azure", headers={"x-ms-note": "hello"}).create(BODY)
    request = server.requests[0]
    assert request.target == "/openai/v1/responses"
    assert request.headers["api-key"] == KEY
    assert "authorization" not in request.headers
    assert request.headers["x-ms-note"] == "hello"


async def test_an_extra_header_stands_instead_of_the_one_that_would_be_sent_without_it(http: httpx.AsyncClient) -> None:
    plain, own = reply(200, RESPONSE), {"USER-agent": "ours/1", "AUTHORIZATION": "Bearer theirs", "Accept": "x/y"}
    async with serving(plain, plain) as server:
        await client_for(server.url, http, headers=own).create(BODY)
        await client_for(server.url, http).create(BODY)
    first, second = (request.headers for request in server.requests)
    assert (first["user-agent"], first["authorization"]) == ("ours/1", f"Bearer {KEY}")
    assert first["accept"] == second["accept"] == "application/json"
    assert second["user-agent"].startswith("python-httpx/")


async def test_without_a_key_no_credentials_go_up(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, RESPONSE)) as server:
        await client_for(server.url, http, "ollama", key=None).create(BODY)
    assert not {"authorization", "api-key"} & server.requests[0].headers.keys()


async def test_the_query_of_the_base_url_goes_with_each_request(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, RESPONSE)) as server:
        client = client_for(server.url + "?api-version=preview", http)
        await client.retrieve("resp_1", include=("reasoning.encrypted_content",))
    assert server.requests[0].target == (
        "/v1/responses/resp_1?api-version=preview&include%5B%5D=reasoning.encrypted_content"
    )


async def test_an_id_cannot_leave_its_place_in_the_path(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, {})) as server:
        await client_for(server.url, http).delete("../files/x?y")
    assert server.requests[0].target == "/v1/responses/..%2Ffiles%2Fx%3Fy"


async def test_a_file_inside_the_question_is_sent_from_disk_as_a_data_url(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    file = tmp_path / "a.pdf"
    file.write_bytes(bytes(range(256)) * 4001)  # several chunks, and a length that is not divisible by three
    part = {"type": "input_file", "filename": "a.pdf", "file_data": DataURL(file, "application/pdf")}
    async with serving(reply(200, RESPONSE)) as server:
        await client_for(server.url, http).create({"model": "m", "input": [{"role": "user", "content": [part, part]}]})
    sent = server.requests[0]
    for piece in sent.json["input"][0]["content"]:
        head, _, encoded = piece["file_data"].partition(",")
        assert head == "data:application/pdf;base64"
        assert base64.b64decode(encoded) == file.read_bytes()
    assert int(sent.headers["content-length"]) == len(sent.body)


async def test_a_file_that_vanishes_while_it_is_sent_is_no_fault_of_the_provider(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    with path.open("wb") as file:
        file.truncate(30 * 1024 * 1024)  # more than any socket holds

    async def vanish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        path.write_bytes(b"short")
        while await reader.read(2**16):
            pass
        writer.close()
        await writer.wait_closed()
        done.set()

    done = asyncio.Event()
    async with await asyncio.start_server(vanish, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        waits = Waits()
        client = client_for(f"http://127.0.0.1:{port}/v1", http, waits=waits)
        with pytest.raises(FileGone) as caught:
            await client.upload_file(path, "a.pdf", "application/pdf")
        await done.wait()
    assert "attach it again" in caught.value.user_message
    assert waits == []


# Streams


@pytest.mark.parametrize("name", NAMES)
async def test_every_recording_arrives_as_its_events(name: str, http: httpx.AsyncClient) -> None:
    data = recording(name)
    third = len(data) // 3
    async with serving(stream(data[:third], data[third : 2 * third], data[2 * third :])) as server:
        events = await collect(client_for(server.url, http))
    assert events == events_of(name)
    assert server.requests[0].json["stream"] is True


async def test_events_come_while_the_server_still_writes(http: httpx.AsyncClient) -> None:
    go_on = asyncio.Event()
    first, rest = recording("azure_text").split(b"event: response.output_text.done")

    async def play(connection: Connection) -> None:
        await connection.begin_stream("apim-request-id: azure-7")
        await connection.send_chunk(first)
        await go_on.wait()
        await connection.send_chunk(b"event: response.output_text.done" + rest)
        await connection.send(b"0\r\n\r\n")

    draft = Draft()
    async with serving(play) as server, client_for(server.url, http).stream(BODY) as events:
        assert events.request_id == "azure-7"
        async for event in events:
            draft.apply(event)
            if draft.text().endswith("Ende\u0085."):
                go_on.set()
    assert draft.terminal_seen


async def test_leaving_the_stream_closes_the_connection_at_once(http: httpx.AsyncClient) -> None:
    gone = asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(recording("azure_cut_off"))
        assert await connection.reader.read() == b""  # returns when the client has closed
        gone.set()

    async with serving(play) as server:
        async with client_for(server.url, http).stream(BODY) as events:
            async for event in events:
                if isinstance(event, Delta):
                    break
        async with asyncio.timeout(5):
            await gone.wait()


async def test_cancelling_the_reader_closes_the_connection(http: httpx.AsyncClient) -> None:
    begun, gone = asyncio.Event(), asyncio.Event()

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(b": hello\n\n")
        begun.set()
        await connection.reader.read()
        gone.set()

    async with serving(play) as server:
        reading = asyncio.create_task(collect(client_for(server.url, http)))
        async with asyncio.timeout(5):
            await begun.wait()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            await gone.wait()


async def test_an_end_without_a_last_word_is_just_an_end(http: httpx.AsyncClient) -> None:
    async with serving(stream(recording("azure_cut_off"))) as server:
        draft = fold(await collect(client_for(server.url, http)))
    assert draft.text() == "Half of an ans"
    assert not draft.terminal_seen


async def test_a_connection_that_breaks_is_told_apart_from_an_end(http: httpx.AsyncClient) -> None:
    async def play(connection: Connection) -> None:
        await connection.begin_stream("x-request-id: req_5")
        await connection.send_chunk(recording("azure_cut_off"))
        connection.writer.close()  # without the chunk that ends a body

    draft = Draft()

    async def read(client: Client) -> None:
        async with client.stream(BODY) as events:
            async for event in events:
                draft.apply(event)

    async with serving(play) as server:
        with pytest.raises(ConnectionLost) as caught:
            await read(client_for(server.url, http))
    assert draft.text() == "Half of an ans"
    assert caught.value.request_id == "req_5"
    assert caught.value.retryable


async def test_the_last_word_ends_the_stream_although_the_server_keeps_it_open(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "LINGER_SECONDS", 0.01)

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(recording("azure_text"))
        await connection.reader.read()

    async with serving(play) as server, asyncio.timeout(5):
        assert fold(await collect(client_for(server.url, http))).status == "completed"


async def test_after_an_error_the_stream_does_not_wait_for_ever(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream_module, "AFTER_FAILURE_SECONDS", 0.01)

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.send_chunk(recording("openai_error_nested"))
        await connection.reader.read()

    async with serving(play) as server, asyncio.timeout(5):
        assert fold(await collect(client_for(server.url, http))).status == "failed"


async def test_done_ends_a_stream_whatever_follows(http: httpx.AsyncClient) -> None:
    late = b'data: {"type":"response.output_text.delta","delta":"late"}\n\n'
    async with serving(stream(recording("ofox_text") + late), stream(b"data: [DONE]\n\n" + late)) as server:
        client = client_for(server.url, http)
        assert fold(await collect(client)).text() == "你好，世界！"
        assert await collect(client) == []


async def test_a_stream_read_to_its_end_leaves_a_connection_for_the_next(http: httpx.AsyncClient) -> None:
    async with serving(stream(recording("ofox_text")), stream(recording("azure_text")), reply(200, RESPONSE)) as server:
        client = client_for(server.url, http)
        await collect(client)
        await collect(client)
        await client.create(BODY)
        assert server.connections == 1


@pytest.mark.parametrize(
    ("payload", "kind", "status"),
    [
        (RESPONSE, "response.completed", "completed"),
        ({**RESPONSE, "status": "failed", "error": {"code": "server_error"}}, "response.failed", "failed"),
        ({**RESPONSE, "status": "queued"}, "response.queued", "queued"),
    ],
)
async def test_json_in_place_of_a_stream_becomes_the_event_that_says_the_same(
    payload: dict[str, Any], kind: str, status: str, http: httpx.AsyncClient
) -> None:
    async with serving(reply(200, payload)) as server:
        events = await collect(client_for(server.url, http))
    assert [event.type for event in events] == [kind]
    assert fold(events).status == status
    assert fold(events).terminal_seen is isinstance(events[0], Terminal)


@pytest.mark.parametrize("content_type", ["*/*", "text/event-stream", "text/plain"])
@pytest.mark.parametrize(
    ("payload", "kind", "status"),
    [
        ({"error": {"message": "File Not Found", "type": "not_found_error", "code": 404}}, "error", "failed"),
        ({**RESPONSE, "status": "incomplete"}, "response.incomplete", "incomplete"),
        ({"output": []}, "response.completed", "completed"),
    ],
)
async def test_json_in_place_of_a_stream_is_read_whatever_it_is_called(
    payload: dict[str, Any], kind: str, status: str, content_type: str, http: httpx.AsyncClient
) -> None:
    """A gateway that passes on what it got sent an error as 200 and `*/*`: it looked like an answer cut off."""
    async with serving(reply(200, json.dumps(payload, indent=1).encode(), content_type=content_type)) as server:
        events = await collect(client_for(server.url, http))
    assert [event.type for event in events] == [kind]
    assert fold(events).status == status


async def test_something_that_begins_like_an_object_and_is_none_is_refused(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, b'{"error": oops', content_type="*/*")) as server:
        with pytest.raises(BadStream):
            await collect(client_for(server.url, http))


async def test_a_web_page_in_place_of_a_stream_is_refused(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, b"<html>Sign in</html>", content_type="text/html")) as server:
        with pytest.raises(BadStream) as caught:
            await collect(client_for(server.url, http))
    assert "check the address" in caught.value.user_message


async def test_broken_json_in_the_middle_is_refused_and_keepalives_pass(http: httpx.AsyncClient) -> None:
    good = b'data: {"type":"response.output_text.delta","delta":"a"}\n\n'
    chatter = b": ping\n\ndata: ping\n\nevent: ping\ndata: []\n\ndata:\n\n"
    async with serving(stream(chatter + good), stream(good + b'data: {"type": oops}\n\n' + good)) as server:
        client = client_for(server.url, http)
        assert len(await collect(client)) == 1
        with pytest.raises(BadStream, match="not JSON"):
            await collect(client)


async def test_a_compressed_stream_is_read_too(http: httpx.AsyncClient) -> None:
    data = gzip.compress(recording("azure_text"))
    async with serving(stream(data[:50], data[50:], headers=("Content-Encoding: gzip",))) as server:
        assert fold(await collect(client_for(server.url, http))).terminal_seen
    assert server.requests[0].headers["accept-encoding"] == "identity"


async def test_more_streams_than_a_default_pool_holds_run_at_once(http: httpx.AsyncClient) -> None:
    streams = 150
    everybody = asyncio.Barrier(streams)

    async def play(connection: Connection) -> None:
        await connection.begin_stream()
        await everybody.wait()  # passes only when all of them are open
        await connection.send_chunk(recording("ofox_text"))
        await connection.send(b"0\r\n\r\n")

    async with serving(*[play] * streams) as server, asyncio.timeout(60):
        client = client_for(server.url, http)
        answers = await asyncio.gather(*(collect(client) for _ in range(streams)))
    assert {fold(events).text() for events in answers} == {"你好，世界！"}


async def test_resuming_asks_for_what_follows_and_drops_what_is_known(http: httpx.AsyncClient) -> None:
    async with (
        serving(stream(recording("azure_text"))) as server,  # a server that begins anew
        client_for(server.url, http).resume("resp_1", 9) as events,
    ):
        numbers = [event.sequence_number async for event in events]
    assert server.requests[0].target == "/v1/responses/resp_1?stream=true&starting_after=9"
    assert numbers == list(range(10, len(events_of("azure_text"))))


async def test_closing_in_the_middle_leaves_nothing_open() -> None:
    closed = []

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            while True:
                yield b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'

        async def aclose(self) -> None:
            closed.append(True)

    response = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Endless())
    client, _, _ = scripted(response)
    async with client.stream(BODY) as events:
        assert isinstance(await anext(aiter(events)), Delta)
        assert not closed
    assert closed


# Refusals, over the wire


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (401, {"code": "401", "message": "Access denied"}, Unauthorized),
        (404, {"code": "DeploymentNotFound", "message": "no such deployment"}, DeploymentMissing),
        (404, {"code": "404", "message": "Resource not found"}, NotFound),
        (400, {"code": "unsupported_parameter", "message": "no temperature"}, InvalidRequest),
    ],
)
@pytest.mark.parametrize("streaming", [True, False])
async def test_a_refusal_is_raised_once_and_logged_with_its_request_id(
    status: int, error: Any, kind: type[Exception], streaming: bool, http: httpx.AsyncClient, caplog: Any
) -> None:
    async with serving(reply(status, {"error": error}, "apim-request-id: azure-9")) as server:
        client = client_for(server.url, http, "azure")
        with caplog.at_level(logging.INFO, "chat.responses"), pytest.raises(kind) as caught:
            await (collect(client) if streaming else client.create(BODY))
    for part in (str(status), error["code"], error["message"], "azure-9"):
        assert part in str(caught.value)
        assert part in caplog.text
    assert len(server.requests) == 1


async def test_a_refused_connection_is_unreachable(http: httpx.AsyncClient) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else gets the port
        waits = Waits()
        client = client_for(f"http://127.0.0.1:{taken.getsockname()[1]}/v1", http, waits=waits)
        with pytest.raises(Unreachable) as caught:
            await client.models()
    assert type(caught.value) is Unreachable
    assert isinstance(caught.value.__cause__, httpx.ConnectError)
    assert waits == [0.5, 1.0]


async def test_a_refusal_before_the_end_of_an_upload_is_heard(http: httpx.AsyncClient, tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(30 * 1024 * 1024)
    done = asyncio.Event()

    async def too_large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        while await reader.read(2**16):  # as proxies do: read on, so that the answer is not lost
            pass
        writer.close()
        await writer.wait_closed()
        done.set()

    async with await asyncio.start_server(too_large, "127.0.0.1", 0) as listener:
        port = listener.sockets[0].getsockname()[1]
        with pytest.raises(TooLarge):
            await client_for(f"http://127.0.0.1:{port}/v1", http).upload_file(path, "big.pdf", "application/pdf")
        await done.wait()


async def test_silence_is_a_timeout_and_not_asked_again(http: httpx.AsyncClient) -> None:
    http.timeout = httpx.Timeout(5, read=0.05)

    async def play(connection: Connection) -> None:
        await connection.reader.read()

    async def half(connection: Connection) -> None:
        await connection.begin_stream()
        await connection.reader.read()

    async with serving(play, half) as server:
        with pytest.raises(TimedOut):
            await client_for(server.url, http).create(BODY)
        with pytest.raises(TimedOut):
            await collect(client_for(server.url, http))
    assert len(server.requests) == 2


async def test_a_server_that_hangs_up_before_its_answer_is_asked_again(http: httpx.AsyncClient) -> None:
    async def hang_up(connection: Connection) -> None:
        connection.writer.close()

    waits = Waits()
    async with serving(hang_up, reply(200, RESPONSE), hang_up, hang_up, reply(200, RESPONSE)) as server:
        client = client_for(server.url, http, waits=waits)
        assert await client.create(BODY) == RESPONSE
        assert waits == [0.0], "it may have closed an idle connection: nothing to wait for"
        assert await client.create(BODY) == RESPONSE
        assert waits == [0.0, 0.0, 1.0]


async def test_the_next_question_does_not_wait_for_a_connection_that_was_closed_without_a_word(
    http: httpx.AsyncClient,
) -> None:
    """llama.cpp closes the connection after each stream and does not announce it."""

    async def stream_and_close(connection: Connection) -> None:
        await stream(b'data: {"type":"response.completed","response":{"status":"completed"}}\n\n')(connection)
        connection.writer.close()

    waits = Waits()
    async with serving(stream_and_close, reply(200, RESPONSE), reply(200, RESPONSE)) as server:
        client = client_for(server.url, http, waits=waits)
        await collect(client)
        assert await client.create(BODY) == RESPONSE
    assert set(waits) <= {0.0}


async def test_no_cookie_of_a_provider_is_kept(http: httpx.AsyncClient) -> None:
    answer = reply(200, RESPONSE, "Set-Cookie: session=of-somebody-else; Path=/", "Set-Cookie: odd=\x80")
    async with serving(answer, answer) as server:
        client = client_for(server.url, http)
        assert await client.create(BODY) == await client.create(BODY)
    assert "cookie" not in server.requests[1].headers


async def test_a_redirect_is_not_followed_with_the_key(http: httpx.AsyncClient) -> None:
    async with (
        serving(reply(200, RESPONSE)) as elsewhere,
        serving(reply(302, b"", f"Location: {elsewhere.url}")) as server,
    ):
        with pytest.raises(NotFound):
            await client_for(server.url, http).create(BODY)
    assert elsewhere.requests == []


async def test_a_header_that_cannot_be_sent_is_an_answer_and_no_crash(http: httpx.AsyncClient) -> None:
    with pytest.raises(InvalidRequest):
        await client_for("http://127.0.0.1:9/v1", http, headers={"x-a": "b\r\nx-c: d"}).create(BODY)


async def test_a_reply_that_is_no_json_is_refused(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, b"<html>", content_type="text/html"), reply(200, [1])) as server:
        client = client_for(server.url, http)
        with pytest.raises(BadStream, match="not JSON"):
            await client.create(BODY)
        with pytest.raises(BadStream, match="no JSON object"):
            await client.create(BODY)


async def test_a_reply_without_end_is_refused_before_it_fills_the_memory(
    http: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sender_module, "MAX_REPLY_BYTES", 100)
    async with serving(reply(200, {"x": "y" * 200})) as server:
        with pytest.raises(BadStream, match="larger than 100 bytes"):
            await client_for(server.url, http).create(BODY)
