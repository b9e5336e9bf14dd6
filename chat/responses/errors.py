"""What can go wrong between us and a provider, told twice: one sentence for the person, the details for the log.

ResponsesError
├─ Unreachable                 no answer came
│  ├─ TimedOut                 … within the time that we wait
│  └─ ConnectionLost           … to its end
├─ Refused                     the provider answered with an error
│  ├─ Unauthorized             401, 403: key, role, network
│  │  └─ SignInRefused         … although the token had just been renewed
│  ├─ DeploymentMissing        the model or deployment does not exist
│  ├─ NotFound                 another 404: a response, a file, or a wrong address
│  ├─ PreviousResponseNotFound the chain is broken: send the whole history
│  ├─ ContextOverflow          more input than the model can read
│  ├─ ContentFiltered          blocked by a policy; what it found is in `content_filters`
│  ├─ RateLimited              slow down; says for how long where the provider does
│  ├─ QuotaExceeded            nothing left to spend
│  ├─ TooLarge                 the request is larger than the server takes
│  ├─ InvalidRequest           another 4xx
│  └─ ServerFault              5xx and faults in the middle of a stream
├─ Unsupported                 not asked: this kind of server cannot do it
├─ FileGone                    not asked, or not to its end: a file of ours cannot be read
└─ BadStream                   what came is not the protocol

`user_message` never holds upstream text; `str(error)` does, with status, code and request id, and never a key.
`details` is what a transcript may keep: a few known fields, no prose.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
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
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.user_message = user_message or self.sentence
        if retryable is not None:
            self.retryable = retryable
        self.code = code
        self.request_id = request_id
        self.status = status
        self.details = dict(details or {})

    def redact(self, scrub: Callable[[str], str]) -> None:
        """Take out of the words for the log what may not stand there."""
        self.message = scrub(self.message)
        self.args = (self.message,)

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


class SignInRefused(Unauthorized):
    """As Unauthorized, for an endpoint with a credential whose token was renewed to no avail."""

    sentence = (
        "The provider refused this site's sign-in, also after it was renewed; "
        "please tell the person who runs this site to check its identity, role and token scope."
    )


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

    @property
    def content_filters(self) -> list[dict[str, Any]]:
        """The findings, in the form that a response has under this name."""
        found: list[dict[str, Any]] = self.details.get("content_filters", [])
        return found


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


class FileGone(ResponsesError):
    """A file that belongs into a request is not there (any more), or became shorter while it was sent."""

    sentence = "One of this question's files can no longer be read here; please attach it again."


class BadStream(ResponsesError):
    """What the server sent is not the Responses protocol, or exceeds every sane size."""

    sentence = (
        "The provider's answer could not be understood; "
        "try again, and if it stays so, tell the person who runs this site to check the address."
    )
    retryable = True


def request_id_of(headers: Mapping[str, str]) -> str | None:
    """The id by which the provider's support finds this request: OpenAI's header, or Azure's."""
    return one_line(headers.get("x-request-id") or headers.get("apim-request-id"))[:200] or None


def one_line(value: Any, scrub: Callable[[str], str] = str) -> str:
    """Upstream text for the log: one line (nobody forges a log entry), bounded, printable."""
    if value is None:
        return ""
    text = scrub(value if isinstance(value, str) else _as_json(value))
    line = " ".join(text[: 2 * MAX_UPSTREAM_TEXT].split())
    return "".join(c if c.isprintable() else "�" for c in line)[:MAX_UPSTREAM_TEXT]


def _as_json(value: Any) -> str:
    try:
        return json.dumps(value, default=str)
    except RecursionError:  # deeper than one may go from here, although it was read
        return f"a deeply nested {type(value).__name__}"


def _duration(seconds: float) -> str:
    whole = max(1, round(seconds))
    if whole >= 7200:
        return f"{round(whole / 3600)} hours"
    if whole >= 120:
        return f"{round(whole / 60)} minutes"
    return "1 second" if whole == 1 else f"{whole} seconds"
