"""However a stream is written, and wherever the network cuts it, the same frames and the same events come out."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from chat.responses.events import Delta, event_from_frame
from chat.responses.sse import BOM, ServerSentEvent, SSEDecoder
from tests.hypothesis_profiles import often, thorough

# What a line of a stream may be. Each byte of an example picks one.
TEXTS = [
    "",
    " ",
    "x",
    " two blanks",
    "天空 😀",
    "a\u2028b\u2029c\u0085d\x0b\x0c\x1c",
    "\ufeff",
    ":",
    "data: inside",
    "é" * 40,
    '{"type":"response.output_text.delta","sequence_number":4,"item_id":"m","content_index":0,"delta":"Hi \u2028 天"}',
    '{"type":"response.output_text.delta","delta":"\\ud83d"}',
    '{"type":"response.output_text.delta","delta":"\\ude00 \\u0000"}',
    '{"type":"response.completed","response":{"status":"completed","output":[]}}',
    '{"type":"new"',
    "[DONE]",
]
FIELDS = ["data: {}", "data:{}", "event: {}", "event:{}", "id: {}", "retry: {}", ": {}", ":{}", "unknown: {}", "data"]
LINES = [field.format(text) for field in FIELDS for text in TEXTS] + [""] * 64
USUAL = [f"event: name\ndata: {text}\n" for text in TEXTS]  # three lines; with it the shortest way is taken, too
CHARACTERS = [chr(code) for code in range(128)] + 8 * [
    *"\x80\x85\xa0é\u2028\u2029\ufeff\ufffd天😀\U0010ffff",
    *"\ud800\ud83d\ude00\udc00\udfff",
]
ENDS = [b"\n", b"\r", b"\r\n"]


def lines_of(picks: bytes) -> list[str]:
    lines: list[str] = []
    for pick in picks:
        if pick >= len(LINES):
            lines += USUAL[pick % len(USUAL)].split("\n")
        else:
            lines.append(LINES[pick])
    return lines


def frames_in(lines: list[str]) -> Iterator[ServerSentEvent]:
    """What the standard says, line by line, and nothing about bytes."""
    event, data, last_id = "", [], ""
    for line in [*lines, ""]:
        name, _, value = line.partition(":")
        value = value[1:] if value.startswith(" ") else value
        if not line:
            if data:
                yield ServerSentEvent(event, "\n".join(data), last_id)
            event, data = "", []
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)
        elif name == "id":
            last_id = value


def encoded(lines: list[str], ends: bytes, *, bom: bool) -> list[bytes]:
    """The lines with these ends in turn, as one chunk for each frame."""
    chunks = [bytearray(BOM if bom else b"")]
    after_cr = False
    for place, line in enumerate(lines):
        end = ENDS[ends[place % len(ends)] % 3] if ends else b"\n"
        if after_cr and not line and end == b"\n":
            end = b"\r"  # the other would be the rest of the last line's end
        chunks[-1] += line.encode() + end
        after_cr = end == b"\r"
        if not line:
            chunks.append(bytearray())
    return [bytes(chunk) for chunk in chunks]


def in_pieces(data: bytes, cuts: bytes) -> Iterator[bytes]:
    """Cut at these places (as parts of 256), or after each byte when there are none."""
    places = sorted({len(data) * cut // 256 for cut in cuts}) if cuts else range(1, len(data))
    begin = 0
    for place in places:
        yield data[begin:place]
        begin = place
    yield data[begin:]


@thorough
@given(st.binary(min_size=11, max_size=35))
def test_a_stream_says_the_same_however_it_is_written_and_cut(data: bytes) -> None:
    """All of it in one draw, for each takes hypothesis long: eleven bytes for how it is written, the rest for what."""
    how, ends, cuts = data[0], data[1:5], data[5:11]
    says_the_same(data[11:], ends[: how % 5], bom=bool(how & 128), cuts=cuts[: how % 7])


@pytest.mark.parametrize(
    ("picks", "ends", "bom", "cuts"),
    [([255, 240, 250], b"", True, b"\x80"), ([2, 240, 2, 2, 250], b"\0\1\0\0", False, b"")],
)
def test_what_once_was_read_wrong_is_read_right(picks: list[int], ends: bytes, bom: bool, cuts: bytes) -> None:
    says_the_same(bytes(picks), ends, bom=bom, cuts=cuts)


def says_the_same(picks: bytes, ends: bytes, *, bom: bool, cuts: bytes) -> None:
    lines = lines_of(picks)
    expected = list(frames_in(lines))
    chunks = encoded(lines, ends, bom=bom)
    for pieces in (chunks, [b"".join(chunks)], in_pieces(b"".join(chunks), cuts)):
        decoder = SSEDecoder()
        assert [frame for piece in pieces for frame in decoder.feed(piece)] + decoder.flush() == expected


@often
@given(picks=st.binary(max_size=16), escaped=st.booleans(), cuts=st.binary(min_size=1, max_size=4))
@example(picks=bytes([132, 129, 137, 139]), escaped=True, cuts=b"\x10\x90")
@example(picks=b'"\\\r\n\x00', escaped=False, cuts=b"\x90")
def test_a_text_arrives_as_it_was_sent(picks: bytes, escaped: bool, cuts: bytes) -> None:
    """Raw or escaped; only NUL, which no database takes, is replaced."""
    text = "".join(CHARACTERS[pick] for pick in picks)
    if not escaped:
        text = text.encode("utf-8", "replace").decode()  # half a pair can only be sent escaped
    said = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")  # two halves are one
    value = {"type": "response.output_text.delta", "item_id": "m", "output_index": 0, "content_index": 0, "delta": text}
    data = f"event: {value['type']}\ndata: {json.dumps(value, ensure_ascii=escaped)}\n\n".encode()
    decoder = SSEDecoder()
    frames = [frame for chunk in (data, *in_pieces(data, cuts), data) for frame in decoder.feed(chunk)]
    assert len(frames) == 3
    for frame in frames:
        event = event_from_frame(frame)
        assert isinstance(event, Delta)
        assert event.delta == said.replace("\0", "\ufffd")
