"""A request fitted to its server: what is refused with a sentence, what is left out with a note, what passes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.responses.client import Client, Endpoint
from chat.responses.content import DataURL
from chat.responses.dialects import DIALECTS
from chat.responses.errors import Unsupported
from chat.responses.fold import Draft
from chat.responses.requests import fit

PNG = "data:image/png;base64,AAAA"
PDF = {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,AAAA"}


def asked(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"model": "m", "input": [{"type": "message", "role": "user", "content": list(parts)}], **more}


def image(url: Any) -> dict[str, Any]:
    return asked({"type": "input_image", "image_url": url, "detail": "auto"})


def refusal(body: dict[str, Any], dialect: str) -> str:
    with pytest.raises(Unsupported) as caught:
        fit(body, DIALECTS[dialect])
    sentence = caught.value.user_message
    assert DIALECTS[dialect].label in sentence
    assert sentence.endswith(".")
    return sentence


EVERYTHING: dict[str, Any] = asked(
    {"type": "input_text", "text": "Hi"},
    {"type": "input_image", "file_id": "file-1"},
    PDF,
    {"type": "input_file", "file_id": "file-2"},
    {"type": "input_image", "image_url": "https://example.org/a.png"},
    instructions="Be kind",
    previous_response_id="resp_1",
    background=True,
    store=True,
    include=["reasoning.encrypted_content", "code_interpreter_call.outputs", "message.output_text.logprobs"],
    reasoning={"effort": "high", "summary": "auto"},
    tools=[
        {"type": name} for name in ("function", "mcp", "code_interpreter", "image_generation", "file_search", "new")
    ],
    tool_choice="required",
    text={"format": {"type": "json_schema", "name": "n", "schema": {}}},
    metadata={"a": "b"},
)


@pytest.mark.seed("S0-1", "S1-4")
def test_a_server_that_can_do_all_gets_the_body_as_it_is() -> None:
    fitted = fit(EVERYTHING, DIALECTS["openai"])
    assert fitted.body == EVERYTHING
    assert fitted.notes == ()
    assert fitted.streams
    assert fitted.body["input"][0] is EVERYTHING["input"][0]


def test_the_body_that_was_given_is_never_changed() -> None:
    body = {
        "input": [{"role": "assistant", "content": "Hello"}],
        "reasoning": {"effort": "low", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
        "provider": {"order": ["a"]},
    }
    before = repr(body)
    assert fit(body, DIALECTS["llamacpp"]).body != body
    assert repr(body) == before


@pytest.mark.parametrize(
    ("dialect", "body", "words"),
    [
        ("ollama", {"input": "Hi", "previous_response_id": "resp_1"}, "keeps no conversations"),
        ("llamacpp", {"input": "Hi", "previous_response_id": "resp_1"}, "keeps no conversations"),
        ("ofox", {"input": "Hi", "background": True}, "cannot work in the background"),
        ("azure", {"input": "Hi", "background": True, "store": False}, "only on answers that it may keep"),
        ("llamacpp", {"input": "Hi", "tools": [{"type": "mcp"}]}, "does not offer remote tools (MCP)"),
        ("ollama", {"input": "Hi", "tools": [{"type": "code_interpreter"}]}, "does not offer the code interpreter"),
        ("azure", {"input": "Hi", "tools": [{"type": "web_search_preview"}]}, "does not offer web search"),
        ("generic", {"input": "Hi", "tools": [{"type": "file_search"}]}, "does not offer file search"),
        ("generic", {"input": "Hi", "text": {"format": {"type": "json_schema"}}}, "in a given JSON schema"),
        ("azure", asked({"type": "input_image", "file_id": "f"}), "takes no images by the id of a file"),
        ("ollama", image("https://example.org/a.png"), "fetches no images from the web"),
        ("ollama", image("data:image/gif;base64,AAAA"), "takes images as PNG, JPEG, WEBP, not as image/gif"),
        ("azure", image(DataURL(Path("a.gif"), "image/gif")), "not as image/gif"),
        ("llamacpp", asked(PDF), "takes no files; the text of a file can be sent instead"),
        ("ofox", asked({"type": "input_file", "file_id": "f"}), "takes no files"),
        (
            "ollama",
            {"input": [{"type": "mcp_approval_response"}]},
            "does not understand input of the type mcp_approval",
        ),
        ("llamacpp", {"input": [{"type": "item_reference", "id": "x"}]}, "does not understand input of the type item"),
    ],
)
def test_what_would_change_the_meaning_is_refused_before_it_is_sent(
    dialect: str, body: dict[str, Any], words: str
) -> None:
    assert words in refusal(body, dialect)


@pytest.mark.seed("S0-4", "S1-3", "S2-5")
def test_each_limit_that_the_documents_name_is_a_capability() -> None:
    azure = DIALECTS["azure"]
    assert not azure.web_search
    assert not azure.image_generation_streams
    assert not azure.image_file_id
    assert azure.file_purpose == "assistants"
    assert not azure.compact
    assert not DIALECTS["ofox"].state


def test_a_picture_in_what_a_function_gave_back_is_looked_at_as_well() -> None:
    output = {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "file_id": "f"}]}
    assert "by the id of a file" in refusal({"input": [output]}, "azure")


def test_an_operators_override_opens_what_the_dialect_closes() -> None:
    open_minded = DIALECTS["llamacpp"].with_overrides({"pdf_input": True})
    assert fit(asked(PDF), open_minded).body == asked(PDF)


def test_what_the_answer_does_without_is_left_out_and_noted() -> None:
    body = {
        "model": "m",
        "input": "Hi",
        "stream": True,
        "instructions": "Be kind",
        "reasoning": {"effort": "low", "summary": "auto"},
        "metadata": {"a": "b"},
        "truncation": "auto",
        "tool_choice": "required",
        "store": True,
        "include": ["reasoning.encrypted_content"],
        "provider": {"order": ["a"]},
        "top_p": None,
    }
    fitted = fit(body, DIALECTS["ollama"])
    assert fitted.body == {
        "model": "m",
        "input": "Hi",
        "stream": True,
        "instructions": "Be kind",
        "reasoning": {"effort": "low"},
        "top_p": None,
    }
    told = " ".join(fitted.notes)
    for name in ("tool_choice", "summary", "metadata", "truncation", "provider", "reasoning.encrypted_content"):
        assert name in told
    assert "store" not in told, "nothing is kept there, so there is nothing to tell"


@pytest.mark.seed("S2-2")
def test_a_gateway_gets_its_routing_and_others_do_not() -> None:
    body = {"model": "m", "input": "Hi", "provider": {"order": ["azure", "openai"]}}
    assert fit(body, DIALECTS["ofox"]).body == body
    assert "provider" not in fit(body, DIALECTS["azure"]).body


def test_a_schema_goes_where_the_server_reads_it() -> None:
    wanted = {"type": "json_schema", "name": "city", "schema": {"type": "object"}, "strict": True}
    body = {"input": "Hi", "text": {"format": wanted, "verbosity": "low"}}
    fitted = fit(body, DIALECTS["llamacpp"]).body
    assert fitted["text"] == {"verbosity": "low"}
    assert fitted["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "city", "schema": {"type": "object"}, "strict": True},
    }
    assert "text" not in fit({"input": "Hi", "text": {"format": wanted}}, DIALECTS["llamacpp"]).body
    assert fit(body, DIALECTS["openai"]).body == body


@pytest.mark.seed("S2-13")
def test_a_function_that_cannot_be_named_is_the_only_one_offered() -> None:
    tools = [{"type": "function", "name": name} for name in ("a", "b")]
    body = {"input": "Hi", "tools": tools, "tool_choice": {"type": "function", "name": "b"}}
    fitted = fit(body, DIALECTS["llamacpp"]).body
    assert (fitted["tools"], fitted["tool_choice"]) == ([tools[1]], "required")
    assert fit(body, DIALECTS["azure"]).body == body
    unknown = {**body, "tool_choice": {"type": "function", "name": "c"}}
    assert fit(unknown, DIALECTS["llamacpp"]).body == unknown, "the server has to say that there is none"


def test_to_keep_nothing_is_said_wherever_it_might_be_understood() -> None:
    for name in ("generic", "ofox", "vllm", "llamacpp"):
        assert fit({"input": "Hi", "store": False}, DIALECTS[name]).body["store"] is False
        assert "store" not in fit({"input": "Hi", "store": True}, DIALECTS[name]).body
    assert "store" not in fit({"input": "Hi", "store": False}, DIALECTS["ollama"]).body


def test_items_that_a_server_refuses_stay_at_home() -> None:
    kept = {"type": "message", "role": "user", "content": "Hi"}
    body = {"input": [{"type": "code_interpreter_call", "id": "ci_1"}, {"type": "reasoning", "summary": []}, kept]}
    fitted = fit(body, DIALECTS["llamacpp"])
    assert fitted.body["input"] == [kept]
    assert len(fitted.notes) == 2


def test_reasoning_in_words_goes_back_to_an_open_model() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Hm."}]}
    assert fit({"input": [thought]}, DIALECTS["llamacpp"]).body["input"] == [thought]


@pytest.mark.seed("S2-4")
@pytest.mark.parametrize(
    "message",
    [
        {"role": "assistant", "content": "Hello"},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
        {"type": "message", "role": "assistant", "id": None, "status": None, "content": "Hello"},
        {"type": "message", "role": "assistant", "id": "msg_1", "content": "Hello"},
    ],
)
def test_assistant_messages_get_the_id_and_status_that_gateways_demand(message: dict[str, Any]) -> None:
    sent = fit({"input": [message]}, DIALECTS["ofox"]).body["input"][0]
    assert sent["type"] == "message"
    assert sent["status"] == "completed"
    assert sent["id"].startswith("msg_")
    assert sent["id"] == (message.get("id") or sent["id"])
    assert sent["content"][0]["type"] == "output_text"
    assert sent["content"][0]["text"] == "Hello"


def test_an_assistant_message_that_is_complete_passes_as_it_is() -> None:
    message = {"type": "message", "role": "assistant", "id": "msg_1", "status": "incomplete", "content": []}
    assert fit({"input": [message]}, DIALECTS["ofox"]).body["input"][0] is message


@pytest.mark.seed("S1-31")
def test_azure_does_not_stream_made_images() -> None:
    fitted = fit({"input": "A cat", "tools": [{"type": "image_generation"}]}, DIALECTS["azure"])
    assert not fitted.streams
    assert fitted.notes
    assert fit({"input": "A cat", "tools": [{"type": "image_generation"}]}, DIALECTS["openai"]).streams


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"input": None},
        {"input": [None, 1, "text", []]},
        {"input": [{"content": [None, {"type": 1}]}]},
        {"tools": [None, {"type": None}]},
        {"tools": 5},
        {"text": "no object", "reasoning": "no object", "include": "no list"},
        {"input": [{"type": "message", "role": "user", "content": [{"type": "input_image"}]}]},
    ],
)
def test_a_body_of_odd_shape_is_the_servers_to_judge(body: dict[str, Any]) -> None:
    assert fit(body, DIALECTS["openai"]).body == body


# What the client makes of it


def answering(sent: list[dict[str, Any]], answer: httpx.Response) -> httpx.MockTransport:
    def play(request: httpx.Request) -> httpx.Response:
        sent.append(json.loads(request.content))
        return answer

    return httpx.MockTransport(play)


async def test_the_client_sends_nothing_that_the_server_cannot_take() -> None:
    sent: list[dict[str, Any]] = []
    whole = httpx.Response(200, json={"id": "resp_1", "status": "completed", "output": []})
    async with httpx.AsyncClient(transport=answering(sent, whole)) as http:
        client = Client(Endpoint("http://engine.invalid/v1/", DIALECTS["ollama"]), http)
        with pytest.raises(Unsupported):
            await client.create({"model": "m", "input": "Hi", "previous_response_id": "resp_0"})
        with pytest.raises(Unsupported):
            async with client.stream({"model": "m", "input": "Hi", "background": True}):
                pass
        assert sent == []
        await client.create({"model": "m", "input": "Hi", "metadata": {"a": "b"}})
    assert sent == [{"model": "m", "input": "Hi", "stream": False}]


@pytest.mark.seed("S1-31")
async def test_an_answer_that_cannot_be_streamed_comes_whole_as_one_event() -> None:
    sent: list[dict[str, Any]] = []
    item = {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "AAAA"}
    whole = httpx.Response(200, json={"id": "resp_1", "status": "completed", "output": [item]})
    async with httpx.AsyncClient(transport=answering(sent, whole)) as http:
        headers = {"x-ms-oai-image-generation-deployment": "gpt-image-1"}
        client = Client(Endpoint("http://engine.invalid/", DIALECTS["azure"], "k", headers), http)
        draft = Draft()
        async with client.stream({"model": "m", "input": "A cat", "tools": [{"type": "image_generation"}]}) as events:
            async for event in events:
                draft.apply(event)
    assert sent[0]["stream"] is False
    assert draft.output() == [item]
    assert draft.terminal_seen
