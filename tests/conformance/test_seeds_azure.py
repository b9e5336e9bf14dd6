"""The calls of the two documents about Azure, as they stand there: only address, key, ids and files are ours.

One line of them fails with every server: `event["sequence_number"]` reads an object of the package like a mapping.
"""

from __future__ import annotations

import base64
import io
import json
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest
from openai import AsyncOpenAI, BadRequestError, NotFoundError, OpenAI
from PIL import Image

from .conftest import KEY, texts
from .wiretap import Wiretap

GET_WEATHER = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the weather for a location",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string"},
        },
        "required": ["location"],
    },
}


@pytest.fixture
def rest(azure_url: str, tap: Wiretap) -> Any:
    """curl of the documents."""
    with httpx2.Client(base_url=azure_url, transport=tap.sync_transport()) as http:
        yield http


@pytest.mark.seed("S0-1", "S0-5", "S0-9", "S1-4")
def test_text_is_generated_with_a_key(azure: OpenAI) -> None:
    response = azure.responses.create(
        model="gpt-4.1-nano",
        input="This is a test.",
    )
    assert json.loads(response.model_dump_json(indent=2))["status"] == "completed"
    assert "No model is connected" in response.output_text or "none is connected" in response.output_text
    assert response.usage
    assert response.usage.total_tokens == response.usage.input_tokens + response.usage.output_tokens


@pytest.mark.seed("S0-6", "S1-31")
def test_a_token_provider_stands_in_for_the_key(azure_url: str, http_client: httpx2.Client) -> None:
    asked = []

    def token_provider() -> str:
        asked.append(KEY)
        return KEY

    client = OpenAI(base_url=azure_url, api_key=token_provider, http_client=http_client)
    response = client.responses.create(model="gpt-4.1-nano", input="This is a test")
    assert response.status == "completed"
    assert asked == [KEY]


@pytest.mark.seed("S0-7", "S0-8")
@pytest.mark.parametrize("headers", [{"api-key": KEY}, {"Authorization": f"Bearer {KEY}"}], ids=["api-key", "bearer"])
def test_rest_takes_a_key_in_either_header(rest: httpx2.Client, headers: dict[str, str]) -> None:
    reply = rest.post("responses", headers=headers, json={"model": "gpt-4o", "input": "This is a test"})
    assert reply.status_code == 200
    assert reply.json()["object"] == "response"


@pytest.mark.seed("S0-10", "S1-5", "S0-11", "S1-6")
def test_a_response_is_retrieved_and_deleted(azure: OpenAI) -> None:
    made = azure.responses.create(model="gpt-4o", input="This is a test.")
    response = azure.responses.retrieve(made.id)
    assert response == made
    azure.responses.delete(made.id)
    with pytest.raises(NotFoundError):
        azure.responses.retrieve(made.id)


@pytest.mark.seed("S0-12", "S1-7")
def test_turns_are_chained_by_the_id_of_the_last(azure: OpenAI) -> None:
    response = azure.responses.create(
        model="gpt-4o", input="Define and explain the concept of catastrophic forgetting?"
    )
    second_response = azure.responses.create(
        model="gpt-4o",
        previous_response_id=response.id,
        input=[{"role": "user", "content": "Explain this at a level that could be understood by a college freshman"}],
    )
    third_response = azure.responses.create(
        model="gpt-4o", previous_response_id=second_response.id, input="What was my first question?"
    )
    assert second_response.previous_response_id == response.id
    assert "catastrophic forgetting" in third_response.output_text


@pytest.mark.seed("S0-13", "S1-8")
def test_turns_are_chained_by_hand(azure: OpenAI) -> None:
    inputs: list[Any] = [
        {"type": "message", "role": "user", "content": "Define and explain the concept of catastrophic forgetting?"}
    ]
    response = azure.responses.create(model="gpt-4o", input=inputs)
    inputs += response.output
    inputs.append(
        {
            "role": "user",
            "type": "message",
            "content": "What was my first question?",
        }
    )
    second_response = azure.responses.create(model="gpt-4o", input=inputs)
    assert "catastrophic forgetting" in second_response.output_text


@pytest.mark.seed("S1-9")
def test_deltas_are_streamed(azure: OpenAI) -> None:
    response = azure.responses.create(input="repeat after me: one two three", model="o4-mini", stream=True)
    text = ""
    for event in response:
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text.startswith("one two three")


@pytest.mark.seed("S3-13", "S3-14")
async def test_deltas_are_streamed_to_an_asynchronous_client(async_azure: AsyncOpenAI) -> None:
    response = await async_azure.responses.create(model="gpt-4.1", input="Explain quantum computing briefly.")
    assert response.output_text
    stream = await async_azure.responses.create(model="gpt-4.1", input="repeat after me: a haiku", stream=True)
    text = "".join([event.delta async for event in stream if event.type == "response.output_text.delta"])
    assert text.startswith("a haiku")


@pytest.mark.seed("S1-10")
def test_a_function_is_called_and_its_output_sent_back(azure: OpenAI) -> None:
    response = azure.responses.create(
        model="gpt-4o",
        tools=[GET_WEATHER],  # type: ignore[list-item]
        input=[{"role": "user", "content": "What's the weather in San Francisco?"}],
    )
    input: list[Any] = []
    for output in response.output:
        if output.type == "function_call":
            match output.name:
                case "get_weather":
                    assert json.loads(output.arguments) == {"location": "San Francisco"}
                    input.append(
                        {
                            "type": "function_call_output",
                            "call_id": output.call_id,
                            "output": '{"temperature": "70 degrees"}',
                        }
                    )
                case _:
                    raise ValueError(f"Unknown function call: {output.name}")
    second_response = azure.responses.create(model="gpt-4o", previous_response_id=response.id, input=input)
    assert "70 degrees" in second_response.output_text


@pytest.mark.seed("S1-11", "S1-12")
def test_the_code_interpreter_solves_an_equation(azure: OpenAI, rest: httpx2.Client) -> None:
    instructions = (
        "You are a personal math tutor. When asked a math question, "
        "write and run code using the python tool to answer the question."
    )
    response = azure.responses.create(
        model="gpt-4.1",
        tools=[{"type": "code_interpreter", "container": {"type": "auto"}}],
        instructions=instructions,
        input="I need to solve the equation 3x + 11 = 14. Can you help me?",
    )
    call = response.output[0]
    assert call.type == "code_interpreter_call"
    assert "x = 1" in response.output_text
    container = azure.containers.retrieve(call.container_id)
    assert container.expires_after
    assert (container.status, container.expires_after.minutes) == ("running", 20)
    reply = rest.post(
        "responses?api-version=preview",
        headers={"Authorization": f"Bearer {KEY}"},
        json={
            "model": "gpt-4.1",
            "tools": [{"type": "code_interpreter", "container": {"type": "auto"}}],
            "instructions": instructions,
            "input": "I need to solve the equation 3x + 11 = 14. Can you help me?",
        },
    )
    assert reply.json()["output"][0]["code"] == call.code


@pytest.mark.seed("S1-12", "S1-13")
def test_files_go_into_a_container_and_come_out_of_it(azure: OpenAI, tmp_path: Path) -> None:
    table = tmp_path / "sales.csv"
    table.write_text("month,units\nJanuary,10\nFebruary,12\nMarch,9\n")
    with table.open("rb") as opened:
        file = azure.files.create(file=opened, purpose="assistants")
    response = azure.responses.create(
        model="gpt-4.1",
        tools=[{"type": "code_interpreter", "container": {"type": "auto", "file_ids": [file.id]}}],
        input="Plot the units of this table",
    )
    message = response.output[-1]
    assert message.type == "message"
    part = message.content[0]
    assert part.type == "output_text"
    cited = {note.filename: note for note in part.annotations if note.type == "container_file_citation"}
    assert set(cited) == {"summary.csv", "chart.png"}
    for note in cited.values():
        assert part.text[note.start_index : note.end_index] == f"sandbox:/mnt/data/{note.filename}"
    chart = cited["chart.png"]
    content = azure.containers.files.content.retrieve(chart.file_id, container_id=chart.container_id)
    assert Image.open(io.BytesIO(content.content)).format == "PNG"
    assert {entry.path for entry in azure.containers.files.list(chart.container_id)} == {
        "/mnt/data/sales.csv",
        "/mnt/data/summary.csv",
        "/mnt/data/chart.png",
    }


@pytest.mark.seed("S1-15")
def test_input_items_are_listed(azure: OpenAI) -> None:
    made = azure.responses.create(model="gpt-4o", input="This is a test.")
    response = azure.responses.input_items.list(made.id)
    listed = json.loads(response.model_dump_json(indent=2))
    assert [item["content"][0]["text"] for item in listed["data"]] == ["This is a test."]
    assert listed["first_id"] == listed["last_id"] == listed["data"][0]["id"]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.jpg"
    Image.new("RGB", (64, 48), "red").save(path)
    return path


@pytest.mark.seed("S1-16")
def test_an_image_is_named_by_its_address(azure: OpenAI) -> None:
    response = azure.responses.create(
        model="gpt-4o",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "what is in this image?"},
                    {"type": "input_image", "image_url": "https://example.org/otter.png"},  # type: ignore[list-item]
                ],
            }
        ],
    )
    assert "no network" in response.output_text


@pytest.mark.seed("S1-17")
def test_an_image_is_sent_in_base64(azure: OpenAI, picture: Path) -> None:
    with picture.open("rb") as image_file:
        base64_image = base64.b64encode(image_file.read()).decode("utf-8")
    response = azure.responses.create(
        model="gpt-4o",
        input=[
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "what is in this image?"},
                    {"type": "input_image", "image_url": f"data:image/jpeg;base64,{base64_image}"},  # type: ignore[list-item]
                ],
            }
        ],
    )
    assert "64 × 48 pixels" in response.output_text
    assert "red" in response.output_text


@pytest.mark.seed("S1-18")
def test_a_pdf_is_sent_in_base64(azure: OpenAI, pdf: Path) -> None:
    with pdf.open("rb") as f:
        data = f.read()
    base64_string = base64.b64encode(data).decode("utf-8")
    response = azure.responses.create(
        model="gpt-4o-mini",
        input=[
            {
                "role": "user",
                "content": [
                    {
                        "type": "input_file",
                        "filename": "PDF-FILE-NAME.pdf",
                        "file_data": f"data:application/pdf;base64,{base64_string}",
                    },
                    {"type": "input_text", "text": "Summarize this PDF"},
                ],
            },
        ],
    )
    assert "Summary of PDF-FILE-NAME.pdf" in response.output_text
    assert response.usage
    assert response.usage.input_tokens > 1_000  # the pages count


@pytest.mark.seed("S1-19", "S1-20", "S0-4")
def test_a_pdf_is_uploaded_and_named_by_its_id(azure: OpenAI, pdf: Path, rest: httpx2.Client) -> None:
    with pdf.open("rb") as opened:
        file = azure.files.create(file=opened, purpose="assistants")
    assert json.loads(file.model_dump_json(indent=2)) == {
        "id": file.id,
        "bytes": pdf.stat().st_size,
        "created_at": file.created_at,
        "filename": "darwin.pdf",
        "object": "file",
        "purpose": "assistants",
        "status": "processed",
        "expires_at": None,
        "status_details": None,
    }
    assert file.id.startswith("assistant-")
    question: list[Any] = [
        {
            "role": "user",
            "content": [
                {"type": "input_file", "file_id": file.id},
                {"type": "input_text", "text": "Summarize this PDF"},
            ],
        },
    ]
    response = azure.responses.create(model="gpt-4o-mini", input=question)
    assert "Summary of darwin.pdf" in response.output_text
    reply = rest.post(
        "responses", headers={"Authorization": f"Bearer {KEY}"}, json={"model": "gpt-4.1", "input": question}
    )
    assert texts(azure.responses.retrieve(reply.json()["id"]).output) == response.output_text
    uploaded = rest.post(
        str(rest.base_url).replace("/v1/", "/files"),
        headers={"Authorization": f"Bearer {KEY}"},
        data={"purpose": "assistants"},
        files={"file": ("your_file.pdf", pdf.read_bytes())},
    )
    assert uploaded.json()["filename"] == "your_file.pdf"
    with pytest.raises(BadRequestError), pdf.open("rb") as opened:
        azure.files.create(file=opened, purpose="user_data")


@pytest.mark.seed("S1-21")
def test_a_remote_server_that_cannot_be_reached_is_told_of(azure: OpenAI) -> None:
    response = azure.responses.create(
        model="gpt-4.1",
        tools=[
            {
                "type": "mcp",
                "server_label": "github",
                "server_url": "https://contoso.com/Azure/azure-rest-api-specs",
                "require_approval": "never",
            },
        ],
        input="What transport protocols are supported in the 2025-03-26 version of the MCP spec?",
    )
    listing = response.output[0]
    assert listing.type == "mcp_list_tools"
    assert listing.error
    assert response.output_text


@pytest.mark.seed("S1-21", "S1-22")
@pytest.mark.parametrize("approve", [True, False])
def test_a_remote_tool_waits_for_approval(azure: OpenAI, azure_url: str, approve: bool) -> None:
    tools: list[Any] = [
        {"type": "mcp", "server_label": "engine", "server_url": azure_url.replace("/openai/v1/", "/mcp")},
    ]
    response = azure.responses.create(model="gpt-4.1", tools=tools, input="Please roll dice, 3 of 20 sides")
    request = response.output[-1]
    assert request.type == "mcp_approval_request"
    assert json.loads(request.arguments) == {"count": 3, "sides": 20}
    answered = azure.responses.create(
        model="gpt-4.1",
        tools=tools,
        previous_response_id=response.id,
        input=[{"type": "mcp_approval_response", "approve": approve, "approval_request_id": request.id}],
    )
    calls = [item for item in answered.output if item.type == "mcp_call"]
    assert len(calls) == approve
    if approve:
        rolled = json.loads(calls[0].output or "")
        assert calls[0].approval_request_id == request.id
        assert sum(rolled["rolled"]) == rolled["sum"]
        assert len(rolled["rolled"]) == 3
    else:
        assert "not approved" in answered.output_text


@pytest.mark.seed("S1-23")
def test_what_opens_a_remote_server_is_told_to_nobody(azure: OpenAI, tap: Wiretap) -> None:
    response = azure.responses.create(
        model="gpt-4.1",
        input="What is this repo in 100 words?",
        tools=[
            {
                "type": "mcp",
                "server_label": "github",
                "server_url": "https://gitmcp.io/Azure/azure-rest-api-specs",
                "headers": {"Authorization": "Bearer $YOUR_API_KEY"},
            }
        ],
    )
    azure.responses.retrieve(response.id)
    assert not [exchange for exchange in tap.exchanges if b"YOUR_API_KEY" in exchange.body]


@pytest.mark.seed("S1-24", "S1-25")
def test_a_background_response_is_polled(azure: OpenAI) -> None:
    response = azure.responses.create(model="o3", input="Write me a very long story", background=True)
    assert response.status in {"queued", "in_progress"}
    while response.status in {"queued", "in_progress"}:
        time.sleep(0.02)
        response = azure.responses.retrieve(response.id)
    assert response.status == "completed"
    assert response.output_text


@pytest.mark.seed("S1-26")
def test_cancelling_twice_is_cancelling_once(azure: OpenAI) -> None:
    made = azure.responses.create(model="o3", input="write a text of 20000 words", background=True)
    response = azure.responses.cancel(made.id)
    assert response.status == "cancelled"
    assert azure.responses.cancel(made.id) == response


@pytest.mark.seed("S1-27", "S1-28")
def test_a_background_stream_goes_on_where_it_was_left(azure: OpenAI) -> None:
    stream = azure.responses.create(
        model="o3",
        input="write a text of 300 words",
        background=True,
        stream=True,
    )
    cursor, response_id, text = -1, "", ""
    for event in stream:
        cursor = event.sequence_number
        if event.type == "response.created":
            response_id = event.response.id
        elif event.type == "response.output_text.delta":
            text += event.delta
            if len(text) > 40:
                break
    stream.close()
    resumed = azure.responses.retrieve(response_id, stream=True, starting_after=cursor)
    for event in resumed:
        assert event.sequence_number == cursor + 1
        cursor = event.sequence_number
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text == azure.responses.retrieve(response_id).output_text


@pytest.mark.seed("S1-29")
def test_background_has_its_limits(azure: OpenAI) -> None:
    with pytest.raises(BadRequestError, match="store"):
        azure.responses.create(model="o3", input="hello", background=True, store=False)
    synchronous = azure.responses.create(model="o3", input="hello")
    with pytest.raises(NotFoundError):
        azure.responses.retrieve(synchronous.id, stream=True)
    with pytest.raises(BadRequestError, match="Cannot cancel a synchronous response"):
        azure.responses.cancel(synchronous.id)


@pytest.mark.seed("S1-30")
def test_encrypted_reasoning_is_carried_on_by_the_client(azure: OpenAI) -> None:
    inputs: list[Any] = [{"role": "user", "content": "What is the weather like in Oslo today?"}]
    request: dict[str, Any] = {
        "model": "o4-mini",
        "reasoning": {"effort": "medium"},
        "tools": [GET_WEATHER],
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }
    response = azure.responses.create(input=inputs, **request)
    reasoning, call = response.output
    assert reasoning.type == "reasoning"
    assert reasoning.encrypted_content
    assert call.type == "function_call"
    assert response.usage
    assert response.usage.output_tokens_details.reasoning_tokens > 0
    inputs += response.output
    inputs.append({"type": "function_call_output", "call_id": call.call_id, "output": "12 degrees"})
    assert "12 degrees" in azure.responses.create(input=inputs, **request).output_text
    reasoning.encrypted_content = reasoning.encrypted_content[:-6] + "AAAAA="
    with pytest.raises(BadRequestError) as refused:
        azure.responses.create(input=inputs, **request)
    assert refused.value.code == "invalid_encrypted_content"


@pytest.mark.seed("S1-31")
def test_an_image_is_generated(azure_url: str, http_client: httpx2.Client, tmp_path: Path) -> None:
    client = OpenAI(
        base_url=azure_url,
        api_key=lambda: KEY,
        http_client=http_client,
        default_headers={"x-ms-oai-image-generation-deployment": "gpt-image-1", "api_version": "preview"},
    )
    response = client.responses.create(
        model="o3",
        input="Generate an image of gray tabby cat hugging an otter with an orange scarf",
        tools=[{"type": "image_generation"}],
    )
    image_data = [output.result for output in response.output if output.type == "image_generation_call"]
    assert image_data
    assert image_data[0]
    path = tmp_path / "otter.png"
    path.write_bytes(base64.b64decode(image_data[0]))
    with Image.open(path) as image:
        assert (image.format, image.size) == ("PNG", (1024, 1024))


@pytest.mark.seed("S1-3", "S1-31", "S0-4")
def test_what_azure_does_not_serve_is_refused(azure: OpenAI) -> None:
    drawing: dict[str, Any] = {"model": "o3", "input": "Draw an otter", "tools": [{"type": "image_generation"}]}
    with pytest.raises(BadRequestError, match="x-ms-oai-image-generation-deployment"):
        azure.responses.create(**drawing)
    with pytest.raises(BadRequestError, match="streaming"):
        azure.responses.create(
            **drawing, stream=True, extra_headers={"x-ms-oai-image-generation-deployment": "gpt-image-1"}
        )
    with pytest.raises(NotFoundError):
        azure.responses.compact(model="gpt-4o", input="hello")
