"""When to ask again: what failed and may go better, and how long to wait before. Pure; the sender does the waiting.

See: section "Retries" of the OpenAI SDKs, whose policy the servers are made for: two more attempts, the server's own
words first, then growing pauses with jitter.
"""

from __future__ import annotations

import email.utils
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC

from .errors import QuotaExceeded, ResponsesError

MAX_RETRIES = 2
MAX_RETRY_AFTER_SECONDS = 120.0  # a person does not wait longer: give up and say so
MAX_BACKOFF_SECONDS = 8.0


@dataclass(frozen=True)
class Failed:
    """An attempt that failed, with what decides about another one.

    `hung_up`: the connection was closed before a reply began. llama.cpp does so after each stream, without a word, and
    the next request finds its end of the connection gone.
    """

    error: ResponsesError
    retry: bool
    hung_up: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)
    pause: float | None = None


def wait_before_retry(failed: Failed, attempt: int, most: int, jitter: float) -> float | None:
    """Seconds, or None for: do not. The server's own word on it counts more than ours, but not where money is out."""
    word = failed.headers.get("x-should-retry", "").strip().lower()
    may = failed.retry or (word == "true" and not isinstance(failed.error, QuotaExceeded))
    if attempt >= most or word == "false" or not may:
        return None
    if failed.hung_up and attempt == 0:
        return 0.0
    if failed.pause is not None:
        return failed.pause if failed.pause <= MAX_RETRY_AFTER_SECONDS else None
    return min(0.5 * (1 << attempt), MAX_BACKOFF_SECONDS) * (1 - 0.25 * jitter)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that the server asks for, of `retry-after-ms`, or `retry-after` as a number or a date."""
    milliseconds = _positive(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    if (seconds := _positive(value)) is not None:
        return seconds
    try:
        moment = email.utils.parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if moment.tzinfo is None:  # "-0000": no zone is known, and servers mean UTC
        moment = moment.replace(tzinfo=UTC)
    return max(moment.timestamp() - time.time(), 0.0)


def _positive(text: str | None) -> float | None:
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if 0 <= number < math.inf else None
