"""Documents that a model cannot read at once: read by parts, and summarized from the notes."""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.utils import timezone
from pytest_django import Settings

from chat import engines
from chat.conversations import history
from chat.conversations.ask import Asked, Question, Refused, ask, ask_again
from chat.conversations.summary import Summary
from chat.files import portions
from chat.files.pdf import page_texts
from chat.models import Attachment, Conversation, Deployment, Response, Status, Turn, User
from chat.models.prices import Prices
from chat.offline.app import create_app
from chat.offline.transport import OfflineTransport
from chat.rendering.views import render_turn, turn_view
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.turns import parts, run, sweep
from chat.turns.hub import hub
from tests.files.chronicle import chronicle
from tests.files.citations import checked
from tests.rows import make_attachment
from tests.upstream import Reply, Upstream, text_events

pytestmark = pytest.mark.django_db(transaction=True)

WINDOW = 8_000
DETAILED = Summary("detailed")


class Sent:
    """The requests that went up, titles left out."""

    def __init__(self) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.before: Callable[[dict[str, Any]], None] = lambda body: None

    async def note(self, request: httpx.Request) -> None:
        body = json.loads(await request.aread())
        if not str(body.get("instructions", "")).startswith("Write a title"):
            self.bodies.append(body)
            self.before(body)


@pytest_asyncio.fixture
async def engine(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Sent]:
    """The embedded engine, as a model that reads eight thousand tokens."""
    await Deployment.objects.filter(pk=deployment.pk).aupdate(context_window=WINDOW)
    sent = Sent()
    app = create_app(dialect="openai", pace_seconds=0.0, key="k")
    http = httpx.AsyncClient(transport=OfflineTransport(app), event_hooks={"request": [sent.note]})
    client = Client(Endpoint("http://engine.invalid/v1/", DIALECTS["openai"], "k", {}), http)
    monkeypatch.setattr(engines, "client_for", lambda provider, deployment=None: client)
    monkeypatch.setattr(engines, "dialect_of", lambda provider: DIALECTS["openai"])
    yield sent
    await http.aclose()
    await app.aclose()


def paper_of(owner: User, path: Path, count: int, **options: int) -> Attachment:
    content = chronicle(path, count, **options).read_bytes()
    texts = page_texts(path)
    return make_attachment(
        owner, path.name, content, pages=count, text_pages=count, text_characters=sum(map(len, texts))
    )


@pytest.fixture
def paper(owner: User, settings: Settings, tmp_path: Path) -> Attachment:
    settings.MEDIA_ROOT = tmp_path / "media"
    return paper_of(owner, tmp_path / "chronicle.pdf", 30)


def wish(*files: Attachment, summary: Summary | None = DETAILED, text: str = "") -> Question:
    return Question(text, uuid.uuid4(), [file.pk for file in files], summary=summary)


async def asked(owner: User, question: Question, conversation: Conversation | None = None) -> Asked:
    found: Asked = await sync_to_async(ask)(owner, conversation, question)
    run.start(found)
    return found


async def answer(owner: User, question: Question, conversation: Conversation | None = None) -> Response:
    found = await asked(owner, question, conversation)
    await run.wait_for(found.turn.pk)
    return await Response.objects.select_related("turn__conversation").aget(pk=found.response.pk)


def texts_of(body: dict[str, Any]) -> list[str]:
    items = body["input"] if isinstance(body["input"], list) else []
    return [part["text"] for item in items for part in item["content"] if part.get("type") == "input_text"]


async def test_three_hundred_pages_are_summarized_with_pages_that_can_be_checked(
    engine: Sent, owner: User, settings: Settings, tmp_path: Path
) -> None:
    settings.MEDIA_ROOT = tmp_path / "media"
    paper = await sync_to_async(paper_of)(owner, tmp_path / "chronicle.pdf", 300)
    await Deployment.objects.aupdate(input_price=1, output_price=2)
    response = await answer(owner, wish(paper))
    assert response.status == Status.COMPLETED, response.error
    found = checked(response.text, page_texts(tmp_path / "chronicle.pdf"))
    assert found.cited >= 20
    assert found.share >= 0.95, found.wrong
    assert min(found.pages) <= 30 < 270 <= max(found.pages), "the end is heard as well as the beginning"
    # No request is longer than the model can read, and no page is left out.
    assert all(portions.most_tokens("".join(texts_of(body))) < WINDOW * 0.6 for body in engine.bodies)
    read = {int(page) for body in engine.bodies for page in re.findall(r"\[page (\d+)\]", "".join(texts_of(body)))}
    assert read == set(range(1, 301))
    *noting, last = engine.bodies
    assert all(body["store"] is False for body in noting)
    assert "form (p. 7)" in last["instructions"]
    # The reviewer sees what it was made of, and what all of it took.
    stored = "".join(texts_of({"input": response.input}))
    assert stored.startswith("Notes on the attached file “chronicle.pdf”, which has 300 pages")
    assert stored.endswith("Summarize “chronicle.pdf” in detail.")
    assert texts_of(last) == texts_of({"input": response.input})
    assert (response.input_tokens or 0) > 50_000
    assert response.cost == Prices(Decimal(1), Decimal(1), Decimal(2)).of_usage(response.usage)
    read, written = parts.foreseen([paper], WINDOW)
    assert read == pytest.approx(response.input_tokens, rel=0.2), "what the person was told before"
    assert 0 < (response.output_tokens or 0) < written * 1.5
    assert [item["type"] for item in response.output] == ["message"]


async def test_what_fits_is_sent_as_it_is(engine: Sent, owner: User, deployment: Deployment, paper: Attachment) -> None:
    await Deployment.objects.filter(pk=deployment.pk).aupdate(context_window=200_000)
    response = await answer(owner, wish(paper))
    assert response.status == Status.COMPLETED
    (body,) = engine.bodies
    assert [part["type"] for part in body["input"][0]["content"]] == ["input_file", "input_text"]
    assert "form (p. 7)" in body["instructions"]


async def test_what_is_being_read_is_shown_to_whoever_comes(engine: Sent, owner: User, paper: Attachment) -> None:
    told: list[str] = []
    engine.before = lambda body: told.extend(live.html() for live in hub.turns.values())
    response = await answer(owner, wish(paper))
    shown = [found for html in told for found in re.findall(r"<em>([^<]+)</em>", html)]
    assert any(re.fullmatch(r"Reading pages 1–\d+ of 30", line) for line in shown), shown
    assert "reading" not in json.dumps(response.output)


async def test_notes_that_do_not_fit_are_condensed(
    engine: Sent, owner: User, deployment: Deployment, paper: Attachment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "FEWEST_WORDS", 300)  # of a part, so that all notes together are too long
    await Deployment.objects.filter(pk=deployment.pk).aupdate(context_window=3_000)
    response = await answer(owner, wish(paper))
    assert response.status == Status.COMPLETED, response.error
    wishes = [texts_of(body)[-1].split(" ")[0] for body in engine.bodies]
    assert "Condense" in wishes
    assert all(portions.most_tokens("".join(texts_of(body))) < 3_000 * 0.7 for body in engine.bodies)
    found = checked(response.text, page_texts(Path(paper.file.path)))
    assert found.cited >= 5
    assert found.share >= 0.95, found.wrong


async def test_notes_that_nobody_can_condense_are_thinned(
    upstream: Callable[..., Upstream], owner: User, deployment: Deployment, paper: Attachment
) -> None:
    await Deployment.objects.filter(pk=deployment.pk).aupdate(context_window=3_000)
    rambling = "\n".join(
        f"{n} is a number of which{' much,' * 30} and nothing that matters can be said here. (p. {n})"
        for n in range(1, 31)
    )
    script = upstream(*[Reply(events=text_events([rambling])) for _ in range(60)])
    response = await answer(owner, wish(paper))
    assert response.status == Status.COMPLETED, response.error
    text = texts_of({"input": response.input})[0]
    assert portions.most_tokens(text) <= 3_000 * parts.TEXT_SHARE
    assert "some were left out all over the document" in text
    assert len(script.requests) < 40


async def test_notes_that_cannot_be_used_end_it_with_a_sentence(
    upstream: Callable[..., Upstream], owner: User, deployment: Deployment, paper: Attachment
) -> None:
    await Deployment.objects.filter(pk=deployment.pk).aupdate(context_window=3_000)
    upstream(*[Reply(events=text_events(["The document is about documents."])) for _ in range(60)])
    response = await answer(owner, wish(paper))
    assert response.status == Status.FAILED
    assert response.error["message"].startswith("This model took no notes that can be used.")


async def test_the_next_question_goes_on_from_the_notes(engine: Sent, owner: User, paper: Attachment) -> None:
    first = await answer(owner, wish(paper))
    turn = await sync_to_async(Turn.objects.with_answers().get)()
    assert ", read by parts<" in render_turn(turn_view(turn))
    await Response.objects.aupdate(response_id="")  # as where nothing is kept
    second = await answer(owner, wish(summary=None, text="Who was mayor?"), first.turn.conversation)
    assert second.status == Status.COMPLETED, second.error
    assert any(text.startswith(portions.NOTES_HEADING) for text in texts_of(engine.bodies[-1]))
    assert "file_data" not in json.dumps(engine.bodies[-1])
    assert "instructions" not in engine.bodies[-1]


async def test_a_stop_ends_the_reading_and_another_try_begins_anew(
    engine: Sent, owner: User, paper: Attachment
) -> None:
    stopped: list[int] = []

    def stop_at_the_second(body: dict[str, Any]) -> None:
        if len(engine.bodies) == 2:
            stopped.extend(pk for pk in run.running() if run.stop(pk))

    engine.before = stop_at_the_second
    response = await answer(owner, wish(paper))
    assert stopped == [response.turn_id]
    assert response.status == Status.CANCELLED
    assert len(engine.bodies) <= parts.AT_ONCE
    again = await sync_to_async(ask_again)(
        await Turn.objects.select_related("conversation__owner").aget(pk=response.turn_id), uuid.uuid4()
    )
    run.start(again)
    await run.wait_for(again.turn.pk)
    await again.response.arefresh_from_db()
    assert again.response.status == Status.COMPLETED


def test_a_run_that_died_while_reading_is_interrupted_and_has_no_answer_to_go_on_with(
    owner: User, deployment: Deployment, paper: Attachment
) -> None:
    found = ask(owner, None, wish(paper))
    item = {"id": "reading", "type": "reading", "text": "Reading pages 1–12 of 30"}
    long_ago = timezone.now() - timedelta(seconds=sweep.LEASE_SECONDS + 1)
    died = {"owner": uuid.uuid4(), "heartbeat_at": long_ago, "status": Status.IN_PROGRESS, "output": [item]}
    Response.objects.filter(pk=found.response.pk).update(**died)
    assert sweep.sweep() == []
    turn = Turn.objects.with_answers().get()
    assert (turn.status, turn.can_go_on) == (Status.INTERRUPTED, False)
    assert "<em>Reading pages 1–12 of 30</em>" in render_turn(turn_view(turn))
    assert history.answer_items(turn, DIALECTS["openai"]) == []
    assert [part["type"] for part in history.question_item(turn)["content"]] == ["attachment", "input_text"]


async def test_a_part_that_cannot_be_read_fails_with_a_sentence(
    upstream: Callable[..., Upstream], owner: User, deployment: Deployment, paper: Attachment
) -> None:
    await Deployment.objects.filter(pk=deployment.pk).aupdate(context_window=WINDOW)
    error = {"error": {"message": "Insufficient quota", "type": "insufficient_quota", "code": "insufficient_quota"}}
    upstream(*[Reply(status=429, body=error) for _ in range(20)])
    response = await answer(owner, wish(paper))
    assert response.status == Status.FAILED
    assert response.error["message"]
    assert response.output == []


async def test_an_ordinary_question_is_refused_with_an_offer(engine: Sent, owner: User, paper: Attachment) -> None:
    await Deployment.objects.aupdate(context_window=2_000)
    with pytest.raises(Refused, match="have it summarized, which works by parts, or choose a model that reads more"):
        await sync_to_async(ask)(owner, None, wish(paper, summary=None, text="Who was mayor?"))


async def test_two_documents_are_compared_by_their_names(
    engine: Sent, owner: User, paper: Attachment, tmp_path: Path
) -> None:
    other = await sync_to_async(paper_of)(owner, tmp_path / "other.pdf", 12, seed=8)
    response = await answer(owner, wish(paper, other, summary=Summary("compare")))
    assert response.status == Status.COMPLETED, response.error
    for name in ("chronicle.pdf", "other.pdf"):
        assert re.search(rf"\({re.escape(name)}, p\.\s\d+\)", response.text), name
