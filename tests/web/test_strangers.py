"""What is one person's does not exist for another: every address, the socket, every file.

The addresses are read from the URL configuration, so a new one that nobody thought about fails here.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.core.files.base import ContentFile
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver

from chat.conversations.ask import Asked, Question, ask
from chat.models import Attachment, Deployment, Provider, User
from chat.turns import run
from chatsite.asgi import routes
from tests.rows import make_attachment

pytestmark = pytest.mark.django_db

PUBLIC = {
    "signin",
    "account_login",
    "account_logout",
    "account_signup",
    "account_inactive",
    "account_reauthenticate",
    "account_change_password",
    "account_set_password",
    "health",
}
"""Addresses that hold nothing of anybody's."""

OWN = {
    "home",
    "conversations",
    "ask",
    "ask_with_file",
    "files",
    "file_choices",
    "file_chips",
    "remote_image",
    "estimate",
    "summary",
}
"""Addresses without an id: each person gets their own."""

ALLOWED = {
    "conversation": ["get"],
    "turns": ["get"],
    "ask_in": ["post"],
    "ask_in_with_file": ["post"],
    "stop": ["post"],
    "rename": ["get", "post"],
    "item": ["get"],
    "choose": ["post"],
    "delete": ["post"],
    "restore": ["post"],
    "retry": ["post"],
    "go_on": ["post"],
    "file": ["get", "delete"],
    "file_slice": ["put"],
    "file_thumbnail": ["get"],
    "file_table": ["get"],
    "made": ["get"],
    "cited": ["get"],
    "file_preview": ["get"],
    "file_page": ["get"],
    "file_delete": ["get", "post"],
    "file_excerpt": ["get", "post"],
}
"""Addresses that name a row, with the methods that they answer."""


@dataclass
class Belongings:
    """What Alice has."""

    asked: Asked
    attachment: Attachment
    table: Attachment

    def address(self, pattern: URLPattern) -> str:
        name = pattern.name or ""
        pk: object = self.asked.conversation.pk
        if name == "file_table":
            pk = self.table.pk
        elif name.startswith("file"):
            pk = self.attachment.pk
        elif name in ("retry", "go_on", "made", "cited"):
            pk = self.asked.turn.pk
        route = str(pattern.pattern).replace("<int:after>", str(self.asked.response.pk)).replace("<int:number>", "1")
        return "/" + route.replace("<uuid:pk>", str(pk)).replace("<int:pk>", str(pk))


def patterns(resolver: URLResolver | None = None) -> Iterator[URLPattern]:
    """Every address of the product but Django's own admin, which has tests and permissions of its own."""
    for entry in (resolver or get_resolver()).url_patterns:
        if isinstance(entry, URLPattern):
            yield entry
        elif entry.app_name != "admin":
            yield from patterns(entry)


@pytest.fixture
def belongings(alice: User) -> Belongings:
    provider = Provider.objects.create(name="P", dialect="openai", base_url="http://p.test/v1/")
    Deployment.objects.create(provider=provider, name="m-1", is_default=True)
    attachment = Attachment(
        owner=alice, name="a.pdf", status=Attachment.Status.READY, media_type="application/pdf", size=4, pages=1
    )
    attachment.file.save("a", ContentFile(b"%PDF"), save=False)
    attachment.thumbnail.save("t", ContentFile(b"RIFF"), save=False)
    attachment.save()
    table = make_attachment(alice, "a.csv", b"Secret,1", media_type="text/csv", pages=None)
    return Belongings(ask(alice, None, Question("Secret question", uuid.uuid4(), [attachment.pk])), attachment, table)


@pytest.fixture(autouse=True)
def nothing_runs(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    started: list[Asked] = []
    monkeypatch.setattr(run, "start", started.append)
    return started


def test_every_address_is_known_here() -> None:
    names = {pattern.name for pattern in patterns()}
    assert names == PUBLIC | OWN | set(ALLOWED), "a new address: say here whose it is"


@pytest.mark.parametrize("pattern", [p for p in patterns() if p.name in ALLOWED], ids=lambda p: p.name)
def test_a_stranger_gets_404_where_the_owner_does_not(
    pattern: URLPattern, belongings: Belongings, alice_client: Client, charlie_client: Client
) -> None:
    address = belongings.address(pattern)
    for method in ALLOWED[pattern.name or ""]:
        for headers in ({}, {"HX-Request": "true"}):
            stranger = getattr(charlie_client, method)(address, headers=headers)
            assert stranger.status_code == 404, (method, address)
            assert "Secret" not in stranger.content.decode(errors="replace")
        owner = getattr(alice_client, method)(address, headers={"HX-Request": "true"})
        assert owner.status_code < 400 or owner.status_code in (409, 422), (method, address, owner.status_code)
        # Not close(): that ends the request for the database too, in the middle of a test's transaction.
        for close in owner._resource_closers:
            close()


@pytest.mark.parametrize("pattern", [p for p in patterns() if p.name in ALLOWED], ids=lambda p: p.name)
def test_a_stranger_cannot_tell_what_exists(
    pattern: URLPattern, belongings: Belongings, charlie_client: Client
) -> None:
    theirs = belongings.address(pattern)
    nobodys = theirs.replace(str(belongings.asked.conversation.pk), str(uuid.uuid4()))
    for file in (belongings.attachment, belongings.table):
        nobodys = nobodys.replace(str(file.pk), str(uuid.uuid4()))
    nobodys = nobodys.replace(f"/turns/{belongings.asked.turn.pk}/", "/turns/999999/")
    for method in ALLOWED[pattern.name or ""]:
        answers = [getattr(charlie_client, method)(address) for address in (theirs, nobodys)]
        assert {a.status_code for a in answers} == {404}
        assert answers[0].content == answers[1].content


@pytest.mark.parametrize("pattern", [p for p in patterns() if p.name not in PUBLIC], ids=lambda p: p.name)
def test_somebody_who_is_not_signed_in_is_sent_to_the_sign_in(
    pattern: URLPattern, belongings: Belongings, client: Client
) -> None:
    address = belongings.address(pattern)
    for method in ALLOWED.get(pattern.name or "", ["get", "post"]):
        answer = getattr(client, method)(address)
        assert answer.status_code in (302, 401, 405), (method, address)
        assert "Secret" not in answer.content.decode(errors="replace")


def test_a_strangers_attachment_cannot_be_sent_along(
    belongings: Belongings, charlie_client: Client, nothing_runs: list[Asked]
) -> None:
    form = {"question": "What is in it?", "key": str(uuid.uuid4()), "attachment": str(belongings.attachment.pk)}
    answer = charlie_client.post("/ask/", form, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert not nothing_runs


def test_a_strangers_form_key_gives_nothing_away(
    belongings: Belongings, charlie_client: Client, nothing_runs: list[Asked]
) -> None:
    form = {"question": "Mine", "key": str(belongings.asked.turn.idempotency_key)}
    answer = charlie_client.post("/ask/", form, headers={"HX-Request": "true"})
    assert answer.status_code == 422
    assert "Secret" not in answer.content.decode()
    assert not nothing_runs


# The socket


async def connect(client: Client) -> WebsocketCommunicator:
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())
    headers = [(b"cookie", cookie.encode()), (b"origin", b"http://localhost"), (b"host", b"localhost")]
    return WebsocketCommunicator(routes, "/ws/?tab=t", headers=headers)


async def said(client: Client, *messages: dict[str, object]) -> str:
    """What the socket answers to each message, together."""
    socket = await connect(client)
    connected, _ = await socket.connect()
    assert connected
    answers = []
    for number, message in enumerate(messages, 1):
        await socket.send_to(text_data=json.dumps(message))
        answers.append(await socket.receive_from(5))
        await socket.send_to(text_data=json.dumps({"type": "ack", "n": number}))
    await socket.disconnect()
    return "".join(answers)


Signed = Callable[[User], Client]


@pytest.mark.django_db(transaction=True)
async def test_the_socket_shows_a_turn_to_its_owner_and_refuses_a_stranger(
    alice_client: Client, charlie_client: Client, belongings: Belongings
) -> None:
    watch = {"type": "watch", "turn": belongings.asked.turn.pk}
    await database_sync_to_async(lambda: belongings.asked.turn.conversation.turns.update(status="completed"))()
    assert "Secret question" in await said(alice_client, watch)
    refused = await said(charlie_client, watch)
    assert "Secret" not in refused
    assert refused == await said(charlie_client, {"type": "watch", "turn": 999_999})


@pytest.mark.django_db(transaction=True)
async def test_the_socket_refuses_a_look_at_a_strangers_conversation(
    charlie_client: Client, belongings: Belongings
) -> None:
    theirs = await said(charlie_client, {"type": "look", "conversation": str(belongings.asked.conversation.pk)})
    nobodys = await said(charlie_client, {"type": "look", "conversation": str(uuid.uuid4())})
    assert theirs == nobodys


@pytest.mark.django_db(transaction=True)
async def test_the_socket_is_closed_to_somebody_who_is_not_signed_in(client: Client) -> None:
    socket = await connect(client)
    await socket.connect()
    assert (await socket.receive_output(5))["code"] == 4401


@pytest.mark.django_db(transaction=True)
async def test_the_socket_is_closed_to_other_origins(alice_client: Client) -> None:
    cookie = "; ".join(f"{name}={morsel.value}" for name, morsel in alice_client.cookies.items())
    headers = [(b"cookie", cookie.encode()), (b"origin", b"http://evil.example"), (b"host", b"localhost")]
    socket = WebsocketCommunicator(routes, "/ws/?tab=t", headers=headers)
    connected, _ = await socket.connect()
    assert not connected


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "text", ["null", "[]", "{", '{"type":"watch","turn":"1"}', '{"type":"ack","n":-1}', '"x"', "[" * 2000]
)
async def test_the_socket_outlives_messages_that_are_none(
    text: str, alice_client: Client, belongings: Belongings
) -> None:
    socket = await connect(alice_client)
    await socket.connect()
    await socket.send_to(text_data=text)
    await socket.send_to(text_data=json.dumps({"type": "watch", "turn": 999_999}))
    assert "not there" in await socket.receive_from(5)
    await socket.disconnect()
