"""The short way to read and write a frame says what a library for WebSockets says."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from websockets.frames import Frame, Opcode

from chatsite.frames import SHORT_BYTES, short_text, text_frame


@given(some.binary(min_size=1, max_size=SHORT_BYTES))
def test_a_short_text_is_read_whatever_its_mask(text: bytes) -> None:
    assert short_text(Frame(Opcode.TEXT, text).serialize(mask=True)) == text


@given(
    some.sampled_from([Opcode.BINARY, Opcode.CLOSE, Opcode.PING, Opcode.PONG, Opcode.CONT]), some.binary(max_size=50)
)
def test_another_kind_of_frame_is_not(kind: Opcode, data: bytes) -> None:
    assert short_text(Frame(kind, data).serialize(mask=True)) is None


def test_nor_is_what_is_not_exactly_one_whole_short_masked_frame() -> None:
    whole = Frame(Opcode.TEXT, b"a text").serialize(mask=True)
    assert short_text(whole) == b"a text"
    for part in range(len(whole)):
        assert short_text(whole[:part]) is None
    assert short_text(whole + whole) is None
    assert short_text(whole + b"\x81") is None
    assert short_text(Frame(Opcode.TEXT, b"a text").serialize(mask=False)) is None
    assert short_text(Frame(Opcode.TEXT, b"a text", fin=False).serialize(mask=True)) is None
    assert short_text(bytes((whole[0] | 0x40, *whole[1:]))) is None  # compressed
    assert short_text(Frame(Opcode.TEXT, b"").serialize(mask=True)) is None
    for size in (SHORT_BYTES + 1, SHORT_BYTES + 2, 200, 70_000):
        assert short_text(Frame(Opcode.TEXT, b"x" * size).serialize(mask=True)) is None


def test_a_text_is_written_as_the_library_writes_it() -> None:
    for size in (0, 1, 124, 125, 126, 127, 128, 255, 256, 65_535, 65_536, 1_000_000):
        text = "x" * size
        assert text_frame(text) == Frame(Opcode.TEXT, text.encode()).serialize(mask=False)
    assert text_frame("für 東京") == Frame(Opcode.TEXT, "für 東京".encode()).serialize(mask=False)
