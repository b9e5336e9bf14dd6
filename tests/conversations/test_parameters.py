"""What a question asks for besides its input, and what a title asks for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from chat.conversations.parameters import (
    can_work_in_background,
    is_kept,
    parameters_of,
    thrifty_reasoning,
    with_container_files,
    works_in_background,
)
from chat.conversations.title import title_request
from chat.models import Conversation, Deployment, Provider, Turn
from chat.responses.dialects import DIALECTS, Dialect

OPENAI, AZURE, OFOX, LLAMA = (DIALECTS[name] for name in ("openai", "azure", "ofox", "llamacpp"))
ENCRYPTED = ["reasoning.encrypted_content"]


def asked(dialect: Dialect = OPENAI, *, encrypted: bool = True, **fields: Any) -> dict[str, Any]:
    return parameters_of(Deployment(name="m", **fields), dialect, encrypted=encrypted)


def test_a_deployment_that_says_nothing_asks_for_nothing() -> None:
    assert asked() == {}
    assert asked(OFOX) == {}


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({"reasoning_effort": "low"}, {"effort": "low"}),
        ({"reasoning_effort": "none", "reasoning_summary": "auto"}, {"effort": "none", "summary": "auto"}),
        ({"parameters": {"reasoning": {"effort": "high"}}}, {"effort": "high"}),
        ({"parameters": {"reasoning": {"effort": "high"}}, "reasoning_summary": "detailed"},
         {"effort": "high", "summary": "detailed"}),
        ({"parameters": {"reasoning": {"effort": "high", "new": 1}}, "reasoning_effort": "low"},
         {"effort": "low", "new": 1}),
        ({"parameters": {"reasoning": {"generate_summary": "auto"}}, "reasoning_summary": "concise"},
         {"summary": "concise"}),
        ({"parameters": {"reasoning": "much"}, "reasoning_effort": "low"}, {"effort": "low"}),
    ],
)  # fmt: skip
def test_the_deployments_own_fields_win_over_its_free_parameters(
    fields: dict[str, Any], reasoning: dict[str, Any]
) -> None:
    assert asked(**fields) == {"reasoning": reasoning}


@pytest.mark.seed("S1-32")
def test_reasoning_is_asked_for_as_far_as_the_server_can() -> None:
    fields = {"reasoning_effort": "low", "reasoning_summary": "auto"}
    assert asked(replace(OPENAI, reasoning_summary=False), **fields) == {"reasoning": {"effort": "low"}}
    assert asked(replace(OPENAI, reasoning_effort=False), **fields) == {"reasoning": {"summary": "auto"}}
    assert asked(replace(OPENAI, reasoning_effort=False, reasoning_summary=False), **fields) == {}


@pytest.mark.seed("S1-30")
@pytest.mark.parametrize("dialect", [OPENAI, AZURE])
def test_where_nothing_may_be_kept_that_is_said_and_reasoning_comes_encrypted(dialect: Dialect) -> None:
    assert asked(dialect, keeps_responses=False) == {"store": False, "include": ENCRYPTED}
    assert asked(dialect, keeps_responses=False, parameters={"store": True})["store"] is False
    both = asked(dialect, keeps_responses=False, parameters={"include": ["message.output_text.logprobs"]})
    assert both["include"] == ["message.output_text.logprobs", *ENCRYPTED]
    assert asked(dialect, keeps_responses=False, parameters={"include": ENCRYPTED})["include"] == ENCRYPTED
    assert asked(dialect, keeps_responses=False, encrypted=False) == {"store": False}


def test_a_server_that_knows_none_of_it_is_not_bothered() -> None:
    for dialect in (OFOX, LLAMA):
        assert asked(dialect, keeps_responses=False) == {"store": False}, "what is known of a gateway may be wrong"
    assert asked(replace(OFOX, encrypted_reasoning=True)) == {"include": ENCRYPTED}
    assert asked(replace(OFOX, store=True), keeps_responses=False) == {"store": False}


def test_what_the_free_parameters_do_not_let_be_kept_is_not_kept_either() -> None:
    assert is_kept(Deployment(), OPENAI)
    assert not is_kept(Deployment(), OFOX)
    assert not is_kept(Deployment(keeps_responses=False), OPENAI)
    assert not is_kept(Deployment(parameters={"store": False}), OPENAI)
    assert asked(parameters={"store": False}) == {"store": False, "include": ENCRYPTED}


@pytest.mark.parametrize(
    ("usual", "here", "works"),
    [(False, None, False), (True, None, True), (True, False, False), (False, True, True)],
)
def test_a_conversation_may_differ_from_its_deployment_in_where_it_works(
    usual: bool, here: bool | None, works: bool
) -> None:
    assert works_in_background(Conversation(background=here), Deployment(background=usual), OPENAI) is works


@pytest.mark.parametrize(
    ("dialect", "fields", "can"),
    [
        (OPENAI, {}, True),
        (OFOX, {}, False),
        (replace(OPENAI, retrieve=False), {}, False),
        (replace(OPENAI, resume=False), {}, True),  # it can be asked for
        (OPENAI, {"keeps_responses": False}, False),
        (OPENAI, {"parameters": {"store": False}}, False),
    ],
)
def test_only_what_is_kept_where_it_can_be_fetched_works_in_the_background(
    dialect: Dialect, fields: dict[str, Any], can: bool
) -> None:
    assert can_work_in_background(Deployment(**fields), dialect) is can
    assert works_in_background(Conversation(), Deployment(background=True, **fields), dialect) is can


def test_the_background_is_said_together_with_what_it_needs() -> None:
    deployment = Deployment(name="m", parameters={"background": True})
    assert parameters_of(deployment, OPENAI) == {}
    assert parameters_of(deployment, OPENAI, background=True) == {"background": True, "store": True}
    assert works_in_background(Conversation(), deployment, OPENAI), "a row from before there was a setting"


@pytest.mark.parametrize(
    ("fields", "reasoning"),
    [
        ({}, {}),
        ({"reasoning_effort": "high"}, {"effort": "low"}),
        ({"reasoning_effort": "minimal"}, {"effort": "minimal"}),
        ({"reasoning_effort": "none"}, {"effort": "none"}),
        ({"reasoning_summary": "detailed"}, {"effort": "low"}),
        ({"parameters": {"reasoning": {"effort": "medium"}}}, {"effort": "low"}),
    ],
)
def test_a_title_is_thought_about_little(fields: dict[str, Any], reasoning: dict[str, Any]) -> None:
    assert thrifty_reasoning(Deployment(**fields), OPENAI) == reasoning
    assert thrifty_reasoning(Deployment(**fields), replace(OPENAI, reasoning_effort=False)) == {}


def test_a_title_is_never_kept_and_never_long() -> None:
    turn = Turn(pk=1, question="Why?")
    turn._prefetched_objects_cache = {"attachments": []}  # type: ignore[attr-defined]
    body = title_request(turn, "Because.", Deployment(name="m", reasoning_effort="high"), OPENAI)
    assert (body["store"], body["reasoning"], body["model"]) == (False, {"effort": "low"}, "m")
    assert body["max_output_tokens"] <= 1_000
    assert "include" not in body
    assert "store" not in title_request(turn, "Because.", Deployment(name="m"), OFOX)


CODE = {"type": "code_interpreter", "container": {"type": "auto"}}
IMAGES = {"type": "image_generation"}
PREVIEWED = {**IMAGES, "partial_images": 2}
BOTH = {"code_interpreter": True, "image_generation": True}


def test_the_tools_that_are_switched_on_are_offered_where_the_server_has_them() -> None:
    provider = Provider(name="p")
    assert asked(provider=provider, **BOTH) == {"tools": [CODE, PREVIEWED]}
    assert asked(code_interpreter=True) == {"tools": [CODE]}
    assert asked(LLAMA, provider=provider, **BOTH) == {}
    assert asked(OFOX, provider=provider, **BOTH) == {}


def test_images_are_offered_at_azure_when_their_deployment_is_named() -> None:
    provider, headed = Provider(name="p"), Provider(name="h")
    headed.extra_headers = {"X-MS-OAI-Image-Generation-Deployment": "gpt-image-1"}
    assert asked(AZURE, provider=provider, **BOTH) == {"tools": [CODE]}
    assert asked(AZURE, provider=provider, image_deployment="gpt-image-1", **BOTH) == {"tools": [CODE, IMAGES]}
    assert asked(AZURE, provider=headed, **BOTH) == {"tools": [CODE, IMAGES]}


def test_a_tool_that_the_operator_describes_takes_the_place_of_the_switch() -> None:
    own = {"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}
    function = {"type": "function", "name": "look"}
    wanted = asked(provider=Provider(name="p"), parameters={"tools": [function, own]}, **BOTH)
    assert wanted == {"tools": [function, own, PREVIEWED]}


def test_data_files_go_into_the_container_and_nowhere_else() -> None:
    parameters = asked(provider=Provider(name="p"), **BOTH)
    wanted = with_container_files(parameters, ["file-1", "file-2"])
    assert wanted["tools"] == [
        {"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["file-1", "file-2"]}},
        PREVIEWED,
    ]
    assert with_container_files(wanted, ["file-2", "file-3"])["tools"][0]["container"]["file_ids"] == [
        "file-1",
        "file-2",
        "file-3",
    ]
    assert parameters["tools"] == [CODE, PREVIEWED]
    named = {"tools": [{"type": "code_interpreter", "container": "cntr_1"}], "top_p": 1}
    assert with_container_files(named, ["file-1"]) == named
    assert with_container_files({}, ["file-1"]) == {}
