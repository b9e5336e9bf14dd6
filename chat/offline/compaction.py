"""A long conversation made short: what the person said stays, what was answered is cut down and sealed.

The sealed item is taken back as input in place of what it stands for; `history` opens it.
"""

from __future__ import annotations

import base64
import time

from .answer import input_tokens
from .bench import Bench
from .intake import BLOB, Asked
from .narration import estimate_tokens, usage
from .store import Blob, new_id
from .wires import Json

KEPT_CHARACTERS = 1_000  # of each answer


def compacted(asked: Asked, bench: Bench) -> Json:
    """The reply to POST responses/compact."""
    questions = [item for item in asked.items if item["type"] == "message" and item["role"] != "assistant"]
    answers = [_text(item) for item in asked.items if item["type"] == "message" and item["role"] == "assistant"]
    text = "\n\n".join(_cut(answer) for answer in answers)
    content = [{"type": "output_text", "text": text, "annotations": [], "logprobs": []}]
    message = {"id": new_id("msg_"), "type": "message", "status": "completed", "role": "assistant", "content": content}
    sealed = {
        "id": new_id("cmp_"),
        "type": "compaction",
        "encrypted_content": bench.seal.close([message] if text else []),
    }
    return {
        "id": new_id("resp_"),
        "object": "response.compaction",
        "created_at": int(time.time()),
        "output": [*(_given_back(item) for item in questions), sealed],
        "usage": usage(input_tokens(asked), estimate_tokens(text)),
    }


def _text(item: Json) -> str:
    return "\n".join(part["text"] for part in item["content"] if isinstance(part.get("text"), str))


def _cut(text: str) -> str:
    return text if len(text) <= KEPT_CHARACTERS else text[:KEPT_CHARACTERS].rstrip() + " …"


def _given_back(item: Json) -> Json:
    """The message as it came, its files included: the caller sends it again."""
    return {**item, "content": [_part_given_back(part) for part in item["content"]]}


def _part_given_back(part: Json) -> Json:
    shown = {name: value for name, value in part.items() if name != BLOB and value is not None}
    blob = part.get(BLOB)
    if isinstance(blob, Blob) and not part.get("file_id") and blob.path.exists():
        encoded = base64.b64encode(blob.path.read_bytes()).decode()
        name = "image_url" if part["type"] == "input_image" else "file_data"
        shown[name] = f"data:{blob.media_type};base64,{encoded}"
    return shown
