"""The other operations, over a real server: fetching, cancelling, waiting, lists, files and containers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.offline.transport import OfflineTransport
from chat.responses.client import Page
from chat.responses.errors import BadStream, ConnectionLost, NotFound, RateLimited, TimedOut
from tests.responses.asking import BODY, RESPONSE, client_for, collect, page, scripted
from tests.responses.server import Connection, reply, serving, stream


@pytest.mark.seed("S0-10", "S0-11", "S1-5", "S1-6", "S1-26", "S3-9")
async def test_stored_responses_are_fetched_cancelled_and_deleted(http: httpx.AsyncClient) -> None:
    cancelled = {**RESPONSE, "status": "cancelled"}
    async with serving(reply(200, RESPONSE), reply(200, cancelled), reply(200, b"")) as server:
        client = client_for(server.url, http)
        assert await client.retrieve("resp_1") == RESPONSE
        assert await client.cancel("resp_1") == cancelled
        await client.delete("resp_1")
    assert [(request.method, request.target) for request in server.requests] == [
        ("GET", "/v1/responses/resp_1"),
        ("POST", "/v1/responses/resp_1/cancel"),
        ("DELETE", "/v1/responses/resp_1"),
    ]


async def test_a_failed_response_is_returned_and_not_raised(http: httpx.AsyncClient) -> None:
    failed = {**RESPONSE, "status": "failed", "error": {"code": "server_error", "message": "x"}}
    async with serving(reply(200, failed)) as server:
        assert await client_for(server.url, http).create(BODY) == failed


async def test_an_error_that_a_gateway_calls_200_is_an_error(http: httpx.AsyncClient) -> None:
    error = reply(200, {"error": {"code": 429, "message": "slow down"}}, "x-request-id: req_3")
    async with serving(error, error) as server:
        client = client_for(server.url, http)
        with pytest.raises(RateLimited) as caught:
            await client.create(BODY)
        assert caught.value.request_id == "req_3"
        with pytest.raises(RateLimited):
            await collect(client)


@pytest.mark.seed("S1-15")
async def test_all_pages_of_the_input_items_come_oldest_first(http: httpx.AsyncClient) -> None:
    pages = [
        {"data": [{"id": "a"}, {"id": "b"}], "has_more": True, "last_id": "b"},
        {"data": [{"id": "c"}], "has_more": True},
        {"data": [{"id": "d"}], "has_more": False, "last_id": "d"},
    ]
    async with serving(*(reply(200, page) for page in pages)) as server:
        items = await client_for(server.url, http).input_items("resp_1")
    assert [item["id"] for item in items] == ["a", "b", "c", "d"]
    assert [request.target.partition("limit=100")[2] for request in server.requests] == ["", "&after=b", "&after=c"]


async def test_a_list_that_turns_in_a_circle_ends() -> None:
    client, script, _ = scripted(
        *(page({"id": name}, has_more=True, last_id=name) for name in ("a", "b", "a", "b")),
    )
    assert [item["id"] for item in await client.input_items("resp_1")] == ["a", "b", "a"]
    assert script.asked == 3


async def test_a_list_that_repeats_itself_ends(http: httpx.AsyncClient) -> None:
    page = {"data": [{"id": "a"}], "has_more": True, "last_id": "a"}
    async with serving(reply(200, page), reply(200, page)) as server:
        assert len(await client_for(server.url, http).input_items("resp_1")) == 2


async def test_models_are_listed_by_id(http: httpx.AsyncClient) -> None:
    async with serving(reply(200, {"data": [{"id": "a"}, {"name": "odd"}, "odd", {"id": "b"}]})) as server:
        assert await client_for(server.url, http).models() == ["a", "b"]


@pytest.mark.seed("S0-4", "S1-19")
async def test_a_file_goes_up_as_a_form_straight_from_disk(http: httpx.AsyncClient, tmp_path: Path) -> None:
    content = b"%PDF-1.7 " + bytes(range(256)) * 5000
    path = tmp_path / "on disk.bin"
    path.write_bytes(content)
    created = {"id": "assistant-1", "object": "file", "status": "processed"}
    async with serving(reply(200, created), reply(200, created), reply(200, {"deleted": True})) as server:
        client = client_for(server.url, http, "azure")
        assert await client.upload_file(path, 'Bericht "März".pdf', "application/pdf") == created
        assert await client.retrieve_file("assistant-1") == created
        await client.delete_file("assistant-1")
    upload = server.requests[0]
    assert [request.target for request in server.requests] == [
        "/openai/v1/files",
        "/openai/v1/files/assistant-1",
        "/openai/v1/files/assistant-1",
    ]
    assert int(upload.headers["content-length"]) == len(upload.body)
    boundary = upload.headers["content-type"].partition("boundary=")[2].encode()
    _, purpose, file, end = upload.body.split(b"--" + boundary)
    assert purpose.endswith(b'name="purpose"\r\n\r\nassistants\r\n')
    head, _, sent = file.partition(b"\r\n\r\n")
    assert 'name="file"; filename="Bericht %22März%22.pdf"\r\nContent-Type: application/pdf' in head.decode()
    assert sent == content + b"\r\n"
    assert end == b"--\r\n"


@pytest.mark.seed("S1-15")
async def test_one_page_of_the_input_items_is_asked_for_in_any_way() -> None:
    client, script, _ = scripted(
        page({"id": "b"}, {"id": "c"}, has_more=True, last_id="c"), page({"id": "d"}, has_more=False), page()
    )
    first = await client.input_items_page(
        "resp_1", limit=2, order="asc", after="a", include=("message.input_image.image_url",)
    )
    assert first == Page([{"id": "b"}, {"id": "c"}], after="c")
    assert await client.input_items_page("resp_1") == Page([{"id": "d"}], after=None)
    assert await client.input_items_page("resp_1", after="d") == Page([], after=None)
    assert [str(request.url.query, "ascii") for request in script.requests] == [
        "limit=2&order=asc&after=a&include%5B%5D=message.input_image.image_url",
        "",
        "after=d",
    ]


@pytest.mark.parametrize(
    "odd",
    [{"data": None}, {"data": {"id": "a"}}, {"data": ["a", 1, None]}, {}, {"has_more": True, "data": [{"id": 7}]}],
)
async def test_a_list_of_an_odd_shape_is_an_empty_or_a_short_one(odd: dict[str, Any]) -> None:
    client, script, _ = scripted(httpx.Response(200, json=odd))
    assert await client.input_items("resp_1") in ([], [{"id": 7}])
    assert script.asked == 1


# Waiting for the background


@pytest.mark.seed("S1-24", "S1-25")
async def test_a_background_response_is_waited_for_in_growing_pauses() -> None:
    queued, running = ({**RESPONSE, "status": status} for status in ("queued", "in_progress"))
    answers = [httpx.Response(200, json=value) for value in (queued, *[running] * 8, RESPONSE)]
    client, script, waits = scripted(*answers)
    assert await client.wait("resp_1", include=("file_search_call.results",)) == RESPONSE
    assert waits[:3] == [2.0, 3.0, 4.5]
    assert waits == sorted(waits)
    assert max(waits) == 30.0
    assert {str(request.url) for request in script.requests} == {
        "http://test/v1/responses/resp_1?include%5B%5D=file_search_call.results"
    }


@pytest.mark.parametrize("status", ["completed", "failed", "incomplete", "cancelled", "expired", None])
async def test_what_is_over_is_not_waited_for(status: str | None) -> None:
    client, _, waits = scripted(httpx.Response(200, json={"id": "resp_1", "status": status}))
    assert (await client.wait("resp_1"))["status"] == status
    assert waits == []


async def test_waiting_has_an_end() -> None:
    running = [httpx.Response(200, json={**RESPONSE, "status": "queued"}) for _ in range(4)]
    client, script, waits = scripted(*running)
    with pytest.raises(TimedOut):
        await client.wait("resp_1", most_seconds=10)
    assert sum(waits) <= 10
    assert script.asked == 4


async def test_a_poll_that_fails_is_repeated_as_any_request() -> None:
    client, _, waits = scripted(httpx.Response(503), httpx.Response(200, json=RESPONSE))
    assert await client.wait("resp_1") == RESPONSE
    assert waits == [0.5]


# Counting and shortening


async def test_tokens_are_counted_of_what_would_be_sent() -> None:
    client, script, _ = scripted(httpx.Response(200, json={"object": "response.input_tokens", "input_tokens": 11}))
    assert await client.input_tokens({**BODY, "instructions": "i", "store": True, "max_output_tokens": 99}) == 11
    assert script.requests[0].url == "http://test/v1/responses/input_tokens"
    assert json.loads(script.requests[0].content) == {**BODY, "instructions": "i"}


@pytest.mark.parametrize("count", [None, "11", True, [11]])
async def test_a_count_that_is_no_number_is_refused(count: Any) -> None:
    client, _, _ = scripted(httpx.Response(200, json={"input_tokens": count}))
    with pytest.raises(BadStream):
        await client.input_tokens(BODY)


@pytest.mark.seed("S1-3")
async def test_a_conversation_is_made_shorter() -> None:
    compacted = {"id": "resp_2", "object": "response.compaction", "output": [{"type": "compaction", "id": "cmp_1"}]}
    client, script, _ = scripted(httpx.Response(200, json=compacted))
    assert await client.compact({**BODY, "previous_response_id": "resp_1", "stream": True, "tools": []}) == compacted
    assert script.requests[0].url == "http://test/v1/responses/compact"
    assert json.loads(script.requests[0].content) == {**BODY, "previous_response_id": "resp_1"}


# Files


async def test_a_file_may_have_an_end(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b")
    client, script, _ = scripted(httpx.Response(200, json={"id": "file-1"}))
    await client.upload_file(path, "a.csv", "text/csv", "user_data", expires_after_seconds=3600)
    sent = script.requests[0].content.decode()
    for name, value in {
        "purpose": "user_data",
        "expires_after[anchor]": "created_at",
        "expires_after[seconds]": "3600",
    }.items():
        assert f'name="{name}"\r\n\r\n{value}\r\n' in sent


async def test_files_are_listed_to_the_last_page() -> None:
    client, script, _ = scripted(
        page({"id": "file-1"}, {"id": "file-2"}, has_more=True, last_id="file-2"), page({"id": "file-3"})
    )
    found = [file["id"] async for file in client.files(purpose="assistants", order="asc", limit=2, after="file-0")]
    assert found == ["file-1", "file-2", "file-3"]
    assert [request.url.raw_path.decode() for request in script.requests] == [
        "/v1/files?purpose=assistants&order=asc&limit=2&after=file-0",
        "/v1/files?purpose=assistants&order=asc&limit=2&after=file-2",
    ]


async def test_a_list_that_nobody_reads_to_its_end_asks_for_no_more() -> None:
    client, script, _ = scripted(page({"id": "file-1"}, has_more=True))
    async for _ in client.files():
        break
    assert script.asked == 1


async def test_the_content_of_a_file_streams_to_disk(http: httpx.AsyncClient, tmp_path: Path) -> None:
    content = bytes(range(256)) * 5000
    target = tmp_path / "plot.png"
    target.write_bytes(b"what was there before")
    answer = reply(200, content, content_type="application/octet-stream")
    async with serving(answer, answer) as server:
        client = client_for(server.url, http)
        assert await client.download_file("file-1", target, len(content)) == len(content)
        assert target.read_bytes() == content
        assert await client.download_container_file("cntr_1", "cfile_1", target, len(content)) == len(content)
    assert [request.target for request in server.requests] == [
        "/v1/files/file-1/content",
        "/v1/containers/cntr_1/files/cfile_1/content",
    ]
    assert list(tmp_path.iterdir()) == [target]


async def test_a_file_larger_than_its_limit_leaves_nothing_behind(http: httpx.AsyncClient, tmp_path: Path) -> None:
    async with serving(reply(200, b"x" * 1001), stream(b"x" * 500, b"x" * 501)) as server:
        client = client_for(server.url, http)
        for _ in server.script:
            with pytest.raises(BadStream, match="larger than 1000 bytes") as caught:
                await client.download_file("file-1", tmp_path / "a", 1000)
            assert "larger than this site takes" in caught.value.user_message
            assert not caught.value.retryable
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_breaks_off_leaves_nothing_behind(http: httpx.AsyncClient, tmp_path: Path) -> None:
    async def play(connection: Connection) -> None:
        await connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        connection.writer.close()

    async with serving(play, reply(404, {"error": {"message": "No such file", "code": "not_found"}})) as server:
        client = client_for(server.url, http)
        with pytest.raises(ConnectionLost):
            await client.download_file("file-1", tmp_path / "a", 1000)
        with pytest.raises(NotFound):
            await client.download_file("file-1", tmp_path / "a", 1000)
    assert list(tmp_path.iterdir()) == []


# Containers


@pytest.mark.seed("S1-12")
async def test_containers_are_made_listed_fetched_and_deleted() -> None:
    container = {"id": "cntr_1", "object": "container", "status": "running"}
    client, script, _ = scripted(
        httpx.Response(200, json=container),
        httpx.Response(200, json=container),
        page(container),
        httpx.Response(200, json=container),
        httpx.Response(200),
    )
    assert await client.create_container("sums") == container
    await client.create_container("sums", file_ids=["file-1"], idle_minutes=20, memory_limit="4g")
    assert [found async for found in client.containers(order="desc")] == [container]
    assert await client.retrieve_container("cntr_1") == container
    await client.delete_container("cntr_1")
    assert [(request.method, request.url.raw_path.decode()) for request in script.requests] == [
        ("POST", "/v1/containers"),
        ("POST", "/v1/containers"),
        ("GET", "/v1/containers?order=desc"),
        ("GET", "/v1/containers/cntr_1"),
        ("DELETE", "/v1/containers/cntr_1"),
    ]
    assert json.loads(script.requests[0].content) == {"name": "sums"}
    assert json.loads(script.requests[1].content) == {
        "name": "sums",
        "file_ids": ["file-1"],
        "expires_after": {"anchor": "last_active_at", "minutes": 20},
        "memory_limit": "4g",
    }


@pytest.mark.seed("S1-12", "S1-13")
async def test_files_go_into_a_container_and_are_found_there(tmp_path: Path) -> None:
    path = tmp_path / "on disk"
    path.write_text("a,b")
    file = {"id": "cfile_1", "object": "container.file", "path": "/mnt/data/a.csv", "source": "user"}
    client, script, _ = scripted(
        httpx.Response(200, json=file),
        httpx.Response(200, json=file),
        page(file, has_more=True),
        page({**file, "id": "cfile_2"}),
        httpx.Response(200, json=file),
        httpx.Response(200, json={"deleted": True}),
    )
    assert await client.upload_container_file("cntr_1", path, "a.csv", "text/csv") == file
    assert await client.copy_to_container("cntr_1", "file-1") == file
    assert [found["id"] async for found in client.container_files("cntr_1")] == ["cfile_1", "cfile_2"]
    assert await client.retrieve_container_file("cntr_1", "cfile_1") == file
    await client.delete_container_file("cntr_1", "cfile_1")
    assert [(request.method, request.url.raw_path.decode()) for request in script.requests] == [
        ("POST", "/v1/containers/cntr_1/files"),
        ("POST", "/v1/containers/cntr_1/files"),
        ("GET", "/v1/containers/cntr_1/files"),
        ("GET", "/v1/containers/cntr_1/files?after=cfile_1"),
        ("GET", "/v1/containers/cntr_1/files/cfile_1"),
        ("DELETE", "/v1/containers/cntr_1/files/cfile_1"),
    ]
    assert b'name="file"; filename="a.csv"' in script.requests[0].content
    assert b'name="purpose"' not in script.requests[0].content
    assert json.loads(script.requests[1].content) == {"file_id": "file-1"}


# Ids


@pytest.mark.parametrize("odd", ["", ".", ".."])
async def test_what_is_no_id_asks_for_nothing(odd: str, tmp_path: Path) -> None:
    client, script, _ = scripted()
    with pytest.raises(NotFound):
        await client.delete(odd)
    with pytest.raises(NotFound):
        await client.delete_container_file("cntr_1", odd)
    with pytest.raises(NotFound):
        await client.download_file(odd, tmp_path / "a", 1)
    with pytest.raises(NotFound):
        _ = [file async for file in client.container_files(odd)]
    assert script.asked == 0


async def test_an_id_that_no_address_can_hold_is_an_answer_and_no_crash() -> None:
    odd = httpx.Response(200, content=b'{"data": [{"id": "half \\ud800"}], "has_more": true}')
    client, script, _ = scripted(httpx.Response(404), odd, page())
    with pytest.raises(NotFound):
        await client.retrieve("half \ud800 of a pair")
    assert len(await client.input_items("resp_1")) == 1
    with pytest.raises(NotFound):
        await client.retrieve("x" * 100_000)
    assert script.asked == 3


# All of it at once


@pytest.mark.seed("S1-12", "S1-13", "S1-15", "S1-19", "S1-25")
async def test_each_operation_finds_its_answer_in_the_engine(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    async with httpx.AsyncClient(transport=OfflineTransport()) as http:
        client = client_for("http://offline/v1/", http, "offline", key=None)
        queued = await client.create({"model": "embedded", "input": "Hello", "background": True})
        assert (await client.wait(queued["id"]))["status"] == "completed"
        async with client.resume(queued["id"]) as events:
            assert [event.type async for event in events][-1] == "response.completed"
        items = await client.input_items_page(queued["id"], limit=1, order="asc")
        assert items.entries == await client.input_items(queued["id"])
        assert await client.input_tokens({"model": "embedded", "input": "Hello there"}) > 0
        assert (await client.compact({"model": "embedded", "input": "Hello there"}))["output"]

        files = [await client.upload_file(path, f"{name}.csv", "text/csv") for name in "abc"]
        assert sorted([file["id"] async for file in client.files(limit=1)]) == sorted(file["id"] for file in files)
        assert await client.download_file(files[0]["id"], tmp_path / "down", 100) == 8
        assert (tmp_path / "down").read_text() == "a,b\n1,2\n"

        container = await client.create_container("sums", file_ids=[files[0]["id"]], idle_minutes=20)
        assert container["id"] in [found["id"] async for found in client.containers()]
        put = await client.upload_container_file(container["id"], path, "put.csv", "text/csv")
        copied = await client.copy_to_container(container["id"], files[1]["id"])
        found = [file["id"] async for file in client.container_files(container["id"], limit=1)]
        assert {put["id"], copied["id"]} < set(found)
        assert len(found) == 3
        assert await client.download_container_file(container["id"], put["id"], tmp_path / "down", 100) == 8
        with pytest.raises(NotFound):
            await client.download_file(put["id"], tmp_path / "down", 100)
        await client.delete_container_file(container["id"], put["id"])
        with pytest.raises(NotFound):
            await client.retrieve_container_file(container["id"], put["id"])
        await client.delete_container(container["id"])
        with pytest.raises(NotFound):
            await client.retrieve_container(container["id"])
