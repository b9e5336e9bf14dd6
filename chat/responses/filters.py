"""What a content filter found, read off either of the forms that Azure writes, and told in words.

New: `content_filters`, a list that an error and a response may have, with the question's findings and the answer's.
Old: `content_filter_result` in an error or in its `innererror`, about the question alone.
See: Azure OpenAI, content filtering; the old form is what dated API versions sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_ENTRIES = 10
MAX_CATEGORIES = 30
_CATEGORIES = {
    "self_harm": "self-harm",
    "jailbreak": "an attempt to get around the rules",
    "indirect_attack": "instructions hidden in a document",
    "protected_material_text": "protected text",
    "protected_material_code": "protected code",
    "custom_blocklists": "a list of blocked words",
}
_SEVERITIES = {"safe", "low", "medium", "high"}


def content_filters(fields: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The findings in the newer form, whichever came: known kinds of values only, and not without end."""
    found = [
        {"source_type": source, "blocked": blocked, "content_filter_results": dict(_verdicts(results))}
        for source, blocked, results in _entries(fields)
    ]
    return found[:MAX_ENTRIES]


def content_filter_sentence(fields: Mapping[str, Any]) -> str:
    """One sentence for the person from whatever details came: of an error, or of a response's `content_filters`."""
    what = "question"
    words: dict[str, None] = {}
    for entry in content_filters(fields):
        found = _findings(entry["content_filter_results"]) if entry["blocked"] else []
        if found and entry["source_type"] == "completion":
            what = "answer"
        words.update(dict.fromkeys(found))
    details = f" ({'; '.join(words)})" if words else ""
    return f"The provider's content filter blocked this {what}{details}."


def _entries(fields: Mapping[str, Any]) -> Iterator[tuple[str, bool, Mapping[str, Any]]]:
    filters = fields.get("content_filters")
    for entry in filters if isinstance(filters, list) else []:
        if isinstance(entry, Mapping) and isinstance(results := entry.get("content_filter_results"), Mapping):
            source = "completion" if entry.get("source_type") == "completion" else "prompt"
            yield source, entry.get("blocked") is not False, results
    inner = fields.get("innererror")
    for holder in (fields, inner if isinstance(inner, Mapping) else {}):
        for name in ("content_filter_result", "content_filter_results"):
            if isinstance(results := holder.get(name), Mapping):
                yield "prompt", True, results


def _verdicts(results: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, verdict in list(results.items())[:MAX_CATEGORIES]:
        name = name.replace("-", "_")
        if isinstance(verdict, list):  # the lists of blocked words, one entry each
            verdict = {"filtered": any(isinstance(one, Mapping) and one.get("filtered") is True for one in verdict)}
        if not isinstance(verdict, Mapping) or not re.fullmatch(r"[a-z_]{1,40}", name):
            continue
        kept: dict[str, Any] = {
            key: verdict[key] for key in ("filtered", "detected") if isinstance(verdict.get(key), bool)
        }
        if isinstance(severity := verdict.get("severity"), str) and severity in _SEVERITIES:
            kept["severity"] = severity
        yield name, kept


def _findings(verdicts: Mapping[str, Mapping[str, Any]]) -> list[str]:
    blocking = [name for name, verdict in verdicts.items() if verdict.get("filtered") is True]
    blocking = blocking or [name for name, verdict in verdicts.items() if verdict.get("detected") is True]
    return [_finding(name, verdicts[name]) for name in blocking]


def _finding(name: str, verdict: Mapping[str, Any]) -> str:
    words = _CATEGORIES.get(name, name.replace("_", " "))
    severity = verdict.get("severity", "safe")
    return words if severity == "safe" else f"{words}, {severity}"
