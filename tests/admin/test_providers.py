"""Providers and deployments, as the operator sets them up."""

from __future__ import annotations

import re
import sys
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection as db_connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from chat import engines
from chat.admin.capabilities import abilities_of, hints_for
from chat.admin.keys import holds_a_key, is_secret_header, looks_like_a_key
from chat.models import Deployment, Provider
from chat.models.prices import Prices
from chat.responses.dialects import DIALECTS, OVERRIDABLE

ADD = reverse("admin:chat_provider_add")

# Shaped like keys of Azure (old and new), OpenAI and others; none of them is one.
KEYS = [
    "a1b2c3d4e5f60718293a4b5c6d7e8f90",
    "Fk9" + "aB3dE6gH9jK2mN5pQ8sT1vW4" * 3 + "JQQJ99BKACYeBjFXJ3w3AAABACOGabcd",
    "sk-proj-abcdefghijklmnopqrstuvwx",
    "sk_live_abcdefghijklmnop",
    "gsk_abcdefghijklmnopqrstuvwxyz0123",
    "hf_abcdefghijklmnopqrstuvwxyz",
    "eyJhbGciOiJIUzI1NiIsInR5cCI6",
]
NAMES = ["AZURE_OPENAI_API_KEY", "OPENAI_API_KEY", "KEY", "key2", "SK_KEY", "TEAM_7_MODELS_KEY", "HF_TOKEN"]


def address(provider: Provider) -> str:
    return reverse("admin:chat_provider_change", args=[provider.pk])


def form(*deployments: dict[str, Any], initial: int = 0, **fields: Any) -> dict[str, Any]:
    """What the browser posts: a provider and its deployments, of which `initial` are stored already."""
    data: dict[str, Any] = {
        "name": "House",
        "dialect": "openai",
        "base_url": "https://models.example/v1/",
        "auth": "key",
        "key_variable": "HOUSE_API_KEY",
        "extra_headers": "{}",
        "capabilities": "{}",
        "file_policy": "auto",
        "enabled": "on",
        "deployments-TOTAL_FORMS": str(len(deployments)),
        "deployments-INITIAL_FORMS": str(initial),
        **fields,
    }
    for number, deployment in enumerate(deployments):
        row = {"name": f"model{number}", "parameters": "{}", "enabled": "on", **deployment}
        data.update({f"deployments-{number}-{name}": value for name, value in row.items()})
    return data


def refusal(client: Client, where: str, data: dict[str, Any]) -> str:
    """The page that comes back with the sentences of what is wrong; asserts that something is."""
    page = client.post(where, data)
    assert page.status_code == 200
    assert page.context["errors"], "was accepted"
    return page.content.decode()


def test_an_operator_adds_a_provider_with_its_deployments(olga_client: Client) -> None:
    page = olga_client.post(ADD, form({"name": "large", "is_default": "on", "parameters": '{"top_p": 0.5}'}))
    assert page.status_code == 302
    deployment = Deployment.objects.get()
    assert (deployment.name, deployment.is_default, deployment.parameters) == ("large", True, {"top_p": 0.5})
    assert deployment.provider.source == Provider.Source.ADMIN
    assert deployment.provider.key_variable == "HOUSE_API_KEY"


def test_an_operator_gives_a_deployment_its_prices(olga_client: Client, deployment: Deployment) -> None:
    row = {"id": str(deployment.pk), "name": deployment.name}
    prices = {"input_price": "1.25", "cached_input_price": "0.125", "output_price": "10"}
    where = address(deployment.provider)
    assert olga_client.post(where, form({**row, **prices}, initial=1)).status_code == 302
    deployment.refresh_from_db()
    assert deployment.prices == Prices(Decimal("1.25"), Decimal("0.125"), Decimal(10))
    page = olga_client.get(where).content.decode()
    for name, value in {**prices, "output_price": "10"}.items():
        assert re.search(
            rf'<input[^>]*name="deployments-0-{name}"[^>]*value="{re.escape(value)}"|'
            rf'<input[^>]*value="{re.escape(value)}"[^>]*name="deployments-0-{name}"',
            page,
        ), name
    assert "Cached input (USD)" in page


@pytest.mark.parametrize(
    ("prices", "sentence"),
    [
        ({"input_price": "1"}, "Give the prices of both input and output, or no price at all."),
        ({"cached_input_price": "1"}, "Give the prices of both input and output, or no price at all."),
        ({"input_price": "-1", "output_price": "1"}, "greater than or equal to 0"),
        ({"input_price": "cheap", "output_price": "1"}, "Enter a number."),
    ],
)
def test_prices_that_would_mislead_are_refused(olga_client: Client, prices: dict[str, str], sentence: str) -> None:
    assert sentence in refusal(olga_client, ADD, form(prices))
    assert not Deployment.objects.exists()


def test_what_the_environment_describes_gets_its_prices_here(olga_client: Client, deployment: Deployment) -> None:
    Provider.objects.update(source=Provider.Source.ENVIRONMENT)
    row = {"id": str(deployment.pk), "input_price": "0.25", "output_price": "2"}
    assert olga_client.post(address(deployment.provider), form(row, initial=1)).status_code == 302
    deployment.refresh_from_db()
    assert deployment.input_price == Decimal("0.25")


def test_a_reviewer_changes_no_provider(rita_client: Client, provider: Provider) -> None:
    assert rita_client.get(address(provider)).status_code == 200
    assert rita_client.post(address(provider), form(name="Other")).status_code == 403
    assert rita_client.post(ADD, form(name="Other")).status_code == 403
    assert Provider.objects.get().name == "House"


# Keys


@pytest.mark.seed("S0-14")
@pytest.mark.parametrize("key", KEYS)
def test_a_key_instead_of_a_name_is_refused_and_not_shown_again(olga_client: Client, key: str) -> None:
    page = refusal(olga_client, ADD, form(key_variable=key))
    assert "name" in page
    assert key not in page
    assert not Provider.objects.exists()


def test_a_refused_key_is_forgotten_when_another_field_is_wrong_too(olga_client: Client) -> None:
    page = refusal(olga_client, ADD, form(key_variable=KEYS[0], capabilities="not json", name=""))
    assert KEYS[0] not in page
    assert "not json" in page


@pytest.mark.parametrize("name", NAMES)
def test_names_of_variables_are_taken(name: str) -> None:
    assert not looks_like_a_key(name)


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_told_from_names(key: str) -> None:
    assert looks_like_a_key(key)
    assert holds_a_key(f"before {key} after")


@pytest.mark.parametrize("name", ["SECRET_KEY", "secret_key", "DATABASE_URL"])
def test_a_secret_of_the_server_cannot_be_sent_to_a_provider(olga_client: Client, name: str) -> None:
    assert "secret of this server" in refusal(olga_client, ADD, form(key_variable=name))


def test_a_key_needs_its_variable(olga_client: Client) -> None:
    assert "Name the environment variable" in refusal(olga_client, ADD, form(key_variable=""))
    assert olga_client.post(ADD, form(key_variable="", auth="none")).status_code == 302


@pytest.mark.parametrize("name", ["PATH", "HOME", "AWS_SECRET_ACCESS_KEY"])
def test_only_variables_that_the_server_allows_are_named(olga_client: Client, name: str) -> None:
    page = refusal(olga_client, ADD, form(key_variable=name))
    assert "*_API_KEY" in page
    assert "PROVIDER_KEY_VARIABLES" in page


def test_the_operator_says_which_variables_are_allowed(olga_client: Client, settings: Any) -> None:
    settings.PROVIDER_KEY_VARIABLES = ("LAB_*", "HOUSE_TOKEN")
    assert "LAB_*, HOUSE_TOKEN" in refusal(olga_client, ADD, form(key_variable="OTHER_API_KEY"))
    assert olga_client.post(ADD, form(key_variable="HOUSE_TOKEN")).status_code == 302


def test_a_row_with_a_variable_that_is_not_allowed_any_more_says_so(
    olga_client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OLD_NAME", "the-value-itself")
    Provider.objects.update(key_variable="OLD_NAME")
    assert "Not allowed on this server: OLD_NAME" in olga_client.get(address(provider)).content.decode()
    Provider.objects.update(source=Provider.Source.ENVIRONMENT)  # the operator has named it then
    assert "Set on this server" in olga_client.get(address(provider)).content.decode()


# Microsoft Entra ID


def test_tokens_need_no_variable_and_the_scope_of_the_dialect(olga_client: Client) -> None:
    data = form(dialect="azure", base_url="https://house.openai.azure.com/", auth="entra", key_variable="")
    assert olga_client.post(ADD, data).status_code == 302
    assert Provider.objects.get().token_scope == ""


def test_where_the_dialect_has_no_scope_one_is_given(olga_client: Client, settings: Any) -> None:
    settings.PROVIDER_TOKEN_SCOPES = ("api://house/*",)
    data = form(auth="entra", key_variable="")
    assert "OpenAI has no scope of its own" in refusal(olga_client, ADD, data)
    assert olga_client.post(ADD, {**data, "token_scope": "api://house/.default"}).status_code == 302
    assert Provider.objects.get().token_scope == "api://house/.default"


def test_a_scope_may_come_from_an_override(olga_client: Client, settings: Any) -> None:
    settings.PROVIDER_TOKEN_SCOPES = ("api://house/.default",)
    data = form(auth="entra", key_variable="", capabilities='{"token_scope": "api://house/.default"}')
    assert olga_client.post(ADD, data).status_code == 302


@pytest.mark.parametrize("field", ["token_scope", "capabilities"])
def test_tokens_for_anything_else_that_this_server_may_do_are_sent_nowhere(olga_client: Client, field: str) -> None:
    """Whoever received one for Azure's management could do there what the identity of this server may do."""
    scope = "https://management.azure.com/.default"
    data = form(dialect="azure", base_url="https://a.example/", auth="entra", key_variable="")
    data[field] = scope if field == "token_scope" else f'{{"token_scope": "{scope}"}}'
    page = refusal(olga_client, ADD, data)
    assert "PROVIDER_TOKEN_SCOPES" in page
    assert "https://cognitiveservices.azure.com/.default" in page


@pytest.mark.parametrize("scope", ["eyJ0eXAiOiJKV1QiLCJhbGciOiJSUzI1NiJ9", "two words"])
def test_what_is_no_scope_is_refused_and_not_shown_again(olga_client: Client, scope: str) -> None:
    page = refusal(
        olga_client, ADD, form(dialect="azure", base_url="https://a.example/", auth="entra", token_scope=scope)
    )
    assert 'id="id_token_scope_error"' in page
    assert scope not in page


def test_the_page_says_whether_tokens_can_be_got(
    olga_client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    Provider.objects.update(auth="entra", dialect="azure")
    assert "azure-identity is installed" in olga_client.get(address(provider)).content.decode()
    monkeypatch.setitem(sys.modules, "azure", None)
    monkeypatch.delitem(sys.modules, "azure.identity", raising=False)
    assert "azure-identity is not installed" in olga_client.get(address(provider)).content.decode()


@pytest.mark.seed("S0-14")
def test_the_page_says_whether_the_variable_is_set_and_never_to_what(
    olga_client: Client, provider: Provider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOUSE_API_KEY", raising=False)
    listed = reverse("admin:chat_provider_changelist")
    for where in (address(provider), listed):
        assert "Not set on this server" in olga_client.get(where).content.decode()
    monkeypatch.setenv("HOUSE_API_KEY", "the-value-itself")
    for where in (address(provider), listed):
        page = olga_client.get(where).content.decode()
        assert "Set on this server" in page
        assert "the-value-itself" not in page


@pytest.mark.parametrize(
    "headers",
    [
        '{"Authorization": "Bearer abcdefghijk"}',
        '{"api-key": "abc"}',
        '{"X-Api-Key": "abc"}',
        '{"cookie": "a=b"}',
        '{"X-Auth-Token": "abc"}',
        '{"X-Team": "Bearer abcdefghijk"}',
        '{"X-Team": "sk-proj-abcdefghijklmnopqrstuvwx"}',
        '{"X-Team": "a\\r\\nAuthorization: b"}',
        '{"X Team": "a"}',
        '{"X-Team": 1}',
        '["X-Team"]',
        '{"X-Team": "sk-proj-abcdefghijklmnopqrstuvwx"',
    ],
)
def test_headers_with_credentials_or_nonsense_are_refused_and_not_shown_again(
    olga_client: Client, headers: str
) -> None:
    page = refusal(olga_client, ADD, form(extra_headers=headers))
    assert "sk-proj-abc" not in page
    assert "abcdefghijk" not in page


def test_headers_that_name_a_project_are_taken(olga_client: Client) -> None:
    headers = '{"OpenAI-Organization": "org-abc123def456ghi789jkl012", "X-Team": "tides"}'
    assert olga_client.post(ADD, form(extra_headers=headers)).status_code == 302
    assert Provider.objects.get().extra_headers["X-Team"] == "tides"
    assert not is_secret_header("X-Team")


# Addresses and capabilities


@pytest.mark.parametrize(
    ("dialect", "given", "stored"),
    [
        ("azure", "https://house.openai.azure.com", "https://house.openai.azure.com/openai/v1/"),
        ("azure", "https://house.openai.azure.com/openai/v1/responses", "https://house.openai.azure.com/openai/v1/"),
        ("openai", "", "https://api.openai.com/v1/"),
        ("vllm", "http://10.0.0.7:8000/v1", "http://10.0.0.7:8000/v1/"),
        ("offline", "", ""),
    ],
)
def test_an_address_is_stored_as_it_will_be_used(olga_client: Client, dialect: str, given: str, stored: str) -> None:
    assert olga_client.post(ADD, form(dialect=dialect, base_url=given)).status_code == 302
    assert Provider.objects.get().base_url == stored


@pytest.mark.parametrize(
    ("dialect", "given"),
    [
        ("azure", ""),
        ("generic", ""),
        ("openai", "ftp://models.example/v1"),
        ("openai", "https:///v1"),
        ("openai", "https://alice:geheim-wort@models.example/v1"),
        ("openai", "https://models.example/v1?api-key=geheim-wort"),
        ("offline", "https://models.example/v1"),
    ],
)
def test_an_address_that_cannot_work_is_refused_with_a_sentence(olga_client: Client, dialect: str, given: str) -> None:
    page = refusal(olga_client, ADD, form(dialect=dialect, base_url=given))
    assert 'class="errorlist" id="id_base_url_error"' in page
    assert "geheim-wort" not in page


@pytest.mark.parametrize("overrides", ['{"telepathy": true}', '{"state": "maybe"}', "[]", "3", "{"])
def test_capabilities_that_do_not_exist_are_refused(olga_client: Client, overrides: str) -> None:
    page = refusal(olga_client, ADD, form(capabilities=overrides))
    assert 'id="id_capabilities_error"' in page


def capability_rows(page: str) -> list[dict[str, str]]:
    """Of the table on the page: what an override is called, and what stands beside it."""
    found = re.findall(r"<code>(\w+)</code></th>\s*<td[^>]*>(.*?)</td>", page, re.DOTALL)
    return [{"name": name, "value": re.sub(r"<[^>]+>", "", value).strip()} for name, value in found]


def test_the_capabilities_in_force_stand_beside_the_overrides(olga_client: Client, provider: Provider) -> None:
    assert DIALECTS["openai"].state
    provider.capabilities = {"state": False}
    provider.save()
    page = olga_client.get(address(provider)).content.decode()
    rows = {row["name"]: row["value"] for row in capability_rows(page)}
    assert rows["state"] == "no overridden; the dialect says yes"
    assert rows["pdf_input"] == "yes"
    assert rows.keys() == {*OVERRIDABLE}
    assert "continues a conversation by previous_response_id" in page
    assert f"All {len(OVERRIDABLE) + 1} capabilities, 1 of them overridden" in page


# Deployments


def stored(deployment: Deployment, **fields: Any) -> dict[str, Any]:
    return {"id": str(deployment.pk), "provider": str(deployment.provider_id), "name": deployment.name, **fields}


def test_a_new_default_takes_the_place_of_the_old_one(olga_client: Client, deployment: Deployment) -> None:
    other = Provider.objects.create(name="Other", dialect="generic", base_url="http://127.0.0.1/v1/", auth="none")
    data = form({"name": "small", "is_default": "on"}, name="Other", dialect="generic", auth="none")
    assert olga_client.post(address(other), data).status_code == 302
    assert Deployment.objects.get(is_default=True).name == "small"


def test_the_default_moves_within_one_provider(olga_client: Client, deployment: Deployment) -> None:
    old = stored(deployment, is_default="on")
    data = form(old, {"name": "small", "is_default": "on"}, initial=1)
    assert olga_client.post(address(deployment.provider), data).status_code == 302
    assert Deployment.objects.get(is_default=True).name == "small"


def test_the_old_default_keeps_what_else_was_changed_of_it(olga_client: Client, deployment: Deployment) -> None:
    old = stored(deployment, is_default="on", label="Renamed")
    data = form(old, {"name": "small", "is_default": "on"}, initial=1)
    assert olga_client.post(address(deployment.provider), data).status_code == 302
    deployment.refresh_from_db()
    assert (deployment.label, deployment.is_default) == ("Renamed", False)


def test_two_new_defaults_are_refused(olga_client: Client, deployment: Deployment) -> None:
    data = form({"is_default": "on"}, {"is_default": "on"}, name="New")
    assert "Only one deployment can be the default." in refusal(olga_client, ADD, data)
    assert Deployment.objects.get(is_default=True) == deployment


def test_a_deleted_deployment_does_not_become_the_default(olga_client: Client, deployment: Deployment) -> None:
    small = Deployment.objects.create(provider=deployment.provider, name="small")
    data = form(stored(deployment, is_default="on"), stored(small, is_default="on", DELETE="on"), initial=2)
    assert olga_client.post(address(deployment.provider), data).status_code == 302
    assert Deployment.objects.get() == deployment
    assert Deployment.objects.get().is_default


@pytest.mark.parametrize(
    "parameters",
    ['{"input": "x"}', '{"stream": false}', "[]", '{"tools": [{"authorization": "sk-proj-abcdefghijklmnopqrst"}]}'],
)
def test_parameters_that_would_break_requests_or_hold_keys_are_refused(olga_client: Client, parameters: str) -> None:
    page = refusal(olga_client, ADD, form({"parameters": parameters}))
    assert 'id="id_deployments-0-parameters_error"' in page
    assert "sk-proj-abc" not in page


def test_a_deployment_is_told_how_to_reason_and_what_to_keep(olga_client: Client, deployment: Deployment) -> None:
    row = stored(deployment, is_default="on", reasoning_effort="high", reasoning_summary="auto")
    data = form(row, initial=1, dialect="azure", base_url="https://house.example/")
    data["deployments-0-image_deployment"] = "gpt-image-1"
    page = olga_client.post(address(deployment.provider), data, follow=True).content.decode()
    deployment.refresh_from_db()
    assert (deployment.reasoning_effort, deployment.reasoning_summary) == ("high", "auto")
    assert (deployment.keeps_responses, deployment.image_deployment) == (False, "gpt-image-1")
    assert "is set." not in page


def test_settings_that_do_nothing_are_kept_with_a_hint(olga_client: Client, deployment: Deployment) -> None:
    row = stored(deployment, is_default="on", reasoning_effort="high", reasoning_summary="auto")
    row |= {"image_deployment": "gpt-image-1", "parameters": '{"reasoning": {"effort": "low"}}'}
    data = form(row, initial=1, dialect="llamacpp", base_url="http://127.0.0.1:8080/v1/")
    page = olga_client.post(address(deployment.provider), data, follow=True).content.decode()
    assert "Reasoning effort is set. llama.cpp does not read it: never sent." in page
    deployment.refresh_from_db()
    assert deployment.reasoning_effort == "high"
    page = olga_client.get(address(deployment.provider)).content.decode()
    for hint in (
        "Reasoning effort is set. llama.cpp does not read it",
        "Reasoning summary is set. llama.cpp sends no summaries",
        "Image deployment is set. llama.cpp makes no images",
        '<span class="hint">llama.cpp keeps nothing anyway',
    ):
        assert hint in page


def test_a_deployment_works_in_the_background_where_that_can_be(olga_client: Client, deployment: Deployment) -> None:
    row = stored(deployment, is_default="on", keeps_responses="on", background="on")
    assert olga_client.post(address(deployment.provider), form(row, initial=1)).status_code == 302
    deployment.refresh_from_db()
    assert deployment.background


@pytest.mark.parametrize(
    ("kept", "change", "sentence"),
    [
        ("", {}, "Only what the provider keeps can be worked on in the background."),
        ("on", {"dialect": "llamacpp"}, "llama.cpp cannot work in the background. Switch this off"),
        ("on", {"capabilities": '{"background": false}'}, "OpenAI cannot work in the background."),
    ],
)
def test_a_deployment_that_cannot_work_in_the_background_is_refused_with_a_sentence(
    olga_client: Client, deployment: Deployment, kept: str, change: dict[str, str], sentence: str
) -> None:
    row = stored(deployment, is_default="on", keeps_responses=kept, background="on")
    page = refusal(olga_client, address(deployment.provider), form(row, initial=1, **change))
    assert 'id="id_deployments-0-background_error"' in page
    assert sentence in page
    deployment.refresh_from_db()
    assert not deployment.background


def test_of_two_places_that_say_how_much_to_reason_the_winner_is_named(deployment: Deployment) -> None:
    deployment.reasoning_effort = "high"
    deployment.parameters = {"reasoning": {"effort": "low"}, "metadata": {"team": "a"}}
    assert hints_for(deployment, DIALECTS["openai"]) == [
        "Reasoning effort is set, and among the parameters too: the setting wins."
    ]
    assert "left out: metadata." in hints_for(deployment, DIALECTS["ollama"])[-1]


def test_a_deployment_is_given_the_tools_of_its_provider(olga_client: Client, deployment: Deployment) -> None:
    row = stored(deployment, is_default="on", code_interpreter="on", image_generation="on")
    page = olga_client.get(address(deployment.provider)).content.decode()
    assert "The model may run Python at the provider" in page
    assert olga_client.post(address(deployment.provider), form(row, initial=1)).status_code == 302
    deployment.refresh_from_db()
    assert (deployment.code_interpreter, deployment.image_generation) == (True, True)
    assert hints_for(deployment, DIALECTS["openai"]) == []
    assert "needs the image deployment for it" in hints_for(deployment, DIALECTS["azure"])[0]
    assert [hint.split(".")[0] for hint in hints_for(deployment, DIALECTS["ollama"])] == [
        "Code interpreter is set",
        "Image generation is set",
    ]
    deployment.image_deployment = "gpt-image-1"
    assert hints_for(deployment, DIALECTS["azure"]) == [
        "Image generation is set: Azure OpenAI then sends each answer whole, not word by word."
    ]


def test_a_page_of_many_deployments_costs_as_many_queries_as_one_of_one(
    olga_client: Client, deployment: Deployment
) -> None:
    olga_client.get(address(deployment.provider))  # Django keeps content types from the first page on
    with CaptureQueriesContext(db_connection) as once:
        olga_client.get(address(deployment.provider))
    Deployment.objects.bulk_create(Deployment(provider=deployment.provider, name=f"m{n}") for n in range(5))
    with CaptureQueriesContext(db_connection) as often:
        olga_client.get(address(deployment.provider))
    # Which groups may choose each of them is Django's question, one a row.
    assert len([query for query in often if "auth_group" not in query["sql"]]) == len(
        [query for query in once if "auth_group" not in query["sql"]]
    )


def test_a_line_says_what_a_deployment_can_do(deployment: Deployment) -> None:
    able = abilities_of(deployment, DIALECTS["azure"])
    assert {"PDFs", "images", "functions", "keeps responses", "background", "reasoning effort"} <= {*able.can}
    assert able.cannot == ["web search"]
    deployment.keeps_responses = False
    assert {"keeps responses", "background"} <= {*abilities_of(deployment, DIALECTS["azure"]).cannot}
    assert "PDFs as text" in abilities_of(deployment, DIALECTS["llamacpp"]).can


# Rows from the environment


def test_a_start_leaves_the_operators_settings_of_its_rows(olga_client: Client) -> None:
    environment = {"AZURE_OPENAI_ENDPOINT": "https://house.example/", "AZURE_OPENAI_DEPLOYMENTS": "large"}
    engines.sync_environment(environment)
    deployment = Deployment.objects.get(name="large")
    row = stored(deployment, is_default="on", reasoning_effort="low", reasoning_summary="auto")
    row["image_deployment"] = "gpt-image-1"
    assert olga_client.post(address(deployment.provider), form(row, initial=1)).status_code == 302
    engines.sync_environment(environment)
    deployment.refresh_from_db()
    assert (deployment.reasoning_effort, deployment.reasoning_summary) == ("low", "auto")
    assert (deployment.keeps_responses, deployment.image_deployment) == (False, "gpt-image-1")


@pytest.fixture
def from_environment(deployment: Deployment) -> Provider:
    deployment.provider.source = Provider.Source.ENVIRONMENT
    deployment.provider.save()
    return deployment.provider


def test_of_a_row_from_the_environment_only_the_operators_choices_change(
    olga_client: Client, from_environment: Provider, deployment: Deployment
) -> None:
    changed = stored(deployment, label="Ours", parameters='{"top_p": 0.1}')
    changed |= {"name": "other", "context_window": "5"}
    data = form(changed, {"name": "extra"}, initial=1, name="Renamed", base_url="https://evil.example/v1/")
    del data["enabled"]
    assert olga_client.post(address(from_environment), data).status_code == 302
    from_environment.refresh_from_db()
    deployment.refresh_from_db()
    assert (from_environment.name, from_environment.enabled) == ("House", False)
    assert from_environment.base_url == "https://models.example/v1/"
    assert (deployment.name, deployment.label, deployment.context_window) == ("large", "Ours", None)
    assert deployment.parameters == {"top_p": 0.1}
    assert Deployment.objects.count() == 1


def test_a_row_from_the_environment_is_not_deleted(admin_client: Client, from_environment: Provider) -> None:
    where = reverse("admin:chat_provider_delete", args=[from_environment.pk])
    assert admin_client.post(where, {"post": "yes"}).status_code == 403
    listed = reverse("admin:chat_provider_changelist")
    chosen = {"action": "delete_selected", "_selected_action": str(from_environment.pk), "post": "yes"}
    admin_client.post(listed, chosen)
    assert Provider.objects.exists()
    assert "written anew at each start" in admin_client.get(address(from_environment)).content.decode()
