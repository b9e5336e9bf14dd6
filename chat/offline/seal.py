"""What the engine gives away for safekeeping and reads again: opaque to everybody else, refused when changed.

Reasoning and compacted conversations travel so. The key lives as long as the engine, as a provider's does as
long as organisation and model stay the same; what another engine sealed is refused like a foreign one's.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import secrets
import zlib
from typing import Any

_NONCE_BYTES = 16
_TAG_BYTES = 16
_BLOCK_BYTES = 64


class NotOurs(ValueError):
    """Sealed by somebody else, or changed on its way."""


class Seal:
    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def close(self, value: Any) -> str:
        """Seal a JSON value."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        hidden = self._mask(zlib.compress(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace")), nonce)
        return base64.urlsafe_b64encode(nonce + hidden + self._tag(nonce + hidden)).decode()

    def open(self, sealed: str) -> Any:
        """Read what `close` made. Raises NotOurs."""
        try:
            raw = base64.b64decode(sealed.encode(), altchars=b"-_", validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise NotOurs("not base64") from error
        body, tag = raw[:-_TAG_BYTES], raw[-_TAG_BYTES:]
        if len(body) <= _NONCE_BYTES or not hmac.compare_digest(tag, self._tag(body)):
            raise NotOurs("another key, or changed")
        return json.loads(zlib.decompress(self._mask(body[_NONCE_BYTES:], body[:_NONCE_BYTES])))

    def _mask(self, data: bytes, nonce: bytes) -> bytes:
        """Xor with a stream of keyed hashes; the same operation hides and shows."""
        stream = b"".join(
            hashlib.blake2b(nonce + count.to_bytes(8, "big"), key=self._key).digest()
            for count in range(-(-len(data) // _BLOCK_BYTES))
        )
        masked = int.from_bytes(data, "big") ^ int.from_bytes(stream[: len(data)], "big")
        return masked.to_bytes(len(data), "big")

    def _tag(self, body: bytes) -> bytes:
        return hashlib.blake2b(body, key=self._key, digest_size=_TAG_BYTES, person=b"tag").digest()
