"""Tables and other data go into the container of the code interpreter, for as long as their conversation is asked on."""

from __future__ import annotations

import json
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from pytest_django import Settings

from chat import engines
from chat.conversations.ask import Question, ask
from chat.models import Attachment, Conversation, Deployment, ProviderFile, Response, Status, User
from chat.offline.app import OfflineEngine, create_app
from chat.offline.transport import OfflineTransport
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.turns import run
from tests.rows import make_attachment

pytestmark = pytest.mark.django_db(transaction=True)


class Azure:
    """The embedded engine as an Azure resource, and the bodies of the questions to it."""

    def __init__(self, engine: OfflineEngine) -> None:
        self.engine = engine
        self.uploads = 0
        self.questions: list[dict[str, Any]] = []

    async def note(self, request: httpx.Request) -> None:
        self.uploads += request.method == "POST" and request.url.path.endswith("/files")
        if request.url.path.endswith("/responses") and (body := json.loads(await request.aread())).get("tools"):
            self.questions.append(body)

    @property
    def in_container(self) -> list[str]:
        return list(self.questions[-1]["tools"][0]["container"].get("file_ids", []))

    @property
    def texts(self) -> list[str]:
        content = self.questions[-1]["input"][-1]["content"]
        return [part["text"] for part in content]


@pytest_asyncio.fixture
async def azure(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Azure]:
    await Deployment.objects.filter(pk=deployment.pk).aupdate(code_interpreter=True)
    azure = Azure(create_app(dialect="azure", pace_seconds=0.0, key="k"))
    http = httpx.AsyncClient(transport=OfflineTransport(azure.engine), event_hooks={"request": [azure.note]})
    client = Client(Endpoint("http://azure.invalid/openai/v1/", DIALECTS["azure"], "k", {}), http)
    monkeypatch.setattr(engines, "client_for", lambda provider, deployment=None, **_: client)
    monkeypatch.setattr(engines, "dialect_of", lambda provider: DIALECTS["azure"])
    yield azure
    await http.aclose()
    await azure.engine.aclose()


@pytest.fixture
def table(settings: Settings, tmp_path: Path, owner: User) -> Attachment:
    settings.MEDIA_ROOT = tmp_path
    return make_attachment(
        owner, "sales.csv", b"month,sum\n1,10\n2,20\n", media_type="text/csv", sha256="cc", pages=None
    )


async def answer(owner: User, text: str, talk: Conversation | None = None, *files: Attachment) -> Response:
    asked = await sync_to_async(ask)(owner, talk, Question(text, uuid.uuid4(), [file.pk for file in files]))
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.select_related("turn__conversation").aget(pk=asked.response.pk)
    assert response.status == Status.COMPLETED, response.error
    return response


async def test_a_table_is_there_for_the_code_in_each_question_of_its_conversation(
    azure: Azure, owner: User, table: Attachment
) -> None:
    first = await answer(owner, "Hello.")
    assert azure.in_container == []

    await answer(owner, "What is the sum?", first.turn.conversation, table)
    copy = await ProviderFile.objects.aget()
    assert azure.in_container == [copy.file_id]
    assert azure.texts == [
        "[The attached file “sales.csv” lies in /mnt/data, for your Python tool.]",
        "What is the sum?",
    ]

    await answer(owner, "And the mean?", first.turn.conversation)
    assert azure.in_container == [copy.file_id]
    assert azure.uploads == 1

    await answer(owner, "Hello again.")
    assert azure.in_container == [], "another conversation"


async def test_what_the_provider_lost_goes_up_again(azure: Azure, owner: User, table: Attachment) -> None:
    first = await answer(owner, "What is the sum?", None, table)
    azure.engine.store.files.clear()
    await answer(owner, "And the mean?", first.turn.conversation)
    assert azure.uploads == 2
    assert azure.in_container == [(await ProviderFile.objects.aget()).file_id]


async def test_a_model_that_runs_no_code_is_not_asked(azure: Azure, owner: User, table: Attachment) -> None:
    await Deployment.objects.aupdate(code_interpreter=False)
    asked = await sync_to_async(ask)(owner, None, Question("Sum?", uuid.uuid4(), [table.pk]))
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    await asked.response.arefresh_from_db()
    assert asked.response.status == Status.FAILED
    assert "only be read by a model that runs code" in asked.response.error["message"]
    assert azure.questions == []
