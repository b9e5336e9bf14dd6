"""One calm sentence for the person; status, code, words and request id for the log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.responses import errors
from chat.responses.errors import (
    BadStream,
    ConnectionLost,
    ContentFiltered,
    ContextOverflow,
    DeploymentMissing,
    InvalidRequest,
    NotFound,
    PreviousResponseNotFound,
    QuotaExceeded,
    RateLimited,
    Refused,
    ResponsesError,
    ServerFault,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unreachable,
    error_from_object,
    error_from_reply,
)

UPSTREAM = "Upstream words that no person shall read"


def refusal(status: int, error: Any, headers: dict[str, str] | None = None) -> Refused:
    body = error if isinstance(error, bytes) else json.dumps({"error": error}).encode()
    return error_from_reply(status, headers or {}, body)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        # OpenAI and Azure
        (401, {"code": "invalid_api_key", "message": UPSTREAM}, Unauthorized),
        (401, {"code": "401", "message": UPSTREAM}, Unauthorized),
        (403, {"code": "AuthenticationTypeDisabled", "message": UPSTREAM}, Unauthorized),
        (404, {"code": "DeploymentNotFound", "message": UPSTREAM}, DeploymentMissing),
        (404, {"code": "model_not_found", "message": UPSTREAM}, DeploymentMissing),
        (400, {"code": "model_not_found", "message": UPSTREAM}, DeploymentMissing),
        (404, {"code": "404", "message": "Resource not found"}, NotFound),
        (404, {"message": "Response with id 'resp_x' not found.", "type": "invalid_request_error"}, NotFound),
        (
            400,
            {
                "message": "Previous response with id 'resp_x' not found.",
                "type": "invalid_request_error",
                "param": "previous_response_id",
                "code": "previous_response_not_found",
            },
            PreviousResponseNotFound,
        ),
        (400, {"code": "context_length_exceeded", "message": UPSTREAM}, ContextOverflow),
        (400, {"code": "content_filter", "message": UPSTREAM}, ContentFiltered),
        (429, {"code": "insufficient_quota", "type": "insufficient_quota", "message": UPSTREAM}, QuotaExceeded),
        (402, {"message": UPSTREAM}, QuotaExceeded),
        (429, {"code": "429", "message": UPSTREAM}, RateLimited),
        (429, {"code": "RateLimitReached", "message": UPSTREAM}, RateLimited),
        (400, {"code": "unsupported_parameter", "message": UPSTREAM, "param": "temperature"}, InvalidRequest),
        (413, {"message": UPSTREAM}, TooLarge),
        (422, {"message": UPSTREAM}, InvalidRequest),
        (408, {"message": UPSTREAM}, ServerFault),
        (500, {"message": UPSTREAM}, ServerFault),
        (503, {"code": "server_is_overloaded", "message": UPSTREAM}, ServerFault),
        # Local servers
        (
            404,
            {"message": 'model "qwen" not found, try pulling it first', "type": "not_found_error"},
            DeploymentMissing,
        ),
        (404, {"message": "The model `x` does not exist.", "code": 404}, DeploymentMissing),
        (
            404,
            {"message": "Response with id 'r' not found.", "param": "previous_response_id"},
            PreviousResponseNotFound,
        ),
        (400, {"code": 400, "message": "llama.cpp does not support 'previous_response_id'."}, PreviousResponseNotFound),
        (
            400,
            {"code": 400, "message": "request exceeds the available context size", "type": "exceed_context_size_error"},
            ContextOverflow,
        ),
        (400, {"message": "This model's maximum context length is 8192 tokens.", "code": 400}, ContextOverflow),
        # No form at all
        (502, b"<html><body>Bad gateway</body></html>", ServerFault),
        (401, b'{"statusCode": 401, "message": "Access denied due to invalid subscription key"}', Unauthorized),
        (400, b'{"object":"error","message":"words","type":"BadRequestError","code":400}', InvalidRequest),
        (422, b'{"detail":[{"loc":["body"],"msg":"field required"}]}', InvalidRequest),
        (404, b"", NotFound),
        (500, b'"just a string"', ServerFault),
        (418, b"[" * 5000, InvalidRequest),
        (302, b"", NotFound),
    ],
)
def test_each_refusal_is_what_it_means(status: int, error: Any, kind: type[Refused]) -> None:
    found = refusal(status, error)
    assert type(found) is kind
    assert found.status == status
    assert UPSTREAM not in found.user_message


def test_the_log_gets_status_code_words_and_request_id() -> None:
    found = refusal(404, {"code": "DeploymentNotFound", "message": UPSTREAM}, {"apim-request-id": "abc-1"})
    assert str(found) == f"404 DeploymentNotFound: {UPSTREAM} (request id abc-1)"
    assert refusal(500, {"message": "x"}, {"x-request-id": "req_9"}).request_id == "req_9"


def test_upstream_words_are_one_bounded_printable_line_in_the_log() -> None:
    found = refusal(500, {"message": "first\r\nWARNING forged \x1b[31m" + "x" * 100_000})
    assert "\n" not in str(found)
    assert "\x1b" not in str(found)
    assert len(str(found)) < 2_100


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (
            {
                "code": "content_filter",
                "param": "prompt",
                "message": "The response was filtered due to the prompt triggering ...",
                "content_filters": [
                    {
                        "blocked": True,
                        "source_type": "prompt",
                        "content_filter_results": {
                            "hate": {"filtered": False, "severity": "safe"},
                            "violence": {"filtered": True, "severity": "medium"},
                        },
                    }
                ],
            },
            "The provider's content filter blocked this question (violence, medium).",
        ),
        (
            {
                "code": "content_filter",
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": {
                        "self_harm": {"filtered": True, "severity": "high"},
                        "sexual": {"filtered": True, "severity": "low"},
                        "hate": {"filtered": False, "severity": "safe"},
                    },
                },
            },
            "The provider's content filter blocked this question (self-harm, high; sexual, low).",
        ),
        (
            {
                "code": "content_filter",
                "content_filters": [
                    {
                        "blocked": True,
                        "source_type": "prompt",
                        "content_filter_results": {"jailbreak": {"detected": True, "filtered": True}},
                    }
                ],
            },
            "The provider's content filter blocked this question (an attempt to get around the rules).",
        ),
        ({"code": "content_filter"}, "The provider's content filter blocked this question."),
        (
            {"code": "content_filter", "innererror": {"content_filter_result": {"<b>new</b>": {"filtered": True}}}},
            "The provider's content filter blocked this question.",
        ),
        (
            {"innererror": {"code": "ResponsibleAIPolicyViolation", "content_filter_result": "odd"}},
            "The provider's content filter blocked this question.",
        ),
    ],
)
def test_the_content_filter_is_told_in_words(error: dict[str, Any], sentence: str) -> None:
    found = refusal(400, error)
    assert isinstance(found, ContentFiltered)
    assert found.user_message == sentence


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(None, "in a moment"), (0.2, "in 1 second"), (20.0, "in 20 seconds"), (300.0, "in 5 minutes")],
)
def test_a_rate_limit_says_for_how_long(seconds: float | None, words: str) -> None:
    found = error_from_reply(429, {}, b"{}", retry_after=seconds)
    assert isinstance(found, RateLimited)
    assert found.retry_after == seconds
    assert found.user_message == f"The provider asks for a pause; please try again {words}."


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Rate limit is exceeded. Please retry after 7 seconds.", 7.0),
        ("Rate limit reached for gpt-5. Please try again in 1.5s.", 1.5),
        ("Please try again in 250ms.", 0.25),
        ("Slow down.", None),
    ],
)
def test_a_pause_in_words_counts_too(message: str, seconds: float | None) -> None:
    found = refusal(429, {"message": message})
    assert isinstance(found, RateLimited)
    assert found.retry_after == seconds


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"code": "server_error", "message": "x"}, ServerFault),
        ({"code": "rate_limit_exceeded", "message": "x"}, RateLimited),
        ({"code": "invalid_prompt", "message": "x"}, InvalidRequest),
        ({"code": "invalid_image_format", "message": "x"}, InvalidRequest),
        ({"code": 503, "message": "x"}, ServerFault),
        ({"code": "context_length_exceeded"}, ContextOverflow),
        ({}, ServerFault),
        ("words", ServerFault),
        (None, ServerFault),
        (["odd"], ServerFault),
    ],
)
def test_errors_inside_a_stream_have_no_status_and_a_meaning(error: Any, kind: type[Refused]) -> None:
    assert type(error_from_object(error)) is kind


def test_an_unreadable_image_gets_a_sentence_of_its_own() -> None:
    assert "PNG, JPEG or WEBP" in error_from_object({"code": "invalid_image_format"}).user_message


def test_what_can_be_tried_again_says_so() -> None:
    assert [kind for kind in all_kinds() if kind("").retryable] == [
        Unreachable,
        TimedOut,
        ConnectionLost,
        RateLimited,
        ServerFault,
        BadStream,
    ]


def all_kinds() -> list[type[ResponsesError]]:
    kinds = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, ResponsesError)]
    return [kind for kind in kinds if kind is not ResponsesError]


def test_every_error_has_one_sentence_of_its_own() -> None:
    sentences = [kind.sentence for kind in all_kinds()]
    assert len(sentences) == 17
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert sentence[0].isupper()
        assert sentence.endswith(".")
        assert sentence.count(". ") == 0


def test_every_error_is_drawn_in_the_tree() -> None:
    assert errors.__doc__ is not None
    for kind in all_kinds():
        assert kind.__name__ in errors.__doc__


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["error", "code", "message", "type", "param", "innererror", "content_filters", "content_filter_results"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(st.integers(300, 599), JSON.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=50))
@hypothesis_settings(max_examples=200)
def test_no_body_raises(status: int, body: bytes) -> None:
    found = error_from_reply(status, {}, body)
    assert found.user_message
    assert str(status) in str(found)
