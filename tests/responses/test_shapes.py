"""The short cut for usual deltas says what the general way says, whatever comes; and it is taken."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat.responses.errors import BadStream
from chat.responses.events import Delta, Event, event_from_frame
from chat.responses.shapes import MOST_LESSONS, DeltaReader
from chat.responses.sse import Limits, SSEDecoder
from tests.hypothesis_profiles import often
from tests.recordings import HERE
from tests.responses.telling import Tape

KEYS: dict[str, list[object]] = {
    "type": ["response.output_text.delta", "response.reasoning_summary_text.delta", "response.reasoning.delta", "x"],
    "sequence_number": [0, 4, 17, -1, 2**53, 10**16, 1.5, True, None, "4"],
    "item_id": ["msg_1", "", "é", 'a"b', "\n", 7, None],
    "output_index": [0, 3, -1, 10**15, "0", None],
    "content_index": [0, 2, False],
    "summary_index": [0, 1, None],
    "delta": ["Hi", "", "天空 \u2028 \x85", 'with "quotes"', "line\n", "\ud83d", "\0", "\x7f", 5, None],
    "logprobs": [[], [{"delta": "no"}], None],
    "obfuscation": ["xyz", "", "é", "\\"],
    "new": [{"delta": "no", "sequence_number": 9}, [], "x"],
}
NAMES = list(KEYS)
STYLES = [(",", ":"), (", ", ": "), (",", ": "), (" ,", ":")]
STARTS = [
    "event: response.output_text.delta{end}data: ",
    "data: ",
    "data:",
    "event: other{end}data: ",
    ": hello{end}data: ",
]


def frames_of(
    order: bytes, picks: Iterable[bytes], style: int, start: int, *, escaped: bool, end: str
) -> Iterator[bytes]:
    """Frames with the same keys in the same order, as one server would write them."""
    keys = [NAMES[pick % len(NAMES)] for pick in order]  # a key may come twice
    comma, colon = STYLES[style % len(STYLES)]
    for pick in picks:
        values = [KEYS[key][number % len(KEYS[key])] for key, number in zip(keys, pick, strict=False)]
        fields = comma.join(
            f'"{key}"{colon}{json.dumps(value, ensure_ascii=escaped)}' for key, value in zip(keys, values, strict=False)
        )
        text = f"{STARTS[start % len(STARTS)]}{{{fields}}}\n\n".replace("{end}", "\n").replace("\n", end)
        yield text.encode("utf-8", "surrogatepass")  # half a pair as bytes is no UTF-8


def through_general_way(data: bytes) -> list[Event]:
    decoder = SSEDecoder()
    events = (event_from_frame(frame) for frame in decoder.feed(data) + decoder.flush())
    return [event for event in events if event is not None]


def through_reader(chunks: Iterable[bytes]) -> tuple[list[Event], int]:
    """The events, and how many of them took the short cut."""
    reader = DeltaReader()
    found: list[Event] = []
    usual = 0
    for chunk in chunks:
        events, rest = reader.read(chunk)
        usual += len(events)
        found += events
        for frame in reader.feed(rest):
            if (event := event_from_frame(frame)) is not None:
                found.append(event)
                reader.learn(event, frame)
    return found, usual


def told(events: Iterable[Event]) -> list[tuple[type, object]]:
    """All fields of each, `raw` with them, and the order of its keys."""
    return [
        (
            type(event) if type(event).__qualname__ != "Delta" else Delta,
            [
                list(value.items()) if isinstance(value, dict) else value
                for name in event.__match_args__
                for value in [getattr(event, name)]
            ],
        )
        for event in events
    ]


USUAL = bytes([0, 1, 2, 3, 4, 6, 7, 8])


@often
@given(st.binary(min_size=40, max_size=110))
def test_what_comes_out_is_the_same(data: bytes) -> None:
    """Read off a tape, for each draw takes hypothesis longer than the reader a frame."""
    tape = Tape(data)
    style, start, end = tape.pick(range(4)), tape.pick(range(5)), tape.pick(["\n", "\r\n", "\r"])
    order = USUAL if tape.below(2) else tape.raw(10)
    picks = [tape.raw(10) for _ in range(tape.below(9))]
    comes_out_the_same(order, picks, style, start, escaped=bool(tape.below(2)), end=end, joined=bool(tape.below(2)))


@pytest.mark.parametrize(
    ("picks", "escaped", "joined"),
    [([bytes(8)] * 4, True, False), ([bytes(8), bytes([0, 1, 0, 0, 0, 5]), bytes(8)], False, True)],
)
def test_what_once_came_out_different_is_the_same(picks: list[bytes], escaped: bool, joined: bool) -> None:
    comes_out_the_same(USUAL, picks, 0, 0, escaped=escaped, end="\n", joined=joined)


def comes_out_the_same(
    order: bytes, picks: list[bytes], style: int, start: int, *, escaped: bool, end: str, joined: bool
) -> None:
    chunks = list(frames_of(order, picks, style, start, escaped=escaped, end=end))
    data = b"".join(chunks)
    found, _ = through_reader([*chunks[:1], b"".join(chunks[1:])] if joined else chunks)
    assert told(found) == told(through_general_way(data))


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("start", [0, 1, 2])
@pytest.mark.parametrize("style", [0, 1])
@pytest.mark.parametrize("order", [USUAL, USUAL[:6], bytes([0, 3, 4, 6]), bytes([6, 2, 0]), bytes([0, 1, 2, 3, 5, 6])])
def test_all_but_the_first_take_the_short_cut(order: bytes, style: int, start: int, end: str) -> None:
    picks = [bytes(10), bytes([0, 1, 0, 0, 0, 2, 0, 2, 0, 0]), bytes(10)]
    picks = [pick[: len(order)] for pick in picks]
    chunks = list(frames_of(order, picks, style, start, escaped=False, end=end))
    _, usual = through_reader(chunks)
    assert usual == 2
    _, usual = through_reader([chunks[0], b"".join(chunks[1:])])
    assert usual == 2


@pytest.mark.parametrize(
    "name", ["openai_text", "azure_text", "ofox_text", "vllm_text", "ollama_text", "lmstudio_text"]
)
def test_the_deltas_of_these_servers_take_it(name: str) -> None:
    _, deltas, *_ = (HERE / f"{name}.sse").read_bytes().partition(b"output_text.delta")
    chunks = [chunk + b"\n\n" for chunk in (HERE / f"{name}.sse").read_bytes().split(b"\n\n")]
    found, usual = through_reader(chunks * 3)
    assert deltas
    assert usual >= sum(isinstance(event, Delta) for event in found) // 2


def test_a_usual_delta_is_a_delta() -> None:
    chunks = list(frames_of(USUAL, [bytes(8)] * 2, 0, 0, escaped=False, end="\n"))
    (general, usual), count = through_reader(chunks)
    assert count == 1
    assert isinstance(usual, Delta)
    assert usual == general
    assert general == usual
    assert repr(usual) == repr(general)
    assert dataclasses.replace(usual, delta="Ho") != usual
    assert dataclasses.replace(usual, delta="Ho").raw == usual.raw == general.raw


def test_a_server_that_writes_each_in_another_way_is_not_learned_from_for_ever() -> None:
    orders = [bytes([0, 6, 1, 2]), bytes([0, 6, 2, 1])]
    chunks = [
        next(frames_of(orders[number % 2], [bytes(4)], 0, 1, escaped=False, end="\n"))
        for number in range(2 * MOST_LESSONS)
    ]
    _, usual = through_reader([*chunks, chunks[-1]])
    assert usual == sum(chunk == chunks[MOST_LESSONS - 1] for chunk in [*chunks[MOST_LESSONS:], chunks[-1]])


@pytest.mark.parametrize("limits", [Limits(stream=4_000), Limits(frames=20)])
def test_usual_deltas_count(limits: Limits) -> None:
    chunk = next(frames_of(USUAL, [bytes(8)], 0, 0, escaped=False, end="\n"))
    reader = DeltaReader(limits)
    (frame,) = reader.feed(chunk)
    event = event_from_frame(frame)
    assert event is not None
    reader.learn(event, frame)
    assert reader.read(chunk)[0]
    with pytest.raises(BadStream, match=r"a stream (longer than 4000 bytes|of more than 20 events)"):
        reader.read(chunk * 30)
