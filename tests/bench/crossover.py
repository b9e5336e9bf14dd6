"""From which size on a PDF is better uploaded once than sent inside the request: `python -m tests.bench.crossover`.

Against a provider that reads at the pace of a line to it and pauses before each reply, as one far away does that checks
and stores what it is given. The same bytes go up by the same client as in the product. Prints for each line and size how
long one question takes until its answer begins, the first one and one that sends the file again, and the size at which
both ways cost the same. `limits.AUTO_INLINE_BYTES` says what came of it.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from chat.responses.client import Client, Endpoint
from chat.responses.content import DataURL
from chat.responses.dialects import DIALECTS
from chat.responses.transport import open_http
from tests.turns.sink import sink

MEGABYTE = 1024 * 1024
SIZES = (0.25, 1, 4, 8)
PAUSE = 0.3  # what a provider takes besides the bytes: a round trip, and to check and store a file
LINES = {"20 Mbit/s": 2.5, "50 Mbit/s": 6.25, "200 Mbit/s": 25.0}  # MB/s


@dataclass(frozen=True)
class Took:
    """Seconds until the answer began."""

    megabytes: float
    inline: float
    by_id: float
    named_again: float


async def measure(client: Client, path: Path) -> Took:
    inline = {"type": "input_file", "filename": "a.pdf", "file_data": DataURL(path, "application/pdf")}
    within = await _asked(client, inline)
    began = time.perf_counter()
    copy = await client.upload_file(path, "a.pdf", "application/pdf")
    uploading = time.perf_counter() - began
    again = await _asked(client, {"type": "input_file", "file_id": copy["id"]})
    return Took(path.stat().st_size / MEGABYTE, within, uploading + again, again)


async def _asked(client: Client, part: dict[str, object]) -> float:
    began = time.perf_counter()
    body = {"model": "m", "input": [{"type": "message", "role": "user", "content": [part]}]}
    async with client.stream(body) as events:
        async for _ in events:
            break
    return time.perf_counter() - began


def crossover(took: Iterable[Took], uses: int) -> float:
    """The megabytes at which a file that is sent so often costs the same both ways, by straight lines through what was seen."""
    small, large = min(took, key=lambda each: each.megabytes), max(took, key=lambda each: each.megabytes)

    def lost(each: Took) -> float:
        return uses * each.inline - (each.by_id + (uses - 1) * each.named_again)

    slope = (lost(large) - lost(small)) / (large.megabytes - small.megabytes)
    return small.megabytes - lost(small) / slope


async def main() -> None:
    print(f"{'line':>12} {'MB':>6} {'inline':>8} {'by id':>8} {'again':>8}")
    for line, rate in LINES.items():
        with sink(wait=PAUSE, rate=rate * MEGABYTE) as url:
            took = await _all_sizes(url)
        for each in took:
            print(f"{line:>12} {each.megabytes:>6} {each.inline:>8.2f} {each.by_id:>8.2f} {each.named_again:>8.2f}")
        found = ", ".join(f"{uses}: {crossover(took, uses):.1f} MB" for uses in (1, 2, 5))
        print(f"{line:>12} the same, sent so many times: {found}")


async def _all_sizes(url: str) -> list[Took]:
    took = []
    async with open_http(trust_env=False) as http:
        client = Client(Endpoint(url, DIALECTS["openai"], "k", {}), http)
        for size in SIZES:
            with tempfile.NamedTemporaryFile(prefix="crossover-") as file:
                file.write(os.urandom(int(size * MEGABYTE)))
                file.flush()
                took.append(await measure(client, Path(file.name)))
    return took


if __name__ == "__main__":
    asyncio.run(main())
