"""Tokens of Entra ID, from azure-identity against a managed identity's endpoint that runs here on loopback."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async

from chat import engines, entra
from chat.conversations.ask import Asked, Question, ask
from chat.entra import EntraCredential, IdentityMissing, TokenRefused
from chat.models import Provider, Response, Status, User
from chat.offline.app import OfflineEngine, create_app
from chat.offline.transport import OfflineTransport
from chat.turns import db, run
from tests.responses.server import Connection, Server
from tests.rows import make_deployment

SCOPE = "https://cognitiveservices.azure.com/.default"
HEADER = "only-the-platform-knows"


class Identity(Server):
    """The endpoint that App Service gives its processes: each request gets the next token."""

    def __init__(self) -> None:
        super().__init__()
        self.lifetime = 3600
        self.status = 200

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.script = [self._answer] * 100
        await super().connected(reader, writer)

    async def _answer(self, request: Connection) -> None:
        assert request.headers["x-identity-header"] == HEADER
        body = {"error": "the identity is gone", "message": HEADER}
        if self.status == 200:
            resource = parse_qs(urlsplit(request.target).query)["resource"][0]
            expires = int(time.time()) + self.lifetime
            body = {"access_token": f"token-{len(self.requests)}", "expires_on": str(expires), "resource": resource}
        data = json.dumps(body).encode()
        head = f"HTTP/1.1 {self.status} X\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        await request.send(head.encode() + data)


@pytest_asyncio.fixture
async def identity(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Identity]:
    endpoint = Identity()
    server = await asyncio.start_server(endpoint.connected, "127.0.0.1", 0)
    endpoint.port = server.sockets[0].getsockname()[1]
    monkeypatch.setenv("IDENTITY_ENDPOINT", f"http://127.0.0.1:{endpoint.port}/msi/token")
    monkeypatch.setenv("IDENTITY_HEADER", HEADER)
    for name in ("AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_CLIENT_SECRET", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    yield endpoint
    await endpoint.close()
    server.close()
    await server.wait_closed()


@pytest_asyncio.fixture
async def credential() -> AsyncIterator[EntraCredential]:
    credential = EntraCredential(SCOPE)
    yield credential
    await credential.close()


@pytest.mark.seed("S0-6")
async def test_a_token_is_fetched_once_and_kept(identity: Identity, credential: EntraCredential) -> None:
    assert [await credential.token() for _ in range(3)] == ["token-1"] * 3
    assert len(identity.requests) == 1
    assert parse_qs(urlsplit(identity.requests[0].target).query)["resource"] == ["https://cognitiveservices.azure.com"]


async def test_many_that_ask_at_once_fetch_one(identity: Identity, credential: EntraCredential) -> None:
    assert set(await asyncio.gather(*(credential.token() for _ in range(20)))) == {"token-1"}
    assert len(identity.requests) == 1


async def test_a_refused_token_is_replaced_though_it_has_not_expired(
    identity: Identity, credential: EntraCredential
) -> None:
    assert await credential.token() == "token-1"
    assert await credential.token(renew=True) == "token-2"
    assert await credential.token() == "token-2"


async def test_many_that_were_refused_at_once_renew_once(identity: Identity, credential: EntraCredential) -> None:
    await credential.token()
    assert set(await asyncio.gather(*(credential.token(renew=True) for _ in range(20)))) == {"token-2"}
    assert len(identity.requests) == 2


async def test_a_token_is_replaced_before_it_expires(
    identity: Identity, credential: EntraCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await credential.token() == "token-1"
    later = time.time() + 3600 - entra.AHEAD_SECONDS + 1
    monkeypatch.setattr(time, "time", lambda: later)
    assert await credential.token() == "token-2"
    assert await credential.token() == "token-2"


async def test_while_none_can_be_had_the_last_one_serves_until_it_expires(
    identity: Identity, credential: EntraCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert await credential.token() == "token-1"
    identity.status = 400
    expires = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: expires - 60)
    assert await credential.token() == "token-1"
    monkeypatch.setattr(time, "time", lambda: expires + 1)
    with pytest.raises(TokenRefused):
        await credential.token()


async def test_no_identity_is_a_sentence_for_the_person_and_a_line_for_the_operator(
    identity: Identity, credential: EntraCredential
) -> None:
    identity.status = 403
    with pytest.raises(TokenRefused) as refused:
        await credential.token()
    assert refused.value.user_message == TokenRefused.sentence
    assert "the identity is gone" in str(refused.value)
    assert SCOPE in str(refused.value)
    assert "\n" not in str(refused.value)


async def test_an_identity_that_does_not_answer_is_not_waited_for_longer_than_people_wait(
    credential: EntraCredential, identity: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(entra, "FETCH_SECONDS", 0.2)

    async def silence(request: Connection) -> None:
        await request.reader.read()  # until the other side hangs up

    monkeypatch.setattr(identity, "_answer", silence)
    with pytest.raises(TokenRefused, match=r"no token within 0\.2 s"):
        await credential.token()


async def test_without_the_package_the_operator_reads_what_to_install(
    credential: EntraCredential, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "azure.identity.aio", None)
    with pytest.raises(IdentityMissing) as missing:
        await credential.token()
    assert "Ask the operator" in missing.value.user_message
    assert "make entra" in str(missing.value)


async def test_tokens_do_not_show(
    identity: Identity, credential: EntraCredential, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    await credential.token()
    await credential.token(renew=True)
    assert "token-" not in repr(credential)
    assert identity.requests
    assert "token-1" not in caplog.text
    assert "token-2" not in caplog.text


class Resource:
    """The engine as an Azure resource whose keys are switched off: it takes the newest token alone."""

    def __init__(self, engine: OfflineEngine, good: str) -> None:
        self.engine = engine
        self.good = good
        self.seen: list[str] = []

    async def __call__(
        self, scope: dict[str, object], receive: Callable[..., object], send: Callable[..., object]
    ) -> None:
        headers = dict(scope["headers"])  # type: ignore[call-overload]
        self.seen.append(headers.get(b"authorization", b"").decode())
        assert b"api-key" not in headers
        if self.seen[-1] == f"Bearer {self.good}":
            await self.engine(scope, receive, send)  # type: ignore[arg-type]
            return
        body = {"error": {"code": "401", "message": "The access token is invalid or expired."}}
        start = {"type": "http.response.start", "status": 401, "headers": [(b"content-type", b"application/json")]}
        await send(start)  # type: ignore[misc]
        await send({"type": "http.response.body", "body": json.dumps(body).encode()})  # type: ignore[misc]


@pytest.mark.seed("S0-6", "S0-8")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("good", "status"), [("token-2", Status.COMPLETED), ("token-9", Status.FAILED)])
async def test_a_question_outlives_an_expired_token(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, good: str, status: Status
) -> None:
    engine = create_app(dialect="azure", pace_seconds=0.0)
    resource = Resource(engine, good)
    http = httpx.AsyncClient(transport=OfflineTransport(resource))  # type: ignore[arg-type]
    monkeypatch.setattr(engines, "_http", lambda kind: http)
    question = await sync_to_async(asked)()
    run.start(question)
    await run.wait_for(question.turn.pk)
    response = await Response.objects.aget(pk=question.response.pk)
    assert response.status == status
    assert resource.seen[:2] == ["Bearer token-1", "Bearer token-2"]
    assert "token-" not in str(response.error)
    if status == Status.COMPLETED:
        assert response.text.startswith("good")
        assert set(resource.seen[1:]) == {"Bearer token-2"}
    else:
        assert len(resource.seen) == 2
        assert "tell the person who runs this site" in response.error["message"]
    await engines.close()
    await http.aclose()
    await engine.aclose()


def asked() -> Asked:
    """A question to a resource that takes no keys."""
    deployment = make_deployment("chat", provider="Azure OpenAI", dialect="azure")
    Provider.objects.update(auth=Provider.Auth.ENTRA, base_url="https://team.openai.azure.com/")
    owner = User.objects.create_user("alice")
    question = Question("Repeat after me: good", uuid.uuid4(), deployment_id=deployment.pk)
    return ask(owner, None, question)


@pytest.fixture(autouse=True)
def closed_connection() -> Iterator[None]:
    yield
    db.close()
