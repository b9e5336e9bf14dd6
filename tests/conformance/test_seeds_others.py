"""The calls of the documents about a stateless gateway and about Microsoft Foundry, as they stand there."""

from __future__ import annotations

import json
from typing import Any

import httpx2
import pytest
from openai import APIStatusError, BadRequestError, OpenAI

from .conftest import KEY, Serve, texts

WEATHER_IN_BEIJING = {
    "type": "function",
    "name": "get_weather",
    "description": "取得指定城市的目前天氣",
    "parameters": {
        "type": "object",
        "properties": {
            "location": {"type": "string", "description": "城市名稱,如 北京"},
            "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        },
        "required": ["location"],
    },
}


# The gateway


@pytest.mark.seed("S2-1", "S2-3", "S2-6", "S2-8")
def test_a_gateway_answers_curl_with_its_few_fields(serve: Serve) -> None:
    reply = httpx2.post(
        serve("ofox").url + "responses",
        headers={"Authorization": f"Bearer {KEY}"},
        json={
            "model": "openai/gpt-5.4-mini",
            "input": "解釋什麼是 API Gateway",
            "instructions": "你是一個有幫助的技術助手,用中文回答。",
            "max_output_tokens": 1024,
        },
    )
    raw = reply.json()
    assert set(raw) == {"id", "object", "created_at", "model", "status", "output", "usage"}
    assert (raw["object"], raw["model"], raw["status"]) == ("response", "openai/gpt-5.4-mini", "completed")
    assert set(raw["usage"]) == {"input_tokens", "output_tokens", "total_tokens"}
    assert raw["output"][0]["content"][0]["type"] == "output_text"


@pytest.mark.seed("S2-4", "S2-5", "S2-7", "S3-8")
def test_a_gateway_reads_the_whole_conversation_each_time(gateway: OpenAI) -> None:
    history: list[Any] = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "法國的首都是哪裡?"}]},
        {
            "type": "message",
            "role": "assistant",
            "id": "msg_abc123",
            "status": "completed",
            "content": [{"type": "output_text", "text": "法國的首都是巴黎。", "annotations": []}],
        },
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "第一个问题是什么?"}]},
    ]
    response = gateway.responses.create(model="openai/gpt-5.4-mini", input=history)
    assert "法國的首都是哪裡" in response.output_text
    del history[1]["id"]
    with pytest.raises(BadRequestError):
        gateway.responses.create(model="openai/gpt-5.4-mini", input=history)


@pytest.mark.seed("S2-9", "S2-10")
def test_a_gateway_streams_data_only_frames(gateway: OpenAI) -> None:
    stream = gateway.responses.create(
        model="openai/gpt-5.4-mini",
        input="repeat after me: 講一個關於程式設計的笑話",
        stream=True,
    )
    text, kinds = "", []
    for event in stream:
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            text += event.delta
    assert text.startswith("講一個關於程式設計的笑話")
    assert list(dict.fromkeys(kinds)) == [
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_item.done",
        "response.completed",
    ]


@pytest.mark.seed("S2-2", "S2-11", "S2-12", "S2-13")
def test_a_gateway_calls_functions_and_wants_the_whole_chain_back(gateway: OpenAI) -> None:
    asked: dict[str, Any] = {"type": "message", "role": "user", "content": "get_weather 北京今天天氣怎麼樣?"}
    request: dict[str, Any] = {"model": "openai/gpt-5.4-mini", "tools": [WEATHER_IN_BEIJING], "temperature": 0.5}
    response = gateway.responses.create(input=[asked], tool_choice="auto", **request)
    (call,) = response.output
    assert call.type == "function_call"
    assert "北京" in json.loads(call.arguments)["location"]
    output = {
        "type": "function_call_output",
        "id": "fco_abc123",
        "call_id": call.call_id,
        "output": '{"temperature":"22°C","condition":"晴"}',
    }
    told = gateway.responses.create(input=[asked, call, output], **request)  # type: ignore[list-item]
    assert "22°C" in told.output_text
    with pytest.raises(BadRequestError, match="call_id"):
        gateway.responses.create(input=[asked, output], **request)  # type: ignore[list-item]
    silent = gateway.responses.create(input=[asked], tool_choice="none", **request)
    assert [item.type for item in silent.output] == ["message"]
    forced = gateway.responses.create(input="hello", tool_choice={"type": "function", "name": "get_weather"}, **request)
    assert [item.type for item in forced.output] == ["function_call"]


# Foundry


@pytest.mark.seed("S3-1", "S3-2", "S3-5")
def test_a_project_answers_with_id_status_usage_and_model(foundry: OpenAI) -> None:
    response = foundry.responses.create(model="microsoft-phi-4", input="What is Microsoft Foundry?")
    assert response.output_text == texts(response.output)
    assert response.id.startswith("resp_")
    assert response.status == "completed"
    assert response.model
    assert response.usage
    assert response.usage.total_tokens > 0


@pytest.mark.seed("S3-3", "S3-4")
def test_a_project_takes_instructions_temperature_and_a_limit(foundry: OpenAI) -> None:
    response = foundry.responses.create(
        model="gpt-4.1",
        instructions="You are a helpful AI assistant that answers questions clearly and concisely.",
        input="Write a creative story about AI, a long text of about 2000 tokens.",
        temperature=0.8,
        max_output_tokens=200,
    )
    assert (response.temperature, response.top_p, response.max_output_tokens) == (0.8, 1.0, 200)
    assert response.usage
    assert response.usage.output_tokens == 200
    assert response.status == "incomplete"
    assert response.incomplete_details
    assert response.incomplete_details.reason == "max_output_tokens"
    with pytest.raises(BadRequestError, match="temperature"):
        foundry.responses.create(model="gpt-4.1", input="hello", temperature=2.1)


@pytest.mark.seed("S3-6", "S3-7", "S3-10")
def test_a_loop_goes_on_from_the_last_id_until_quit(foundry: OpenAI) -> None:
    said = iter(["My name is Grace.", "What is my name?", "quit"])
    last_response_id = None
    told: list[str] = []
    tokens: list[int] = []
    while True:
        input_text = next(said)
        if input_text.lower() == "quit":
            break
        response = foundry.responses.create(
            model="gpt-4.1",
            instructions="You are a helpful AI assistant that explains technology concepts clearly.",
            input=input_text,
            previous_response_id=last_response_id,
        )
        told.append(response.output_text)
        assert response.usage
        tokens.append(response.usage.input_tokens)
        last_response_id = response.id
    assert "Grace" in told[1]
    assert tokens[0] < tokens[1]  # the first turn is read, and billed, again


@pytest.mark.seed("S3-8")
def test_history_kept_by_the_client_can_be_saved_and_pruned(foundry: OpenAI) -> None:
    conversation_history: list[Any] = [{"type": "message", "role": "user", "content": "What is machine learning?"}]
    response1 = foundry.responses.create(model="gpt-4.1", input=conversation_history)
    conversation_history += response1.output
    conversation_history.append({"type": "message", "role": "user", "content": "What was my first question?"})
    saved = json.dumps([item if isinstance(item, dict) else item.to_dict() for item in conversation_history])
    response2 = foundry.responses.create(model="gpt-4.1", input=json.loads(saved))
    assert "What is machine learning?" in response2.output_text
    response3 = foundry.responses.create(model="gpt-4.1", input=json.loads(saved)[2:])
    assert "machine learning" not in response3.output_text


@pytest.mark.seed("S3-9", "S3-15")
def test_an_earlier_response_is_retrieved_and_a_missing_one_is_an_error(foundry: OpenAI) -> None:
    made = foundry.responses.create(model="gpt-4.1", input="hello")
    assert foundry.responses.retrieve(made.id).output_text == made.output_text
    with pytest.raises(APIStatusError) as ex:
        foundry.responses.retrieve("resp_67cb61fa3a448190bcf2c42d96f0d1a8")
    assert "resp_67cb61fa3a448190bcf2c42d96f0d1a8" in str(ex.value)


@pytest.mark.seed("S3-11", "S3-12")
def test_the_id_comes_with_the_last_event(foundry: OpenAI) -> None:
    stream = foundry.responses.create(model="gpt-4.1", input="repeat after me: a robot learning to paint", stream=True)
    text = response_id = ""
    for event in stream:
        if event.type == "response.output_text.delta":
            text += event.delta
        elif event.type == "response.completed":
            response_id = event.response.id
    assert text.startswith("a robot learning to paint")
    assert foundry.responses.retrieve(response_id).output_text == text
