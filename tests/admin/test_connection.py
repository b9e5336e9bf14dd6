"""*Test connection*: what the operator learns of a deployment, and that nothing else comes of it."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from html import unescape
from typing import Any

import httpx
import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.backends.db import SessionStore
from django.contrib.sessions.models import Session
from django.test import Client, RequestFactory
from django.urls import reverse

from chat import engines
from chat.admin import connection
from chat.entra import EntraCredential, IdentityMissing, TokenRefused
from chat.models import Deployment, Provider, User
from chat.offline.app import create_app
from chat.offline.transport import OfflineTransport
from chat.responses.dialects import DIALECTS
from tests.conftest import PASSWORD, signed_in

from .test_providers import form, stored

KEY = "the-key-of-the-house-8f2c"
Serve = Callable[..., None]
Answer = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[httpx.AsyncClient]]:
    """The HTTP clients that a test opens; at its end all of them are closed, and the house knows of no loop more."""
    clients: list[httpx.AsyncClient] = []
    before = len(engines._https)
    monkeypatch.setenv("HOUSE_API_KEY", KEY)
    yield clients
    assert clients
    assert all(client.is_closed for client in clients)
    assert len(engines._https) == before


@pytest.fixture
def serve(opened: list[httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Let the embedded engine answer in place of the network: `serve("ofox", faults=["500"])`."""

    def serve(dialect: str, **options: Any) -> None:
        def open_http() -> httpx.AsyncClient:
            app = create_app(dialect=dialect, pace_seconds=0.0, **options)
            opened.append(httpx.AsyncClient(transport=OfflineTransport(app)))
            return opened[-1]

        monkeypatch.setattr(engines, "open_http", open_http)

    return serve


@pytest.fixture
def answer_with(opened: list[httpx.AsyncClient], monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], None]:
    """Let a function answer in place of the network."""

    def answer_with(answer: Answer) -> None:
        def open_http() -> httpx.AsyncClient:
            opened.append(httpx.AsyncClient(transport=httpx.MockTransport(answer)))
            return opened[-1]

        monkeypatch.setattr(engines, "open_http", open_http)

    return answer_with


@pytest.fixture
def azure(provider: Provider, deployment: Deployment) -> Deployment:
    Provider.objects.filter(pk=provider.pk).update(dialect="azure", base_url="https://house.example/openai/v1/")
    return Deployment.objects.get(pk=deployment.pk)


def address(deployment: Deployment, deed: str = "test") -> str:
    return reverse(f"admin:chat_provider_{deed}", args=[deployment.provider_id, deployment.pk])


def page_of(client: Client, deployment: Deployment) -> str:
    page = client.get(reverse("admin:chat_provider_change", args=[deployment.provider_id]))
    assert page.status_code == 200
    return page.content.decode()


def panel(page: str) -> str:
    """The words of the report on the page, without tags."""
    found = re.search(r'<section class="findings.*?</section>', page, re.DOTALL)
    assert found, "there is no report"
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", found[0])).split())


def tried(client: Client, deployment: Deployment) -> str:
    """Press the button without JavaScript and return what the page says then."""
    answer = client.post(address(deployment))
    assert answer.status_code == 302
    assert answer.headers["Location"].endswith(f"/change/#connection-{deployment.pk}")
    return panel(page_of(client, deployment))


# What it says


@pytest.mark.parametrize("dialect", ["azure", "ofox", "llamacpp"])
def test_a_test_says_what_it_learnt_and_the_page_keeps_it(
    olga_client: Client, deployment: Deployment, serve: Serve, dialect: str, caplog: pytest.LogCaptureFixture
) -> None:
    Provider.objects.update(dialect=dialect, base_url="https://house.example/")
    serve(dialect, models=["large"], key=KEY)
    with caplog.at_level(logging.INFO, "chat.admin.providers"):
        said = tried(olga_client, deployment)
    assert said.startswith("It works.")
    assert "“large” is one of them" in said
    assert ("keeps answers" in said) == DIALECTS[dialect].state
    assert panel(page_of(olga_client, deployment)) == said
    assert "olga tested the connection to 'large' at 'House'" in caplog.text
    assert KEY not in caplog.text + page_of(olga_client, deployment)


def test_with_javascript_only_the_panel_comes_so_that_edits_stay(
    olga_client: Client, azure: Deployment, serve: Serve
) -> None:
    serve("azure")
    answer = olga_client.post(address(azure), headers={"HX-Request": "true"})
    part = answer.content.decode()
    assert answer.status_code == 200
    assert part.lstrip().startswith(f'<div class="connection" id="connection-{azure.pk}">')
    assert "It works." in panel(part)
    assert "what you are editing is not tested" in part


def test_the_embedded_engine_can_be_tested_too(olga_client: Client) -> None:
    engines.sync_environment({})
    assert tried(olga_client, Deployment.objects.get()).startswith("It works.")


@pytest.mark.parametrize(
    ("faults", "sentence"),
    [
        (["401 always"], "It refuses the key. Is the one in HOUSE_API_KEY the right one"),
        (["deployment missing"], "It does not know “large”"),
        (["404 as nothing on any always"], "It has nothing at this address: is https://house.example/openai/v1/"),
        (["quota used up"], "nothing left to spend"),
        (["429 with retry-after: 20"], "It refuses more requests for the moment"),
        (["content filter"], "its content filter blocked even the question"),
        (["503"], "The server there failed."),
        (["400"], "It refused the question."),
        (["drop"], "house.example cannot be reached from this server"),
        (["content type text/html"], "does not speak the Responses API"),
        (["malformed event 3"], "does not speak the Responses API"),
        (["no terminal event"], "It answers, but not to the end."),
        (["503 as html on models"], "It works."),
    ],
)
def test_each_failure_has_its_sentence(
    olga_client: Client, azure: Deployment, serve: Serve, faults: list[str], sentence: str
) -> None:
    serve("azure", models=["large"], faults=faults)
    assert sentence in tried(olga_client, azure)


def test_what_people_would_read_of_a_failure_stands_beside_it(
    olga_client: Client, azure: Deployment, serve: Serve
) -> None:
    serve("azure", faults=["401 always"])
    assert "People who chat read: “The provider refused this site's key" in tried(olga_client, azure)


def test_a_test_ends_after_half_a_minute(
    olga_client: Client, azure: Deployment, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert connection.MOST_SECONDS == 30
    monkeypatch.setattr(connection, "MOST_SECONDS", 0.2)
    serve("azure", faults=["stall forever after 1 event"])
    assert "There was no whole answer within" in tried(olga_client, azure)


def test_nothing_is_asked_twice_and_what_must_not_be_kept_is_not(
    olga_client: Client, azure: Deployment, answer_with: Callable[[Answer], None]
) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(500, headers={"x-should-retry": "true"}, json={"error": {"message": "no"}})

    Deployment.objects.update(keeps_responses=False)
    answer_with(answer)
    assert "The server there failed." in tried(olga_client, azure)
    assert [request.url.path for request in asked] == ["/openai/v1/models", "/openai/v1/responses"]
    assert json.loads(asked[1].content)["store"] is False


def test_neither_a_key_nor_html_of_the_server_reaches_the_page(
    olga_client: Client, azure: Deployment, answer_with: Callable[[Answer], None]
) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        return httpx.Response(401, json={"error": {"message": f"<script>alert(1)</script> bad key {KEY}"}})

    answer_with(answer)
    assert "bad key [key]" in tried(olga_client, azure)
    page = page_of(olga_client, azure)
    assert KEY not in page
    assert "<script>alert" not in page


# Nothing is sent where nothing can be


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"key_variable": "MISSING_API_KEY"}, "environment variable 'MISSING_API_KEY' is not set"),
        ({"key_variable": ""}, "names no environment variable"),
        ({"key_variable": "PATH"}, "'PATH' is not among PROVIDER_KEY_VARIABLES"),
        ({"base_url": "https:///v1"}, "has no host name"),
        ({"base_url": "https://[::1/v1"}, "is not an address"),
        ({"base_url": "", "dialect": "generic"}, "The base URL is empty"),
        ({"dialect": "of another age"}, "There is no dialect “of another age”"),
        ({"capabilities": {"telepathy": True}}, "There is no capability “telepathy”"),
        ({"capabilities": ["telepathy"]}, "The capability overrides are no JSON object"),
        ({"extra_headers": ["X-Team"]}, "The extra headers are no JSON object"),
        ({"auth": "entra", "dialect": "generic"}, "token scope"),
    ],
)
def test_what_is_set_up_wrong_is_said_before_anything_is_sent(
    olga_client: Client, deployment: Deployment, fields: dict[str, Any], sentence: str
) -> None:
    Provider.objects.update(**fields)
    assert sentence in panel(olga_client.post(address(deployment), headers={"HX-Request": "true"}).content.decode())
    page_of(olga_client, deployment)


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("http://127.0.0.1:9/v1/", "127.0.0.1:9 cannot be reached from this server"),
        ("http://house..example/v1/", "The base URL has no host name"),
    ],
)
def test_an_address_where_nobody_is_gets_a_sentence(
    olga_client: Client, deployment: Deployment, url: str, sentence: str
) -> None:
    """With the true transport: what the network itself raises."""
    Provider.objects.update(base_url=url, auth="none")
    assert sentence in tried(olga_client, deployment)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (IdentityMissing("Entra ID needs the package azure-identity."), "Entra ID needs the package azure-identity."),
        (TokenRefused("Entra ID, scope: tried everything"), "Entra ID gives this server no token."),
    ],
)
def test_a_server_without_an_identity_is_told_so(
    olga_client: Client,
    azure: Deployment,
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    sentence: str,
) -> None:
    async def no_token(self: EntraCredential, *, renew: bool = False) -> str:
        raise error

    monkeypatch.setattr(EntraCredential, "token", no_token)
    Provider.objects.update(auth="entra")
    serve("azure")
    said = tried(olga_client, azure)
    assert said.startswith("Nothing was sent")
    assert sentence in said


# Who may


def test_only_those_who_may_change_a_provider_test_it(
    rita_client: Client, sam_client: Client, alice_client: Client, azure: Deployment
) -> None:
    for client in (rita_client, sam_client):
        assert client.post(address(azure)).status_code == 403
        assert client.post(address(azure, "take_over")).status_code == 403
    assert alice_client.post(address(azure)).status_code == 302
    assert Client().post(address(azure)).headers["Location"].startswith(reverse("admin:login"))
    assert "Test connection" not in page_of(rita_client, azure)


def test_a_test_is_posted_with_its_token_for_a_row_that_is_there(
    olga_client: Client, azure: Deployment, db: None
) -> None:
    assert olga_client.get(address(azure)).status_code == 405
    other = Provider.objects.create(name="Other", dialect="generic", base_url="http://127.0.0.1/v1/", auth="none")
    assert olga_client.post(reverse("admin:chat_provider_test", args=[other.pk, azure.pk])).status_code == 404
    assert olga_client.post(reverse("admin:chat_provider_test", args=[987, azure.pk])).status_code == 404
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(
        User.objects.create_superuser("root", password=PASSWORD), "django.contrib.auth.backends.ModelBackend"
    )
    assert strict.post(address(azure)).status_code == 403


def test_a_report_is_its_operators_alone(
    olga_client: Client, admin_user: User, azure: Deployment, serve: Serve
) -> None:
    serve("azure")
    tried(olga_client, azure)
    assert 'class="findings' not in page_of(signed_in(admin_user), azure)


def test_what_another_tab_did_meanwhile_stays(azure: Deployment, rf: RequestFactory) -> None:
    before = SessionStore()
    before.create()
    request = rf.post("/")
    request.session = SessionStore(before.session_key)
    assert not request.session.get("theme")  # read before the test, which may take half a minute
    meanwhile = SessionStore(before.session_key)
    meanwhile["theme"] = "dark"
    meanwhile.save()
    connection.keep(request, azure, connection.Report("It works."))
    after = SessionStore(before.session_key)
    assert after["theme"] == "dark"
    assert after[connection.IN_SESSION][str(azure.pk)]["headline"] == "It works."


def test_a_report_for_somebody_who_signed_out_meanwhile_is_dropped(azure: Deployment, rf: RequestFactory) -> None:
    request = rf.post("/")
    request.session = SessionStore("gone" * 8)
    connection.keep(request, azure, connection.Report("It works."))
    assert not Session.objects.exists()


# What would fit better


def test_what_would_fit_better_is_shown_and_taken_over(olga_client: Client, azure: Deployment, serve: Serve) -> None:
    Provider.objects.update(capabilities={"web_search": True, "retrieve": True})
    serve("ofox")
    wanted = '{"sequence_numbers": false, "retrieve": false, "state": false}'
    assert wanted in tried(olga_client, azure)
    assert "Take them over" in page_of(olga_client, azure)
    done = olga_client.post(address(azure, "take_over"), follow=True).content.decode()
    assert "Taken over: {&quot;sequence_numbers&quot;: false" in done
    provider = Provider.objects.get()
    assert provider.capabilities == {"web_search": True, **json.loads(wanted)}
    assert wanted in LogEntry.objects.get(object_id=str(provider.pk)).get_change_message()
    assert 'class="findings' not in done
    tried(olga_client, azure)
    assert "Take them over" not in page_of(olga_client, azure)


def test_an_override_that_the_dialect_says_itself_is_dropped() -> None:
    merged = connection.take_over(
        {"sequence_numbers": False, "state": False}, {"sequence_numbers": True}, DIALECTS["azure"]
    )
    assert merged == {"state": False}


def test_without_a_test_there_is_nothing_to_take_over(olga_client: Client, azure: Deployment) -> None:
    done = olga_client.post(address(azure, "take_over"), follow=True)
    assert "There is nothing to take over" in done.content.decode()
    assert Provider.objects.get().capabilities == {}


def test_of_what_the_environment_describes_nothing_is_overridden(
    olga_client: Client, azure: Deployment, serve: Serve
) -> None:
    Provider.objects.update(source=Provider.Source.ENVIRONMENT)
    serve("ofox")
    assert "described by the environment" in tried(olga_client, azure)
    assert "Take them over" not in page_of(olga_client, azure)
    assert olga_client.post(address(azure, "take_over")).status_code == 403
    assert Provider.objects.get().capabilities == {}


def test_a_report_ends_with_what_it_was_about(olga_client: Client, azure: Deployment, serve: Serve) -> None:
    serve("azure")
    tried(olga_client, azure)
    change = reverse("admin:chat_provider_change", args=[azure.provider_id])
    same = form(stored(azure, is_default="on", keeps_responses="on", label=azure.label), initial=1, dialect="azure")
    same["base_url"] = "https://house.example/openai/v1/"
    # What the browser sends of fields whose default is made anew each time.
    same |= {f"initial-{name}": "{}" for name in ("extra_headers", "capabilities", "deployments-0-parameters")}
    assert olga_client.post(change, same).status_code == 302
    assert "It works." in panel(page_of(olga_client, azure))
    assert olga_client.post(change, {**same, "base_url": "https://other.example/"}).status_code == 302
    assert 'class="findings' not in page_of(olga_client, azure)
