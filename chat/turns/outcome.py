"""How a response ended, as its row keeps it: a status, and of a failure what the person and the reviewer may read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from chat.files.errors import Refused as FileRefused
from chat.models import Status
from chat.responses.errors import ResponsesError
from chat.responses.filters import content_filters
from chat.turns.job import Job

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """How a response ended. `error` is what the row keeps: a code, the person's sentence, no upstream text."""

    status: Status
    error: dict[str, Any] | None = None
    request_id: str = ""


def outcome_of(job: Job) -> Outcome:
    """What the draft says, whose stream is over."""
    draft = job.draft
    if draft.status == "completed" and not job.dialect.marks_cut and _reached_limit(job):
        draft.status, draft.incomplete_reason = "incomplete", "max_output_tokens"
    match draft.status if draft.is_terminal else "interrupted":
        case "completed":
            return Outcome(Status.COMPLETED, request_id=job.request_id)
        case "incomplete":
            found = content_filters({"content_filters": draft.content_filters})
            details = {"content_filters": found} if found else {}
            error = _kept(draft.incomplete_reason, draft.notice(), details)
            return Outcome(Status.INCOMPLETE, error, job.request_id)
        case "cancelled":
            return Outcome(Status.CANCELLED, request_id=job.request_id)
        case "failed":
            failure = draft.failure()
            logger.warning("response %s: %s (request id %s)", job.response.pk, failure, job.request_id)
            error = _kept((draft.error or {}).get("code"), draft.notice(), failure.details if failure else {})
            return Outcome(Status.FAILED, error, job.request_id)
        case _:
            logger.warning("response %s: the stream ended early (request id %s)", job.response.pk, job.request_id)
            return Outcome(Status.INTERRUPTED, {"code": "stream_ended"}, job.request_id)


def failure_of(pk: int, error: ResponsesError | FileRefused) -> Outcome:
    """What stands in the row of a response that was refused or never reached anybody."""
    if isinstance(error, FileRefused):
        return Outcome(Status.FAILED, {"code": "file", "message": error.sentence})
    logger.warning("response %s: %s: %s", pk, type(error).__name__, error)
    kept = _kept(error.code, error.user_message, error.details)
    return Outcome(Status.FAILED, kept, request_id=error.request_id or "")


def _reached_limit(job: Job) -> bool:
    """Whether the answer used all the tokens that it might: local servers call it completed all the same.

    All that were allowed, or all that the model can read at once, the question among them.
    """
    usage = job.draft.usage or {}
    most = {"output_tokens": job.most_tokens, "total_tokens": job.deployment.context_window}
    return any(
        isinstance(used := usage.get(name), int) and isinstance(limit, int) and used >= limit
        for name, limit in most.items()
    )


def _kept(code: object, message: str | None, details: Mapping[str, Any]) -> dict[str, Any]:
    """What the row keeps of a failure: a code, the person's sentence, and known facts for whoever reviews it."""
    kept: dict[str, Any] = {"code": str(code or ""), "message": message or ""}
    return {**kept, "details": dict(details)} if details else kept
