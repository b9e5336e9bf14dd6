"""What a model wrote → safe HTML. Model output becomes HTML through here and nowhere else.

`render_blocks` is the canonical form: one string per top-level block, what a reloaded page shows.
`LiveMarkdown` gives the same while the text grows: blocks that have closed, rendered once, and the block
that is still open. Its `finish()` is `render_blocks` of the whole.
"""

from hashlib import blake2b
from sys import getsizeof
from typing import Any

from chat.rendering.blocks import render
from chat.rendering.cache import ByteBoundedCache
from chat.rendering.escape import tidy
from chat.rendering.opened import OpenBlock

CACHE_BYTES = 32 << 20


def _bytes_of(blocks: tuple[str, ...]) -> int:
    return sum(map(getsizeof, blocks)) + 200


_cache: ByteBoundedCache[bytes, tuple[str, ...]] = ByteBoundedCache(CACHE_BYTES, _bytes_of)


def render_blocks(text: str) -> tuple[str, ...]:
    """Return one sanitised HTML string per top-level block of `text`."""
    text = tidy(text)
    key = blake2b(text.encode(), digest_size=16).digest()
    blocks = _cache.get(key)
    if blocks is None:
        blocks = render(text, {})
        _cache.put(key, blocks)
    return blocks


class LiveMarkdown:
    """Markdown that is still being written.

    `closed` holds the blocks that nothing written later can change, but for the definition of a link that
    was used before it; `finish` gives all blocks as they are then. A block closes by complete lines only,
    since the line that is being written can turn out as anything ("2" becomes "2.").
    """

    def __init__(self) -> None:
        self.generation = 0
        self._begin()

    def _begin(self) -> None:
        self._chunks: list[str] = []
        self._fresh: list[str] = []
        self._held = ""
        self._references: dict[str, Any] = {}
        self._closed: list[str] = []
        self._open = OpenBlock("", self._references)

    def append(self, delta: str) -> None:
        if delta:
            self._chunks.append(delta)
            self._fresh.append(delta)

    def replace(self, text: str) -> None:
        """Begin anew with `text`; what was closed no longer counts."""
        self.generation += 1
        self._begin()
        self.append(text)

    @property
    def text(self) -> str:
        if len(self._chunks) > 1:
            self._chunks = ["".join(self._chunks)]
        return self._chunks[0] if self._chunks else ""

    @property
    def closed(self) -> list[str]:
        self._read()
        return self._closed

    @property
    def open_html(self) -> str:
        """The block that is being written, and whatever its last line may begin."""
        self._read()
        return self._open.html()

    def finish(self) -> tuple[str, ...]:
        return render_blocks(self.text)

    def _read(self) -> None:
        if not self._fresh:
            return
        new = self._held + "".join(self._fresh)
        self._fresh.clear()
        # The other half of a line ending or of a character may be in the next delta.
        self._held = new[-1] if new[-1] == "\r" or "\ud800" <= new[-1] <= "\udbff" else ""
        new = tidy(new[: len(new) - len(self._held)])
        self._open.grow(new)
        if "\n" in new:
            self._close()

    def _close(self) -> None:
        while (cut := self._open.ended_at()) is not None:
            text = self._open.text
            self._closed += render(text[:cut], self._references)
            self._open = OpenBlock(text[cut:], self._references)
