"""Items of the wire → what was said: who said what, with which files, and what the tools have done since."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .documents import notes_sent, pages_sent_as_text
from .intake import BLOB
from .store import Blob
from .wires import Json


@dataclass(frozen=True)
class Attached:
    name: str
    blob: Blob | None
    """None for an image behind an address, which is not fetched."""
    is_image: bool
    pages: tuple[str, ...] = ()
    """Of a document that came as text, from a client whose provider takes no PDF."""
    notes: str = ""
    """On a document that is too long to be sent."""


@dataclass
class Said:
    """What one side said in one go, with what came attached."""

    role: str
    text: str = ""
    files: list[Attached] = field(default_factory=list)


@dataclass(frozen=True)
class Approval:
    """What a person answered to a request for approval."""

    request: Json
    approved: bool


@dataclass
class Talk:
    instructions: str
    tools: list[Json]
    tool_choice: Any
    parallel: bool
    """Whether several functions may be called at once."""
    said: list[Said] = field(default_factory=list)
    outputs: list[tuple[str, str]] = field(default_factory=list)
    """Name and output of the functions that were called since the person last spoke."""
    approvals: list[Approval] = field(default_factory=list)
    """Given since the person last spoke."""
    listed: set[str] = field(default_factory=set)
    """Labels of the MCP servers whose tools stand in the conversation."""
    container_id: str | None = None
    """Where code was run last."""

    @property
    def current(self) -> Said:
        return self.said[-1] if self.said and self.said[-1].role == "user" else Said("user")

    @property
    def earlier(self) -> list[Said]:
        return self.said[:-1] if self.said and self.said[-1].role == "user" else self.said

    @property
    def question(self) -> str:
        return self.current.text.strip()

    @property
    def earlier_questions(self) -> list[str]:
        return [said.text.strip() for said in self.earlier if said.role == "user" and said.text.strip()]


def listen(body: Json, items: Iterable[Json]) -> Talk:
    """Read the whole conversation, oldest first, as the request in `body` continues it."""
    talk = Talk(
        "", body.get("tools") or [], body.get("tool_choice") or "auto", body.get("parallel_tool_calls") is not False
    )
    instructions = [body.get("instructions") or ""]
    names: dict[str, str] = {}
    requests: dict[str, Json] = {}
    for item in items:
        match item["type"]:
            case "message" if item["role"] in ("system", "developer"):
                instructions.append(_text(item["content"]))
            case "message":
                _hear(talk, item)
            case "function_call":
                names[item["call_id"]] = item["name"]
            case "function_call_output":
                talk.outputs.append((names.get(item["call_id"], "function"), _output_text(item["output"])))
            case "mcp_list_tools":
                talk.listed.add(str(item.get("server_label")))
            case "mcp_approval_request":
                requests[item["id"]] = item
            case "mcp_approval_response" if item["approval_request_id"] in requests:
                talk.approvals.append(Approval(requests[item["approval_request_id"]], item["approve"]))
            case "code_interpreter_call" if isinstance(item.get("container_id"), str):
                talk.container_id = item["container_id"]
    talk.instructions = "\n".join(filter(None, instructions))
    return talk


def _hear(talk: Talk, item: Json) -> None:
    talk.outputs, talk.approvals = [], []
    if not talk.said or talk.said[-1].role != item["role"]:
        talk.said.append(Said(item["role"]))
    own_words = [part for part in item["content"] if _as_text(part) is None]
    talk.said[-1].text = "\n\n".join(filter(None, (talk.said[-1].text, _text(own_words))))
    talk.said[-1].files += _files(item["content"])


def _text(parts: Iterable[Json]) -> str:
    return "\n".join(part["text"] for part in parts if isinstance(part.get("text"), str))


def _output_text(output: str | list[Json]) -> str:
    return output if isinstance(output, str) else _text(output)


def _files(parts: Iterable[Json]) -> list[Attached]:
    files = []
    for part in parts:
        if part["type"] == "input_image":
            files.append(Attached("image", part.get(BLOB), True))
        elif part["type"] == "input_file":
            blob = part[BLOB]
            files.append(Attached(part.get("filename") or "file", blob, blob.media_type.startswith("image/")))
        elif (document := _as_text(part)) is not None:
            files.append(document)
    return files


def _as_text(part: Json) -> Attached | None:
    if part["type"] != "input_text":
        return None
    if (noted := notes_sent(part["text"])) is not None:
        return Attached(noted[0], None, False, notes=noted[1])
    sent = pages_sent_as_text(part["text"])
    return Attached(sent[0], None, False, sent[1]) if sent else None
