"""The two WebSocket frames that go by the hundred, to and fro between bytes and text. Whatever else comes, autobahn reads.

See: RFC 6455, section 5.2.
"""

from __future__ import annotations

WHOLE_TEXT = 0x81  # the first byte of a text that is one frame
MASKED = 0x80  # in the second one, beside the length
SHORT_BYTES = 125  # the longest text whose length fits there
HEAD_BYTES = 6  # of a short masked frame: these two, and the mask
MASKS = SHORT_BYTES // 4 + 1

_MEDIUM, _LONG = bytes((WHOLE_TEXT, 126)), bytes((WHOLE_TEXT, 127))


def short_text(data: bytes) -> bytes | None:
    """The text in what is exactly one short masked frame of it; None for all else. Nobody has looked whether it is UTF-8."""
    size = len(data) - HEAD_BYTES
    if not 0 < size <= SHORT_BYTES or data[0] != WHOLE_TEXT or data[1] != MASKED | size:
        return None
    mask = int.from_bytes((data[2:HEAD_BYTES] * MASKS)[:size], "big")
    return (int.from_bytes(data[HEAD_BYTES:], "big") ^ mask).to_bytes(size, "big")


def text_frame(text: str) -> bytes:
    """A whole text for a browser, which gets it without a mask."""
    payload = text.encode()
    size = len(payload)
    if size <= SHORT_BYTES:
        head = bytes((WHOLE_TEXT, size))
    elif size < 1 << 16:
        head = _MEDIUM + size.to_bytes(2, "big")
    else:
        head = _LONG + size.to_bytes(8, "big")
    return head + payload
