"""From variables and rows to a client: which providers there are, and with whose key."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
import pytest
from pytest_django import Settings

from chat import engines
from chat.engines import KeyMissing, client_for, sync_environment
from chat.models import Deployment, Provider, User
from chat.responses.client import Client
from tests.rows import make_conversation, make_deployment

pytestmark = pytest.mark.django_db

AZURE = {
    "AZURE_OPENAI_ENDPOINT": "https://team.openai.azure.com/",
    "AZURE_OPENAI_API_KEY": "azure-secret",
    "AZURE_OPENAI_DEPLOYMENTS": "chat, mini",
}
OPENAI = {"OPENAI_API_KEY": "sk-secret"}
FOUNDRY = {
    "FOUNDRY_ENDPOINT": "https://team.services.ai.azure.com/api/projects/lab",
    "FOUNDRY_API_KEY": "foundry-secret",
    "FOUNDRY_MODELS": "Phi-4",
}
GENERIC = {"RESPONSES_BASE_URL": "http://127.0.0.1:9000", "RESPONSES_MODELS": "local"}


def offered() -> list[str]:
    return [f"{d.provider.name}: {d.name}" for d in Deployment.objects.offered().order_by("provider__name", "pk")]


def default() -> str:
    return Deployment.objects.offered().get(is_default=True).name


def everything() -> list[dict[str, Any]]:
    return [*Provider.objects.order_by("pk").values(), *Deployment.objects.order_by("pk").values()]


class TestEnvironment:
    def test_without_any_the_embedded_engine_answers(self) -> None:
        sync_environment({})
        assert offered() == ["Embedded engine: embedded"]
        assert default() == "embedded"

    def test_azure(self) -> None:
        sync_environment(AZURE)
        assert offered() == ["Azure OpenAI: chat", "Azure OpenAI: mini"]
        assert default() == "chat"
        row = Provider.objects.get(name="Azure OpenAI")
        assert (row.dialect, row.base_url) == ("azure", "https://team.openai.azure.com/openai/v1/")
        assert (row.auth, row.key_variable, row.source) == ("key", "AZURE_OPENAI_API_KEY", "environment")

    def test_foundry(self) -> None:
        sync_environment(FOUNDRY)
        assert offered() == ["Microsoft Foundry: Phi-4"]
        row = Provider.objects.get(name="Microsoft Foundry")
        assert row.base_url == "https://team.services.ai.azure.com/api/projects/lab/openai/v1/"
        assert (row.dialect, row.auth, row.key_variable) == ("foundry", "key", "FOUNDRY_API_KEY")

    @pytest.mark.seed("S0-6")
    @pytest.mark.parametrize(
        ("variables", "name"), [(AZURE, "Azure OpenAI"), (FOUNDRY, "Microsoft Foundry")], ids=["azure", "foundry"]
    )
    @pytest.mark.parametrize("scope", ["", "https://ai.azure.com/.default"])
    def test_tokens_of_entra_id_in_the_place_of_a_key(self, variables: dict[str, str], name: str, scope: str) -> None:
        group = next(iter(variables)).removesuffix("_ENDPOINT")
        sync_environment({**variables, f"{group}_AUTH": " Entra ", f"{group}_TOKEN_SCOPE": scope})
        row = Provider.objects.get(name=name)
        assert (row.auth, row.key_variable, row.token_scope) == ("entra", "", scope)
        sync_environment(variables)
        row.refresh_from_db()
        assert (row.auth, row.key_variable, row.token_scope) == ("key", f"{group}_API_KEY", "")

    def test_openai_needs_only_its_key(self) -> None:
        sync_environment(OPENAI)
        row = Provider.objects.get(name="OpenAI")
        assert (row.dialect, row.base_url) == ("openai", "https://api.openai.com/v1/")
        assert row.deployments.count() > 1
        sync_environment({**OPENAI, "OPENAI_MODELS": "gpt-x", "OPENAI_BASE_URL": "https://proxy.test/openai/responses"})
        assert offered() == ["OpenAI: gpt-x"]
        row.refresh_from_db()
        assert row.base_url == "https://proxy.test/openai/"

    @pytest.mark.parametrize(("key", "auth"), [("", "none"), ("secret", "key")])
    def test_any_other_server_with_a_key_or_without(self, key: str, auth: str) -> None:
        sync_environment({**GENERIC, "RESPONSES_API_KEY": key})
        row = Provider.objects.get(name="Responses API")
        assert (row.dialect, row.base_url, row.auth) == ("generic", "http://127.0.0.1:9000/v1/", auth)
        assert row.key_variable == ("RESPONSES_API_KEY" if key else "")

    def test_any_other_server_with_a_name_and_a_dialect(self) -> None:
        sync_environment({**GENERIC, "RESPONSES_NAME": " Our lab ", "RESPONSES_DIALECT": "ollama"})
        assert offered() == ["Our lab: local"]
        assert Provider.objects.get(name="Our lab").dialect == "ollama"

    def test_all_at_once(self) -> None:
        sync_environment({**AZURE, **OPENAI, **GENERIC, "OPENAI_MODELS": "gpt-x"})
        assert offered() == ["Azure OpenAI: chat", "Azure OpenAI: mini", "OpenAI: gpt-x", "Responses API: local"]

    def test_names_may_have_spaces_around_and_inside_and_be_said_twice(self) -> None:
        sync_environment({**AZURE, "AZURE_OPENAI_DEPLOYMENTS": " chat , my model,,chat, "})
        assert offered() == ["Azure OpenAI: chat", "Azure OpenAI: my model"]

    def test_no_key_is_stored(self) -> None:
        sync_environment({**AZURE, **FOUNDRY, **OPENAI, **GENERIC, "RESPONSES_API_KEY": "other-secret"})
        assert "secret" not in str(everything())


class TestAgain:
    def test_a_second_start_changes_nothing(self) -> None:
        sync_environment({**AZURE, **OPENAI})
        before = everything()
        sync_environment({**AZURE, **OPENAI})
        assert everything() == before

    def test_variables_that_are_gone_switch_a_provider_off_and_bring_the_embedded_engine_back(
        self, alice: User
    ) -> None:
        sync_environment(AZURE)
        chat = Deployment.objects.get(name="chat")
        conversation = make_conversation(alice, chat)
        sync_environment({})
        assert offered() == ["Embedded engine: embedded"]
        assert default() == "embedded"
        conversation.refresh_from_db()
        assert conversation.deployment == chat
        sync_environment(AZURE)
        assert offered() == ["Azure OpenAI: chat", "Azure OpenAI: mini"]
        assert Deployment.objects.get(name="chat") == chat

    def test_a_model_that_is_no_longer_named_is_switched_off(self) -> None:
        sync_environment(AZURE)
        sync_environment({**AZURE, "AZURE_OPENAI_DEPLOYMENTS": "mini"})
        assert offered() == ["Azure OpenAI: mini"]
        assert default() == "mini"

    def test_the_operators_default_stays(self) -> None:
        sync_environment(AZURE)
        Deployment.objects.filter(name="chat").update(is_default=False)
        Deployment.objects.filter(name="mini").update(is_default=True)
        sync_environment({**AZURE, **OPENAI})
        assert default() == "mini"

    def test_a_default_that_is_no_longer_offered_is_replaced(self) -> None:
        sync_environment({**AZURE, **GENERIC})
        assert default() == "chat"
        sync_environment(GENERIC)
        assert default() == "local"
        assert Deployment.objects.filter(is_default=True).count() == 1

    def test_what_the_operator_set_beside_is_kept(self) -> None:
        sync_environment(AZURE)
        Provider.objects.filter(name="Azure OpenAI").update(file_policy="inline", capabilities={"state": False})
        Deployment.objects.filter(name="chat").update(label="Chat", parameters={"max_output_tokens": 9})
        before = everything()
        sync_environment(AZURE)
        assert everything() == before

    def test_a_provider_of_the_admin_is_left_alone_and_suffices(self) -> None:
        make_deployment("m-1", provider="Ours")
        before = Provider.objects.filter(name="Ours").values().get()
        sync_environment({})
        assert offered() == ["Ours: m-1"]
        assert Provider.objects.filter(name="Ours").values().get() == before


class TestRefused:
    @pytest.mark.parametrize(
        ("environ", "sentence"),
        [
            (
                {**AZURE, "AZURE_OPENAI_DEPLOYMENTS": " , "},
                r"Azure OpenAI .* Set AZURE_OPENAI_DEPLOYMENTS to their names\.$",
            ),
            ({**OPENAI, "OPENAI_MODELS": ""}, r"Set OPENAI_MODELS to their names\.$"),
            ({**GENERIC, "RESPONSES_MODELS": ""}, r"Set RESPONSES_MODELS to their names\.$"),
            ({**GENERIC, "RESPONSES_MODELS": "", "RESPONSES_API_KEY": "k"}, r"Set RESPONSES_MODELS to their names\.$"),
            ({**GENERIC, "RESPONSES_DIALECT": "klingon"}, r"RESPONSES_DIALECT is 'klingon'.*one of: azure, .*ollama"),
            ({**AZURE, "AZURE_OPENAI_ENDPOINT": "ftp://x"}, r"^AZURE_OPENAI_ENDPOINT: The base URL begins with https"),
            ({**OPENAI, "OPENAI_BASE_URL": "https://"}, r"^OPENAI_BASE_URL: The base URL has no host name"),
            ({**GENERIC, "RESPONSES_BASE_URL": "http://u:p@host/"}, r"^RESPONSES_BASE_URL: .* holds credentials"),
            ({**AZURE, **GENERIC, "RESPONSES_NAME": "Azure OpenAI"}, r"^RESPONSES_NAME is 'Azure OpenAI', as another"),
            ({**GENERIC, "RESPONSES_NAME": "Embedded engine"}, r"^RESPONSES_NAME is 'Embedded engine', as another"),
            ({**AZURE, "AZURE_OPENAI_AUTH": "aad"}, r"^AZURE_OPENAI_AUTH is 'aad'. Set it to key or entra\.$"),
            ({**FOUNDRY, "FOUNDRY_MODELS": ""}, r"Set FOUNDRY_MODELS to their names\.$"),
            (
                {**FOUNDRY, "FOUNDRY_AUTH": "entra", "FOUNDRY_TOKEN_SCOPE": "x" * 201},
                r"^FOUNDRY_TOKEN_SCOPE has a token scope of 201 characters; 200 fit\.$",
            ),
            ({**GENERIC, "RESPONSES_NAME": "x" * 101}, r"^RESPONSES_NAME has a name of 101 characters; 100 fit\.$"),
            ({**GENERIC, "RESPONSES_MODELS": "a," + "x" * 201}, r"^RESPONSES_MODELS has a name of 201 characters; 200"),
        ],
        ids=lambda value: value if isinstance(value, str) else "",
    )
    def test_what_cannot_work_is_said_in_a_sentence_and_changes_nothing(
        self, environ: dict[str, str], sentence: str
    ) -> None:
        sync_environment({})
        before = everything()
        with pytest.raises(ValueError, match=sentence) as refused:
            sync_environment(environ)
        assert "\n" not in str(refused.value)
        assert "u:p" not in str(refused.value)
        assert everything() == before

    def test_a_name_that_the_admin_has_given_is_not_taken_over(self) -> None:
        make_deployment(provider="Azure OpenAI", dialect="openai")
        before = everything()
        with pytest.raises(ValueError, match="Unset AZURE_OPENAI_ENDPOINT, or rename the one in the admin"):
            sync_environment(AZURE)
        assert everything() == before


class TestClient:
    @pytest.fixture
    def provider(self, monkeypatch: pytest.MonkeyPatch) -> Provider:
        monkeypatch.setenv("LAB_API_KEY", " lab-secret \n")
        return make_deployment(provider="Lab").provider

    async def test_the_key_is_read_when_it_is_needed(self, provider: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
        provider.key_variable = "LAB_API_KEY"
        assert client_for(provider).endpoint.key == "lab-secret"
        monkeypatch.setenv("LAB_API_KEY", "another")
        assert client_for(provider).endpoint.key == "another"
        await engines.close()

    @pytest.mark.parametrize("value", [None, "", "  "])
    async def test_a_missing_key_is_said_without_its_name_to_people_and_with_it_to_operators(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch, value: str | None
    ) -> None:
        provider.key_variable = "LAB_API_KEY"
        monkeypatch.delenv("LAB_API_KEY") if value is None else monkeypatch.setenv("LAB_API_KEY", value)
        with pytest.raises(KeyMissing) as missing:
            client_for(provider)
        assert "Ask the operator" in missing.value.user_message
        assert "LAB_API_KEY" not in missing.value.user_message
        assert "'LAB_API_KEY' is not set" in str(missing.value)

    async def test_a_provider_that_names_no_variable_is_told_so(self, provider: Provider) -> None:
        with pytest.raises(KeyMissing, match="names no environment variable"):
            client_for(provider)

    @pytest.mark.parametrize(
        "name",
        ["SECRET_KEY", "DJANGO_SECRET_KEY", "DATABASE_URL", "AWS_SECRET_ACCESS_KEY", "AZURE_CLIENT_SECRET", "PATH", ""],
    )
    async def test_a_provider_cannot_carry_off_another_secret(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        assert not engines.may_hold_key(name)
        if name and name != "PATH":
            monkeypatch.setenv(name, "do-not-tell")
        provider.key_variable = name
        with pytest.raises(KeyMissing) as refused:
            client_for(provider)
        assert "do-not-tell" not in str(refused.value)
        if name:
            assert f"'{name}' is not among PROVIDER_KEY_VARIABLES" in str(refused.value)

    async def test_the_operator_says_which_variables_hold_keys(
        self, provider: Provider, monkeypatch: pytest.MonkeyPatch, settings: Settings
    ) -> None:
        monkeypatch.setenv("LAB_TOKEN", "lab-token")
        provider.key_variable = "LAB_TOKEN"
        assert not engines.may_hold_key("LAB_TOKEN")
        assert engines.may_hold_key("LAB_API_KEY")
        settings.PROVIDER_KEY_VARIABLES = ("LAB_*",)
        assert client_for(provider).endpoint.key == "lab-token"
        assert not engines.may_hold_key("OPENAI_API_KEY")
        # What the environment describes, the operator has named already.
        provider.source, provider.key_variable = Provider.Source.ENVIRONMENT, "OPENAI_API_KEY"
        monkeypatch.setenv("OPENAI_API_KEY", "sk")
        assert client_for(provider).endpoint.key == "sk"
        await engines.close()

    async def test_entra_id_takes_the_place_of_the_key(self, provider: Provider) -> None:
        provider.auth, provider.dialect, provider.key_variable = Provider.Auth.ENTRA, "azure", "LAB_API_KEY"
        endpoint = client_for(provider).endpoint
        assert endpoint.key is None
        assert repr(endpoint.credential) == "EntraCredential('https://cognitiveservices.azure.com/.default')"
        assert client_for(provider).endpoint.credential is endpoint.credential
        provider.token_scope = "https://ai.azure.com/.default"
        assert repr(client_for(provider).endpoint.credential) == "EntraCredential('https://ai.azure.com/.default')"
        await engines.close()

    async def test_staff_may_not_have_tokens_sent_for_any_scope(self, provider: Provider, settings: Settings) -> None:
        provider.auth, provider.dialect = Provider.Auth.ENTRA, "azure"
        provider.token_scope = "https://management.azure.com/.default"
        with pytest.raises(KeyMissing, match="is not among PROVIDER_TOKEN_SCOPES"):
            client_for(provider)
        provider.token_scope, provider.capabilities = "", {"token_scope": "https://vault.azure.net/.default"}
        with pytest.raises(KeyMissing, match="is not among PROVIDER_TOKEN_SCOPES"):
            client_for(provider)
        settings.PROVIDER_TOKEN_SCOPES = ("https://vault.azure.net/*",)
        assert client_for(provider).endpoint.credential is not None
        # What the environment describes, the operator has named already.
        settings.PROVIDER_TOKEN_SCOPES = ()
        provider.source = Provider.Source.ENVIRONMENT
        assert client_for(provider).endpoint.credential is not None
        await engines.close()

    async def test_entra_id_without_a_scope_is_told_to_the_operator(self, provider: Provider) -> None:
        provider.auth = Provider.Auth.ENTRA
        with pytest.raises(KeyMissing, match="neither it nor its dialect has a token scope"):
            client_for(provider)

    @pytest.mark.seed("S1-31")
    @pytest.mark.parametrize(
        ("dialect", "makes_images", "sent"),
        [
            ("azure", "gpt-image-1", {"X-Team": "blue", "x-ms-oai-image-generation-deployment": "gpt-image-1"}),
            ("azure", "", {"X-Team": "blue"}),
            ("openai", "gpt-image-1", {"X-Team": "blue"}),
        ],
    )
    async def test_the_deployment_that_makes_images_is_named_where_the_dialect_has_a_header(
        self, dialect: str, makes_images: str, sent: dict[str, str]
    ) -> None:
        provider = Provider(dialect=dialect, base_url="http://lab.test/", auth="none", extra_headers={"X-Team": "blue"})
        deployment = Deployment(provider=provider, name="chat", image_deployment=makes_images)
        assert client_for(provider, deployment).endpoint.headers == sent
        assert client_for(provider).endpoint.headers == {"X-Team": "blue"}
        await engines.close()

    async def test_a_provider_without_credentials_needs_none(self, provider: Provider) -> None:
        provider.auth = Provider.Auth.NONE
        provider.key_variable = "LAB_API_KEY"
        assert client_for(provider).endpoint.key is None
        await engines.close()

    @pytest.mark.parametrize("typed", ["http://lab.test", "http://lab.test/v1", "http://lab.test/v1/responses"])
    async def test_the_address_is_what_the_operator_meant(self, provider: Provider, typed: str) -> None:
        provider.auth, provider.base_url = Provider.Auth.NONE, typed
        assert client_for(provider).endpoint.base_url == "http://lab.test/v1/"
        await engines.close()

    async def test_overrides_and_headers_come_along(self, provider: Provider) -> None:
        provider.auth = Provider.Auth.NONE
        provider.capabilities, provider.extra_headers = {"state": False}, {"X-Team": "blue"}
        endpoint = client_for(provider).endpoint
        assert (endpoint.dialect.state, endpoint.headers) == (False, {"X-Team": "blue"})
        await engines.close()

    def test_each_event_loop_has_connections_of_its_own(self, provider: Provider) -> None:
        provider.auth = Provider.Auth.NONE

        async def two_clients() -> tuple[httpx.AsyncClient, httpx.AsyncClient]:
            pair = (http_of(client_for(provider)), http_of(client_for(provider)))
            await engines.close()
            return pair

        first, same = asyncio.run(two_clients())
        other, _ = asyncio.run(two_clients())
        assert first is same
        assert first is not other
        assert first.is_closed
        assert other.is_closed

    async def test_the_embedded_engine_is_asked_without_a_network(self) -> None:
        provider = Provider(name="E", dialect="offline", source=Provider.Source.EMBEDDED)
        reply = await client_for(provider).create({"model": "embedded", "input": "What is 17 * 23 + 4?"})
        assert "395" in str(reply["output"])
        await engines.close()


def http_of(client: Client) -> httpx.AsyncClient:
    return client._http
