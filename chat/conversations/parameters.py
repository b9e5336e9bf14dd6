"""Deployment row → what a request asks for besides its input: the operator's parameters, reasoning, and what is kept.

Capabilities decide what is said, so that one deployment's settings hold at every kind of server.
"""

from __future__ import annotations

from typing import Any

from chat.models import Conversation, Deployment
from chat.responses.dialects import Dialect

ENCRYPTED_REASONING = "reasoning.encrypted_content"
THRIFTY_EFFORTS = ("none", "minimal", "low")


def parameters_of(
    deployment: Deployment, dialect: Dialect, *, encrypted: bool = True, background: bool = False
) -> dict[str, Any]:
    """The parameters of a question. The deployment's own fields win over its free parameters.

    With `encrypted=False` reasoning is not asked for in its encrypted form: models that do not reason refuse that.
    `background` is what `works_in_background` says, unless the model has refused it.
    """
    parameters = deployment.as_parameters()
    parameters.pop("background", None)
    reasoning = _reasoning(deployment, dialect, parameters.pop("reasoning", None))
    if reasoning:
        parameters["reasoning"] = reasoning
    if not deployment.keeps_responses:
        parameters["store"] = False
    if background:
        parameters |= {"background": True, "store": True}
    if encrypted and dialect.encrypted_reasoning and not is_kept(deployment, dialect):
        parameters["include"] = _with(parameters.get("include"), ENCRYPTED_REASONING)
    return parameters


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
