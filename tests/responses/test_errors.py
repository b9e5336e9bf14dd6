"""One calm sentence for the person; status, code, words and request id for the log."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
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
    SignInRefused,
    TimedOut,
    TooLarge,
    Unauthorized,
    Unreachable,
)
from chat.responses.refusals import error_from_object, error_from_reply

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
        (
            400,
            {
                "message": "You passed 1015 input tokens and requested 10 output tokens. However, the model's context "
                "length is only 1024 tokens.",
                "type": "BadRequestError",
                "param": "input_tokens",
                "code": 400,
            },
            ContextOverflow,
        ),
        (400, "Trying to keep the first 9000 tokens when context the overflows.", ContextOverflow),
        (400, {"code": 400, "message": "Illegal param: prefill 744 tokens exceed n_ctx_per_seq"}, ContextOverflow),
        (400, {"message": "longer than the maximum model length of 4096", "type": "BadRequestError"}, ContextOverflow),
        (500, {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}, ContextOverflow),
        (500, {"code": 500, "message": "input is too large to process", "type": "server_error"}, ContextOverflow),
        (413, {"code": "tokens_limit_reached", "message": UPSTREAM}, ContextOverflow),
        (400, {"code": "context_exceeded", "message": UPSTREAM}, ContextOverflow),
        (404, {"message": "File Not Found", "type": "not_found_error", "code": 404}, NotFound),
        (405, b"Method Not Allowed", NotFound),
        (501, {"message": UPSTREAM, "type": "not_supported_error", "code": 501}, InvalidRequest),
        (503, {"message": "Loading model", "type": "unavailable_error", "code": 503}, ServerFault),
        (
            404,
            {
                "message": "No models loaded. Please load a model in the developer page.",
                "type": "invalid_request_error",
                "param": "model",
                "code": "model_not_found",
            },
            DeploymentMissing,
        ),
        (404, b'{"error": "Model \'qwen\' not found"}', DeploymentMissing),
        (500, {"code": 500, "message": "image input is not supported", "type": "server_error"}, InvalidRequest),
        # Money, or a pause
        (403, b'{"statusCode": 403, "message": "Out of call volume quota."}', QuotaExceeded),
        (429, {"message": "You exceeded your current quota, please check your plan", "code": "429"}, QuotaExceeded),
        (
            429,
            {"code": "429", "message": "exceeded token rate limit. Please go here: https://aka.ms/oai/quotaincrease"},
            RateLimited,
        ),
        # What policies say
        (400, {"code": "invalid_prompt", "message": "Your prompt was flagged as against our policy"}, ContentFiltered),
        (400, {"code": "invalid_prompt", "message": "The prompt is not readable"}, InvalidRequest),
        (400, {"code": "moderation_blocked", "message": UPSTREAM}, ContentFiltered),
        # Wrapped by a gateway
        (400, b'{"detail": "{\\"error\\": {\\"type\\": \\"exceed_context_size_error\\"}}"}', ContextOverflow),
        (400, b'{"detail": {"code": "context_length_exceeded"}}', ContextOverflow),
        (400, {"message": '{"error": {"code": "content_filter"}}', "code": "400"}, ContentFiltered),
        (404, b'[{"error": {"code": "model_not_found", "message": "x"}}]', DeploymentMissing),
        (400, {"message": "{not JSON after all"}, InvalidRequest),
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


def test_a_token_that_stays_refused_is_not_called_a_key() -> None:
    body = b'{"statusCode": 401, "message": "Unauthorized. Access token is missing, invalid, or have expired."}'
    by_key, by_token = (error_from_reply(401, {}, body, by_token=by_token) for by_token in (False, True))
    assert type(by_key) is Unauthorized
    assert type(by_token) is SignInRefused
    assert "key" in by_key.user_message
    assert "key" not in by_token.user_message
    assert "sign-in" in by_token.user_message


@pytest.mark.parametrize("by_token", [False, True])
@pytest.mark.parametrize(("status", "code"), [(403, "AuthenticationTypeDisabled"), (401, "PermissionDenied")])
def test_a_missing_role_is_told_apart_from_a_wrong_key(status: int, code: str, by_token: bool) -> None:
    body = json.dumps({"error": {"code": code, "message": "The principal lacks the required data action"}}).encode()
    found = error_from_reply(status, {}, body, by_token=by_token)
    assert isinstance(found, Unauthorized)
    assert "does not let this site use this model" in found.user_message


@pytest.mark.parametrize(
    ("error", "tokens", "limit"),
    [
        ({"type": "exceed_context_size_error", "n_prompt_tokens": 2031, "n_ctx": 256}, "2,031", "256"),
        ({"message": "request (9412 tokens) exceeds the available context size (8192 tokens)"}, "9,412", "8,192"),
        (
            {"message": "This model's maximum context length is 8192 tokens. However, you requested 254457 tokens"},
            "254,457",
            "8,192",
        ),
        ({"message": "You passed 1015 input tokens. The model's context length is only 1024 tokens"}, "1,015", "1,024"),
        (
            {
                "message": "Trying to keep the first 111490 tokens when context the overflows. However, the model is "
                "loaded with context length of only 32768 tokens"
            },
            "111,490",
            "32,768",
        ),
    ],
)
def test_an_overflow_says_by_how_much_where_the_server_does(error: dict[str, Any], tokens: str, limit: str) -> None:
    found = refusal(400, error)
    assert isinstance(found, ContextOverflow)
    assert f"({tokens} of {limit} tokens)" in found.user_message
    assert found.details["n_prompt_tokens"] == int(tokens.replace(",", ""))
    assert found.details["n_ctx"] == int(limit.replace(",", ""))


def test_an_overflow_without_numbers_has_its_plain_sentence() -> None:
    for odd in ({}, {"n_ctx": "many", "n_prompt_tokens": True}, {"n_ctx": 10**30, "n_prompt_tokens": -1}):
        found = refusal(400, {"code": "context_length_exceeded", **odd})
        assert found.user_message == ContextOverflow.sentence
        assert found.details == {}


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [
        (500, {"message": "image input is not supported - hint: you may need the mmproj"}, "cannot look at images"),
        (400, {"message": "At most 0 image(s) may be provided in one prompt."}, "cannot look at images"),
        (501, {"type": "not_supported_error", "message": "x"}, "does not offer this with this model"),
        (400, {"code": "OperationNotSupported", "message": "x"}, "does not offer this with this model"),
        (503, {"message": "Loading model", "type": "unavailable_error"}, "still being loaded"),
        (404, {"message": "Response with id 'resp_x' not found."}, "no longer has a file or an answer"),
        (404, {"message": "Container is expired."}, "no longer has a file or an answer"),
        (404, {"message": "Resource not found"}, "check the base URL"),
        (404, {"message": "File Not Found", "type": "not_found_error", "code": 404}, "check the base URL"),
        (404, {"message": "No such File object: file-1"}, "no longer has a file or an answer"),
    ],
)
def test_what_needs_another_step_has_another_sentence(status: int, error: dict[str, Any], words: str) -> None:
    assert words in refusal(status, error).user_message


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("400: Invalid value: Response with id resp-nope not found", PreviousResponseNotFound),
        ("400: Invalid value: Model 'nope' not found", DeploymentMissing),
        ("The tool said that no model is not found anywhere", ServerFault),
    ],
)
def test_what_llama_stack_says_inside_a_stream_is_understood(message: str, kind: type[Refused]) -> None:
    """Seen of its server: the stream begins well, then fails with a message and no code."""
    assert type(error_from_object({"message": message})) is kind


def test_a_question_that_no_minute_has_room_for_is_not_asked_again() -> None:
    message = "Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 30601."
    found = refusal(429, {"message": message, "type": "tokens", "code": "rate_limit_exceeded"})
    assert isinstance(found, RateLimited)
    assert not found.retryable
    assert "send less of it" in found.user_message
    assert refusal(429, {"message": "Slow down."}).retryable


def test_what_a_transcript_may_keep_is_in_the_details() -> None:
    found = refusal(400, {"message": "x", "type": "invalid_request_error", "param": "temperature", "code": "odd"})
    assert found.details == {"type": "invalid_request_error", "param": "temperature"}
    hostile = refusal(400, {"message": "x", "type": ["odd"], "param": "a\n" * 1000, "more": "text"})
    assert hostile.details == {"param": "a " * 50}


def test_the_findings_of_the_filter_have_one_form_whichever_came() -> None:
    verdict = {"violence": {"filtered": True, "severity": "medium"}, "hate": {"filtered": False, "severity": "safe"}}
    new = {"blocked": True, "source_type": "prompt", "content_filter_results": verdict}
    old = {"code": "ResponsibleAIPolicyViolation", "content_filter_result": verdict}
    for error in (
        {"content_filters": [{**new, "content_filter_offsets": {"start_offset": 0}}]},
        {"innererror": old},
        {"content_filter_result": verdict},
    ):
        found = refusal(400, {"code": "content_filter", **error})
        assert isinstance(found, ContentFiltered)
        assert found.content_filters == [new]


def test_a_filter_that_says_nothing_has_found_nothing() -> None:
    found = refusal(400, {"code": "content_filter", "content_filters": "odd"})
    assert isinstance(found, ContentFiltered)
    assert found.content_filters == []


def test_findings_are_bounded_and_hold_no_upstream_text() -> None:
    verdicts: dict[str, Any] = {f"new_{'x' * n}": {"filtered": True, "severity": UPSTREAM} for n in range(100)}
    verdicts |= {UPSTREAM: {"filtered": True}, "hate": UPSTREAM}
    entry = {"blocked": True, "source_type": UPSTREAM, "content_filter_results": verdicts}
    found = refusal(400, {"code": "content_filter", "content_filters": [entry] * 50})
    assert isinstance(found, ContentFiltered)
    assert len(found.content_filters) == 10
    assert UPSTREAM not in json.dumps(found.content_filters) + found.user_message
    assert len(json.dumps(found.content_filters)) < 20_000


def test_the_log_gets_status_code_words_and_request_id() -> None:
    found = refusal(404, {"code": "DeploymentNotFound", "message": UPSTREAM}, {"apim-request-id": "abc-1"})
    assert str(found) == f"404 DeploymentNotFound: {UPSTREAM} (request id abc-1)"
    assert refusal(500, {"message": "x"}, {"x-request-id": "req_9"}).request_id == "req_9"


def test_a_request_id_is_one_bounded_printable_line_too() -> None:
    found = refusal(500, {"message": "x"}, {"x-request-id": "req\x1b" + "9" * 10_000})
    assert found.request_id == "req�" + "9" * 196


def test_what_must_not_stand_in_the_log_is_taken_out_of_all_that_the_server_said() -> None:
    error = {"message": "x" * 1_990 + "SECRET", "code": "SECRET", "param": "SECRET", "type": "SECRET"}
    body = json.dumps({"error": error}).encode()
    found = error_from_reply(500, {"x-request-id": "SECRET"}, body, scrub=lambda text: text.replace("SECRET", "[key]"))
    assert "SEC" not in f"{found} {found!r} {found.details}"
    found = BadStream("a SECRET")
    found.redact(lambda text: text.replace("SECRET", "[key]"))
    assert (str(found), repr(found)) == ("a [key]", "BadStream('a [key]')")


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
        (
            {
                "code": "content_filter",
                "content_filters": [
                    {
                        "blocked": False,
                        "source_type": "prompt",
                        "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}},
                    },
                    {
                        "blocked": True,
                        "source_type": "completion",
                        "content_filter_results": {"protected_material_text": {"detected": True, "filtered": True}},
                    },
                ],
            },
            "The provider's content filter blocked this answer (protected text).",
        ),
        (
            {
                "code": "content_filter",
                "innererror": {
                    "content_filter_result": {
                        "self-harm": {"filtered": True, "severity": "high"},
                        "custom_blocklists": [{"id": "ours", "filtered": True}],
                    }
                },
            },
            "The provider's content filter blocked this question (self-harm, high; a list of blocked words).",
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
    [
        (None, "in a moment"),
        (0.2, "in 1 second"),
        (20.0, "in 20 seconds"),
        (300.0, "in 5 minutes"),
        (86400.0, "in 24 hours"),
    ],
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
        ("Please try again in 6m0s. Visit the page.", 360.0),
        ("Please try again in 1h2m3.5s", 3723.5),
        ("Please retry after 86400 seconds.", 86400.0),
        ("Please retry after 2 minutes, 5 seconds.", 125.0),
        ("Please try again in 100 milliseconds", 0.1),
        ("Please try again in 3 ways.", None),
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


@pytest.mark.seed("S3-15")
def test_every_error_has_one_sentence_of_its_own() -> None:
    sentences = [kind.sentence for kind in all_kinds()]
    assert len(sentences) == 19
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
def test_no_body_raises(status: int, body: bytes) -> None:
    found = error_from_reply(status, {}, body)
    assert found.user_message
    assert str(status) in str(found)
