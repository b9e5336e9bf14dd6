"""How the served dialects differ, and the errors that the wire knows.

What each of them sends and takes is documented, read in the server's source, or captured from the server itself
(llama.cpp: tests/offline/captured). Code asks a capability of the wire and never its name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

MODEL = "embedded-engine"

Json = dict[str, Any]


@dataclass(frozen=True)
class Wire:
    """What the engine does when it speaks as one dialect. The mirror image of `responses.dialects`.

    The defaults are OpenAI's own ways; each dialect names what it does otherwise.
    """

    name: str

    # What is kept
    stateful: bool = True
    """Keeps responses: `previous_response_id` continues one."""
    can_store: bool = False
    """Keeps nothing by itself, but does when its operator says so (`--store`)."""
    unkept_chain: Literal["unsupported", "unknown", "ignored"] = "unsupported"
    """`previous_response_id` where nothing is kept: 400, 404 as for an id that is not known, or passed over."""
    retrieves: bool = True
    deletes: bool = True
    lists_inputs: bool = True
    background: bool = True
    """Background mode with cancel and resume; needs `stateful`."""
    cancels_again: bool = True
    """A second cancel, or one that comes too late, returns the response; otherwise it is 400."""
    files: bool = True
    refused_purposes: frozenset[str] = frozenset()
    file_prefix: str = "file-"

    # What else it serves
    containers: bool = False
    """The containers of the code interpreter, and their files."""
    compacts: bool = False
    counts_tokens: bool = False
    image_deployment_header: bool = False
    """Its image tool needs the name of a deployment in a header, and does not stream."""

    # What is read
    reads: frozenset[str] = frozenset()
    """The parameters that it knows; others are passed over without a word. Empty: all."""
    hosted_tools: bool = True
    """Runs tools of its own; otherwise tools that are no functions are passed over."""
    item_types: frozenset[str] = frozenset()
    """The input items that it takes; others are 400. Empty: all."""
    unknown_item: str = ""
    """What it says to other items; `{kind}` is their type."""
    typed_assistants: bool = False
    """Takes an assistant message only with its `type`."""
    strict_assistants: bool = False
    """Refuses assistant messages without `id` and `status`."""
    pairs_reasoning: bool = False
    """Takes reasoning only together with what it led to, and sealed content only when it sealed it itself."""
    reasoning_needs_text: bool = False
    """Takes a reasoning item only with its text in `content`."""
    image_urls: bool = True
    """Takes images by http address, not only inline."""
    image_types: frozenset[str] = frozenset({"png", "jpeg", "jpg", "webp", "gif"})
    """Of images in data URLs."""
    image_refusal: str = (
        "You uploaded an unsupported image. Please make sure your image is below 20 MB in size and is of one of the "
        "following formats: ['png', 'jpeg', 'webp']."
    )
    """What it says to another image."""
    image_file_ids: bool = True
    file_refusal: str = ""
    """What it says to an `input_file`; empty: it takes them, or nobody knows."""
    least_output_tokens: int = 16

    # Who may ask, and what the model is called
    api_key_header: bool = False
    """Takes a key in `api-key`, and tokens of Microsoft Entra ID as Bearer."""
    own_model_name: bool = True
    """The response names the model behind the deployment; otherwise what was asked for."""
    request_id_header: str = "x-request-id"

    # The stream
    event_lines: bool = True
    sends_done: bool = False
    events: frozenset[str] = frozenset()
    """The events that it sends, without `response.`; empty: all."""
    event_fields_left_out: frozenset[str] = frozenset()
    bare_opening_part: bool = False
    """content_part.added tells type and text alone."""
    dones_at_the_end: bool = False
    """The done events of all items come together before the last event."""
    whole_arguments: bool = False
    """A function call's arguments come in one delta."""
    thinks_aloud: bool = False
    """Reasoning is told as text of its own (reasoning_text), as open models do, and not as a summary."""
    counts_parts_on: bool = False
    """content_index goes on from item to item."""
    timings: bool = False
    """The last event says how long it took."""

    # The response
    opening_fields: tuple[str, ...] = ()
    """Fields of the response in created and in_progress; empty: all."""
    final_fields: tuple[str, ...] = ()
    """Fields of the response in the last event; empty: all."""
    plain_fields: tuple[str, ...] = ()
    """Fields of the response in a plain reply; empty: all."""
    usage_details: frozenset[str] = frozenset({"input_tokens_details", "output_tokens_details"})
    new_usage_details: bool = False
    """The details count what was written to the cache, too."""
    reasoning_done_status: bool = True
    """A reasoning item of a stream has a status when it is done."""
    incomplete: Literal["event", "status", "hidden"] = "event"
    """A cut answer ends in response.incomplete, in response.completed with that status, or looks complete."""
    reasoning_is_sealed_openly: bool = False
    """encrypted_content of a reasoning item is its plain text."""
    content_filters: bool = False
    """Responses tell what the content filter found."""

    # Errors
    error_fields: tuple[str, ...] = ("message", "type", "param", "code")
    error_code: Literal["word", "number", "digits", "none"] = "word"
    """`code` is a name, the HTTP status as a number or as a text, or null."""
    error_types: Mapping[int, str] = field(default_factory=lambda: MappingProxyType({}))
    """What `type` says instead of invalid_request_error or server_error."""
    azure_errors: bool = False
    """Words and codes of Azure's gateway for a wrong key and a missing deployment."""
    fixed_404: str = ""
    """What it says at every address that it does not serve."""
    chain_refusal: str = "Unsupported parameter: 'previous_response_id'. Send the whole conversation as input."

    @property
    def lean(self) -> bool:
        """Responses show only some of their fields."""
        return bool(self.plain_fields)

    def storing(self) -> Wire:
        """This wire as its operator made it keep responses. ValueError when no setting can do that."""
        if not (self.stateful or self.can_store):
            raise ValueError(f"A server of the dialect {self.name} keeps no responses, whatever its settings.")
        return replace(self, stateful=True)


_AZURE = Wire(
    "azure",
    image_types=frozenset({"png", "jpeg", "jpg", "webp"}),
    image_file_ids=False,
    refused_purposes=frozenset({"user_data"}),
    file_prefix="assistant-",
    containers=True,
    image_deployment_header=True,
    pairs_reasoning=True,
    api_key_header=True,
    request_id_header="apim-request-id",
    content_filters=True,
    azure_errors=True,
)

# llama.cpp: `type` of an error by its status.
_LLAMA_ERROR_TYPES = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    500: "server_error",
    501: "not_supported_error",
    503: "unavailable_error",
}
_PLAIN_ITEMS = frozenset({"message", "function_call", "function_call_output", "reasoning"})
_LOCAL_PARAMETERS = frozenset(
    {
        "model",
        "input",
        "instructions",
        "stream",
        "tools",
        "temperature",
        "top_p",
        "max_output_tokens",
        "reasoning",
    }
)
_TEXT_EVENTS = frozenset(
    {
        "created",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_item.done",
        "completed",
        "failed",
        "function_call_arguments.delta",
    }
)

WIRES: Mapping[str, Wire] = MappingProxyType(
    {
        wire.name: wire
        for wire in (
            Wire(
                "openai",
                containers=True,
                compacts=True,
                counts_tokens=True,
                pairs_reasoning=True,
                new_usage_details=True,
            ),
            _AZURE,
            replace(_AZURE, name="foundry", lists_inputs=False, background=False, content_filters=False),
            Wire(
                "ofox",
                stateful=False,
                files=False,
                hosted_tools=False,
                file_refusal="Supported content types are: 'input_text', 'input_image', 'output_text'.",
                image_file_ids=False,
                strict_assistants=True,
                own_model_name=False,
                event_lines=False,
                sends_done=True,
                events=_TEXT_EVENTS | {"function_call_arguments.done"},
                event_fields_left_out=frozenset({"sequence_number", "item_id", "logprobs"}),
                opening_fields=("id", "object", "created_at", "model", "status"),
                final_fields=("id", "object", "created_at", "model", "status", "usage"),
                plain_fields=("id", "object", "created_at", "model", "status", "output", "usage"),
                usage_details=frozenset(),
                incomplete="hidden",
            ),
            Wire(
                "ollama",
                stateful=False,
                unkept_chain="ignored",
                files=False,
                reads=_LOCAL_PARAMETERS | {"text", "truncation"},
                hosted_tools=False,
                item_types=_PLAIN_ITEMS | {"web_search_call"},
                unknown_item='unknown input item type: "{kind}"',
                image_urls=False,
                image_types=frozenset({"png", "jpeg", "jpg", "webp"}),
                image_refusal="invalid image input",
                image_file_ids=False,
                file_refusal="file inputs are not currently supported",
                least_output_tokens=1,
                own_model_name=False,
                request_id_header="",
                events=_TEXT_EVENTS
                | {
                    "in_progress",
                    "output_text.done",
                    "content_part.done",
                    "reasoning_summary_text.delta",
                    "reasoning_summary_text.done",
                    "function_call_arguments.done",
                },
                event_fields_left_out=frozenset({"name"}),
                whole_arguments=True,
                incomplete="hidden",
                reasoning_is_sealed_openly=True,
                error_code="none",
                error_types=MappingProxyType({404: "not_found_error", 500: "api_error"}),
            ),
            Wire(
                "vllm",
                stateful=False,
                can_store=True,
                unkept_chain="unknown",
                deletes=False,
                lists_inputs=False,
                cancels_again=False,
                files=False,
                hosted_tools=False,
                image_file_ids=False,
                file_refusal="Unknown part type: input_file",
                least_output_tokens=1,
                own_model_name=False,
                thinks_aloud=True,
                counts_parts_on=True,
                incomplete="status",
                error_code="number",
                error_types=MappingProxyType({400: "BadRequestError", 404: "NotFoundError"}),
            ),
            Wire(
                "llamacpp",
                stateful=False,
                chain_refusal="llama.cpp does not support 'previous_response_id'.",
                files=False,
                reads=_LOCAL_PARAMETERS | {"tool_choice", "parallel_tool_calls", "previous_response_id"},
                hosted_tools=False,
                item_types=_PLAIN_ITEMS,
                unknown_item="Cannot determine type of 'item'",
                typed_assistants=True,
                reasoning_needs_text=True,
                image_file_ids=False,
                file_refusal="'input_file' is not supported by llamacpp at this moment",
                least_output_tokens=1,
                request_id_header="",
                events=_TEXT_EVENTS
                | {"in_progress", "output_text.done", "content_part.done", "reasoning_text.delta", "error"},
                event_fields_left_out=frozenset(
                    {"sequence_number", "output_index", "content_index", "summary_index", "logprobs"}
                ),
                bare_opening_part=True,
                dones_at_the_end=True,
                thinks_aloud=True,
                timings=True,
                opening_fields=("id", "object", "status"),
                final_fields=("id", "object", "created_at", "status", "model", "output", "usage"),
                plain_fields=("id", "object", "created_at", "completed_at", "status", "model", "output", "usage"),
                usage_details=frozenset({"input_tokens_details"}),
                reasoning_done_status=False,
                incomplete="hidden",
                error_fields=("code", "message", "type"),
                error_code="number",
                error_types=MappingProxyType(_LLAMA_ERROR_TYPES),
                fixed_404="File Not Found",
            ),
            Wire(
                "lmstudio",
                retrieves=False,
                deletes=False,
                lists_inputs=False,
                background=False,
                files=False,
                hosted_tools=False,
                image_file_ids=False,
                least_output_tokens=1,
                own_model_name=False,
                request_id_header="",
                thinks_aloud=True,
            ),
            Wire(
                "litellm",
                stateful=False,
                can_store=True,
                unkept_chain="ignored",
                background=False,
                own_model_name=False,
                request_id_header="x-litellm-call-id",
                event_lines=False,
                sends_done=True,
                event_fields_left_out=frozenset({"sequence_number"}),
                error_code="digits",
            ),
        )
    }
)


class WireError(Exception):
    """A refusal that goes to the caller in the documented shape."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.details = dict(details or {})

    def payload(self, wire: Wire) -> Json:
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        codes = {"word": self.code, "number": self.status, "digits": str(self.status), "none": None}
        values = {
            "message": self.message,
            "type": wire.error_types.get(self.status, kind),
            "param": self.param,
            "code": codes[wire.error_code],
        }
        return {"error": {**{name: values[name] for name in wire.error_fields}, **self.details}}


def unauthorized(wire: Wire) -> WireError:
    if wire.azure_errors:
        text = "Access denied due to invalid subscription key or wrong API endpoint."
        return WireError(401, text, code="401")
    return WireError(401, "Incorrect API key provided.", code="invalid_api_key")


def expired_token(wire: Wire) -> WireError:
    if wire.azure_errors:
        text = "Access token is missing, invalid, audience is incorrect, or have expired."
        return WireError(401, text, code="Unauthorized")
    return WireError(401, "The token has expired.", code="token_expired")


def unknown_model(wire: Wire, model: str) -> WireError:
    if wire.azure_errors:
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


def unknown_address(wire: Wire, method: str, path: str) -> WireError:
    return WireError(404, wire.fixed_404 or f"Invalid URL ({method} {path})")
