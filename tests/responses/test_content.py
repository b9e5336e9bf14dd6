"""Request bodies with files in them know their length, and hold no file in memory."""

from __future__ import annotations

import asyncio
import base64
import json
import tracemalloc
from pathlib import Path

import pytest

from chat.responses.content import CHUNK_BYTES, Body, DataURL, json_body, multipart_body
from chat.responses.errors import FileGone


async def sent(body: Body) -> bytes:
    content = body.content()
    return content if isinstance(content, bytes) else b"".join([chunk async for chunk in content])


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file.bin"
    path.write_bytes(bytes(range(256)) * 10)
    return path


async def test_a_body_without_files_is_bytes() -> None:
    body = json_body({"input": "天空 \u2028", "n": [1, None]})
    assert body.content() == '{"input":"天空 \u2028","n":[1,null]}'.encode()
    assert body.length == len(await sent(body))


async def test_half_a_character_in_a_question_does_not_break_the_request() -> None:
    assert json.loads(await sent(json_body({"input": "a\ud83d"}))) == {"input": "a?"}


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES + 2])
async def test_a_file_of_any_size_becomes_its_data_url(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xffq"[:1] * size)
    body = json_body({"a": [{"image_url": DataURL(path, "image/png")}, "tail"]})
    for _ in range(2):  # a body can be sent again
        data = await sent(body)
        assert len(data) == body.length
        expected = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
        assert json.loads(data) == {"a": [{"image_url": expected}, "tail"]}


async def test_a_file_that_became_shorter_is_an_error_and_no_shorter_file(file: Path) -> None:
    body = json_body({"a": DataURL(file, "image/png")})
    await asyncio.to_thread(file.write_bytes, b"short")
    with pytest.raises(FileGone, match="became shorter"):
        await sent(body)


async def test_a_file_that_is_not_there_is_said_to_be_gone(file: Path) -> None:
    body = multipart_body({}, file, "a.pdf", "application/pdf")
    await asyncio.to_thread(file.unlink)
    with pytest.raises(FileGone, match=f"{file.name} cannot be read: No such file"):
        await sent(body)
    with pytest.raises(FileGone):
        json_body({"a": DataURL(file, "image/png")})
    with pytest.raises(FileGone):
        multipart_body({}, file, "a.pdf", "application/pdf")


async def test_a_file_that_grew_is_sent_as_it_was(file: Path) -> None:
    before = await asyncio.to_thread(file.read_bytes)
    body = multipart_body({"purpose": "assistants"}, file, "a.pdf", "application/pdf")
    await asyncio.to_thread(file.write_bytes, before + b"more")
    data = await sent(body)
    assert len(data) == body.length
    assert before in data
    assert before + b"more" not in data


async def test_names_cannot_break_out_of_their_header(file: Path) -> None:
    body = multipart_body({"purpose": "a"}, file, 'x"\r\nX-Evil: 1\r\n\r\n', "text/plain")
    assert b"\r\nX-Evil" not in await sent(body)


def test_what_json_does_not_know_is_refused() -> None:
    with pytest.raises(TypeError, match="set is no JSON"):
        json_body({"a": {1}})


async def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "big"
    with path.open("wb") as file:
        file.truncate(40 * 1024 * 1024)
    content = json_body({"a": DataURL(path, "application/pdf")}).content()
    assert not isinstance(content, bytes)
    tracemalloc.start()
    try:
        total = 0
        async for chunk in content:
            total += len(chunk)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert total > 50 * 1024 * 1024
    assert peak < 4 * 1024 * 1024
