"""Frames come out the same however the bytes were cut."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.responses.errors import BadStream
from chat.responses.sse import Limits, ServerSentEvent, SSEDecoder
from tests.responses.wire import NAMES, frames_of, recording

AWKWARD = (
    '\ufeffevent: a\ndata: {"text":"天空 😀 \u2028\u2029\u0085\x0b\x0c\x1c end"}\n\n: ping\n\n'
    "data: first\ndata:second\ndata\nevent: b\nid: 7\nretry: 3\nunknown: x\n\n"
    "event: without data\n\ndata: [DONE]\n\n"
).encode()
EXPECTED = [
    ServerSentEvent("a", '{"text":"天空 😀 \u2028\u2029\u0085\x0b\x0c\x1c end"}'),
    ServerSentEvent("b", "first\nsecond\n", "7"),
    ServerSentEvent("", "[DONE]", "7"),
]


def in_pieces(*pieces: bytes) -> list[ServerSentEvent]:
    decoder = SSEDecoder()
    frames = [frame for piece in pieces for frame in decoder.feed(piece)]
    return frames + decoder.flush()


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
def test_frames_survive_a_cut_at_every_byte(line_end: bytes) -> None:
    data = AWKWARD.replace(b"\n", line_end)
    expected = in_pieces(data)
    assert expected == EXPECTED
    for cut in range(len(data) + 1):
        assert in_pieces(data[:cut], data[cut:]) == expected, cut
    assert in_pieces(*(data[i : i + 1] for i in range(len(data)))) == expected


@pytest.mark.parametrize("name", NAMES)
def test_recordings_survive_a_cut_at_every_byte(name: str) -> None:
    data = recording(name)
    expected = frames_of(data)
    assert len(expected) > 2
    for cut in range(0, len(data), max(1, len(data) // 400)):
        assert in_pieces(data[:cut], data[cut:]) == expected
    assert in_pieces(*(data[i : i + 1] for i in range(len(data)))) == expected
    assert in_pieces(data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")) == expected


def test_line_separators_of_unicode_do_not_end_a_line() -> None:
    assert frames_of('data: {"t":"a\u2028b\u0085c"}\n\n'.encode())[0].data == '{"t":"a\u2028b\u0085c"}'


def test_a_line_feed_after_a_carriage_return_in_another_chunk_is_no_empty_line() -> None:
    assert in_pieces(b"data: a\r", b"", b"\ndata: b\r", b"\n\r\n") == [ServerSentEvent("", "a\nb")]


def test_flush_gives_the_frame_that_nobody_closed() -> None:
    assert in_pieces(b"data: a") == [ServerSentEvent("", "a")]
    assert in_pieces(b": only a comment") == []


def test_bytes_that_are_no_utf8_are_replaced() -> None:
    assert frames_of(b"data: a\xff\xfeb\n\n")[0].data == "a��b"


def test_a_line_without_end_is_refused_before_it_fills_the_memory() -> None:
    decoder = SSEDecoder(Limits(line=1000))
    for _ in range(10):
        decoder.feed(b"x" * 100)
    with pytest.raises(BadStream, match="a line of the stream longer than 1000 bytes"):
        decoder.feed(b"x")


def test_a_frame_of_endless_lines_is_refused() -> None:
    decoder = SSEDecoder(Limits(frame=10_000))
    with pytest.raises(BadStream, match="an event of the stream larger than 10000 bytes"):
        decoder.feed(b"data:\n" * 1000)


def test_frames_below_the_limit_pass_however_many() -> None:
    decoder = SSEDecoder(Limits(line=1000, frame=1000))
    assert sum(len(decoder.feed(b"data: " + b"x" * 500 + b"\n\n")) for _ in range(100)) == 100


@pytest.mark.quiet
def test_single_bytes_take_linear_time() -> None:
    def seconds(size: int) -> float:
        decoder = SSEDecoder()
        started = time.process_time()
        for _ in range(size):
            decoder.feed(b"x")
        decoder.feed(b"\n\n")
        return time.process_time() - started

    # Eight times the bytes: eight times the time when linear, 64 times when quadratic.
    assert min(seconds(160_000) for _ in range(3)) < 24 * min(seconds(20_000) for _ in range(3))


@given(st.lists(st.sampled_from([b"data: x", b"event: e", b":", b"\n", b"\r", b"\r\n", b"\n\n", b"\xe5\xa4", b"\xa9"])))
@hypothesis_settings(max_examples=200)
def test_any_cut_of_any_bytes_gives_the_same_frames(pieces: list[bytes]) -> None:
    assert in_pieces(*pieces) == in_pieces(b"".join(pieces))


@given(st.binary(max_size=300))
@hypothesis_settings(max_examples=100)
def test_garbage_never_raises(data: bytes) -> None:
    in_pieces(data)
