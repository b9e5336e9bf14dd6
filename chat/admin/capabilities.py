"""What a provider can do, as the operator reads it: the whole table, a line beside each deployment, and hints.

All of it comes from the dialect with the provider's overrides, which is what requests go by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat.conversations.parameters import makes_images
from chat.models import Deployment, Provider
from chat.responses.dialects import CAPABILITY_WORDS, DIALECTS, OVERRIDABLE, Dialect, in_words


@dataclass(frozen=True)
class Capability:
    """A row of the table. `name` is what an override calls it, empty where there can be none."""

    words: str
    name: str
    value: str
    dialect_says: str
    is_overridden: bool
    is_lacking: bool


@dataclass(frozen=True)
class Group:
    title: str
    rows: list[Capability]


@dataclass(frozen=True)
class Abilities:
    """Of one deployment, in a few words each."""

    can: list[str]
    cannot: list[str]


def overrides_of(provider: Provider) -> dict[str, Any]:
    return dict(provider.capabilities) if isinstance(provider.capabilities, Mapping) else {}


def dialect_in_force(provider: Provider) -> Dialect | None:
    """The dialect with the overrides; None while one of them does not exist."""
    dialect = DIALECTS.get(provider.dialect)
    try:
        return dialect.with_overrides(overrides_of(provider)) if dialect else None
    except ValueError:
        return None


def table_of(provider: Provider) -> list[Group]:
    dialect = DIALECTS[provider.dialect]
    overrides = overrides_of(provider)
    return [
        Group(title, [_row(dialect, overrides, name, words) for name, words in capabilities.items()])
        for title, capabilities in CAPABILITY_WORDS.items()
    ]


def _row(dialect: Dialect, overrides: Mapping[str, Any], name: str, words: str) -> Capability:
    own = getattr(dialect, name)
    value = overrides.get(name, own)
    return Capability(
        words=words,
        name=name if name in OVERRIDABLE else "",
        value=in_words(value),
        dialect_says=in_words(own),
        is_overridden=name in overrides,
        is_lacking=value is False or value == "" or (value == 0 and not isinstance(value, bool)),
    )


def abilities_of(deployment: Deployment, dialect: Dialect) -> Abilities:
    """What people can expect of it. Settings of the deployment count: what is not kept cannot run in the background."""
    is_kept = dialect.store and deployment.keeps_responses
    told = [
        ("PDFs" if dialect.pdf_input else "PDFs as text", True),
        ("images", dialect.image_base64),
        ("functions", dialect.tools),
        ("remote tools", dialect.mcp),
        ("web search", dialect.web_search),
        ("file search", dialect.file_search),
        ("code interpreter", dialect.code_interpreter),
        ("image generation", dialect.image_generation),
        ("JSON schema", dialect.json_schema),
        ("keeps responses", is_kept),
        ("background", dialect.background and is_kept),
        ("reasoning effort", dialect.reasoning_effort),
        ("reasoning summaries", dialect.reasoning_summary),
        ("encrypted reasoning", dialect.encrypted_reasoning),
    ]
    return Abilities([words for words, can in told if can], [words for words, can in told if not can])


def pointless_fields(dialect: Dialect) -> dict[str, str]:
    """Fields of a deployment that change nothing at this kind of server, and why."""
    found = {}
    if not dialect.reasoning_effort:
        found["reasoning_effort"] = f"{dialect.label} does not read it: never sent."
    if not dialect.reasoning_summary:
        found["reasoning_summary"] = f"{dialect.label} sends no summaries: never asked for."
    if not dialect.store:
        found["keeps_responses"] = f"{dialect.label} keeps nothing anyway: this changes nothing."
    if not (dialect.background and dialect.store and dialect.retrieve):
        found["background"] = f"{dialect.label} cannot work in the background: never asked for."
    if not dialect.code_interpreter:
        found["code_interpreter"] = f"{dialect.label} runs no code: never offered to the model."
    if not dialect.image_generation:
        found["image_generation"] = f"{dialect.label} makes no images: never offered to the model."
        found["image_deployment"] = f"{dialect.label} makes no images: never sent."
    elif not dialect.image_deployment_header:
        found["image_deployment"] = f"{dialect.label} has no header for it: never sent."
    return found


def hints_for(deployment: Deployment, dialect: Dialect) -> list[str]:
    """Sentences about settings of this deployment that do nothing, or less than they seem to."""
    pointless = pointless_fields(dialect)
    chosen = {
        "reasoning_effort": deployment.reasoning_effort,
        "reasoning_summary": deployment.reasoning_summary,
        "background": deployment.background,
        "code_interpreter": deployment.code_interpreter,
        "image_generation": deployment.image_generation,
        "image_deployment": deployment.image_deployment,
    }
    hints = [
        f"{_label(name)} is set. {pointless[name]}" for name, value in chosen.items() if value and name in pointless
    ]
    hints += _image_hints(deployment, dialect)
    parameters = deployment.parameters if isinstance(deployment.parameters, dict) else {}
    reasoning = parameters.get("reasoning")
    for name, field in (("effort", "reasoning_effort"), ("summary", "reasoning_summary")):
        if isinstance(reasoning, dict) and name in reasoning and chosen[field] and field not in pointless:
            hints.append(f"{_label(field)} is set, and among the parameters too: the setting wins.")
    if unread := sorted(set(parameters) - set(dialect.parameters) if dialect.parameters else ()):
        hints.append(f"{dialect.label} does not read these parameters, which are left out: {', '.join(unread)}.")
    return hints


def _image_hints(deployment: Deployment, dialect: Dialect) -> list[str]:
    if not (deployment.image_generation and dialect.image_generation):
        return []
    if not makes_images(deployment, dialect):
        return [
            f"Image generation is set, and {dialect.label} needs the image deployment for it: not offered until then."
        ]
    if not dialect.image_generation_streams:
        return [f"Image generation is set: {dialect.label} then sends each answer whole, not word by word."]
    return []


def _label(field: str) -> str:
    return field.replace("_", " ").capitalize()
