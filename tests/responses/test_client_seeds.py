"""What the protocol's own examples do, done with this client: what goes up and what is made of the answer."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.responses.client import Client
from chat.responses.content import DataURL
from chat.responses.dialects import DIALECTS
from chat.responses.events import event_from_response
from chat.responses.fold import Draft
from tests.responses.asking import KEY, Script, collect, scripted
from tests.responses.wire import fold, recording

AZURE = "https://name.openai.azure.com"
PROJECT = "https://name.services.ai.azure.com/api/projects/garden"


def response(number: int, text: str, **fields: Any) -> dict[str, Any]:
    """As Azure answers: much of it null."""
    content = [{"type": "output_text", "text": text, "annotations": []}]
    message = {"id": f"msg_{number}", "type": "message", "role": "assistant", "status": None, "content": content}
    usage = {
        "input_tokens": 37,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 11,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 48,
    }
    nulls = dict.fromkeys(("error", "incomplete_details", "instructions", "tool_choice", "text", "truncation"))
    head = {"id": f"resp_{number}", "object": "response", "created_at": 1741369938.0, "status": "completed"}
    return {**nulls, **head, "model": "gpt-4o-2024-08-06", "output": [message], "usage": usage, **fields}


def answering(*texts: str, **details: Any) -> tuple[Client, Script]:
    answers = [httpx.Response(200, json=response(number, text)) for number, text in enumerate(texts, 1)]
    client, script, _ = scripted(*answers, **details)
    return client, script


def drafted(answer: dict[str, Any]) -> Draft:
    draft = Draft()
    draft.apply(event_from_response(answer))
    return draft


def sent(request: httpx.Request) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(request.content)
    return value


@pytest.mark.seed("S0-1", "S0-5", "S0-7", "S1-4")
async def test_a_question_goes_to_azure_with_its_key() -> None:
    client, script = answering("This is a test.", url=AZURE, dialect="azure")
    answer = await client.create({"model": "gpt-4.1-nano", "input": "This is a test."})
    assert drafted(answer).text() == "This is a test."
    request = script.requests[0]
    assert (request.method, str(request.url)) == ("POST", f"{AZURE}/openai/v1/responses")
    assert request.headers["api-key"] == KEY
    assert request.headers["content-type"] == "application/json"
    assert sent(request) == {"model": "gpt-4.1-nano", "input": "This is a test.", "stream": False}


@pytest.mark.seed("S0-9", "S3-2")
async def test_text_id_status_model_and_usage_are_read_off_the_answer() -> None:
    client, _ = answering("Great! How can I help you today?")
    draft = drafted(await client.create({"model": "m", "input": "Hi"}))
    assert draft.text() == "Great! How can I help you today?"
    assert (draft.response_id, draft.status, draft.model) == ("resp_1", "completed", "gpt-4o-2024-08-06")
    assert draft.usage is not None
    assert (draft.usage["input_tokens"], draft.usage["output_tokens"], draft.usage["total_tokens"]) == (37, 11, 48)


@pytest.mark.seed("S0-12", "S1-7", "S3-6")
async def test_a_conversation_is_chained_by_the_id_of_its_last_answer_and_repeats_its_instructions() -> None:
    client, script = answering("Catastrophic forgetting is …", "Imagine a student …", url=AZURE, dialect="azure")
    first = await client.create({"model": "m", "input": "Explain catastrophic forgetting", "instructions": "Be brief."})
    await client.create(
        {
            "model": "m",
            "previous_response_id": first["id"],
            "instructions": "Be brief.",
            "input": [{"role": "user", "content": "Explain this to a college freshman"}],
        }
    )
    assert "previous_response_id" not in sent(script.requests[0])
    assert sent(script.requests[1])["previous_response_id"] == "resp_1"
    assert [sent(request)["instructions"] for request in script.requests] == ["Be brief."] * 2


@pytest.mark.seed("S3-7", "S3-12")
async def test_a_streamed_conversation_goes_on_from_the_id_of_the_last_event() -> None:
    streams = [
        httpx.Response(200, headers={"content-type": "text/event-stream"}, content=recording(name))
        for name in ("azure_text", "foundry_text")
    ]
    client, script, _ = scripted(*streams, dialect="foundry", url=PROJECT)
    last: str | None = None
    for line in ("Hello", "And more?"):
        body = {"model": "m", "input": line, **({"previous_response_id": last} if last else {})}
        draft = fold(await collect(client, body))
        assert draft.terminal_seen
        last = draft.response_id
    first = fold(await collect(scripted(streams[0])[0])).response_id
    assert sent(script.requests[1])["previous_response_id"] == first


@pytest.mark.seed("S0-13", "S1-8", "S3-8")
async def test_a_history_kept_by_hand_goes_up_with_the_output_as_it_came() -> None:
    client, script = answering("Catastrophic forgetting is …", "Imagine a student …")
    inputs: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": "Explain catastrophic forgetting"}]
    first = await client.create({"model": "m", "input": inputs})
    inputs += drafted(first).output()
    inputs.append({"role": "user", "type": "message", "content": "Explain this to a college freshman"})
    await client.create({"model": "m", "input": inputs})
    question, answer, next_question = sent(script.requests[1])["input"]
    assert (question["content"], next_question["content"]) == (
        "Explain catastrophic forgetting",
        "Explain this to a college freshman",
    )
    assert (answer["id"], answer["role"], answer["content"][0]["text"]) == (
        "msg_1",
        "assistant",
        "Catastrophic forgetting is …",
    )


@pytest.mark.seed("S1-16")
async def test_an_image_is_asked_about_by_its_address() -> None:
    client, script = answering("A dog.", url=AZURE, dialect="azure")
    image = {"type": "input_image", "image_url": "https://example.org/dog.png"}
    content = [{"type": "input_text", "text": "what is in this image?"}, image]
    await client.create({"model": "gpt-4o", "input": [{"role": "user", "content": content}]})
    assert sent(script.requests[0])["input"][0]["content"] == content


@pytest.mark.seed("S1-17", "S1-18")
@pytest.mark.parametrize(
    ("kind", "field", "media_type"),
    [("input_image", "image_url", "image/jpeg"), ("input_file", "file_data", "application/pdf")],
)
async def test_an_image_or_a_pdf_goes_up_inside_the_question(
    kind: str, field: str, media_type: str, tmp_path: Path
) -> None:
    path = tmp_path / "on disk"
    path.write_bytes(b"\xff\xd8 any bytes")
    part: dict[str, Any] = {"type": kind, field: DataURL(path, media_type)}
    if kind == "input_file":
        part["filename"] = "a.pdf"
    client, script = answering("A dog.", url=AZURE, dialect="azure")
    await client.create({"model": "gpt-4o", "input": [{"role": "user", "content": [part]}]})
    encoded = base64.b64encode(path.read_bytes()).decode()
    assert sent(script.requests[0])["input"][0]["content"][0][field] == f"data:{media_type};base64,{encoded}"


@pytest.mark.seed("S1-19")
async def test_a_pdf_that_was_uploaded_is_asked_about_by_its_id(tmp_path: Path) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(b"%PDF-1.7")
    uploaded = httpx.Response(200, json={"id": "assistant-KaV", "object": "file", "status": "processed"})
    client, script, _ = scripted(
        uploaded, httpx.Response(200, json=response(1, "A summary.")), url=AZURE, dialect="azure"
    )
    file = await client.upload_file(path, "a.pdf", "application/pdf")
    content = [{"type": "input_file", "file_id": file["id"]}, {"type": "input_text", "text": "Summarise this PDF"}]
    await client.create({"model": "m", "input": [{"role": "user", "content": content}]})
    assert str(script.requests[0].url) == f"{AZURE}/openai/v1/files"
    assert b'name="purpose"\r\n\r\nassistants\r\n' in script.requests[0].content
    assert sent(script.requests[1])["input"][0]["content"] == content


@pytest.mark.seed("S1-10")
async def test_a_function_is_called_and_its_output_goes_up_by_the_call_id() -> None:
    call = {"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "get_weather", "arguments": "{}"}
    client, script, _ = scripted(
        httpx.Response(200, json=response(1, "", output=[call])),
        httpx.Response(200, json=response(2, "It is 70 degrees.")),
        url=AZURE,
        dialect="azure",
    )
    tools = [{"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}}]
    draft = drafted(await client.create({"model": "m", "tools": tools, "input": "The weather in San Francisco?"}))
    (found,) = draft.function_calls()
    output = {"type": "function_call_output", "call_id": found["call_id"], "output": '{"temperature": "70 degrees"}'}
    second = await client.create(
        {"model": "m", "tools": tools, "previous_response_id": draft.response_id, "input": [output]}
    )
    assert drafted(second).text() == "It is 70 degrees."
    assert sent(script.requests[1])["input"] == [output]
    assert sent(script.requests[1])["tools"] == tools


@pytest.mark.seed("S1-33")
async def test_a_computer_is_used_step_by_step_and_each_picture_of_it_goes_up() -> None:
    call = {
        "type": "computer_call",
        "id": "cu_1",
        "call_id": "call_1",
        "action": {"type": "screenshot"},
        "pending_safety_checks": [],
        "status": "completed",
    }
    client, script, _ = scripted(
        httpx.Response(200, json=response(1, "", output=[call])),
        httpx.Response(200, json=response(2, "The page is open.")),
        url=AZURE,
        dialect="azure",
    )
    tools = [{"type": "computer_use_preview", "display_width": 1024, "display_height": 768, "environment": "browser"}]
    body = {"model": "computer-use-preview", "tools": tools, "truncation": "auto"}
    draft = drafted(await client.create({**body, "input": "Open the page"}))
    (found,) = draft.output()
    assert found == call
    screenshot = {"type": "computer_screenshot", "image_url": "data:image/png;base64,iVBORw0KGgo="}
    output = {"type": "computer_call_output", "call_id": found["call_id"], "output": screenshot}
    second = await client.create({**body, "previous_response_id": draft.response_id, "input": [output]})
    assert drafted(second).text() == "The page is open."
    assert sent(script.requests[1])["input"] == [output]
    assert sent(script.requests[1])["tools"] == tools


@pytest.mark.seed("S1-31")
async def test_the_deployment_that_makes_images_is_named_in_a_header() -> None:
    header = DIALECTS["azure"].image_deployment_header
    client, script = answering("", url=AZURE, dialect="azure", headers={header: "gpt-image-1"})
    await client.create({"model": "m", "tools": [{"type": "image_generation"}], "input": "A grey tabby cat"})
    assert script.requests[0].headers["x-ms-oai-image-generation-deployment"] == "gpt-image-1"


@pytest.mark.seed("S1-24", "S1-25", "S1-26", "S1-29")
async def test_work_in_the_background_is_begun_waited_for_and_cancelled() -> None:
    queued, cancelled = response(1, "", status="queued", output=[]), response(1, "", status="cancelled", output=[])
    answers = [queued, {**queued, "status": "in_progress"}, response(1, "A long story."), cancelled, cancelled]
    client, script, waits = scripted(
        *(httpx.Response(200, json=value) for value in answers), url=AZURE, dialect="azure"
    )
    begun = await client.create({"model": "o3", "input": "Write me a very long story", "background": True})
    assert begun["status"] == "queued"
    assert drafted(await client.wait(begun["id"])).text() == "A long story."
    assert [(await client.cancel(begun["id"]))["status"] for _ in range(2)] == ["cancelled", "cancelled"]
    assert waits == [2.0]
    assert sent(script.requests[0])["background"] is True
    assert [(request.method, request.url.path.partition("/v1/")[2]) for request in script.requests[1:]] == [
        ("GET", "responses/resp_1"),
        ("GET", "responses/resp_1"),
        ("POST", "responses/resp_1/cancel"),
        ("POST", "responses/resp_1/cancel"),
    ]


@pytest.mark.seed("S1-27", "S1-28")
async def test_a_background_stream_that_broke_is_resumed_after_the_last_event_that_came() -> None:
    whole = recording("azure_text")
    half = whole[: whole.index(b"event: response.output_text.done")]
    sse = {"content-type": "text/event-stream"}
    client, script, _ = scripted(
        httpx.Response(200, headers=sse, content=half),
        httpx.Response(200, headers=sse, content=whole),
        url=AZURE,
        dialect="azure",
    )
    draft, cursor = Draft(), None
    async with client.stream({"model": "m", "input": "Hi", "background": True}) as events:
        async for event in events:
            draft.apply(event)
            cursor = event.sequence_number
    assert not draft.terminal_seen
    assert draft.response_id
    async with client.resume(draft.response_id, cursor) as events:
        numbers = [draft.apply(event) and event.sequence_number async for event in events]
    assert draft.terminal_seen
    assert cursor is not None
    assert all(number is None or number > cursor for number in numbers)
    assert draft.output() == fold(await collect(scripted(httpx.Response(200, headers=sse, content=whole))[0])).output()
    query = dict(script.requests[1].url.params)
    assert query == {"stream": "true", "starting_after": str(cursor)}


async def test_a_background_stream_may_be_resumed_from_its_beginning() -> None:
    sse = {"content-type": "text/event-stream"}
    client, script, _ = scripted(httpx.Response(200, headers=sse, content=recording("azure_text")))
    async with client.resume("resp_1") as events:
        assert fold([event async for event in events]).terminal_seen
    assert dict(script.requests[0].url.params) == {"stream": "true"}


# A stateless gateway


@pytest.mark.seed("S2-1", "S2-3", "S2-6", "S2-8")
async def test_a_gateway_gets_a_string_and_answers_with_what_it_has() -> None:
    spare = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "openai/gpt-4o",
        "status": "completed",
        "output": response(1, "你好")["output"],
        "usage": {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3},
    }
    client, script, _ = scripted(httpx.Response(200, json=spare), url="", dialect="ofox")
    body = {"model": "openai/gpt-4o", "input": "你好", "instructions": "You are a helpful assistant."}
    draft = drafted(await client.create(body))
    assert (draft.text(), draft.status) == ("你好", "completed")
    request = script.requests[0]
    assert str(request.url) == "https://api.ofox.ai/v1/responses"
    assert request.headers["authorization"] == f"Bearer {KEY}"
    assert sent(request) == {**body, "stream": False}


@pytest.mark.seed("S2-9", "S2-10")
async def test_a_gateway_streams_frames_of_data_alone_and_says_when_it_is_done() -> None:
    data = recording("ofox_text")
    assert b"event:" not in data
    assert data.rstrip().endswith(b"data: [DONE]")
    client, script, _ = scripted(
        httpx.Response(200, headers={"content-type": "text/event-stream"}, content=data), url="", dialect="ofox"
    )
    draft = fold(await collect(client, {"model": "m", "input": "你好"}))
    assert (draft.text(), draft.status) == ("你好，世界！", "completed")
    assert sent(script.requests[0])["stream"] is True


# Foundry


@pytest.mark.seed("S3-1", "S3-3", "S3-4", "S3-13")
@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("https://name.services.ai.azure.com", "https://name.services.ai.azure.com/openai/v1/responses"),
        (PROJECT, f"{PROJECT}/openai/v1/responses"),
        (f"{PROJECT}/openai/v1/", f"{PROJECT}/openai/v1/responses"),
        (
            f"{PROJECT}/openai/responses?api-version=2025-11-15-preview",
            f"{PROJECT}/openai/responses?api-version=2025-11-15-preview",
        ),
    ],
)
async def test_a_project_of_foundry_is_asked_at_its_own_address(url: str, operation: str) -> None:
    client, script = answering("Paris.", url=url, dialect="foundry")
    body = {
        "model": "gpt-4o",
        "input": "What is the capital of France?",
        "instructions": "You are a tutor.",
        "temperature": 0.7,
        "top_p": 0.9,
        "max_output_tokens": 200,
    }
    assert drafted(await client.create(body)).text() == "Paris."
    assert str(script.requests[0].url) == operation
    assert sent(script.requests[0]) == {**body, "stream": False}


async def test_the_version_that_a_project_asks_for_goes_with_every_request(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b")
    listed = httpx.Response(200, json={"data": [{"id": "a"}], "has_more": True, "last_id": "a"})
    sse = httpx.Response(200, headers={"content-type": "text/event-stream"}, content=recording("azure_text"))
    done = httpx.Response(200, json=response(1, ""))
    client, script, _ = scripted(
        done,
        sse,
        done,
        listed,
        done,
        done,
        done,
        sse,
        url=f"{PROJECT}/openai?api-version=2025-11-15-preview",
        dialect="foundry",
    )
    await client.create({"model": "m", "input": "Hi"})
    await collect(client)
    await client.retrieve("resp_1", include=("file_search_call.results", "message.input_image.image_url"))
    await client.input_items("resp_1")
    await client.upload_file(path, "a.csv", "text/csv")
    await client.delete("resp_1")
    async with client.resume("resp_1", 7) as events:
        _ = [event async for event in events]
    version = "api-version=2025-11-15-preview"
    base = "/api/projects/garden/openai"
    assert [request.url.raw_path.decode() for request in script.requests] == [
        f"{base}/responses?{version}",
        f"{base}/responses?{version}",
        f"{base}/responses/resp_1?{version}&include%5B%5D=file_search_call.results"
        "&include%5B%5D=message.input_image.image_url",
        f"{base}/responses/resp_1/input_items?{version}&order=asc&limit=100",
        f"{base}/responses/resp_1/input_items?{version}&order=asc&limit=100&after=a",
        f"{base}/files?{version}",
        f"{base}/responses/resp_1?{version}",
        f"{base}/responses/resp_1?{version}&stream=true&starting_after=7",
    ]
