"""What a server's error means: from any of the forms in which servers refuse to the one error that says it.

The forms are those that the servers were seen to send: OpenAI and Azure, gateways that wrap what they got, llama.cpp,
Ollama, vLLM and LM Studio. Codes are trusted before words, and words before the status.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .errors import (
    ContentFiltered,
    ContextOverflow,
    DeploymentMissing,
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    QuotaExceeded,
    RateLimited,
    Refused,
    ServerFault,
    SignInRefused,
    TooLarge,
    Unauthorized,
    one_line,
    request_id_of,
)
from .filters import content_filter_sentence, content_filters


def error_from_reply(
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    retry_after: float | None = None,
    by_token: bool = False,
    scrub: Callable[[str], str] = str,
) -> Refused:
    """The error that a non-2xx reply stands for, whatever form its body has."""
    return error_from_object(
        _error_object(body),
        status=status,
        request_id=request_id_of(headers),
        retry_after=retry_after,
        by_token=by_token,
        scrub=scrub,
    )


def error_from_object(
    error: Any,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
    by_token: bool = False,
    scrub: Callable[[str], str] = str,
) -> Refused:
    """The error that the wire's `error` value stands for: of a body, an `error` event or a failed response.

    `by_token`: the request carried a token that expires, not a key. `scrub` takes out of texts what no log may hold.
    """
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": error}
    message = one_line(fields.get("message") or fields.get("detail"), scrub)
    code = _code(fields, scrub)
    status = status if status is not None else _status_in(code)
    kind = _classify(fields, status, code, message)
    if kind is Unauthorized and by_token:
        kind = SignInRefused
    known: dict[str, Any] = {
        "code": code,
        "status": status,
        "request_id": scrub(request_id) if request_id else None,
        "details": _details(fields, kind, scrub),
        "user_message": _special_sentence(kind, fields, status, code, message),
    }
    if kind is not RateLimited:
        return kind(message, **known)
    seconds = retry_after if retry_after is not None else _seconds_in(message)
    return RateLimited(message, retry_after=seconds, retryable=not _TOO_MUCH_AT_ONCE.search(message), **known)


# Classification. The order matters: a specific code beats words, words beat a code that says nothing, and any of them
# beats the status that they came with.

_CONTEXT = re.compile(
    r"context[ _](length|window|size|limit)|maximum context|prompt is too long|input is too long|too large to process"
    r"|exceeds? the model'?s context|max(imum)?[ _]model[ _]len|exceeds? n_ctx|when (the )?context (the )?overflows",
    re.I,
)
_NO_MODEL = re.compile(
    r"\b(model|deployment)\b.*(not found|does not exist|not exist|unknown)|invalid model|no models? loaded", re.I
)
_NO_PREVIOUS = re.compile(r"previous response .*not found|previous_response_id", re.I)
# llama-stack says these inside a stream that began well, without a code. As a reply of 404 the first one is about an
# address, not about the chain.
_NO_RESPONSE = re.compile(r"\bresponse with id \S+ (was )?not found", re.I)
_NO_SUCH_MODEL = re.compile(r"\bmodel ['\"`][^'\"`]+['\"`] (was )?(not found|does not exist)", re.I)
_NO_QUOTA = re.compile(
    r"exceeded your current quota|out of call volume quota|insufficient (quota|balance|credit|funds)"
    r"|credit balance is too low",
    re.I,
)
_NO_IMAGES = re.compile(
    r"image inputs? (is|are) not supported|(does|do) not support (images?|vision|image input)|not a multimodal model"
    r"|at most 0 image",
    re.I,
)
# "File Not Found" is what llama.cpp says of an address.
_GONE = re.compile(
    r"^(?!file not found$).*\b(response|file|container|item)\b.*(not found|does not exist|expired)|no such file", re.I
)
_FLAGGED = re.compile(r"flagged|usage polic|content polic|safety system", re.I)
_NOT_OFFERED = re.compile(r"not_?supported|operation_?unsupported", re.I)
_TOO_MUCH_AT_ONCE = re.compile(r"request too large", re.I)  # more than a whole minute's tokens: waiting does not help
_CODES: dict[str, type[Refused]] = {
    "content_filter": ContentFiltered,
    "responsibleaipolicyviolation": ContentFiltered,
    "content_policy_violation": ContentFiltered,
    "image_content_policy_violation": ContentFiltered,
    "moderation_blocked": ContentFiltered,
    "previous_response_not_found": PreviousResponseNotFound,
    "context_length_exceeded": ContextOverflow,
    "context_exceeded": ContextOverflow,
    "exceed_context_size_error": ContextOverflow,
    "string_above_max_length": ContextOverflow,
    "tokens_limit_reached": ContextOverflow,
    "insufficient_quota": QuotaExceeded,
    "billing_hard_limit_reached": QuotaExceeded,
    "billing_not_active": QuotaExceeded,
    "quota_exceeded": QuotaExceeded,
    "deploymentnotfound": DeploymentMissing,
    "model_not_found": DeploymentMissing,
    "unknown_model": DeploymentMissing,
    "invalid_api_key": Unauthorized,
    "authentication_error": Unauthorized,
    "permission_error": Unauthorized,
    "permissiondenied": Unauthorized,
    "not_supported_error": InvalidRequest,
    "operationnotsupported": InvalidRequest,
}
_VAGUE_CODES: dict[str, type[Refused]] = {
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "ratelimitreached": RateLimited,
    "too_many_requests": RateLimited,
    "server_error": ServerFault,
    "internal_error": ServerFault,
}


def _classify(fields: Mapping[str, Any], status: int | None, code: str | None, message: str) -> type[Refused]:
    names = list(_names(fields, code))
    for name in names:
        if name in _CODES:
            return _CODES[name]
    if (kind := _classify_words(fields, status, names, message)) is not None:
        return kind
    for name in names:
        if name in _VAGUE_CODES:
            return _VAGUE_CODES[name]
    return _classify_status(fields, status)


def _classify_words(
    fields: Mapping[str, Any], status: int | None, names: list[str], message: str
) -> type[Refused] | None:
    """What only the message tells. Local servers say much of it with a status of 500, or with none inside a stream."""
    if status in (402, 403, 429, None) and _NO_QUOTA.search(message):
        return QuotaExceeded
    if status in (401, 403, 429):
        return None
    if status in (None, 400, 404, 422) and (
        fields.get("param") == "previous_response_id" or _NO_PREVIOUS.search(message)
    ):
        return PreviousResponseNotFound
    if status in (None, 400) and _NO_RESPONSE.search(message):
        return PreviousResponseNotFound
    if _CONTEXT.search(message):
        return ContextOverflow
    if _NO_IMAGES.search(message):
        return InvalidRequest
    if "invalid_prompt" in names and _FLAGGED.search(message):
        return ContentFiltered
    if status in (400, 404, 422) and _NO_MODEL.search(message):
        return DeploymentMissing
    if status is None and _NO_SUCH_MODEL.search(message):
        return DeploymentMissing
    return None


def _classify_status(fields: Mapping[str, Any], status: int | None) -> type[Refused]:
    match status:
        case None:
            return InvalidRequest if "invalid" in str(fields.get("type")) + str(fields.get("code")) else ServerFault
        case 401 | 403:
            return Unauthorized
        case 402:
            return QuotaExceeded
        case 413:
            return TooLarge
        case 429:
            return RateLimited
        case 404 | 405:
            return NotFound
        case 408 | 409:
            return ServerFault
    if status >= 500:
        return ServerFault
    return InvalidRequest if status >= 400 else NotFound  # a redirect: the base URL is not where the API lives


def _names(fields: Mapping[str, Any], code: str | None) -> Iterator[str]:
    inner = fields.get("innererror")
    inner_code = inner.get("code") if isinstance(inner, Mapping) else None
    for name in (code, inner_code, fields.get("type")):
        if isinstance(name, str):
            yield name.lower()


# What else is known of it, in words and as values.


def _special_sentence(
    kind: type[Refused], fields: Mapping[str, Any], status: int | None, code: str | None, message: str
) -> str | None:
    """A sentence that says more than the one of its kind."""
    if kind is ContentFiltered:
        return content_filter_sentence(fields)
    if kind is ContextOverflow:
        return _overflow_sentence(fields, message)
    if issubclass(kind, Unauthorized) and (status == 403 or str(code).lower() == "permissiondenied"):
        return (
            "The provider does not let this site use this model from here; please tell the person who runs this site."
        )
    if kind is RateLimited and _TOO_MUCH_AT_ONCE.search(message):
        return (
            "This question with its conversation is more than the provider takes from this site in a minute; "
            "start a new conversation, or send less of it."
        )
    if kind is NotFound and _GONE.search(message):
        return "The provider no longer has a file or an answer that this question builds on; please send the question again."
    if kind is ServerFault and status == 503 and "loading model" in message.lower():
        return "The model is still being loaded; please try again in a moment."
    if kind is InvalidRequest:
        return _sentence_of_invalid(fields, code, message)
    return None


def _sentence_of_invalid(fields: Mapping[str, Any], code: str | None, message: str) -> str | None:
    if _NO_IMAGES.search(message):
        return "This model cannot look at images; choose another model, or send the question without them."
    if code and "image" in code:
        return "The provider could not read one of the images; please send it as PNG, JPEG or WEBP, or smaller."
    if any(_NOT_OFFERED.search(name) for name in _names(fields, code)):
        return "The provider does not offer this with this model; choose another model, or ask in another way."
    return None


_LIMIT = re.compile(r"(?:maximum context length is|context length (?:is|of) only|context size \()\s*(\d{1,9})", re.I)
_TOKENS = re.compile(
    r"(?:requested(?: about)?|resulted in|request \(|passed|keep the first)\s+?(\d{1,9})|\((\d{1,9}) tokens", re.I
)


def _overflow_sentence(fields: Mapping[str, Any], message: str) -> str | None:
    tokens, limit = _overflow(fields, message)
    if tokens is None or limit is None:
        return None
    return (
        "This conversation with its files is longer than the model can read at once "
        f"({tokens:,} of {limit:,} tokens); start a new conversation, or send less of it."
    )


def _overflow(fields: Mapping[str, Any], message: str) -> tuple[int | None, int | None]:
    """How many tokens were sent, and how many fit: llama.cpp's fields, or numbers in the words of others."""
    tokens, limit = _count(fields.get("n_prompt_tokens")), _count(fields.get("n_ctx"))
    if tokens is None and (found := _TOKENS.search(message)):
        tokens = int(found[1] or found[2])
    if limit is None and (found := _LIMIT.search(message)):
        limit = int(found[1])
    return tokens, limit


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**9 else None


def _details(fields: Mapping[str, Any], kind: type[Refused], scrub: Callable[[str], str]) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: one_line(value, scrub)[:100]
        for name in ("type", "param")
        if isinstance(value := fields.get(name), str) and value
    }
    if kind is ContentFiltered and (filters := content_filters(fields)):
        found["content_filters"] = filters
    if kind is ContextOverflow:
        names = ("n_prompt_tokens", "n_ctx")
        counts = _overflow(fields, one_line(fields.get("message")))
        found |= {name: count for name, count in zip(names, counts, strict=True) if count is not None}
    return found


# Reading bodies that follow no single form.


def _error_object(body: bytes, depth: int = 0) -> Any:
    """The error inside a body: nested, flat (vLLM, API gateways), a plain string, or the text itself.

    Some gateways put what they got into `detail` or `message`, as an object or as its JSON once more.
    """
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"message": text or "empty body"}
    if isinstance(value, list) and value:
        value = value[0]
    if not isinstance(value, dict):
        return {"message": text}
    error = value.get("error") or value.get("detail") or value
    inner = error.get("message") if isinstance(error, dict) else error
    if isinstance(inner, str) and inner.lstrip()[:1] == "{" and depth < 2:
        found = _error_object(inner.encode("utf-8", "replace"), depth + 1)
        return found if found != {"message": inner.strip()} else error
    return error if isinstance(error, dict | str) else value


def _code(fields: Mapping[str, Any], scrub: Callable[[str], str]) -> str | None:
    for name in ("code", "type"):
        value = fields.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
            return one_line(value, scrub)[:100]
    return None


def _status_in(code: str | None) -> int | None:
    return int(code) if code and re.fullmatch(r"[345]\d\d", code) else None


_PAUSE = re.compile(r"(?:retry|try again) (?:after|in) ((?:\d[\d.]{0,16} ?[a-z]{1,12}[ ,]{0,2}){1,4})", re.I)
_AMOUNT = re.compile(r"(\d{1,7}(?:\.\d{1,9})?) ?(milliseconds?|ms|hours?|h|minutes?|min|m|seconds?|s)(?![a-z])", re.I)


def _seconds_in(message: str) -> float | None:
    """The pause, told in words where no header says it: "after 86400 seconds", "in 250ms", "in 1m30s"."""
    pause = _PAUSE.search(message)
    amounts = _AMOUNT.findall(pause[1]) if pause else []
    return sum(float(number) * _seconds_a(unit.lower()) for number, unit in amounts) if amounts else None


def _seconds_a(unit: str) -> float:
    if unit.startswith(("ms", "milli")):
        return 0.001
    return {"h": 3600.0, "m": 60.0, "s": 1.0}[unit[0]]
