"""“Summarize this PDF”, end to end, both ways, over the wire as Azure speaks it."""

from __future__ import annotations

import re
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.conf import settings

from chat import engines
from chat.conversations.ask import Asked, Question, ask
from chat.files import intake
from chat.models import Attachment, Deployment, Provider, ProviderFile, Response, Status, User
from chat.offline.app import OfflineEngine, create_app
from chat.offline.transport import OfflineTransport
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.turns import run
from tests.offline.papers import darwin_pdf

pytestmark = pytest.mark.django_db(transaction=True)


@dataclass
class Azure:
    """The embedded engine as an Azure resource, and what was asked of it."""

    engine: OfflineEngine
    bodies: list[bytes] = field(default_factory=list)

    @property
    def uploads(self) -> list[tuple[str, str]]:
        return [(file.filename, file.purpose) for file in self.engine.store.files.values()]


@pytest_asyncio.fixture
async def azure(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Azure]:
    azure = Azure(create_app(dialect="azure", pace_seconds=0.0, key="k"))

    async def note(request: httpx.Request) -> None:
        azure.bodies.append(await request.aread())

    http = httpx.AsyncClient(transport=OfflineTransport(azure.engine), event_hooks={"request": [note]})
    client = Client(Endpoint("http://azure.invalid/openai/v1/", DIALECTS["azure"], "k", {}), http)
    monkeypatch.setattr(engines, "client_for", lambda provider, deployment=None: client)
    monkeypatch.setattr(engines, "dialect_of", lambda provider: DIALECTS["azure"])
    yield azure
    await http.aclose()
    await azure.engine.aclose()


@pytest.fixture
def paper(owner: User) -> Attachment:
    """A real PDF of ten pages, as it comes in by slices."""
    content = darwin_pdf()
    attachment = intake.begin(owner, "struggle.pdf", len(content))
    for offset in range(0, len(content), settings.FILE_SLICE_BYTES):
        attachment = intake.append_slice(attachment, offset, content[offset : offset + settings.FILE_SLICE_BYTES])
    attachment = intake.finish(attachment)
    assert (attachment.status, attachment.pages) == (Attachment.Status.READY, 10)
    return attachment


async def answer(owner: User, question: Question, conversation: Any = None) -> Response:
    asked: Asked = await sync_to_async(ask)(owner, conversation, question)
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    return await Response.objects.select_related("turn__conversation").aget(pk=asked.response.pk)


@pytest.mark.seed("S1-18", "S1-19")
@pytest.mark.parametrize("policy", ["inline", "file_id"])
async def test_a_pdf_is_summarised_both_ways(
    policy: str, azure: Azure, paper: Attachment, owner: User, deployment: Deployment
) -> None:
    await Provider.objects.filter(pk=deployment.provider_id).aupdate(file_policy=policy)
    question = Question("Summarize this PDF", uuid.uuid4(), [paper.pk])
    response = await answer(owner, question)
    assert response.status == Status.COMPLETED, response.error
    cited = {int(page) for page in re.findall(r"\(p\.\s(\d+)\)", response.text)}
    assert len(cited) >= 3
    assert cited <= set(range(1, 11))
    again = await answer(owner, Question("And in 3 sentences?", uuid.uuid4(), [paper.pk]), response.turn.conversation)
    assert again.status == Status.COMPLETED
    sent_inline = sum(b"data:application/pdf;base64," in body for body in azure.bodies)
    copies = await ProviderFile.objects.acount()
    if policy == "inline":
        assert (sent_inline, azure.uploads, copies) == (2, [], 0)
    else:
        assert (sent_inline, azure.uploads, copies) == (0, [("struggle.pdf", "assistants")], 1)
