"""How the served dialects differ, and the errors that the wire knows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MODEL = "embedded-engine"

Json = dict[str, Any]


@dataclass(frozen=True)
class Wire:
    """What the engine does when it speaks as one dialect. The mirror image of `responses.dialects`."""

    name: str
    stateful: bool = True
    """Keeps responses and files; `previous_response_id`, retrieve, cancel, background."""
    lean: bool = False
    """Few event types and fields: data-only frames, no sequence numbers, no output in the final payload."""
    sends_done: bool = False
    image_file_ids: bool = True
    strict_assistants: bool = False
    """Refuses assistant messages without `id` and `status`."""
    refused_purposes: frozenset[str] = frozenset()
    file_prefix: str = "file-"


WIRES = {
    "openai": Wire("openai"),
    "azure": Wire("azure", image_file_ids=False, refused_purposes=frozenset({"user_data"}), file_prefix="assistant-"),
    "ofox": Wire("ofox", stateful=False, lean=True, sends_done=True, image_file_ids=False, strict_assistants=True),
}


class WireError(Exception):
    """A refusal that goes to the caller in the documented shape."""

    def __init__(self, status: int, message: str, *, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param

    def payload(self) -> Json:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        return {"error": {"message": self.message, "type": kind, "param": self.param, "code": self.code}}


def unauthorized(wire: Wire) -> WireError:
    if wire.name == "azure":
        text = "Access denied due to invalid subscription key or wrong API endpoint."
        return WireError(401, text, code="401")
    return WireError(401, "Incorrect API key provided.", code="invalid_api_key")


def unknown_model(wire: Wire, model: str) -> WireError:
    if wire.name == "azure":
        text = "The API deployment for this resource does not exist."
        return WireError(404, text, code="DeploymentNotFound")
    text = f"The model '{model}' does not exist or you do not have access to it."
    return WireError(404, text, code="model_not_found", param="model")


def unknown_previous(response_id: str) -> WireError:
    text = f"Previous response with id '{response_id}' not found."
    return WireError(400, text, code="previous_response_not_found", param="previous_response_id")


def unknown_response(response_id: str) -> WireError:
    return WireError(404, f"Response with id '{response_id}' not found.")


def unknown_file(file_id: str, *, status: int) -> WireError:
    """Inside a request an unknown file is a bad value (400); as an address it is missing (404)."""
    return WireError(status, f"No such File object: {file_id}", param="id")


def bad_value(param: str, message: str, code: str = "invalid_value") -> WireError:
    return WireError(400, message, code=code, param=param)
