"""A provider row whose client is scripted, and a way to ask without a browser."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import pytest
import pytest_asyncio

from chat import engines
from chat.conversations.ask import Asked, Question, ask
from chat.models import Conversation, Deployment, Provider, User
from chat.responses.dialects import DIALECTS
from chat.turns import asking, db, run
from chat.turns.hub import LiveTurn, hub
from tests.upstream import Reply, Upstream


@pytest.fixture
def deployment(transactional_db: None) -> Deployment:
    provider = Provider.objects.create(name="Scripted", dialect="openai", base_url="http://upstream.test/v1/")
    return Deployment.objects.create(provider=provider, name="m-1", is_default=True)


@pytest.fixture
def owner(transactional_db: None) -> User:
    return User.objects.create_user("alice")


@pytest.fixture
def upstream(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Upstream]:
    """Script the provider: `upstream(Reply(...), dialect="ofox")`."""

    def script(*replies: Reply, dialect: str = "openai") -> Upstream:
        transport = Upstream(*replies, dialect=dialect)
        monkeypatch.setattr(engines, "dialect_of", lambda provider: DIALECTS[dialect])
        monkeypatch.setattr(engines, "client_for", lambda provider, deployment=None: transport.client())
        return transport

    return script


@pytest.fixture
def put(owner: User, deployment: Deployment) -> Callable[..., Asked]:
    """Store a question, as the composer does; nothing runs yet."""

    def put_question(text: str = "Why?", conversation: Conversation | None = None) -> Asked:
        return ask(owner, conversation, Question(text, uuid.uuid4()))

    return put_question


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the pages of runs that ended were told last."""
    feet: list[str] = []
    over = hub.over

    def watched(live: LiveTurn, foot: str) -> None:
        feet.append(foot)
        over(live, foot)

    monkeypatch.setattr(hub, "over", watched)
    return feet


@pytest_asyncio.fixture(autouse=True)
async def nothing_left_running() -> AsyncIterator[None]:
    yield
    assert not run._tasks, "a test left a run behind"
    asking._without_encryption.clear()


@pytest.fixture(autouse=True)
def closed_connection() -> Iterator[None]:
    yield
    db.close()
