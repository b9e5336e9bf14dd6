"""A file of 50 MB goes to a provider in little memory, and everybody else's answers go on meanwhile."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.files.base import File
from pytest_django import Settings

from chat import engines
from chat.conversations.ask import Question, ask
from chat.models import Attachment, Conversation, Deployment, Provider, Response, Status, User
from chat.turns import run
from tests.rows import make_attachment, make_deployment
from tests.turns.sink import seen, sink

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.quiet]

MEGABYTE = 1024 * 1024
SIZE = 50 * MEGABYTE
MOST_GROWTH = 64 * MEGABYTE
MOST_STALL = 0.050


@pytest.fixture
def large(tmp_path: Path, settings: Settings, owner: User) -> Attachment:
    settings.MEDIA_ROOT = tmp_path / "media"
    path = tmp_path / "large.pdf"
    with path.open("wb") as file:
        for _ in range(SIZE // MEGABYTE):
            file.write(os.urandom(MEGABYTE))
    large = Attachment(owner=owner, name="large.pdf", media_type="application/pdf", size=SIZE, sha256="aa", pages=1)
    large.status = Attachment.Status.READY
    with path.open("rb") as file:
        large.file.save("a", File(file), save=False)
    large.save()
    path.unlink()
    return large


@pytest.fixture
def provider_url() -> Iterator[str]:
    with sink() as url:
        yield url


class Watch:
    """The peak of this process's memory, and the longest time in which its event loop did nothing else."""

    def __init__(self) -> None:
        self.stall = 0.0
        self.growth = 0

    async def __aenter__(self) -> Watch:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        self._before = _memory("VmRSS")
        self._task = asyncio.create_task(self._look())
        return self

    async def __aexit__(self, *_: Any) -> None:
        self._task.cancel()
        self.growth = _memory("VmHWM") - self._before

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            before = loop.time()
            await asyncio.sleep(0.001)
            self.stall = max(self.stall, loop.time() - before - 0.001)


def _memory(name: str) -> int:
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) * 1024


def served(url: str, dialect: str, policy: str) -> Deployment:
    deployment = make_deployment("m-2", provider="Far", dialect=dialect)
    capabilities = {"pdf_input": True, "max_inline_file_bytes": SIZE}
    Provider.objects.filter(name="Far").update(
        base_url=url, file_policy=policy, auth=Provider.Auth.NONE, capabilities=capabilities
    )
    return deployment


async def answer(owner: User, deployment: Deployment, file: Attachment, talk: Conversation | None = None) -> Response:
    question = Question("What is in it?", uuid.uuid4(), [file.pk], deployment.pk)
    asked = await sync_to_async(ask)(owner, talk, question)
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.select_related("turn__conversation").aget(pk=asked.response.pk)
    assert response.status == Status.COMPLETED, response.error
    return response


@pytest.mark.parametrize(
    ("dialect", "policy", "sent"),
    [
        pytest.param("openai", "inline", 1, id="inline"),
        pytest.param("ofox", "inline", 2, id="twice, in a history that is sent whole"),
        pytest.param("openai", "file_id", 1, id="by id"),
    ],
)
async def test_fifty_megabytes_go_up_from_the_disk(
    dialect: str, policy: str, sent: int, owner: User, large: Attachment, provider_url: str
) -> None:
    deployment = await sync_to_async(served)(provider_url, dialect, policy)
    # The first question of a process connects and imports; what is measured is the second one.
    small = await sync_to_async(make_attachment)(owner, "small.pdf", b"%PDF-1.4", sha256="bb")
    talk = (await answer(owner, deployment, small)).turn.conversation
    if sent == 2:
        await answer(owner, deployment, large, talk)
    before = len(seen(provider_url))

    async with Watch() as watch:
        response = await answer(owner, deployment, large, talk)

    requests = seen(provider_url)[before:]
    print(f"{dialect} {policy}: grew by {watch.growth / MEGABYTE:.1f} MB, stalled {watch.stall * 1000:.1f} ms")
    if policy == "file_id":
        assert [request["path"] for request in requests] == ["/v1/files", "/v1/responses"]
        assert SIZE < requests[0]["size"] < SIZE + 1000
    else:
        assert [request["path"] for request in requests] == ["/v1/responses"]
        assert requests[0]["size"] > sent * SIZE * 4 / 3
    assert response.input[0]["content"][0] == {"type": "attachment", "id": str(large.pk)}
    assert watch.growth <= MOST_GROWTH
    assert watch.stall <= MOST_STALL
    await engines.close()
