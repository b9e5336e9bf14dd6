"""Whatever a server sends: an answer, or an error of the tree. Never another exception, never more memory than allowed."""

from __future__ import annotations

import json
import re
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from chat.responses.errors import ResponsesError
from chat.responses.events import event_from_frame
from chat.responses.fold import Draft
from chat.responses.sse import Limits, SSEDecoder
from tests.hypothesis_profiles import thorough
from tests.responses.wire import NAMES, events_of, recording

LIMITS = [Limits(), Limits(line=400, frame=900, stream=3_000, frames=9), Limits(line=50, frame=120), Limits(frames=2)]

# Lines of any stream, whole and broken; each byte of an example picks one, or stands for itself.
FRAGMENTS = [
    b"\n", b"\n\n", b"\r", b"\r\n", b"data: ", b"data:", b"event: ", b"id: ", b": ", b"{", b"}", b"[", b"]", b'"', b",",
    b'{"type":"response.output_text.delta","delta":"', b'{"type":"response.completed","response":{"output":[',
    b'"error":{"message":', b"\\u0000", b"\\ud83d", b"\\ude00", b"NaN", b"-Infinity", b"1e999", b"9" * 5_000, b"[" * 300,
    b'{"a":' * 300, b"[DONE]", b"\xef\xbb\xbf", b"\xe5\xa4", b"\xff", b"event: response.failed\ndata: {}\n\n",
]  # fmt: skip

FRAMES = [
    frame for name in NAMES for frame in re.split(rb"(?<=\n\n)", recording(name).replace(b"\r\n", b"\n")) if frame
]

_BY_TYPE: dict[str, Any] = {event.type: event.raw for name in NAMES for event in events_of(name)}
EVENTS = [*_BY_TYPE.values(), {"type": "error"}, {"type": "response.error"}, {"type": ""}, {}]
KEYS = sorted({key for event in EVENTS for key in event} | {"error"})
ODD: list[Any] = [
    None, True, False, 0, 1, -1, 2**53, 2**70, 0.5, 1e308, "", "x", "msg_1", "completed", "in_progress", "\0", "\ud83d",
    "\ude00", [], {}, [[]], [None, 1, "x", {}], {"": None}, {"id": 1, "type": 2, "content": 3, "status": 4},
    {"type": "message", "content": "words", "id": "msg_1"}, {"type": "message", "content": [None, {"type": ["x"]}]},
    {"type": "output_text", "text": 7, "annotations": {}}, {"type": "summary_text", "text": None},
    {"type": "function_call", "call_id": 5, "arguments": {"a": 1}}, {"code": 5, "message": ["x"], "param": {}},
    {"output": [None, {"type": None}], "usage": [], "error": "words", "incomplete_details": "x", "status": {}},
    {"type": "web_search_call", "id": "w", "action": {"score": float("nan"), "limit": float("inf")}},
    {"reason": ["content_filter"]}, {"type": "reasoning", "summary": "words", "encrypted_content": 1},
]  # fmt: skip
VALUES = [
    *ODD,
    *(event["item"] for event in EVENTS if event.get("item")),
    *(event["response"] for event in EVENTS if event.get("response")),
]


def survives(data: bytes, size: int, limits: Limits) -> None:
    """Read it in chunks of that size, as the client does, and look at everything that can be asked of the draft."""
    decoder, draft = SSEDecoder(limits), Draft()
    most = 3 * limits.line + limits.frame  # a line, the name and the id of the event, and its data
    try:
        for begin in range(0, len(data), size):
            for frame in decoder.feed(data[begin : begin + size]):
                if (event := event_from_frame(frame)) is not None:
                    draft.apply(event)
            assert decoder.held <= most
        for frame in decoder.flush():
            if (event := event_from_frame(frame)) is not None:
                draft.apply(event)
    except ResponsesError:
        pass  # which is an answer, too; what came before it stays
    output = draft.output()
    # What the database is given, as it takes it.
    json.dumps([output, draft.usage, draft.error], ensure_ascii=False, allow_nan=False).encode()
    json.dumps([draft.text(), draft.notice(), draft.model, draft.response_id], ensure_ascii=False).encode()
    assert len(draft.function_calls()) + len(draft.approval_requests()) <= len(output)
    if (failure := draft.failure()) is not None:
        assert failure.user_message
        assert "\n" not in str(failure)


# One draw for an example, for hypothesis takes longer over a second one than the client over a stream: the first two
# bytes choose the size of the chunks and the limits.


def how(data: bytes, most: int) -> tuple[int, Limits]:
    return 1 + data[0] % most, LIMITS[data[1] % len(LIMITS)]


@thorough
@given(st.binary(min_size=2, max_size=122))
@example(bytes([79, 1]) + b"data: {}\n\n" * 12)
def test_any_bytes_are_survived(data: bytes) -> None:
    survives(data[2:], *how(data, most=80))


@thorough
@given(st.binary(min_size=2, max_size=42))
def test_any_fragments_of_a_stream_are_survived(data: bytes) -> None:
    fragments = (FRAGMENTS[p % len(FRAGMENTS)] if p < 224 else bytes([p]) for p in data[2:])
    survives(b"".join(fragments), *how(data, most=256))


@thorough
@given(picks=st.binary(max_size=40))
def test_any_json_in_any_event_is_survived(picks: bytes) -> None:
    """Real events in any order, in which each field may hold anything. Five bytes make an event."""
    frames = []
    for begin in range(0, len(picks) - 4, 5):
        kind, *changes = picks[begin : begin + 5]
        event = dict(EVENTS[kind % len(EVENTS)])
        for key, value in (changes[:2], changes[2:]):
            known = list(event) or KEYS
            event[known[key % len(known)] if key < 192 else KEYS[key % len(KEYS)]] = VALUES[value % len(VALUES)]
        frames.append(f"data: {json.dumps(event)}\n\n".encode())
    survives(b"".join(frames), 4096, LIMITS[0])


@thorough
@given(picks=st.binary(max_size=20), flips=st.binary(max_size=9), cut=st.integers(0, 400))
def test_recordings_that_were_damaged_are_survived(picks: bytes, flips: bytes, cut: int) -> None:
    """Frames of recordings left out, repeated and in another order; some bits changed; broken off somewhere."""
    data = bytearray()
    for low, high in zip(picks[::2], picks[1::2], strict=False):
        data += FRAMES[(low + 256 * high) % len(FRAMES)]
    for low, high, bits in zip(flips[::3], flips[1::3], flips[2::3], strict=False):
        if data:
            data[(low + 256 * high) % len(data)] ^= bits
    survives(bytes(data[: len(data) - cut] if cut < 200 else data), 700, LIMITS[0])


def test_a_status_that_is_no_word_is_survived() -> None:
    survives(b'data: {"type":"response.completed","response":{"status":{},"id":[],"output":"x"}}\n\n', 400, LIMITS[0])
