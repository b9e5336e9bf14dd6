"""A form is read the same however its bytes are cut, and a bad one leaves no file behind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from chat.offline.multipart import BadForm, Form, FormTooLarge, read_form

TYPE = 'multipart/form-data; boundary="xYz"'
DATA = b"\r\n--xY\r\n-\r\n--xYz-not\r--\r\n" + bytes(range(256))


def body(data: bytes = DATA) -> bytes:
    data = data.replace(b"\r\n--xYz", b"\r\n--xY_")  # a boundary is chosen so that the file does not hold it
    return (
        b'preamble\r\n--xYz\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nassistants'
        b'\r\n--xYz  \r\nContent-Disposition: form-data; name="file"; filename="\xc3\xbc \\"q\\".pdf"\r\n'
        b"Content-Type: application/pdf\r\n\r\n" + data + b"\r\n--xYz--\r\nepilogue"
    )


async def read(pieces: list[bytes], folder: Path, limit: int = 10_000) -> Form:
    async def chunks() -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece

    numbers = iter(range(100))
    return await read_form(chunks(), TYPE, lambda: folder / str(next(numbers)), limit)


@given(cuts=st.lists(st.integers(0, len(body())), max_size=12))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
async def test_the_cuts_do_not_matter(tmp_path: Path, cuts: list[int]) -> None:
    whole = body()
    edges = [0, *sorted(cuts), len(whole)]
    form = await read([whole[start:end] for start, end in pairwise(edges)], tmp_path)
    upload = form.uploads["file"]
    assert form.fields == {"purpose": "assistants"}
    assert (upload.filename, upload.media_type) == ('ü "q".pdf', "application/pdf")
    assert upload.path.read_bytes() == DATA.replace(b"\r\n--xYz", b"\r\n--xY_")
    assert upload.size == upload.path.stat().st_size


async def test_single_bytes_are_enough(tmp_path: Path) -> None:
    form = await read([bytes([byte]) for byte in body()], tmp_path)
    assert form.uploads["file"].size == len(DATA)


@pytest.mark.parametrize(
    "broken",
    [
        body()[:-14],
        body().replace(b"--xYz--", b"--xYzoo"),
        b"nothing like a form",
        b"",
        b"--xYz\r\nContent-Type: text/plain\r\n\r\nno name\r\n--xYz--",
        b"--xYz\r\n" + b"X: y\r\n" * 5000,
    ],
)
async def test_a_broken_form_is_refused_and_leaves_no_file(tmp_path: Path, broken: bytes) -> None:
    with pytest.raises(BadForm):
        await read([broken], tmp_path)
    assert list(tmp_path.iterdir()) == []


async def test_a_file_over_the_limit_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    assert (await read([body(b"x" * 100)], tmp_path, limit=100)).uploads["file"].size == 100
    for file in tmp_path.iterdir():
        file.unlink()
    with pytest.raises(FormTooLarge):
        await read([body(b"x" * 101)], tmp_path, limit=100)
    assert list(tmp_path.iterdir()) == []
