"""Deployment row → what a request asks for besides its input: the operator's parameters, reasoning, tools, what is kept.

Capabilities decide what is said, so that one deployment's settings hold at every kind of server.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from chat.models import Conversation, Deployment
from chat.responses.dialects import Dialect

ENCRYPTED_REASONING = "reasoning.encrypted_content"
THRIFTY_EFFORTS = ("none", "minimal", "low")
CODE_INTERPRETER: dict[str, Any] = {"type": "code_interpreter", "container": {"type": "auto"}}
IMAGE_GENERATION: dict[str, Any] = {"type": "image_generation"}
PREVIEWS = {"partial_images": 2}  # each is as large as the picture, and costs a little


def parameters_of(
    deployment: Deployment, dialect: Dialect, *, encrypted: bool = True, background: bool = False
) -> dict[str, Any]:
    """The parameters of a question. The deployment's own fields win over its free parameters, but not over its tools.

    With `encrypted=False` reasoning is not asked for in its encrypted form: models that do not reason refuse that.
    `background` is what `works_in_background` says, unless the model has refused it.
    """
    parameters = deployment.as_parameters()
    parameters.pop("background", None)
    reasoning = _reasoning(deployment, dialect, parameters.pop("reasoning", None))
    if reasoning:
        parameters["reasoning"] = reasoning
    if tools := _tools(deployment, dialect, parameters.get("tools")):
        parameters["tools"] = tools
    if not deployment.keeps_responses:
        parameters["store"] = False
    if background:
        parameters |= {"background": True, "store": True}
    if encrypted and dialect.encrypted_reasoning and not is_kept(deployment, dialect):
        parameters["include"] = _with(parameters.get("include"), ENCRYPTED_REASONING)
    return parameters


def with_container_files(parameters: dict[str, Any], file_ids: Sequence[str]) -> dict[str, Any]:
    """The parameters with these uploaded files in the container of the code interpreter, where a new one is made.

    A container that the operator names by its id has its own files.
    """
    tools = parameters.get("tools")
    if not file_ids or not isinstance(tools, list):
        return parameters
    return {**parameters, "tools": [_with_files(tool, file_ids) for tool in tools]}


def _with_files(tool: Any, file_ids: Sequence[str]) -> Any:
    container = tool.get("container") if _kind(tool) == "code_interpreter" else None
    if not isinstance(container, dict):
        return tool
    known = container.get("file_ids") or []
    return {**tool, "container": {**container, "file_ids": list(dict.fromkeys([*known, *file_ids]))}}


def makes_images(deployment: Deployment, dialect: Dialect) -> bool:
    """Whether image generation is switched on, and can be: Azure refuses it without the name of the deployment."""
    if not (deployment.image_generation and dialect.image_generation):
        return False
    header = dialect.image_deployment_header.lower()
    given = {name.lower() for name in deployment.provider.extra_headers or {}}
    return not header or bool(deployment.image_deployment) or header in given


def runs_code(deployment: Deployment, dialect: Dialect) -> bool:
    return deployment.code_interpreter and dialect.code_interpreter


def _tools(deployment: Deployment, dialect: Dialect, given: Any) -> list[Any]:
    """The operator's own tools, and behind them those that are switched on and not among them."""
    tools = list(given) if isinstance(given, list | tuple) else []
    known = {_kind(tool) for tool in tools}
    if runs_code(deployment, dialect) and "code_interpreter" not in known:
        tools.append(CODE_INTERPRETER)
    if makes_images(deployment, dialect) and "image_generation" not in known:
        tools.append({**IMAGE_GENERATION, **(PREVIEWS if dialect.image_generation_streams else {})})
    return tools


def _kind(tool: Any) -> Any:
    return tool.get("type") if isinstance(tool, dict) else None


def is_kept(deployment: Deployment, dialect: Dialect) -> bool:
    """Whether the provider keeps what is said, so that the next question can go on from the last response."""
    return dialect.state and _may_be_kept(deployment)


def works_in_background(conversation: Conversation, deployment: Deployment, dialect: Dialect) -> bool:
    """Whether the provider is to go on by itself: as the conversation says, else the deployment, where it can be."""
    # Among the free parameters it may stand from the time before the setting.
    usual = deployment.background or deployment.as_parameters().get("background") is True
    wanted = usual if conversation.background is None else conversation.background
    return wanted and can_work_in_background(deployment, dialect)


def can_work_in_background(deployment: Deployment, dialect: Dialect) -> bool:
    """What works in the background has to be kept, or nobody could fetch it."""
    return dialect.background and dialect.store and dialect.retrieve and _may_be_kept(deployment)


def _may_be_kept(deployment: Deployment) -> bool:
    return deployment.keeps_responses and deployment.as_parameters().get("store", True) is not False


def thrifty_reasoning(deployment: Deployment, dialect: Dialect) -> dict[str, Any]:
    """`reasoning` for a request that needs little of it; empty where the model may not reason at all."""
    wanted = _reasoning(deployment, dialect, deployment.as_parameters().get("reasoning"))
    if not wanted or not dialect.reasoning_effort:
        return {}
    effort = wanted.get("effort")
    return {"effort": effort if effort in THRIFTY_EFFORTS else "low"}


def _reasoning(deployment: Deployment, dialect: Dialect, given: Any) -> dict[str, Any]:
    reasoning = dict(given) if isinstance(given, dict) else {}
    if deployment.reasoning_effort and dialect.reasoning_effort:
        reasoning["effort"] = deployment.reasoning_effort
    if deployment.reasoning_summary and dialect.reasoning_summary:
        reasoning.pop("generate_summary", None)  # the same under its old name
        reasoning["summary"] = deployment.reasoning_summary
    return reasoning


def _with(include: Any, name: str) -> list[Any]:
    found = list(include) if isinstance(include, list | tuple) else []
    return found if name in found else [*found, name]
