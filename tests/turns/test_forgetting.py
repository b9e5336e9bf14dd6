"""What was deleted goes at the provider as well, sooner or later; against the embedded engine as Azure speaks."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.core.files.base import ContentFile
from django.utils import timezone
from pytest_django import Settings

from chat import engines
from chat.conversations import forget, keep
from chat.conversations.ask import Question, ask
from chat.engines import KeyMissing
from chat.models import Attachment, Conversation, Deployment, Forgetting, Provider, ProviderFile, Response, Status, User
from chat.offline.app import OfflineEngine, create_app
from chat.offline.faults import Scripts
from chat.offline.transport import OfflineTransport
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.turns import forgetting, run
from tests.files.makers import make_pdf
from tests.rows import make_attachment, make_conversation, make_turn

pytestmark = pytest.mark.django_db(transaction=True)

Kind = Forgetting.Kind


@dataclass
class Azure:
    """The embedded engine as an Azure resource, and what was asked of it."""

    engine: OfflineEngine
    asked: list[tuple[str, str]] = field(default_factory=list)

    @property
    def uploads(self) -> int:
        return self.asked.count(("POST", "/openai/v1/files"))

    @property
    def files(self) -> list[str]:
        return list(self.engine.store.files)

    def script(self, *faults: str) -> None:
        self.engine.faults = Scripts(faults, from_header=False)


@pytest_asyncio.fixture
async def azure(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Azure]:
    await Provider.objects.filter(pk=deployment.provider_id).aupdate(file_policy="file_id")
    azure = Azure(create_app(dialect="azure", pace_seconds=0.0, key="k"))

    async def note(request: httpx.Request) -> None:
        azure.asked.append((request.method, request.url.path))

    http = httpx.AsyncClient(transport=OfflineTransport(azure.engine), event_hooks={"request": [note]})
    endpoint = Endpoint("http://azure.invalid/openai/v1/", DIALECTS["azure"], "k", {})

    def client_for(provider: Provider, deployment: Deployment | None = None, *, max_retries: int = 2) -> Client:
        return Client(endpoint, http, max_retries=max_retries)

    monkeypatch.setattr(engines, "client_for", client_for)
    monkeypatch.setattr(engines, "dialect_of", lambda provider: DIALECTS["azure"])
    yield azure
    await http.aclose()
    await azure.engine.aclose()


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"


@pytest.fixture
def paper(owner: User, tmp_path: Path) -> Attachment:
    content = make_pdf(tmp_path / "a.pdf", ["The lighthouse was built in 1782.", "Its keeper had a dog."]).read_bytes()
    paper = make_attachment(owner, "lighthouse.pdf", content, sha256="aa", pages=2)
    return paper


async def answer(owner: User, text: str, conversation: Conversation | None = None, *files: Attachment) -> Response:
    asked = await sync_to_async(ask)(owner, conversation, Question(text, uuid.uuid4(), [file.pk for file in files]))
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.select_related("turn__conversation").aget(pk=asked.response.pk)
    assert response.status == Status.COMPLETED, response.error
    return response


async def note(
    provider: Provider, kind: Kind = Kind.FILE, upstream_id: str = "assistant-1", **fields: Any
) -> Forgetting:
    return await Forgetting.objects.acreate(provider=provider, kind=kind, upstream_id=upstream_id, **fields)


async def still_to_do() -> list[Forgetting]:
    return [row async for row in Forgetting.objects.filter(done_at=None)]


async def everything_due() -> None:
    await Forgetting.objects.filter(done_at=None).aupdate(next_try_at=timezone.now())


async def test_one_upload_for_five_turns_and_nothing_is_left_when_the_file_is_deleted(
    azure: Azure, owner: User, paper: Attachment
) -> None:
    first = await answer(owner, "Summarize this PDF", None, paper)
    talk = first.turn.conversation
    for question in ("When was it built?", "Who had a dog?"):
        await answer(owner, question, talk, paper)
    other = (await answer(owner, "What is this about?", None, paper)).turn.conversation
    last = await answer(owner, "And the keeper?", other, paper)
    assert (azure.uploads, len(azure.files)) == (1, 1)
    assert "1782" in first.text or "keeper" in first.text, "the engine has read it"

    await sync_to_async(forget.forget_attachment)(paper)
    azure.script("500 on files once", "500 on delete once")
    await forgetting.carry_out_due()

    assert len(azure.files) == 1, "the provider failed"
    failed = await still_to_do()
    assert {(row.kind, row.tries) for row in failed} == {(Kind.FILE, 1), (Kind.RESPONSE, 1)}
    assert all("500" in row.error and row.next_try_at > timezone.now() for row in failed)
    await everything_due()
    await forgetting.carry_out_due()
    assert azure.files == []
    assert await still_to_do() == []
    assert first.response_id not in azure.engine.store.responses
    assert last.response_id not in azure.engine.store.responses

    again = await answer(owner, "Which file did I give you?", talk)
    assert again.previous_response_id == ""
    assert azure.uploads == 1
    assert "1782" not in again.text


async def test_a_question_after_a_deletion_elsewhere_tells_the_whole_history(
    azure: Azure, owner: User, paper: Attachment
) -> None:
    first = await answer(owner, "Summarize this PDF", None, paper)
    azure.engine.store.forget(first.response_id)
    again = await answer(owner, "When was it built?", first.turn.conversation)
    assert again.previous_response_id == ""
    assert "1782" in again.text
    assert azure.uploads == 1


async def test_a_deleted_conversation_goes_after_a_while_and_its_reviewer_reads_it_still(
    azure: Azure, owner: User, paper: Attachment
) -> None:
    response = await answer(owner, "Summarize this PDF", None, paper)
    conversation = response.turn.conversation
    await sync_to_async(keep.delete)(conversation)
    await forgetting.carry_out_due()
    assert len(azure.files) == 1, "it may be brought back"

    await everything_due()
    await forgetting.carry_out_due()

    assert azure.files == []
    assert response.response_id not in azure.engine.store.responses
    assert not await ProviderFile.objects.aexists()
    await response.arefresh_from_db()
    assert response.text
    assert paper.file.storage.exists(paper.file.name)

    await sync_to_async(keep.restore)(conversation)
    again = await answer(owner, "When was it built?", conversation)
    assert "1782" in again.text
    assert azure.uploads == 2


async def test_a_file_that_was_sent_again_meanwhile_stays(azure: Azure, owner: User, paper: Attachment) -> None:
    response = await answer(owner, "Summarize this PDF", None, paper)
    await sync_to_async(keep.delete)(response.turn.conversation)
    await answer(owner, "And this?", None, paper)

    await everything_due()
    await forgetting.carry_out_due()

    assert len(azure.files) == 1
    assert await still_to_do() == []


async def test_what_is_not_there_any_more_is_done(azure: Azure, deployment: Deployment) -> None:
    for kind in Kind:
        await note(deployment.provider, kind, f"{kind}-unknown")
    await forgetting.carry_out_due()
    assert await still_to_do() == []
    assert {row.error async for row in Forgetting.objects.all()} == {forgetting.GONE_ALREADY}


async def test_containers_go_too(azure: Azure, deployment: Deployment) -> None:
    client = engines.client_for(deployment.provider)
    container = await client.create_container("shelf")
    await note(deployment.provider, Kind.CONTAINER, container["id"])
    await forgetting.carry_out_due()
    assert [row["id"] async for row in client.containers()] == []
    assert [row.error async for row in Forgetting.objects.exclude(done_at=None)] == [""]


async def test_a_provider_without_its_key_is_tried_again_later(
    azure: Azure, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def client_for(provider: Provider, **_: Any) -> Client:
        raise KeyMissing("provider 'Scripted': environment variable 'X' is not set")

    monkeypatch.setattr(engines, "client_for", client_for)
    await note(deployment.provider)
    await forgetting.carry_out_due()
    (row,) = await still_to_do()
    assert "environment variable" in row.error
    assert row.next_try_at > timezone.now() + timedelta(seconds=50)


@pytest.mark.parametrize(("tries", "pause"), [(0, 60), (1, 120), (5, 1920), (11, 86_400), (5_000, 86_400)])
def test_pauses_grow_to_a_day(tries: int, pause: float) -> None:
    assert forgetting._pause(tries).total_seconds() == pause


async def test_two_processes_delete_it_once(azure: Azure, deployment: Deployment) -> None:
    await note(deployment.provider)
    seen = await asyncio.gather(sync_to_async(forgetting._due)(), sync_to_async(forgetting._due)())
    claims = [await sync_to_async(forgetting._claim)(rows[0]) for rows in seen]
    assert sorted(claims) == [False, True]


async def test_the_loop_looks_by_itself(azure: Azure, deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    tidied = asyncio.Event()
    loop = asyncio.get_running_loop()
    monkeypatch.setattr(forgetting, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(forgetting, "tidy", lambda: loop.call_soon_threadsafe(tidied.set))
    await note(deployment.provider)
    task = asyncio.create_task(forgetting.run())
    await asyncio.wait_for(tidied.wait(), 5)
    assert await still_to_do() == []
    task.cancel()
    await asyncio.wait([task])


def old(attachment: Attachment, days: int) -> Attachment:
    Attachment.objects.filter(pk=attachment.pk).update(created_at=timezone.now() - timedelta(days=days))
    return attachment


class TestByAge:
    def test_files_and_conversations_go_when_the_operator_says_so(
        self, owner: User, deployment: Deployment, settings: Settings
    ) -> None:
        kept, gone = (make_conversation(owner, deployment, turns=1) for _ in range(2))
        Conversation.objects.filter(pk=gone.pk).update(last_activity_at=timezone.now() - timedelta(days=40))
        names = {"young.pdf": 10, "old.pdf": 40}
        for name, days in names.items():
            kept.head.attachments.add(old(make_attachment(owner, name), days))  # type: ignore[union-attr]
        forgetting.tidy()
        assert Conversation.objects.count() == 2, "by default nothing goes by age"

        settings.FILES_KEPT_DAYS = settings.CONVERSATIONS_KEPT_DAYS = 30
        forgetting.tidy()

        assert Conversation.objects.get() == kept
        assert Attachment.objects.get(name="young.pdf").forgotten_at is None
        assert Attachment.objects.get(name="old.pdf").forgotten_at is not None

    def test_a_conversation_that_is_being_answered_stays(
        self, owner: User, deployment: Deployment, settings: Settings
    ) -> None:
        settings.CONVERSATIONS_KEPT_DAYS = 30
        conversation = make_conversation(owner, deployment)
        make_turn(conversation, status=Status.IN_PROGRESS)
        Conversation.objects.update(last_activity_at=timezone.now() - timedelta(days=40))
        forgetting.tidy()
        assert Conversation.objects.exists()

    def test_what_was_never_sent_goes_after_a_week(self, owner: User, deployment: Deployment) -> None:
        sent = old(make_attachment(owner, "sent.pdf"), 8)
        make_turn(make_conversation(owner, deployment)).attachments.add(sent)
        path = Path(old(make_attachment(owner, "orphan.pdf"), 8).file.path)
        old(make_attachment(owner, "waits.pdf"), 6)
        forgetting.tidy()
        assert set(Attachment.objects.values_list("name", flat=True)) == {"sent.pdf", "waits.pdf"}
        assert not path.exists()


class TestHalfDone:
    def test_an_answer_that_ended_after_its_file_was_deleted(self, owner: User, deployment: Deployment) -> None:
        paper = make_attachment(owner)
        turn = make_turn(make_conversation(owner, deployment), status=Status.IN_PROGRESS)
        turn.attachments.add(paper)
        forget.forget_attachment(paper)
        assert not Forgetting.objects.exists()
        turn.responses.update(status=Status.COMPLETED)
        forgetting.tidy()
        assert Forgetting.objects.get().upstream_id == turn.responses.get().response_id

    def test_an_answer_that_ended_after_its_conversation_was_deleted(self, owner: User, deployment: Deployment) -> None:
        turn = make_turn(make_conversation(owner, deployment), status=Status.IN_PROGRESS)
        keep.delete(turn.conversation)
        turn.responses.update(status=Status.COMPLETED)
        forgetting.tidy()
        assert Forgetting.objects.get().kind == Kind.RESPONSE

    def test_bytes_and_copies_that_were_left(self, owner: User, deployment: Deployment) -> None:
        paper = make_attachment(owner)
        make_turn(make_conversation(owner, deployment), store=False).attachments.add(paper)
        forget.forget_attachment(paper)
        paper.file.save("left", ContentFile(b"left"))
        ProviderFile.objects.create(
            attachment=paper, provider=deployment.provider, file_id="late", purpose="assistants"
        )
        Attachment.objects.update(forgotten_at=timezone.now() - timedelta(days=30))

        forgetting.tidy()

        assert not Attachment.objects.get().file
        assert Forgetting.objects.get().upstream_id == "late"
