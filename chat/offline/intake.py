"""A request body → what is asked, or the refusal that a real server would give.

Files that arrive inside the body leave it here: they go to disk, and the part keeps a `Blob` under BLOB.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from .history import all_items, settle
from .options import check_options
from .seal import Seal
from .store import Blob, Kept, Store, new_id
from .wires import Json, Wire, WireError, bad_value, unknown_file, unknown_model, unknown_previous

BLOB = "blob"
"""Key of a part under which its bytes are found. Never sent: see `public_item`."""

ROLES = ("user", "assistant", "system", "developer")
ITEM_PREFIXES = {
    "message": "msg_",
    "function_call": "fc_",
    "function_call_output": "fco_",
    "reasoning": "rs_",
    "mcp_list_tools": "mcpl_",
    "mcp_approval_request": "mcpr_",
    "mcp_approval_response": "mcpa_",
    "mcp_call": "mcp_",
    "code_interpreter_call": "ci_",
    "image_generation_call": "ig_",
    "web_search_call": "ws_",
    "file_search_call": "fs_",
    "computer_call": "cu_",
    "computer_call_output": "cuo_",
    "custom_tool_call": "ctc_",
    "custom_tool_call_output": "ctco_",
    "item_reference": "",
    "compaction": "cmp_",
}
PART_TYPES = ("input_text", "input_image", "input_file", "output_text", "refusal", "summary_text", "reasoning_text")
STATELESS_PARTS = ("input_text", "input_image", "input_file", "output_text")
IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif")
DATA_URL = re.compile(r"data:([\w.+/-]*)[^,]*;base64,", re.IGNORECASE)


@dataclass
class Asked:
    body: Json
    model: str
    new_items: list[Json]
    items: list[Json]
    """The whole conversation, replayed input and output included, oldest first."""
    previous: Kept | None
    stored: bool
    background: bool
    streamed: bool
    host: str = ""
    """Under which name and port the engine was asked."""


def parse(raw: bytes) -> Json:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise WireError(400, f"We could not parse the JSON body of your request. ({error})") from error
    if not isinstance(body, dict):
        raise WireError(400, "We could not parse the JSON body of your request. (expected a JSON object)")
    return body


def take_in(body: Json, wire: Wire, store: Store, seal: Seal, models: tuple[str, ...] | None) -> Asked:
    """Check a create request in the order in which a server would complain."""
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad_value("model", "Missing required parameter: 'model'.", "missing_required_parameter")
    if models is not None and model not in models:
        raise unknown_model(wire, model)
    check_options(body, wire)
    previous = _previous(body, wire, store)
    earlier = [item for link in previous.chain() for item in all_items(link)] if previous else []
    new_items, items = settle(_items(body, wire, store), earlier, wire, store, seal)
    return Asked(
        body=body,
        model=model,
        new_items=new_items,
        items=items,
        previous=previous,
        stored=wire.stateful and body.get("store") is not False,
        background=bool(body.get("background")),
        streamed=bool(body.get("stream")),
    )


def public_item(item: Json, *, with_images: bool = False) -> Json:
    """The item as the wire lists it: the data of files and images is left out, as OpenAI does."""
    shown = dict(item)
    for key in ("content", "output"):
        if isinstance(shown.get(key), list):
            shown[key] = [_public_part(part, with_images) for part in shown[key]]
    return shown


def _public_part(part: Json, with_images: bool) -> Json:
    shown = {key: value for key, value in part.items() if key != BLOB}
    blob = part.get(BLOB)
    if with_images and part.get("type") == "input_image" and isinstance(blob, Blob) and not part.get("file_id"):
        encoded = base64.b64encode(blob.path.read_bytes()).decode()
        shown["image_url"] = f"data:{blob.media_type};base64,{encoded}"
    return shown


def _previous(body: Json, wire: Wire, store: Store) -> Kept | None:
    response_id = body.get("previous_response_id")
    if response_id is None:
        return None
    if not wire.stateful:
        text = "Unsupported parameter: 'previous_response_id'. Send the whole conversation as input."
        raise bad_value("previous_response_id", text, "unsupported_parameter")
    kept = store.responses.get(response_id)
    if kept is None or kept.payload["status"] in ("queued", "in_progress"):
        raise unknown_previous(response_id)
    return kept


def _items(body: Json, wire: Wire, store: Store) -> list[Json]:
    given = body.get("input")
    if given is None:
        if body.get("previous_response_id") is None:
            raise bad_value("input", "Missing required parameter: 'input'.", "missing_required_parameter")
        return []
    if isinstance(given, str):
        given = [{"role": "user", "content": given}]
    if not isinstance(given, list):
        raise bad_value("input", "Invalid type for 'input': expected a string or an array.", "invalid_type")
    return [_item(item, f"input[{index}]", wire, store) for index, item in enumerate(given)]


def _item(item: Any, param: str, wire: Wire, store: Store) -> Json:
    if not isinstance(item, dict):
        raise bad_value(param, f"Invalid type for '{param}': expected an object.", "invalid_type")
    kind = item.get("type", "message")
    if kind not in ITEM_PREFIXES:
        supported = ", ".join(f"'{name}'" for name in ITEM_PREFIXES)
        raise bad_value(f"{param}.type", f"Invalid value: '{kind}'. Supported values are: {supported}.")
    known = {**item, "type": kind}
    match kind:
        case "message":
            known = _message(known, param, wire, store)
        case "function_call":
            for name in ("call_id", "name", "arguments"):
                _require_text(known, name, param)
        case "function_call_output":
            _require_text(known, "call_id", param)
            if isinstance(known.get("output"), list):
                known["output"] = _parts(known["output"], f"{param}.output", wire, store)
            elif not isinstance(known.get("output"), str):
                raise _missing(f"{param}.output")
        case "reasoning" if wire.pairs_reasoning and not isinstance(known.get("summary"), list):
            raise _missing(f"{param}.summary")
        case "mcp_approval_request":
            for name in ("name", "server_label"):
                _require_text(known, name, param)
        case "mcp_approval_response":
            _require_text(known, "approval_request_id", param)
            if not isinstance(known.get("approve"), bool):
                raise _missing(f"{param}.approve")
        case "item_reference" if not isinstance(item.get("id"), str):
            raise _missing(f"{param}.id")
    if not isinstance(known.get("id"), str):
        known["id"] = new_id(ITEM_PREFIXES[kind])
    return known


def _require_text(item: Json, name: str, param: str) -> None:
    if not isinstance(item.get(name), str):
        raise _missing(f"{param}.{name}")


def _missing(param: str) -> WireError:
    return bad_value(param, f"Missing required parameter: '{param}'.", "missing_required_parameter")


def _message(item: Json, param: str, wire: Wire, store: Store) -> Json:
    role = item.get("role")
    if role not in ROLES:
        supported = ", ".join(f"'{name}'" for name in ROLES)
        raise bad_value(f"{param}.role", f"Invalid value: '{role}'. Supported values are: {supported}.")
    if role == "assistant" and wire.strict_assistants and not (item.get("id") and item.get("status")):
        text = f"Missing required parameter: '{param}.id' and '{param}.status' of an assistant message."
        raise bad_value(f"{param}.id", text, "missing_required_parameter")
    content = item.get("content")
    if isinstance(content, str):
        text_type = "output_text" if role == "assistant" else "input_text"
        content = [{"type": text_type, "text": content}]
    if not isinstance(content, list):
        text = f"Invalid type for '{param}.content': expected a string or an array."
        raise bad_value(f"{param}.content", text, "invalid_type")
    item.setdefault("status", "completed")
    return {**item, "content": _parts(content, f"{param}.content", wire, store)}


def _parts(parts: Iterable[Any], param: str, wire: Wire, store: Store) -> list[Json]:
    return [_part(part, f"{param}[{index}]", wire, store) for index, part in enumerate(parts)]


def _part(part: Any, param: str, wire: Wire, store: Store) -> Json:
    if not isinstance(part, dict):
        raise bad_value(param, f"Invalid type for '{param}': expected an object.", "invalid_type")
    supported = STATELESS_PARTS if wire.strict_assistants else PART_TYPES
    if part.get("type") not in supported:
        names = ", ".join(f"'{name}'" for name in supported)
        raise bad_value(f"{param}.type", f"Invalid value: '{part.get('type')}'. Supported values are: {names}.")
    if part["type"] == "input_image":
        return _image(part, param, wire, store)
    if part["type"] == "input_file":
        return _file(part, param, wire, store)
    _require_text(part, "refusal" if part["type"] == "refusal" else "text", param)
    return dict(part)


def _image(part: Json, param: str, wire: Wire, store: Store) -> Json:
    known = {"type": "input_image", "detail": part.get("detail") or "auto", "file_id": None, "image_url": None}
    if part.get("file_id") is not None:
        if not wire.image_file_ids:
            text = f"Unsupported parameter: '{param}.file_id'. Send the image as 'image_url'."
            raise bad_value(f"{param}.file_id", text, "unsupported_parameter")
        return {**known, "file_id": part["file_id"], BLOB: _uploaded(part["file_id"], wire, store)}
    url = part.get("image_url")
    if not isinstance(url, str):
        text = f"Invalid type for '{param}.image_url': expected a string."
        raise bad_value(f"{param}.image_url", text, "invalid_type")
    if not url.startswith("data:"):
        return {**known, "image_url": url}
    data, media_type = _decode(url, f"{param}.image_url")
    if _image_type(data) is None:
        text = "You uploaded an unsupported image. Please make sure your image has one of these types: "
        raise bad_value(f"{param}.image_url", text + ", ".join(IMAGE_TYPES) + ".", "invalid_image_format")
    return {**known, BLOB: store.put(data, media_type)}


def _file(part: Json, param: str, wire: Wire, store: Store) -> Json:
    known = {"type": "input_file", "file_id": None, "filename": part.get("filename")}
    if part.get("file_id") is not None:
        if not wire.stateful:
            text = f"Unsupported parameter: '{param}.file_id'. Send the file as 'file_data'."
            raise bad_value(f"{param}.file_id", text, "unsupported_parameter")
        stored = store.file(str(part["file_id"]))
        filename = stored.filename if stored else None
        return {
            **known,
            "file_id": part["file_id"],
            "filename": filename,
            BLOB: _uploaded(part["file_id"], wire, store),
        }
    if part.get("file_url") is not None:
        text = f"Error while downloading '{param}.file_url': the embedded engine has no network."
        raise bad_value(f"{param}.file_url", text)
    if not isinstance(part.get("file_data"), str):
        text = f"Missing required parameter: '{param}.file_id' or '{param}.file_data'."
        raise bad_value(param, text, "missing_required_parameter")
    data, media_type = _decode(part["file_data"], f"{param}.file_data")
    name = str(part.get("filename") or "")
    if (media_type == "application/pdf" or name.lower().endswith(".pdf")) and b"%PDF-" not in data[:1024]:
        raise bad_value(f"{param}.file_data", f"The file '{name}' is not a valid PDF.", "invalid_file_data")
    return {**known, "filename": name or "file", BLOB: store.put(data, media_type)}


def _uploaded(file_id: Any, wire: Wire, store: Store) -> Blob:
    stored = store.file(str(file_id))
    if stored is None:
        raise unknown_file(str(file_id), status=400)
    return stored.blob


def _decode(value: str, param: str) -> tuple[bytes, str]:
    match = DATA_URL.match(value)
    if match is None:
        text = f"Invalid '{param}'. Expected a base64-encoded data URL such as 'data:application/pdf;base64,...'."
        raise bad_value(param, text)
    try:
        data = base64.b64decode(value[match.end() :], validate=True)
    except binascii.Error as error:
        raise bad_value(param, f"Invalid '{param}'. The base64 data cannot be decoded.", "invalid_base64") from error
    if not data:
        raise bad_value(param, f"Invalid '{param}'. The file is empty.", "empty_file")
    return data, match[1].lower()


def _image_type(data: bytes) -> str | None:
    signs: dict[str, Callable[[bytes], bool]] = {
        "image/png": lambda head: head.startswith(b"\x89PNG\r\n\x1a\n"),
        "image/jpeg": lambda head: head.startswith(b"\xff\xd8\xff"),
        "image/gif": lambda head: head.startswith((b"GIF87a", b"GIF89a")),
        "image/webp": lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    }
    return next((name for name, fits in signs.items() if fits(data[:16])), None)
