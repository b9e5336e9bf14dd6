"""The mcp tool: remote tools on request, with the approval of the person. One server can be reached: the engine's own.

It is known by its address (`mcp_server`) and asked directly. The engine has no network, so every other server fails
to list its tools, and the conversation goes on without it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from . import schemas
from .calls import meant
from .mcp_server import CATALOGUE, PATH, ToolFailed, run
from .pieces import Piece, Speech, Stage
from .store import new_id
from .talk import Approval, Talk
from .wires import Json

# Pieces


@dataclass(frozen=True)
class Listing:
    """One mcp_list_tools."""

    server_label: str
    tools: Sequence[Json]
    error: str | None

    written = ""

    def cut(self, characters: int) -> None:
        return None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item: Json = {"id": new_id("mcpl_"), "type": "mcp_list_tools", "server_label": self.server_label, "tools": []}
        yield stage.added(item)
        yield stage.event("mcp_list_tools.in_progress", item)
        yield stage.event(f"mcp_list_tools.{'failed' if self.error else 'completed'}", item)
        # Where all is well there is no `error`, not even null: strict readers of other makers refuse that.
        yield stage.done({**item, "tools": list(self.tools), **({"error": self.error} if self.error else {})})


@dataclass(frozen=True)
class Request:
    """One mcp_approval_request."""

    server_label: str
    name: str
    arguments: str

    @property
    def written(self) -> str:
        return self.arguments

    def cut(self, characters: int) -> None:
        return None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item = {
            "id": new_id("mcpr_"),
            "type": "mcp_approval_request",
            "server_label": self.server_label,
            "name": self.name,
            "arguments": self.arguments,
        }
        yield stage.added(item)
        yield stage.done(item)


@dataclass(frozen=True)
class RemoteCall:
    """One mcp_call."""

    server_label: str
    name: str
    arguments: str
    approval_request_id: str | None
    output: str | None
    error: Json | None

    @property
    def written(self) -> str:
        return self.arguments

    def cut(self, characters: int) -> None:
        return None

    def tell(self, stage: Stage) -> Iterator[Json]:
        item: Json = {
            "id": new_id("mcp_"),
            "type": "mcp_call",
            "status": "in_progress",
            "server_label": self.server_label,
            "name": self.name,
            "arguments": "",
            "approval_request_id": self.approval_request_id,
            "output": None,
            "error": None,
        }
        yield stage.added(item)
        yield stage.event("mcp_call.in_progress", item)
        yield from stage.deltas("mcp_call_arguments.delta", item, self.arguments)
        yield stage.event("mcp_call_arguments.done", item, arguments=self.arguments)
        status = "failed" if self.error else "completed"
        yield stage.event(f"mcp_call.{status}", item)
        done = {"status": status, "arguments": self.arguments, "output": self.output, "error": self.error}
        yield stage.done({**item, **done})


# What to do


def listings(talk: Talk, host: str) -> list[Listing]:
    """The tools of each server that the conversation has not seen yet."""
    servers = [tool for tool in talk.tools if tool["type"] == "mcp" and tool["server_label"] not in talk.listed]
    return [_listing(tool, host) for tool in servers]


def _listing(tool: Json, host: str) -> Listing:
    if not _is_own(tool, host):
        return Listing(tool["server_label"], [], "The embedded engine has no network: this server cannot be reached.")
    return Listing(tool["server_label"], _tools(tool), None)


def _is_own(tool: Json, host: str) -> bool:
    address = urlsplit(str(tool.get("server_url") or ""))
    return bool(host) and address.netloc == host and address.path.rstrip("/").endswith(PATH)


def _tools(tool: Json) -> list[Json]:
    """Those that the request allows."""
    allowed = tool.get("allowed_tools")
    names = allowed.get("tool_names") if isinstance(allowed, dict) else allowed
    return [entry for entry in CATALOGUE if not isinstance(names, list) or entry["name"] in names]


def work(talk: Talk, tool: Json, host: str, *, is_forced: bool) -> list[Piece] | None:
    """Ask for approval, or call at once where none is needed; None when no tool is meant."""
    tools = _tools(tool) if _is_own(tool, host) else []
    chosen = meant(talk.question, tools)
    if not chosen and is_forced:
        name = talk.tool_choice.get("name") if isinstance(talk.tool_choice, dict) else None
        chosen = [entry for entry in tools if name in (None, entry["name"])]
    if not chosen:
        return None
    name = chosen[0]["name"]
    source = schemas.Source(talk.question, "", only_required=not any(char.isdigit() for char in talk.question))
    arguments = json.dumps(schemas.fill(chosen[0]["input_schema"], source))
    if _needs_approval(tool, name):
        return [Request(tool["server_label"], name, arguments)]
    call = _called(tool["server_label"], name, arguments, None)
    return [call, Speech(_told(call))]


def _needs_approval(tool: Json, name: str) -> bool:
    wanted = tool.get("require_approval")
    if isinstance(wanted, dict):
        free = wanted.get("never")
        names = free.get("tool_names") if isinstance(free, dict) else None
        return not (isinstance(names, list) and name in names)
    return wanted != "never"


def after_approval(approvals: Sequence[Approval], tools: Sequence[Json], host: str) -> list[Piece]:
    """Call what was approved, and say what came of it. What was refused is not called."""
    pieces: list[Piece] = []
    told = []
    own = {tool["server_label"] for tool in tools if tool["type"] == "mcp" and _is_own(tool, host)}
    for approval in approvals:
        request = approval.request
        if not approval.approved:
            told.append(f"`{request['name']}` was not called: it was not approved.")
            continue
        arguments = request.get("arguments")
        text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
        call = _called(
            request["server_label"], request["name"], text, request["id"], is_known=request["server_label"] in own
        )
        pieces.append(call)
        told.append(_told(call))
    return [*pieces, Speech("\n\n".join(told))]


def _called(label: str, name: str, arguments: str, approval: str | None, *, is_known: bool = True) -> RemoteCall:
    try:
        if not is_known:
            raise ToolFailed(f"The tools of the request name no server '{label}' that can be reached.")
        try:
            given = json.loads(arguments or "{}")
        except (ValueError, RecursionError) as error:
            raise ToolFailed("The arguments are no JSON.") from error
        return RemoteCall(label, name, arguments, approval, run(name, given), None)
    except ToolFailed as error:
        failure = {"type": "mcp_tool_execution_error", "content": [{"type": "text", "text": str(error)}]}
        return RemoteCall(label, name, arguments, approval, None, failure)


def _told(call: RemoteCall) -> str:
    if call.error is not None:
        return f"`{call.name}` failed: {call.error['content'][0]['text']}"
    return f"`{call.name}` returned: `{call.output}`"
