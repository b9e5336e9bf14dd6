"""The whole product on a model of this machine: rows, history, files, stop, and what people read when it cannot."""

from __future__ import annotations

import asyncio
import itertools
import json
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from chat import engines
from chat.conversations.ask import Question, ask
from chat.files import intake
from chat.management.local import note_facts
from chat.models import Attachment, Conversation, Deployment, Response, Status, Turn, User
from chat.rendering.views import foot_view, render_foot
from chat.turns import db, run
from chat.turns.hub import Tab, hub
from tests.files.makers import make_image, make_pdf
from tests.local.conftest import KEY, LocalServer

pytestmark = [pytest.mark.local, pytest.mark.django_db(transaction=True)]

QUESTIONS = ("Hello, I am Ada.", "Name a colour.", "Name another one.", "What is 2 + 2?", "Say goodbye.")
MOST_TOKENS = 12


@pytest.fixture
def deployment(llama: LocalServer, transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """The rows as `serve --local` makes them; short answers, the same each time."""
    served = llama.served()
    monkeypatch.setenv("LOCAL_API_KEY", KEY)
    engines.sync_environment({"LOCAL_BASE_URL": llama.url, "LOCAL_MODELS": served.name})
    note_facts(served)
    deployment = Deployment.objects.offered().get()
    deployment.parameters = {"temperature": 0, "max_output_tokens": MOST_TOKENS}
    deployment.save()
    return deployment


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("ada")


@pytest_asyncio.fixture
async def sent(deployment: Deployment) -> AsyncIterator[list[dict[str, Any]]]:
    """The bodies that went up, title requests left out."""
    bodies: list[dict[str, Any]] = []

    async def note(request: httpx.Request) -> None:
        body = json.loads(await request.aread())
        if not str(body.get("instructions", "")).startswith("Write a title"):
            bodies.append(body)

    engines._http("network").event_hooks["request"].append(note)
    yield bodies
    await engines.close()
    await sync_to_async(db.close)()


async def begin(owner: User, text: str, conversation: Conversation | None = None, *files: Attachment) -> Response:
    question = Question(text, uuid.uuid4(), [file.pk for file in files])
    asked = await sync_to_async(ask)(owner, conversation, question)
    run.start(asked)
    return asked.response


async def answer(owner: User, text: str, conversation: Conversation | None = None, *files: Attachment) -> Response:
    return await ended(await begin(owner, text, conversation, *files))


async def ended(response: Response) -> Response:
    await run.wait_for(response.turn_id)
    return await Response.objects.select_related("turn__conversation").aget(pk=response.pk)


def is_whole_or_said_to_be_cut(response: Response) -> bool:
    """llama.cpp calls an answer complete that it has cut at its limit; the person is told otherwise."""
    if response.output_tokens == MOST_TOKENS:
        error: dict[str, str] = response.error or {}
        return response.status == Status.INCOMPLETE and error.get("code") == "max_output_tokens"
    return response.status == Status.COMPLETED


@sync_to_async
def foot_of(response: Response) -> str:
    """What the person reads under the answer."""
    return render_foot(foot_view(Turn.objects.with_answers().get(pk=response.turn_id)))


@sync_to_async
def attached(owner: User, path: Path) -> Attachment:
    content = path.read_bytes()
    return intake.finish(intake.append_slice(intake.begin(owner, path.name, len(content)), 0, content))


def test_the_rows_say_what_the_model_is(deployment: Deployment) -> None:
    assert (str(deployment), deployment.provider.name) == ("SmolLM2-135M-Instruct", "This machine")
    assert (deployment.provider.dialect, deployment.is_default) == ("llamacpp", True)
    assert deployment.context_window == 8192
    assert engines.dialect_of(deployment.provider).image_base64 is False
    assert KEY not in json.dumps([deployment.provider.capabilities, deployment.provider.extra_headers])


@pytest.mark.seed("S3-8")
async def test_five_turns_are_stored_and_each_carries_all_before_it(owner: User, sent: list[dict[str, Any]]) -> None:
    conversation, responses = None, []
    for question in QUESTIONS:
        response = await answer(owner, question, conversation)
        assert is_whole_or_said_to_be_cut(response), response.error
        assert response.text.strip()
        conversation = response.turn.conversation
        responses.append(response)
    assert [len(body["input"]) for body in sent] == [1, 3, 5, 7, 9]
    texts = [item["content"][0]["text"] for item in sent[-1]["input"]]
    assert texts[0::2] == list(QUESTIONS)
    assert texts[1::2] == [response.text for response in responses[:-1]]
    assert len({response.response_id for response in responses}) == 5
    for earlier, later in itertools.pairwise(responses):
        assert (later.input_tokens or 0) > (earlier.input_tokens or 0) + (earlier.output_tokens or 0)
    await sync_to_async(conversation.refresh_from_db)()  # type: ignore[union-attr]
    assert conversation is not None
    assert conversation.title


async def test_stop_keeps_the_text_and_frees_the_slot(
    owner: User,
    deployment: Deployment,
    sent: list[dict[str, Any]],
    llama: LocalServer,
    record_property: Callable[[str, object], None],
) -> None:
    deployment.parameters = {"temperature": 0, "max_output_tokens": 4_000}
    await deployment.asave()
    response = await begin(owner, "Write a long story.")
    arrived = asyncio.Event()

    async def show(frame: str) -> None:
        if "<p>" in frame:
            arrived.set()
        tab.acknowledge(next(numbers))

    numbers = itertools.count(1)
    tab = Tab(show)
    tab.watch(hub.turns[response.turn_id])
    shows = asyncio.create_task(tab.run())
    async with asyncio.timeout(30):
        await arrived.wait()
    shows.cancel()
    tab.leave()
    assert await asyncio.to_thread(llama.busy_slots) == 1
    run.stop(response.turn_id)
    response = await ended(response)
    assert (response.status, bool(response.text.strip())) == (Status.CANCELLED, True)
    record_property("seconds_until_idle", await llama.seconds_until_idle())
    # And the next question goes on from what was kept.
    deployment.parameters = {"temperature": 0, "max_output_tokens": MOST_TOKENS}
    await deployment.asave()
    again = await answer(owner, "Go on.", response.turn.conversation)
    assert sent[-1]["input"][1]["content"][0]["text"] == response.text
    assert is_whole_or_said_to_be_cut(again), again.error


async def test_a_pdf_reaches_the_model_as_text_with_its_pages(
    owner: User, sent: list[dict[str, Any]], tmp_path: Path
) -> None:
    pages = ["The red boat is called Heron.", "The blue boat is called Tern."]
    file = await attached(owner, make_pdf(tmp_path / "boats.pdf", pages))
    response = await answer(owner, "What is the red boat called?", None, file)
    assert is_whole_or_said_to_be_cut(response), response.error
    text, question = sent[0]["input"][0]["content"]
    assert text["type"] == question["type"] == "input_text"
    assert "boats.pdf" in text["text"]
    assert text["text"].index("[page 1]") < text["text"].index("Heron") < text["text"].index("[page 2]")
    assert question["text"] == "What is the red boat called?"
    assert (response.input_tokens or 0) > 60, "the model did not get it"


async def test_a_conversation_that_is_too_long_is_said_in_its_foot(owner: User, sent: list[dict[str, Any]]) -> None:
    response = await answer(owner, "word " * 9_000)
    assert response.status == Status.FAILED
    foot = await foot_of(response)
    assert "longer than the model can read at once (9,0" in foot
    assert "of 8,192 tokens); start a new conversation, or send less of it." in foot


async def test_a_picture_is_refused_before_it_goes_up(owner: User, sent: list[dict[str, Any]], tmp_path: Path) -> None:
    file = await attached(owner, make_image(tmp_path / "boat.png"))
    response = await answer(owner, "What is this?", None, file)
    assert response.status == Status.FAILED
    assert "takes no images" in await foot_of(response)
    assert sent == []


async def test_a_model_that_is_away_is_said_in_its_foot(
    owner: User, deployment: Deployment, sent: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LOCAL_API_KEY")
    response = await answer(owner, "Hello")
    assert response.status == Status.FAILED
    assert "not fully set up" in await foot_of(response)
    assert sent == []
