"""Reasoning items: what was read and weighed before the answer, counted, and told to those who ask for a summary.

The engine does not think. What stands here is what it did: which documents it opened and how it decided.
"""

from __future__ import annotations

from collections.abc import Sequence

from .documents import Document
from .pieces import Musing
from .seal import Seal
from .wires import Json


def muse(body: Json, thoughts: Sequence[str], seal: Seal) -> Musing | None:
    """The reasoning item that the request asks for; None when it asks for none."""
    wanted = body.get("reasoning") or {}
    effort, summary = wanted.get("effort"), wanted.get("summary")
    if effort == "none" or not (effort or summary):
        return None
    told = tuple(thoughts) if summary == "detailed" else tuple(thoughts[:1])
    sealed = (
        seal.close({"thoughts": thoughts}) if "reasoning.encrypted_content" in (body.get("include") or ()) else None
    )
    return Musing(told, bool(summary), sealed)


def thoughts(documents: Sequence[tuple[str, Document]], tool_names: Sequence[str]) -> list[str]:
    """What was looked at, and then how it was decided; Markdown, as reasoning summaries are."""
    if documents:
        read = "; ".join(
            f"{name}: {document.page_count} pages, {len(document.sentences)} sentences" for name, document in documents
        )
        looked = f"**Reading the documents**\n\n{read}. The sentences are weighed against each other and against the question."
    else:
        looked = "**Reading the question**\n\nNo document is attached, so the question itself decides the answer."
    tools = f"At hand: {', '.join(tool_names)}." if tool_names else "No tool is at hand."
    return [
        looked,
        f"**Choosing how to answer**\n\n{tools} The embedded engine follows fixed rules; no model is connected.",
    ]
