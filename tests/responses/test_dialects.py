"""What each kind of server can do, and the many ways to write its address."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from chat.responses.dialects import (
    CAPABILITY_WORDS,
    DIALECTS,
    OVERRIDABLE,
    Dialect,
    in_words,
    normalise_base_url,
)


def test_the_ten_kinds_of_server_are_there() -> None:
    assert list(DIALECTS) == [
        "azure",
        "openai",
        "foundry",
        "ofox",
        "ollama",
        "vllm",
        "llamacpp",
        "lmstudio",
        "generic",
        "offline",
    ]
    assert len({dialect.label for dialect in DIALECTS.values()}) == 10


def able(capability: str) -> set[str]:
    return {name for name, dialect in DIALECTS.items() if getattr(dialect, capability)}


@pytest.mark.parametrize(
    ("capability", "names"),
    [
        ("state", {"azure", "openai", "foundry", "lmstudio", "offline"}),
        ("background", {"azure", "openai", "offline"}),
        ("cancel", {"azure", "openai", "offline"}),
        ("delete", {"azure", "openai", "offline"}),
        ("files_api", {"azure", "openai", "foundry", "offline"}),
        ("pdf_input", {"azure", "openai", "offline"}),
        ("image_file_id", {"openai", "offline"}),
        ("mcp", {"azure", "openai", "offline"}),
        ("web_search", {"openai"}),
        ("file_search", {"azure", "openai"}),
        ("sends_done", {"ofox"}),
        ("tools", set(DIALECTS)),
    ],
)
def test_capabilities_as_documented(capability: str, names: set[str]) -> None:
    assert able(capability) == names


def test_every_capability_has_its_words_in_the_order_of_the_fields() -> None:
    told = [name for group in CAPABILITY_WORDS.values() for name in group]
    assert told == [field.name for field in fields(Dialect) if field.name != "label"]


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (True, "yes"),
        (False, "no"),
        (0, "–"),
        (8 * 1024 * 1024, "8 MB"),
        (1500, "1,500"),
        ("", "–"),
        ("api-key", "api-key"),
        ((), "all"),
        (("image/png", "image/gif"), "png, gif"),
    ],
)
def test_a_capability_in_words(value: Any, words: str) -> None:
    assert in_words(value) == words


def test_no_capability_contradicts_another() -> None:
    for name, dialect in DIALECTS.items():
        assert dialect.store or not (dialect.retrieve or dialect.background), name
        assert dialect.background or not (dialect.resume or dialect.cancel), name
        assert dialect.files_api or not dialect.max_upload_bytes, name
        assert dialect.pdf_input or not dialect.max_inline_file_bytes, name


def test_azure_takes_neither_user_data_nor_image_ids() -> None:
    assert DIALECTS["azure"].file_purpose == "assistants"
    assert DIALECTS["openai"].file_purpose == "user_data"
    assert DIALECTS["azure"].auth_header == "api-key"


def test_the_unknown_server_is_trusted_with_nothing() -> None:
    generic = DIALECTS["generic"]
    assert not any((generic.state, generic.store, generic.files_api, generic.pdf_input, generic.background))
    assert generic == Dialect(generic.label)


def test_items_that_a_server_refuses_are_known() -> None:
    assert not DIALECTS["llamacpp"].accepts_item("mcp_call")
    assert DIALECTS["ollama"].accepts_item("message")
    assert DIALECTS["azure"].accepts_item("anything_new")


def test_an_operator_corrects_single_capabilities() -> None:
    corrected = DIALECTS["vllm"].with_overrides({"state": True, "image_types": ["image/png"], "max_upload_bytes": 7})
    assert (corrected.state, corrected.image_types, corrected.max_upload_bytes) == (True, ("image/png",), 7)
    assert corrected.label == "vLLM"
    assert DIALECTS["vllm"].state is False
    assert DIALECTS["vllm"].with_overrides({}) == DIALECTS["vllm"]


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        ({"stat": True}, "There is no capability “stat”; the capabilities are "),
        ({"label": "x"}, "There is no capability “label”"),
        ({"state": "yes"}, "The capability “state” is true or false."),
        ({"state": 1}, "The capability “state” is true or false."),
        ({"max_upload_bytes": True}, "The capability “max_upload_bytes” is a whole number."),
        ({"max_upload_bytes": -1}, "is a whole number that is not negative."),
        ({"file_purpose": "batch"}, "The capability “file_purpose” is one of assistants, user_data."),
        ({"file_purpose": None}, "The capability “file_purpose” is a word."),
        ({"image_types": "image/png"}, "The capability “image_types” is a list of words."),
        ({"image_types": [1]}, "The capability “image_types” is a list of words."),
    ],
)
def test_a_wrong_correction_is_refused_with_a_sentence(overrides: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        DIALECTS["azure"].with_overrides(overrides)


def test_every_capability_can_be_corrected() -> None:
    assert set(OVERRIDABLE) == {field.name for field in fields(Dialect)} - {"label", "default_base_url"}
    azure = DIALECTS["azure"]
    assert azure.with_overrides({name: getattr(azure, name) for name in OVERRIDABLE}) == azure


AZURE = "https://name.openai.azure.com/openai/v1/"


@pytest.mark.parametrize(
    ("dialect", "url", "base"),
    [
        ("azure", "https://name.openai.azure.com/", AZURE),
        ("azure", "https://name.openai.azure.com", AZURE),
        ("azure", " https://name.openai.azure.com/openai/v1/ ", AZURE),
        ("azure", "https://name.openai.azure.com/openai/v1", AZURE),
        ("azure", "https://name.openai.azure.com/openai/v1/responses", AZURE),
        ("azure", "https://name.openai.azure.com/openai/", AZURE),
        ("azure", "https://name.openai.azure.com/openai/deployments/d/chat/completions", AZURE),
        ("azure", "name.openai.azure.com", AZURE),
        ("azure", AZURE + "?api-version=preview", AZURE + "?api-version=preview"),
        ("azure", AZURE + "#top", AZURE),
        ("azure", "https://name.openai.azure.com/v1/", AZURE),
        ("foundry", "https://r.services.ai.azure.com", "https://r.services.ai.azure.com/openai/v1/"),
        (
            "foundry",
            "https://r.services.ai.azure.com/api/projects/p",
            "https://r.services.ai.azure.com/api/projects/p/openai/v1/",
        ),
        (
            "foundry",
            "https://r.services.ai.azure.com/api/projects/p/openai/v1/responses",
            "https://r.services.ai.azure.com/api/projects/p/openai/v1/",
        ),
        (
            "foundry",
            "https://r.services.ai.azure.com/api/projects/p/openai/responses?api-version=2025-11-15-preview",
            "https://r.services.ai.azure.com/api/projects/p/openai/?api-version=2025-11-15-preview",
        ),
        (
            "azure",
            "https://name.openai.azure.com/openai/responses?api-version=2025-04-01-preview",
            "https://name.openai.azure.com/openai/?api-version=2025-04-01-preview",
        ),
        (
            "azure",
            "https://name.openai.azure.com/openai/deployments/d/chat/completions?api-version=2024-10-21&a=b",
            AZURE + "?a=b",
        ),
        ("openai", "", "https://api.openai.com/v1/"),
        ("openai", "https://api.openai.com", "https://api.openai.com/v1/"),
        ("openai", "https://api.openai.com/v1/responses/", "https://api.openai.com/v1/"),
        ("ofox", "", "https://api.ofox.ai/v1/"),
        ("ollama", "", "http://127.0.0.1:11434/v1/"),
        ("ollama", "localhost:11434", "http://localhost:11434/v1/"),
        ("ollama", "[::1]:11434", "http://[::1]:11434/v1/"),
        ("vllm", "gpu.example.org:8000/v1", "https://gpu.example.org:8000/v1/"),
        ("generic", "https://example.org/gateway/openai", "https://example.org/gateway/openai/"),
        ("generic", "https://example.org/gateway/v1/chat/completions", "https://example.org/gateway/v1/"),
        ("offline", "", "http://offline/v1/"),
    ],
)
def test_every_way_to_write_an_address_ends_at_its_base(dialect: str, url: str, base: str) -> None:
    assert normalise_base_url(DIALECTS[dialect], url) == base
    assert normalise_base_url(DIALECTS[dialect], base) == base


@pytest.mark.parametrize(
    ("dialect", "url", "sentence"),
    [
        ("azure", "", "The base URL is empty"),
        ("generic", "   ", "The base URL is empty"),
        ("generic", "ftp://example.org", "begins with https://"),
        ("generic", "https:///v1", "has no host name"),
        ("generic", "https://house..example/v1", "has no host name"),
        ("generic", f"https://{'x' * 64}.example/v1", "has no host name"),
        ("generic", "https://user:secret@example.org", "holds credentials"),
        ("generic", "https://example.org:port", "is not an address"),
        ("generic", "https://[::1/v1", "is not an address"),
    ],
)
def test_an_address_that_is_none_is_refused_with_a_sentence(dialect: str, url: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        normalise_base_url(DIALECTS[dialect], url)
    assert "secret" not in str(caught.value)
