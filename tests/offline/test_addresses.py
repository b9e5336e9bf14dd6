"""Where the engine answers, and to whom: OpenAI's addresses, Azure's, a Foundry project's; keys and tokens."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Awaitable, Callable

import httpx
import pytest

from chat.offline.app import create_app
from chat.offline.transport import OfflineTransport
from chat.offline.wires import WIRES
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import Unauthorized

from .conftest import Engine, text_of

MakeEngine = Callable[..., Awaitable[Engine]]

TALK = {"model": "any", "input": "repeat after me: one two three"}


def entra_token(lives_seconds: float) -> str:
    """A token of the form of Microsoft Entra's, which nobody signed."""
    claims = {"aud": "https://ai.azure.com", "exp": int(time.time() + lives_seconds)}
    parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
    return ".".join([*(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts), "unsigned"])


class Credential:
    """Gives an expired token first, and a good one when it is renewed."""

    def __init__(self) -> None:
        self.renewed = False

    async def token(self, *, renew: bool = False) -> str:
        self.renewed = self.renewed or renew
        return entra_token(3600 if self.renewed else -1)


@pytest.mark.parametrize("dialect", WIRES)
@pytest.mark.parametrize(
    "address",
    [
        "/v1/responses",
        "/v1/responses/",
        "/openai/v1/responses",
        "/openai/v1/responses?api-version=preview",
        "/api/projects/my-project/openai/v1/responses",
        "/api/projects/my-project/openai/responses?api-version=2025-11-15-preview",
    ],
)
async def test_every_dialect_answers_at_every_address(dialect: str, address: str) -> None:
    async with httpx.AsyncClient(transport=OfflineTransport(create_app(dialect=dialect))) as http:
        reply = await http.post(f"http://engine{address}", json=TALK)
    assert reply.status_code == 200, reply.text
    assert "one two three" in text_of(reply.json())


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("/api/projects/my-project/openai/responses", 400),
        ("/api/projects//openai/v1/responses", 404),
        ("/v1", 404),
        ("/v1/", 404),
        ("/v2/responses", 404),
        ("/responses", 404),
        ("/v1/responses/more/of/it", 404),
    ],
)
async def test_other_addresses_are_told_what_is_wrong(address: str, status: int) -> None:
    async with httpx.AsyncClient(transport=OfflineTransport(create_app(dialect="foundry"))) as http:
        reply = await http.post(f"http://engine{address}", json=TALK)
    assert reply.status_code == status
    message = reply.json()["error"]["message"]
    assert "api-version" in message if status == 400 else "Invalid URL" in message


@pytest.mark.seed("S0-1", "S3-1")
async def test_our_client_finds_a_foundry_project() -> None:
    async with httpx.AsyncClient(transport=OfflineTransport(create_app(dialect="foundry", key="right"))) as http:
        endpoint = Endpoint("http://engine/api/projects/my-project", DIALECTS["foundry"], "right")
        assert "one two three" in text_of(await Client(endpoint, http).create(TALK))


@pytest.mark.parametrize("dialect", ["azure", "foundry"])
async def test_azure_takes_its_key_in_either_header(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect, key="right")
    for headers in ({"api-key": "right"}, {"Authorization": "Bearer right"}):
        assert (await engine.http.post("responses", json=TALK, headers=headers)).status_code == 200
    for headers in ({"api-key": "wrong"}, {"Authorization": "Bearer wrong"}, {}):
        reply = await engine.http.post("responses", json=TALK, headers=headers)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "401")


async def test_openai_takes_no_key_in_azures_header(make_engine: MakeEngine) -> None:
    engine = await make_engine("openai", key="right")
    assert (await engine.http.post("responses", json=TALK, headers={"api-key": "right"})).status_code == 401


@pytest.mark.seed("S0-6", "S0-8")
@pytest.mark.parametrize("dialect", ["azure", "foundry"])
async def test_azure_takes_tokens_until_they_expire(make_engine: MakeEngine, dialect: str) -> None:
    engine = await make_engine(dialect, key="right")
    credential = Credential()
    endpoint = Endpoint(f"http://engine/{DIALECTS[dialect].base_path}/", DIALECTS[dialect], credential=credential)
    assert "one two three" in text_of(await Client(endpoint, engine.http).create(TALK))
    assert credential.renewed


@pytest.mark.parametrize("token", ["a.b.c", "a.e30.c", "a.W10.c", "a.b", "..", "a.\u00e9.c"])
async def test_what_only_looks_like_a_token_is_a_wrong_key(make_engine: MakeEngine, token: str) -> None:
    engine = await make_engine("azure", key="right")
    headers = [(b"authorization", f"Bearer {token}".encode())]
    assert (await engine.http.post("responses", json=TALK, headers=headers)).json()["error"]["code"] == "401"


async def test_an_expired_token_is_told_from_a_wrong_key(make_engine: MakeEngine) -> None:
    engine = await make_engine("azure", key="right")
    reply = await engine.http.post("responses", json=TALK, headers={"Authorization": f"Bearer {entra_token(-1)}"})
    assert reply.status_code == 401
    assert "expired" in reply.json()["error"]["message"]


async def test_no_other_server_knows_tokens(make_engine: MakeEngine) -> None:
    engine = await make_engine("openai", key="right", sent_key=entra_token(3600))
    with pytest.raises(Unauthorized):
        await engine.client.create(TALK)
