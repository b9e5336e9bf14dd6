"""Bounded memory: what a hostile server sends without end is refused, with the limit that it went beyond."""

from __future__ import annotations

import itertools
import json
import time
import zlib
from collections.abc import AsyncIterator, Iterable, Iterator

import httpx
import pytest

from chat.responses import events as events_module
from chat.responses.errors import BadStream
from chat.responses.events import MAX_DEPTH, MAX_VALUES, Delta, Event, ItemEvent, decode_json
from chat.responses.sse import LIMITS, Limits, SSEDecoder
from chat.responses.stream import UNPACKED_BYTES, events_of, pieces_of, read_error, read_whole

SMALL = Limits(line=10_000, frame=20_000, stream=100_000, frames=1_000)
DELTA = b'data: {"type":"response.output_text.delta","delta":"x"}\n\n'


class Pieces(httpx.AsyncByteStream):
    """A body without end, and how much of it was taken."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self.taken = 0

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            self.taken += len(piece)
            yield piece


def reply(pieces: Iterable[bytes], encoding: str | None = None) -> tuple[httpx.Response, Pieces]:
    body = Pieces(pieces)
    headers = {"x-request-id": "req_7"} | ({"content-encoding": encoding} if encoding else {})
    return httpx.Response(200, headers=headers, stream=body, request=httpx.Request("POST", "http://x.test")), body


async def read(response: httpx.Response, limits: Limits = SMALL) -> list[Event]:
    return [event async for event in events_of(response, limits=limits)]


@pytest.mark.parametrize(
    ("begin", "again", "limit"),
    [
        (b"data: ", b"x" * 100, "a line of the stream longer than 10000 bytes"),
        (b": ", b"x" * 100, "a line of the stream longer than 10000 bytes"),
        (b"id: ", b"x" * 100, "a line of the stream longer than 10000 bytes"),
        (b"", b"data: " + b"x" * 100 + b"\n", "an event of the stream larger than 20000 bytes"),
        (b"", b"data\n", "an event of the stream larger than 20000 bytes"),
        (b"", b"data:\r", "an event of the stream larger than 20000 bytes"),
        (b"", b"data: {}\n\n", "a stream of more than 1000 events"),
        (b"", DELTA, "a stream of more than 1000 events"),
        (b"", b"event: response.output_text.delta\n" + DELTA, "a stream (of more than 1000 events|longer than)"),
        (b"", b"data: " + b'"x"' * 100 + b"\n\n", "a stream longer than 100000 bytes"),
        (b"", b"event: x\n\n", "a stream longer than 100000 bytes"),
        (b"", b"retry: 1\r\n", "a stream longer than 100000 bytes"),
    ],
)
@pytest.mark.parametrize("times", [1, 37])
async def test_what_has_no_end_is_refused_with_the_limit_that_it_crossed(
    begin: bytes, again: bytes, limit: str, times: int
) -> None:
    response, body = reply(itertools.chain([begin] if begin else [], itertools.repeat(again * times)))
    with pytest.raises(BadStream, match=limit) as caught:
        await read(response)
    assert body.taken < 2 * SMALL.stream
    assert caught.value.request_id == "req_7"
    assert "please ask for less" in caught.value.user_message
    assert not caught.value.retryable


def test_comments_may_keep_a_connection_alive_for_ever_and_cost_no_memory() -> None:
    decoder = SSEDecoder(SMALL)
    keep_alive = b": keep-alive\n\n" * 10
    for _ in range(20_000):  # 28 times what the stream may hold otherwise
        assert decoder.feed(keep_alive) == []
        assert decoder.held == 0
    assert len(decoder.feed(DELTA)) == 1


def test_what_is_held_never_exceeds_the_limits() -> None:
    decoder = SSEDecoder(SMALL)
    held = [0]
    with pytest.raises(BadStream):
        held.extend(_fed(decoder))
    assert SMALL.frame / 2 < max(held) <= SMALL.line + SMALL.frame


def _fed(decoder: SSEDecoder) -> Iterator[int]:
    """What it holds while lines of one event come in, some of them in parts."""
    for number in itertools.count():
        decoder.feed(b"data: " + b"y" * (number % 900) + b"\n" * (number % 3 == 0))
        yield decoder.held


def packed_without_end(text: bytes) -> Iterator[bytes]:
    """gzip that unpacks to a thousand times its size."""
    pack = zlib.compressobj(9, wbits=31)
    while True:
        yield from filter(None, [pack.compress(text * 1_000_000)])


@pytest.mark.parametrize(
    ("text", "limit"), [(b"x", "a line of the stream longer"), (b"data: {}\n\n", "more than 1000 events")]
)
async def test_a_bomb_of_gzip_goes_off_a_little_at_a_time(text: bytes, limit: str) -> None:
    response, body = reply(packed_without_end(text), "gzip")
    with pytest.raises(BadStream, match=limit):
        await read(response)
    assert body.taken < 100_000


async def test_a_bomb_in_place_of_an_answer_or_of_an_error_is_refused_too() -> None:
    response, _ = reply(packed_without_end(b"x"), "gzip")
    with pytest.raises(BadStream, match="a reply larger than 1000000 bytes"):
        await read_whole(response, 1_000_000)
    response, _ = reply(packed_without_end(b"x"), "gzip")
    assert len(await read_error(response)) <= UNPACKED_BYTES


@pytest.mark.parametrize("encoding", ["gzip, gzip", "br", "zstd", "compress"])
async def test_what_was_packed_in_a_way_that_nobody_asked_for_is_refused(encoding: str) -> None:
    response, _ = reply([b"x"], encoding)
    with pytest.raises(BadStream, match="which was not asked for"):
        await read(response)


async def test_what_does_not_unpack_is_refused() -> None:
    response, _ = reply([b"this is no gzip"], "gzip")
    with pytest.raises(BadStream, match="does not unpack"):
        await read(response)


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_what_was_packed_comes_out_whole_however_it_was_cut(size: int) -> None:
    plain = DELTA * 900
    packed = zlib.compress(plain)
    for data, encoding in ((packed, "deflate"), (zlib.compressobj(wbits=31), "gzip")):
        if not isinstance(data, bytes):
            data = data.compress(plain) + data.flush()
        response, _ = reply((data[at : at + size] for at in range(0, len(data), size)), encoding)
        assert len(await read(response)) == 900


@pytest.mark.parametrize("opener", ["[", '{"a":'])
def test_json_that_is_too_deep_is_refused_before_somebody_walks_it(opener: str) -> None:
    def nested(depth: int) -> str:
        closer = "]" if opener == "[" else "}"
        return '{"delta":' + opener * (depth - 1) + ("1" if closer == "}" else "") + closer * (depth - 1) + "}"

    decode_json(nested(MAX_DEPTH))
    for depth in (MAX_DEPTH + 1, 900, 100_000):
        with pytest.raises(ValueError, match="nested too deeply"):
            decode_json(nested(depth))


def test_many_brackets_side_by_side_are_not_deep() -> None:
    assert len(decode_json('{"a":[' + "[]," * 5_000 + "[]]}")["a"]) == 5_001


def test_small_values_that_would_fill_the_memory_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(events_module, "MAX_VALUES", 1_000)
    with pytest.raises(ValueError, match="more than 1000 values"):
        decode_json('{"a":[' + "{}," * 1_001 + "{}]}")
    assert decode_json('{"a":[' + "{}," * 999 + "{}]}")


def test_the_limits_leave_room_for_every_answer_that_makes_sense() -> None:
    """128,000 tokens one by one and the text of them four times; ten large images with three previews, each twice."""
    tokens, frame, image = 128_000, 300, 6_000_000
    assert 2 * tokens < LIMITS.frames
    assert tokens * frame + 4 * tokens * 6 < LIMITS.stream / 4
    assert 10 * image < LIMITS.frame
    assert 5 * image * 5 < LIMITS.stream
    assert 5 * tokens < MAX_VALUES


async def test_a_file_comes_down_in_pieces_and_a_bomb_in_its_place_too() -> None:
    response, _ = reply([b"ab" * 10, b"c", b"", b"d" * 50])
    assert [piece async for piece in pieces_of(response, 20)] == [b"ab" * 10, b"c" + b"d" * 50]
    response, body = reply(packed_without_end(b"x"), "gzip")
    pieces = pieces_of(response, 1_000_000)
    assert 1_000_000 <= len(await anext(pieces)) < 1_000_000 + UNPACKED_BYTES
    assert body.taken < 20_000
    await pieces.aclose()


async def test_a_picture_of_eight_megabytes_leaves_the_loop_to_other_streams() -> None:
    """The longest step on the loop, in time of the processor, against that of reading the whole on it, in the same run."""
    item = {"type": "image_generation_call", "id": "ig_1", "result": "iVBORw0K" * 1_400_000}
    event = json.dumps({"type": "response.output_item.done", "output_index": 0, "item": item}).encode()
    data = b"data: " + event + b"\n\n" + DELTA
    wholes, steps = [], []
    for _ in range(3):  # the best counts: what else runs on the machine takes of its caches
        before = time.thread_time()
        decode_json(str(event, "utf-8"))
        wholes.append(time.thread_time() - before)
        spent = [time.thread_time()]

        def pieces(spent: list[float] = spent) -> Iterator[bytes]:
            for at in range(0, len(data), 65_536):
                spent.append(time.thread_time())
                yield data[at : at + 65_536]

        response, _ = reply(pieces())
        picture, delta = await read(response, LIMITS)
        spent.append(time.thread_time())
        assert isinstance(picture, ItemEvent)
        assert picture.item == item
        assert isinstance(delta, Delta)
        steps.append(max(after - before for before, after in itertools.pairwise(spent)))
    assert min(steps) < 0.6 * min(wholes)
