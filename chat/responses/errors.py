"""What can go wrong between us and a provider, told twice: one sentence for the person, the details for the log.

ResponsesError
├─ Unreachable                 no answer came
│  ├─ TimedOut                 … within the time that we wait
│  └─ ConnectionLost           … to its end
├─ Refused                     the provider answered with an error
│  ├─ Unauthorized             401, 403: key, role, network
│  ├─ DeploymentMissing        the model or deployment does not exist
│  ├─ NotFound                 another 404: a response, a file, or a wrong address
│  ├─ PreviousResponseNotFound the chain is broken: send the whole history
│  ├─ ContextOverflow          more input than the model can read
│  ├─ ContentFiltered          blocked by a policy
│  ├─ RateLimited              slow down; says for how long where the provider does
│  ├─ QuotaExceeded            nothing left to spend
│  ├─ TooLarge                 the request is larger than the server takes
│  ├─ InvalidRequest           another 4xx
│  └─ ServerFault              5xx and faults in the middle of a stream
├─ Unsupported                 not asked: this kind of server cannot do it
└─ BadStream                   what came is not the protocol

`user_message` never holds upstream text; `str(error)` does, with status, code and request id, and never a key.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

MAX_UPSTREAM_TEXT = 2_000  # of an error message in the log; some proxies answer with whole pages


class ResponsesError(Exception):
    """Something went wrong at or on the way to the provider."""

    sentence = "Something went wrong between this site and the provider; please try again."
    retryable = False

    def __init__(
        self,
        message: str = "",
        *,
        user_message: str | None = None,
        retryable: bool | None = None,
        code: str | None = None,
        request_id: str | None = None,
        status: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.user_message = user_message or self.sentence
        if retryable is not None:
            self.retryable = retryable
        self.code = code
        self.request_id = request_id
        self.status = status

    def __str__(self) -> str:
        head = " ".join(str(part) for part in (self.status, self.code) if part is not None)
        text = ": ".join(part for part in (head, self.message) if part) or type(self).__name__
        return f"{text} (request id {self.request_id})" if self.request_id else text


class Unreachable(ResponsesError):
    """No answer came: unknown name, refused connection, failed TLS."""

    sentence = "The provider cannot be reached at the moment; try again, and if it stays so, tell the person who runs this site."
    retryable = True


class TimedOut(Unreachable):
    """The provider was silent for longer than we wait."""

    sentence = "The provider did not answer in time; please try again."


class ConnectionLost(Unreachable):
    """The connection broke after the answer had begun."""

    sentence = "The connection to the provider broke before the answer was complete; please try again."


class Refused(ResponsesError):
    """The provider answered, with an error."""

    sentence = "The provider did not accept this question; please try again."


class Unauthorized(Refused):
    """401 or 403: the key, its rights, or the network that it may be used from."""

    sentence = "The provider refused this site's key; please tell the person who runs this site."


class DeploymentMissing(Refused):
    """The model or, on Azure, the deployment does not exist there."""

    sentence = "The provider does not know this model; choose another one, or tell the person who runs this site to check its name."


class NotFound(Refused):
    """A response or a file is gone, or the base URL is wrong."""

    sentence = (
        "The provider has nothing at this address; please tell the person who runs this site to check the base URL."
    )


class PreviousResponseNotFound(Refused):
    """`previous_response_id` is unknown or unsupported there. Send the whole history instead, once."""

    sentence = "The provider no longer has the earlier part of this conversation; please send the question again."


class ContextOverflow(Refused):
    """The input is longer than the model's context window."""

    sentence = (
        "This conversation with its files is longer than the model can read at once; "
        "start a new conversation, or send less of it."
    )


class ContentFiltered(Refused):
    """A policy of the provider blocked the question or the answer."""

    sentence = "The provider's content filter blocked this question; please say it in another way."


class RateLimited(Refused):
    """Too many requests or tokens a minute. `retry_after` is in seconds, or None when the provider does not say."""

    sentence = "The provider asks for a pause; please try again in a moment."
    retryable = True

    def __init__(self, message: str = "", *, retry_after: float | None = None, **details: Any) -> None:
        super().__init__(message, **details)
        self.retry_after = retry_after
        if retry_after is not None and details.get("user_message") is None:
            self.user_message = f"The provider asks for a pause; please try again in {_duration(retry_after)}."


class QuotaExceeded(Refused):
    """The account has nothing left to spend: waiting does not help."""

    sentence = "This site's quota at the provider is used up; please tell the person who runs this site."


class TooLarge(Refused):
    """413: the request body is larger than the server takes."""

    sentence = "The question with its files is larger than the provider takes; please send fewer or smaller files."


class InvalidRequest(Refused):
    """Another 4xx: an unsupported parameter, value or file."""

    sentence = (
        "The provider could not use this request; "
        "if it happens again, tell the person who runs this site to look in the log."
    )


class ServerFault(Refused):
    """The provider's own fault."""

    sentence = "The provider had a fault of its own; please try again in a moment."
    retryable = True


class Unsupported(ResponsesError):
    """A request that this kind of server cannot serve, found before anything was sent. Carries its own sentence."""

    sentence = "This model's provider cannot do what this question needs; choose another model."


class BadStream(ResponsesError):
    """What the server sent is not the Responses protocol, or exceeds every sane size."""

    sentence = (
        "The provider's answer could not be understood; "
        "try again, and if it stays so, tell the person who runs this site to check the address."
    )
    retryable = True


def error_from_reply(
    status: int, headers: Mapping[str, str], body: bytes, *, retry_after: float | None = None
) -> Refused:
    """The error that a non-2xx reply stands for, whatever form its body has."""
    return error_from_object(
        _error_object(body), status=status, request_id=request_id_of(headers), retry_after=retry_after
    )


def error_from_object(
    error: Any,
    *,
    status: int | None = None,
    request_id: str | None = None,
    retry_after: float | None = None,
) -> Refused:
    """The error that the wire's `error` value stands for: of a body, an `error` event or a failed response."""
    fields: Mapping[str, Any] = error if isinstance(error, Mapping) else {"message": error}
    message = _one_line(fields.get("message") or fields.get("detail"))
    code = _code(fields)
    status = status if status is not None else _status_in(code)
    kind = _classify(fields, status, code, message)
    details: dict[str, Any] = {"code": code, "status": status, "request_id": request_id}
    if kind is RateLimited:
        seconds = retry_after if retry_after is not None else _seconds_in(message)
        return RateLimited(message, retry_after=seconds, **details)
    if kind is ContentFiltered:
        return ContentFiltered(message, user_message=content_filter_sentence(fields), **details)
    return kind(message, user_message=_special_sentence(kind, status, code), **details)


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id by which the provider's support finds this request: OpenAI's header, or Azure's."""
    return headers.get("x-request-id") or headers.get("apim-request-id") or None


# Classification. The order matters: a specific code beats the status that it came with.

_CONTEXT = re.compile(
    r"context (length|window|size)|maximum context|prompt is too long|input is too long|exceeds? the model'?s context",
    re.I,
)
_NO_MODEL = re.compile(r"\b(model|deployment)\b.*(not found|does not exist|not exist|unknown)|invalid model", re.I)
_NO_PREVIOUS = re.compile(r"previous response .*not found|previous_response_id", re.I)
_CODES: dict[str, type[Refused]] = {
    "content_filter": ContentFiltered,
    "responsibleaipolicyviolation": ContentFiltered,
    "previous_response_not_found": PreviousResponseNotFound,
    "context_length_exceeded": ContextOverflow,
    "exceed_context_size_error": ContextOverflow,
    "insufficient_quota": QuotaExceeded,
    "billing_hard_limit_reached": QuotaExceeded,
    "deploymentnotfound": DeploymentMissing,
    "model_not_found": DeploymentMissing,
    "unknown_model": DeploymentMissing,
    "invalid_api_key": Unauthorized,
    "authentication_error": Unauthorized,
    "permission_error": Unauthorized,
    "permissiondenied": Unauthorized,
    "rate_limit_exceeded": RateLimited,
    "rate_limit_error": RateLimited,
    "ratelimitreached": RateLimited,
    "too_many_requests": RateLimited,
    "server_error": ServerFault,
    "internal_error": ServerFault,
}


def _classify(fields: Mapping[str, Any], status: int | None, code: str | None, message: str) -> type[Refused]:
    for name in _names(fields, code):
        if name in _CODES:
            return _CODES[name]
    if status in (None, 400, 404, 422):
        if fields.get("param") == "previous_response_id" or _NO_PREVIOUS.search(message):
            return PreviousResponseNotFound
        if _CONTEXT.search(message):
            return ContextOverflow
        if status is not None and _NO_MODEL.search(message):
            return DeploymentMissing
    return _classify_status(fields, status)


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
        case 404:
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


def _special_sentence(kind: type[Refused], status: int | None, code: str | None) -> str | None:
    if kind is Unauthorized and status == 403:
        return (
            "The provider does not let this site use this model from here; please tell the person who runs this site."
        )
    if kind is InvalidRequest and code and "image" in code:
        return "The provider could not read one of the images; please send it as PNG, JPEG or WEBP, or smaller."
    return None


# Reading bodies that follow no single form.


def _error_object(body: bytes) -> Any:
    """The error inside a body: nested, flat (vLLM, API gateways), a plain string, or the text itself."""
    text = body.decode("utf-8", "replace").strip()
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return {"message": text or "empty body"}
    if isinstance(value, dict):
        return value.get("error") or value
    return {"message": text}


def _code(fields: Mapping[str, Any]) -> str | None:
    for name in ("code", "type"):
        value = fields.get(name)
        if isinstance(value, int | str) and not isinstance(value, bool) and value != "":
            return _one_line(value)[:100]
    return None


def _status_in(code: str | None) -> int | None:
    return int(code) if code and re.fullmatch(r"[345]\d\d", code) else None


def _seconds_in(message: str) -> float | None:
    """Azure tells the pause in words when it sends no header."""
    found = re.search(
        r"(?:retry|try again) (?:after|in) (\d{1,4}(?:\.\d+)?) ?(ms|m?illiseconds?|s\b|seconds?)", message, re.I
    )
    if found is None:
        return None
    return float(found[1]) / (1000 if found[2].lower().startswith("m") else 1)


def _one_line(value: Any) -> str:
    """Upstream text for the log: one line (nobody forges a log entry), bounded, printable."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    line = " ".join(text[: 2 * MAX_UPSTREAM_TEXT].split())
    return "".join(c if c.isprintable() else "�" for c in line)[:MAX_UPSTREAM_TEXT]


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole >= 120:
        return f"{round(whole / 60)} minutes"
    return "1 second" if whole == 1 else f"{whole} seconds"


# The content filter's findings in words.

_CATEGORIES = {
    "self_harm": "self-harm",
    "jailbreak": "an attempt to get around the rules",
    "indirect_attack": "instructions hidden in a document",
    "protected_material_text": "protected text",
    "protected_material_code": "protected code",
    "custom_blocklists": "a list of blocked words",
}
_SEVERITIES = {"safe", "low", "medium", "high"}


def content_filter_sentence(fields: Mapping[str, Any]) -> str:
    """One sentence for the person from whatever details came: of an error, or of a response's `content_filters`."""
    what = "question"
    found: dict[str, None] = {}
    for source, results in _filter_results(fields):
        words = _findings(results)
        if words and source == "completion":
            what = "answer"
        found.update(dict.fromkeys(words))
    details = f" ({'; '.join(found)})" if found else ""
    return f"The provider's content filter blocked this {what}{details}."


def _filter_results(fields: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    filters = fields.get("content_filters")
    for entry in filters if isinstance(filters, list) else []:
        if isinstance(entry, Mapping) and entry.get("blocked") is not False:
            results = entry.get("content_filter_results")
            if isinstance(results, Mapping):
                yield str(entry.get("source_type")), results
    inner = fields.get("innererror")
    for holder in (fields, inner if isinstance(inner, Mapping) else {}):
        for name in ("content_filter_result", "content_filter_results"):
            if isinstance(results := holder.get(name), Mapping):
                yield "prompt", results


def _findings(results: Mapping[str, Any]) -> list[str]:
    verdicts = {name: verdict for name, verdict in results.items() if isinstance(verdict, Mapping)}
    blocking = [name for name, verdict in verdicts.items() if verdict.get("filtered") is True]
    blocking = blocking or [name for name, verdict in verdicts.items() if verdict.get("detected") is True]
    return [_finding(name, verdicts[name]) for name in blocking if re.fullmatch(r"[a-z_]{1,40}", name)]


def _finding(name: str, verdict: Mapping[str, Any]) -> str:
    words = _CATEGORIES.get(name, name.replace("_", " "))
    severity = verdict.get("severity")
    return f"{words}, {severity}" if isinstance(severity, str) and severity in _SEVERITIES - {"safe"} else words
