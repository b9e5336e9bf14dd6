"""While a question with 50 MB goes up to a provider, the answers of others come as before. The whole product, measured."""

from __future__ import annotations

import os
import re
import sqlite3
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.models.conversations import TERMINAL
from tests.bench.answers import Order
from tests.bench.crowd import PAGE_HEADERS, Asked, Outcome
from tests.bench.product import Product, Stage, stage
from tests.files.makers import make_pdf
from tests.turns.sink import seen, sink

pytestmark = pytest.mark.quiet

MEGABYTE = 1024 * 1024
SIZE = 50 * MEGABYTE
MOST_GROWTH_MB = 64
MOST_RATIO = 1.5
UNREST_MS = 10.0  # within which the machine decides, on which the provider and the readers run as well
ROUNDS = 3
QUESTION = "What is in it?"
STREAMS, PER_SECOND, SECONDS = 10, 20, 3
RATE = 50 * MEGABYTE  # what the provider reads in a second: a line of 400 Mbit/s, used up


class Person:
    """Somebody with one large file, who asks about it again and again."""

    def __init__(self, product: Product, url: str, folder: Path) -> None:
        (person,) = product.people(1)
        self._url = url
        self._data = product.server.data_dir
        address = f"http://127.0.0.1:{product.port}"
        self._http = httpx.Client(base_url=address, headers=PAGE_HEADERS, trust_env=False, timeout=60)
        page = self._http.get("/", headers={"Cookie": f"sessionid={person['cookie']}"})
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', page.text)
        assert token, page.text
        cookies = f"sessionid={person['cookie']}; csrftoken={page.cookies['csrftoken']}"
        self._headers = {"Cookie": cookies, "X-CSRFToken": token[1]}
        self._deployment = self.sql("SELECT id FROM chat_deployment WHERE name = 'far'")
        self._file = self._upload(make_pdf(folder / "large.pdf", ["A page."]).read_bytes())
        self._grow()

    def close(self) -> None:
        self._http.close()

    def has_it_sent(self, policy: str) -> None:
        able = f'{{"max_inline_file_bytes": {2 * SIZE}, "max_upload_bytes": {2 * SIZE}}}'
        self.sql(f"UPDATE chat_provider SET file_policy = '{policy}', capabilities = '{able}' WHERE name = 'Far'")

    def sql(self, command: str) -> Any:
        """The first field of the first row. What no page can set is set past them."""
        with closing(sqlite3.connect(self._data / "chat.sqlite3", timeout=20, isolation_level=None)) as rows:
            row = rows.execute(command).fetchone()
        return row[0] if row else None

    def _upload(self, content: bytes) -> str:
        form = {"name": "large.pdf", "size": str(len(content))}
        chip = self._http.post("/files/", data=form, headers=self._headers).text
        found = re.search(r'data-upload-url="(/files/([^/]+)/slice/)"', chip)
        assert found, chip
        offset = {"Upload-Offset": "0", "Content-Type": "application/octet-stream"}
        answer = self._http.put(found[1], content=content, headers={**self._headers, **offset})
        assert "chip--ready" in answer.text
        return found[2]

    def _grow(self) -> None:
        """Fifty megabytes more, behind its back: how they come in is measured elsewhere."""
        stored = self.sql("SELECT file FROM chat_attachment WHERE name = 'large.pdf'")
        with (self._data / "media" / stored).open("ab") as file:
            for _ in range(SIZE // MEGABYTE):
                file.write(os.urandom(MEGABYTE))
            size = file.tell()
        self.sql(f"UPDATE chat_attachment SET size = {size} WHERE name = 'large.pdf'")

    def ask_until(self, moment: float) -> int:
        """How often the whole file went up."""
        before = self._times()
        while time.monotonic() < moment:
            self._ask()
            while (status := self._status()) not in TERMINAL:
                time.sleep(0.02)
            assert status == "completed"
            self.sql("DELETE FROM chat_providerfile")
        return self._times() - before

    def _status(self) -> str:
        return str(self.sql(f"SELECT status FROM chat_turn WHERE question = '{QUESTION}' ORDER BY id DESC"))

    def _times(self) -> int:
        return sum(request["size"] > SIZE for request in seen(self._url))

    def _ask(self) -> None:
        fields = {"question": QUESTION, "key": str(uuid.uuid4()), "attachment": self._file}
        answer = self._http.post("/ask/", data={**fields, "deployment": str(self._deployment)}, headers=self._headers)
        assert answer.status_code == 302, answer.text[:500]


def answers(ours: Stage, group: str) -> Outcome:
    words = PER_SECOND * SECONDS
    return ours.run(group, [Asked(Order(number, words, PER_SECOND, None), number) for number in range(STREAMS)])


def memory(pid: int, name: str) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(name))


def test_fifty_megabytes_go_up_beside_the_answers_of_others(tmp_path: Path) -> None:
    far = {"RESPONSES_NAME": "Far", "RESPONSES_DIALECT": "openai", "RESPONSES_MODELS": "far"}
    with (
        sink(rate=RATE) as url,
        stage() as ours,
        ours.product(pinned=False, RESPONSES_BASE_URL=url, **far) as product,
        closing(Person(product, url, tmp_path)) as person,
        ours.people(product.people(STREAMS)) as group,
    ):
        answers(ours, group)  # the first ones find nothing loaded
        for policy in ("inline", "file_id"):
            person.has_it_sent(policy)
            person.ask_until(time.monotonic() + 0.01)
            # What the server does to the answers it does each time; what the machine does, it does now and then.
            assert any(rounds(ours, group, product, person, policy))


def rounds(ours: Stage, group: str, product: Product, person: Person, policy: str) -> Iterator[bool]:
    """Whether the words of others come hardly later than without, in each of so many rounds."""
    for _ in range(ROUNDS):
        quiet = answers(ours, group)
        before = memory(product.pid, "VmRSS")
        Path(f"/proc/{product.pid}/clear_refs").write_text("5")  # the peak begins anew
        with ThreadPoolExecutor(1) as beside:
            sending = beside.submit(person.ask_until, time.monotonic() + SECONDS - 1)
            busy = answers(ours, group)
            times = sending.result()
        growth = (memory(product.pid, "VmHWM") - before) / MEGABYTE
        print(f"{policy}: {times} times, p99 {quiet.p99_ms:.1f} → {busy.p99_ms:.1f} ms, grew by {growth:.1f} MB")
        assert quiet.complete == busy.complete == STREAMS
        assert times >= 1
        assert growth <= MOST_GROWTH_MB
        yield busy.p99_ms <= max(MOST_RATIO * quiet.p99_ms, quiet.p99_ms + UNREST_MS)
