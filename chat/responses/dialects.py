"""What each kind of server can do. Code asks a capability and never the name of a dialect.

The values are what documentation, specifications and the servers' sources say; where they are silent, the safe
assumption stands. An operator who knows better overrides single capabilities per provider.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit, urlunsplit

MIB = 1024 * 1024
ADDRESSES_KEPT = 256

# What llama.cpp and Ollama take in `input`; everything else is answered with 400.
PLAIN_ITEMS = ("message", "function_call", "function_call_output", "reasoning")


@dataclass(frozen=True)
class Dialect:
    """A kind of server. The defaults are the safest set: stateless, text and functions, nothing kept there."""

    label: str

    # Address and credentials
    default_base_url: str = ""
    base_path: str = "v1"  # what a bare host lacks
    auth_header: str = "bearer"  # "bearer" | "api-key"
    needs_key: bool = False
    token_scope: str = ""  # of Microsoft Entra ID; "" where its tokens are not taken

    # State at the provider
    state: bool = False  # previous_response_id continues a conversation
    store: bool = False  # `store` is understood; what is stored can be chained and fetched
    retrieve: bool = False
    delete: bool = False
    input_items: bool = False
    background: bool = False
    resume: bool = False  # GET …?stream=true&starting_after=N of a background stream
    cancel: bool = False
    encrypted_reasoning: bool = False  # include: ["reasoning.encrypted_content"]
    compact: bool = False  # POST responses/compact
    count_tokens: bool = False  # POST responses/input_tokens

    # Files and images
    files_api: bool = False
    file_purpose: str = "user_data"  # "assistants" | "user_data"
    pdf_input: bool = False  # input_file in a message
    image_url: bool = False
    image_base64: bool = True
    image_file_id: bool = False
    image_types: tuple[str, ...] = ("image/png", "image/jpeg", "image/webp")
    max_inline_file_bytes: int = 0  # larger files are uploaded (or refused where nothing takes uploads)
    max_upload_bytes: int = 0

    # Tools
    tools: bool = True  # functions
    tool_choice_required: bool = False
    tool_choice_named: bool = True  # tool_choice may name a function
    mcp: bool = False
    code_interpreter: bool = False
    containers: bool = False  # what the code interpreter wrote can be fetched
    image_generation: bool = False
    image_generation_streams: bool = False
    image_deployment_header: str = ""  # names the deployment that makes the images
    web_search: bool = False
    file_search: bool = False
    json_schema: bool = False
    json_schema_parameter: str = "text"  # "text" | "response_format", as Chat Completions has it

    # Requests
    reasoning_effort: bool = True  # reasoning: {"effort"}
    reasoning_summary: bool = True  # reasoning: {"summary"}
    routing: bool = False  # `provider`: which upstream a gateway takes, and which next
    parameters: tuple[str, ...] = ()  # those it reads, besides model, input and stream; empty: all

    # The wire
    sequence_numbers: bool = False
    sends_done: bool = False
    marks_cut: bool = True  # an answer that reached its limit is `incomplete`, not `completed`
    event_names: bool = True  # frames carry an `event:` line; nobody should need it
    keeps_assistant_ids: bool = True  # assistant messages in the input carry `id` and `status`
    input_item_types: tuple[str, ...] = ()  # those it accepts; empty: all
    lists_models: bool = True  # GET models answers, and costs nothing: the connection test

    def with_overrides(self, overrides: Mapping[str, Any]) -> Dialect:
        """This dialect with an operator's corrections, such as {"state": False}. ValueError says what is wrong."""
        if not overrides:
            return self
        return replace(self, **{name: self._checked(name, value) for name, value in overrides.items()})

    def accepts_item(self, item_type: str) -> bool:
        return not self.input_item_types or item_type in self.input_item_types

    def _checked(self, name: str, value: Any) -> Any:
        if name not in OVERRIDABLE:
            raise ValueError(f"There is no capability “{name}”; the capabilities are {', '.join(OVERRIDABLE)}.")
        current = getattr(self, name)
        if isinstance(current, tuple):
            if not isinstance(value, list | tuple) or not all(isinstance(entry, str) for entry in value):
                raise ValueError(f"The capability “{name}” is a list of words.")
            return tuple(value)
        if type(value) is not type(current):
            raise ValueError(f"The capability “{name}” is {_KINDS[type(current)]}.")
        if isinstance(value, int) and value < 0:
            raise ValueError(f"The capability “{name}” is a whole number that is not negative.")
        if value not in _CHOICES.get(name, (value,)):
            raise ValueError(f"The capability “{name}” is one of {', '.join(_CHOICES[name])}.")
        return value


_KINDS: dict[type, str] = {bool: "true or false", int: "a whole number", str: "a word"}
_CHOICES: dict[str, tuple[str, ...]] = {
    "auth_header": ("bearer", "api-key"),
    "file_purpose": ("assistants", "user_data"),
    "json_schema_parameter": ("text", "response_format"),
}
OVERRIDABLE = tuple(field.name for field in fields(Dialect) if field.name not in {"label", "default_base_url"})

# How a table names the capabilities, in the order of the fields. `label` is the table's heading.
CAPABILITY_WORDS: dict[str, dict[str, str]] = {
    "Address and credentials": {
        "default_base_url": "default address",
        "base_path": "what a bare host lacks",
        "auth_header": "how the key is sent",
        "needs_key": "needs a key",
        "token_scope": "tokens of Entra ID, for",
    },
    "State at the provider": {
        "state": "continues a conversation by previous_response_id",
        "store": "keeps responses",
        "retrieve": "gives a response back by its id",
        "delete": "deletes a response",
        "input_items": "lists the input of a response",
        "background": "works in the background",
        "resume": "resumes a stream after a break",
        "cancel": "cancels",
        "encrypted_reasoning": "reasoning travels encrypted when nothing is kept",
        "compact": "compacts a conversation",
        "count_tokens": "counts input tokens beforehand",
    },
    "Files and images": {
        "files_api": "keeps files",
        "file_purpose": "purpose of uploaded files",
        "pdf_input": "reads PDFs",
        "image_url": "fetches images from the web",
        "image_base64": "takes images inside the request",
        "image_file_id": "takes images by file id",
        "image_types": "kinds of images",
        "max_inline_file_bytes": "largest file inside a request",
        "max_upload_bytes": "largest upload",
    },
    "Tools": {
        "tools": "calls functions",
        "tool_choice_required": "can be made to call one",
        "tool_choice_named": "can be made to call a certain one",
        "mcp": "remote tools (MCP)",
        "code_interpreter": "code interpreter",
        "containers": "files of the code interpreter can be fetched",
        "image_generation": "makes images",
        "image_generation_streams": "streams answers with made images",
        "image_deployment_header": "header for the deployment that makes images",
        "web_search": "web search",
        "file_search": "file search",
        "json_schema": "answers in a JSON schema",
        "json_schema_parameter": "where the schema stands",
    },
    "Requests": {
        "reasoning_effort": "reasoning effort",
        "reasoning_summary": "reasoning summaries",
        "routing": "routing between upstreams (provider)",
        "parameters": "parameters that it reads",
    },
    "Wire": {
        "sequence_numbers": "numbers its events",
        "sends_done": "ends streams with [DONE]",
        "marks_cut": "says when an answer was cut",
        "event_names": "names events in the frame",
        "keeps_assistant_ids": "assistant messages carry id and status",
        "input_item_types": "input items that it accepts",
        "lists_models": "lists its models",
    },
}


def in_words(value: Any) -> str:
    """A capability's value for a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value // MIB} MB" if value and value % MIB == 0 else f"{value:,}" if value else "–"
    if isinstance(value, tuple | list):
        return ", ".join(str(entry).removeprefix("image/") for entry in value) or "all"
    return str(value) or "–"


_OPENAI = Dialect(
    "OpenAI",
    default_base_url="https://api.openai.com/v1/",
    needs_key=True,
    state=True,
    store=True,
    retrieve=True,
    delete=True,
    input_items=True,
    background=True,
    resume=True,
    cancel=True,
    encrypted_reasoning=True,
    compact=True,
    count_tokens=True,
    files_api=True,
    pdf_input=True,
    image_url=True,
    image_file_id=True,
    image_types=("image/png", "image/jpeg", "image/webp", "image/gif"),
    # The limit is 50 MB for a whole request; base64 adds a third, and the history may hold more files.
    max_inline_file_bytes=8 * MIB,
    max_upload_bytes=50 * MIB,
    tool_choice_required=True,
    mcp=True,
    code_interpreter=True,
    containers=True,
    image_generation=True,
    image_generation_streams=True,
    web_search=True,
    file_search=True,
    json_schema=True,
    sequence_numbers=True,
)

DIALECTS: dict[str, Dialect] = {
    "azure": replace(
        _OPENAI,
        label="Azure OpenAI",
        default_base_url="",
        base_path="openai/v1",
        auth_header="api-key",
        token_scope="https://cognitiveservices.azure.com/.default",
        file_purpose="assistants",  # user_data is refused
        image_file_id=False,
        image_types=("image/png", "image/jpeg", "image/webp"),
        image_generation_streams=False,
        image_deployment_header="x-ms-oai-image-generation-deployment",
        web_search=False,
        compact=False,
        count_tokens=False,
    ),
    "openai": _OPENAI,
    "foundry": Dialect(
        "Microsoft Foundry",
        base_path="openai/v1",
        needs_key=True,
        token_scope="https://ai.azure.com/.default",
        state=True,
        store=True,
        retrieve=True,
        files_api=True,
        file_purpose="assistants",
        image_url=True,
        max_upload_bytes=50 * MIB,
    ),
    "ofox": Dialect(
        "Stateless gateway (OfoxAI and alike)",
        default_base_url="https://api.ofox.ai/v1/",
        needs_key=True,
        image_url=True,
        reasoning_summary=False,
        routing=True,
        marks_cut=False,
        sends_done=True,
        event_names=False,
    ),
    "ollama": Dialect(
        "Ollama",
        default_base_url="http://127.0.0.1:11434/v1/",
        json_schema=True,
        reasoning_summary=False,
        marks_cut=False,
        parameters=("instructions", "tools", "temperature", "top_p", "max_output_tokens", "reasoning", "text"),
        sequence_numbers=True,
        input_item_types=(*PLAIN_ITEMS, "web_search_call"),
    ),
    "vllm": Dialect(
        "vLLM",  # state only with VLLM_ENABLE_RESPONSES_API_STORE=1, and then in memory: an override
        default_base_url="http://127.0.0.1:8000/v1/",
        image_url=True,
        json_schema=True,
        sequence_numbers=True,
    ),
    "llamacpp": Dialect(
        "llama.cpp",  # as its server of 2026-10 answered, SmolLM2 in it
        default_base_url="http://127.0.0.1:8080/v1/",
        image_url=True,
        count_tokens=True,
        tool_choice_required=True,
        tool_choice_named=False,
        json_schema=True,
        json_schema_parameter="response_format",
        marks_cut=False,
        reasoning_effort=False,
        reasoning_summary=False,
        input_item_types=PLAIN_ITEMS,
    ),
    "lmstudio": Dialect("LM Studio", default_base_url="http://127.0.0.1:1234/v1/", state=True, store=True),
    "generic": Dialect("Another server (safest assumptions)"),
    "offline": replace(
        _OPENAI,
        label="Embedded engine",
        default_base_url="http://offline/v1/",
        needs_key=False,
        web_search=False,  # it has no network, and no index to search
        file_search=False,
    ),
}

# People paste what the documentation shows: the address of one operation instead of the base.
_DATED = re.compile(r"(?:^|&)api-version=\d{4}-")
_LEAVES = ("/responses", "/chat/completions", "/completions", "/models", "/files")


@lru_cache(ADDRESSES_KEPT)
def normalise_base_url(dialect: Dialect, url: str) -> str:
    """The base URL with a closing slash, from a base URL, a bare endpoint or the address of an operation.

    A query (`?api-version=preview`) stays and goes with each request. ValueError says what is wrong with the rest.
    """
    url = (url or dialect.default_base_url).strip()
    if not url:
        raise ValueError("The base URL is empty; give one such as https://NAME.openai.azure.com/.")
    try:
        parts = urlsplit(url if "://" in url else f"{_scheme_for(url)}://{url}")
        _ = parts.port  # raises for what is no number
    except ValueError as error:
        raise ValueError("The base URL is not an address; give one such as https://NAME.openai.azure.com/.") from error
    if parts.scheme not in {"http", "https"}:
        raise ValueError("The base URL begins with https:// (or http:// for a server in your own network).")
    if not parts.hostname or not all(0 < len(label) < 64 for label in parts.hostname.removesuffix(".").split(".")):
        raise ValueError("The base URL has no host name; give one such as https://NAME.openai.azure.com/.")
    if parts.username is not None or parts.password is not None:
        raise ValueError("The base URL holds credentials; put the key into its environment variable.")
    path = _base_path(dialect, parts.path, is_dated=bool(_DATED.search(parts.query)))
    query = parts.query
    if path.endswith("/openai/v1"):  # takes no dated version; one that was pasted is of an older API
        query = "&".join(pair for pair in query.split("&") if not _DATED.match(pair))
    return urlunsplit((parts.scheme, parts.netloc, f"{path}/", query, ""))


def _base_path(dialect: Dialect, path: str, *, is_dated: bool) -> str:
    path = path.rstrip("/")
    for leaf in _LEAVES:
        path = path.removesuffix(leaf).rstrip("/")
    if dialect.base_path == "openai/v1":
        head, openai, rest = path.partition("/openai")  # also /openai/deployments/NAME, the address of an older API
        if openai and not rest and is_dated:  # a Foundry project: …/openai/responses?api-version=2025-05-15-preview
            return path
        if path.endswith("/v1") and openai:
            return path
        return f"{head.removesuffix('/v1')}/openai/v1"  # some know only that it is “v1”
    return path or f"/{dialect.base_path}"


def _scheme_for(host: str) -> str:
    """http for this machine, https for all others."""
    name = urlsplit(f"//{host}").hostname or ""
    try:
        return "http" if ipaddress.ip_address(name).is_loopback else "https"
    except ValueError:
        return "http" if name == "localhost" else "https"
