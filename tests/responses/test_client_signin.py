"""How requests sign in: by a key, or by tokens that expire and are renewed once when they are refused."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from chat.responses.errors import ConnectionLost, ContentFiltered, SignInRefused, Unauthorized, Unreachable
from tests.responses.asking import BODY, KEY, RESPONSE, client_for, collect, good, refusal, scripted
from tests.responses.server import reply, serving, stream
from tests.responses.wire import fold, recording


class Tokens:
    """A credential whose tokens are numbered; each lasts until somebody has it renewed."""

    def __init__(self, *, stuck: bool = False) -> None:
        self.renewals = 0
        self._stuck = stuck

    @property
    def current(self) -> str:
        return f"eyJ-token-number-{self.renewals}"

    async def token(self, *, renew: bool = False) -> str:
        await asyncio.sleep(0)
        if renew and not self._stuck:
            self.renewals += 1
        return f" {self.current}\n"


def refused(status: int = 401, **error: Any) -> httpx.Response:
    return refusal(status, message="Access token is missing, invalid, or have expired.", **error)


def sent_by(requests: list[httpx.Request]) -> list[str]:
    return [request.headers["authorization"] for request in requests]


@pytest.mark.seed("S0-6", "S0-8")
@pytest.mark.parametrize("dialect", ["azure", "foundry", "openai"])
async def test_a_token_signs_in_whatever_header_the_keys_go_into(dialect: str) -> None:
    client, script, _ = scripted(good(), dialect=dialect, credential=Tokens(), headers={"authorization": "Basic x"})
    await client.create(BODY)
    assert sent_by(script.requests) == ["Bearer eyJ-token-number-0"]
    assert script.requests[0].headers.get_list("authorization") == ["Bearer eyJ-token-number-0"]
    assert "api-key" not in script.requests[0].headers
    assert KEY not in str(script.requests[0].headers.raw)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("most", [0, 2])
async def test_a_refused_token_is_renewed_once_and_that_is_no_retry(status: int, most: int) -> None:
    tokens = Tokens()
    answers = [refused(status), *[httpx.Response(503)] * most, good()]
    client, script, waits = scripted(*answers, credential=tokens, max_retries=most)
    assert await client.create(BODY) == RESPONSE
    assert sent_by(script.requests) == ["Bearer eyJ-token-number-0", *["Bearer eyJ-token-number-1"] * (most + 1)]
    assert len(waits) == most
    assert tokens.renewals == 1


async def test_a_token_may_be_refused_after_a_retry_too() -> None:
    client, script, waits = scripted(httpx.Response(503), refused(), httpx.Response(503), good(), credential=Tokens())
    assert await client.create(BODY) == RESPONSE
    assert waits == [0.5, 1.0]
    assert script.asked == 4


@pytest.mark.seed("S0-6", "S3-15")
async def test_a_second_refusal_says_that_the_sign_in_is_refused_and_not_a_key() -> None:
    tokens = Tokens()
    client, script, waits = scripted(refused(), refused(), good(), credential=tokens)
    with pytest.raises(SignInRefused) as caught:
        await client.create(BODY)
    assert (script.asked, waits, tokens.renewals) == (2, [], 1)
    assert "sign-in" in caught.value.user_message
    assert "key" not in caught.value.user_message


async def test_a_missing_role_is_named_after_the_token_was_renewed() -> None:
    lacking = {"code": "PermissionDenied", "message": "The principal lacks the required data action"}
    client, script, _ = scripted(*[httpx.Response(401, json={"error": lacking})] * 2, credential=Tokens())
    with pytest.raises(Unauthorized) as caught:
        await client.create(BODY)
    assert script.asked == 2
    assert "does not let this site use this model" in caught.value.user_message


async def test_a_refused_key_is_not_sent_again() -> None:
    client, script, _ = scripted(refused(), good())
    with pytest.raises(Unauthorized) as caught:
        await client.create(BODY)
    assert script.asked == 1
    assert not isinstance(caught.value, SignInRefused)
    assert "key" in caught.value.user_message


async def test_another_refusal_with_that_status_renews_nothing() -> None:
    tokens = Tokens()
    client, script, _ = scripted(refusal(403, code="content_filter"), credential=tokens)
    with pytest.raises(ContentFiltered):
        await client.create(BODY)
    assert (script.asked, tokens.renewals) == (1, 0)


async def test_a_credential_that_has_no_other_token_ends_it_all_the_same() -> None:
    client, script, _ = scripted(refused(), refused(), credential=Tokens(stuck=True))
    with pytest.raises(SignInRefused):
        await client.create(BODY)
    assert script.asked == 2


async def test_a_token_that_another_request_had_renewed_is_not_renewed_again() -> None:
    tokens = Tokens()
    both_sent, renewed = asyncio.Barrier(2), asyncio.Event()

    async def answer(request: httpx.Request) -> httpx.Response:
        if not request.headers["authorization"].endswith("-0"):
            renewed.set()
            return good()
        await both_sent.wait()
        if request.url.path.endswith("late"):
            await renewed.wait()
        return refused()

    client, _, _ = scripted(credential=tokens)
    client._http = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    async with asyncio.timeout(5):
        assert await asyncio.gather(client.retrieve("early"), client.retrieve("late")) == [RESPONSE] * 2
    assert tokens.renewals == 1


@pytest.mark.parametrize("failure", [Unreachable("no answer from the token endpoint"), Unauthorized("no identity")])
async def test_what_the_credential_raises_is_what_the_request_ends_in(failure: Exception) -> None:
    class Fails:
        async def token(self, *, renew: bool = False) -> str:
            raise failure

    client, script, _ = scripted(good(), credential=Fails())
    with pytest.raises(type(failure)) as caught:
        await client.create(BODY)
    assert caught.value is failure
    assert script.asked == 0


async def test_a_token_that_no_header_can_hold_is_an_answer_and_no_crash() -> None:
    class Odd:
        async def token(self, *, renew: bool = False) -> str:
            return "two-long-lines-\nof-a-token"

    client, _, _ = scripted(good(), credential=Odd())
    with pytest.raises(Unauthorized) as caught:
        await client.create(BODY)
    assert "of-a-token" not in str(caught.value)


# Over the wire


async def test_a_stream_and_an_upload_are_sent_again_whole_with_the_new_token(
    http: httpx.AsyncClient, tmp_path: Path
) -> None:
    path = tmp_path / "a.pdf"
    path.write_bytes(bytes(range(256)) * 4000)
    no = reply(401, {"statusCode": 401, "message": "Unauthorized"})
    created = {"id": "assistant-1", "object": "file", "status": "processed"}
    async with serving(no, stream(recording("azure_text")), no, reply(200, created)) as server:
        url = server.url.replace("/v1/", "")
        assert fold(await collect(client_for(url, http, "azure", credential=Tokens()))).terminal_seen
        uploading = client_for(url, http, "azure", credential=Tokens())
        assert await uploading.upload_file(path, "a.pdf", "application/pdf") == created
    for first, second in (server.requests[:2], server.requests[2:]):
        assert first.headers["authorization"] == "Bearer eyJ-token-number-0"
        assert second.headers["authorization"] == "Bearer eyJ-token-number-1"
        assert first.body == second.body
        assert len(second.body) == int(second.headers["content-length"])


# What shows nowhere


@pytest.mark.parametrize("status", [401, 200])
async def test_the_key_shows_nowhere(status: int, http: httpx.AsyncClient, caplog: Any) -> None:
    error = {"error": {"message": f"Incorrect API key provided: {KEY}", "code": "invalid_api_key"}}
    async with serving(reply(status, error)) as server:
        client = client_for(server.url, http, headers={"x-extra-key": "also-secret"}, key=f" {KEY}\n")
        with caplog.at_level(logging.DEBUG), pytest.raises(Unauthorized) as caught:
            await client.create(BODY)
    assert server.requests[0].headers["authorization"] == f"Bearer {KEY}"
    shown = f"{client!r} {client.endpoint!r} {caught.value!r} {caught.value} {caught.value.user_message} {caplog.text}"
    assert "Incorrect API key provided: [key]" in shown
    assert KEY not in shown
    assert "also-secret" not in shown


@pytest.mark.seed("S0-14")
@pytest.mark.parametrize(
    "echo",
    [
        httpx.Response(401, json={"error": {"message": "bad: SECRETS", "code": "SECRETS", "param": "SECRETS"}}),
        httpx.Response(500, text="<p>SECRETS</p>", headers={"x-request-id": "SECRETS"}),
        httpx.Response(200, text="no JSON, but SECRETS"),
        httpx.Response(200, json=["SECRETS"]),
        httpx.Response(200, json={"error": "SECRETS"}),
        httpx.Response(200, json={"error": {"message": "x" * 1_990 + "SECRETS"}}),
        httpx.Response(401, json={"error": {"message": "SECRETS".replace("-", "\\u002d")}}),
        httpx.RemoteProtocolError("Illegal header value SECRETS"),
    ],
)
async def test_no_secret_shows_whatever_a_server_repeats(echo: httpx.Response | Exception, caplog: Any) -> None:
    secrets = [KEY, "eyJ-token-number-0", "eyJ-token-number-1", "a-subscription-key"]
    said = " and ".join(secrets)
    if isinstance(echo, httpx.Response):
        headers = {name: value.replace("SECRETS", said) for name, value in echo.headers.items()}
        headers.pop("content-length")
        echo = httpx.Response(
            echo.status_code, headers=headers, content=echo.content.replace(b"SECRETS", said.encode())
        )
    else:
        echo = type(echo)(str(echo).replace("SECRETS", said))
    client, _, _ = scripted(
        echo,
        echo,
        echo,
        credential=Tokens(),
        headers={"Ocp-Apim-Subscription-Key": "a-subscription-key"},
        max_retries=1,
    )
    await client._token()
    await client._token(refused="eyJ-token-number-0")
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception, match=r"\[key\]") as caught:
        await client.create(BODY)
    error = caught.value
    shown = f"{client!r} {client.endpoint!r} {error!r} {error} {error.args} {vars(error)} {caplog.text}"
    assert [secret for secret in secrets if secret in shown] == []


async def test_what_breaks_a_stream_is_told_without_the_token() -> None:
    class Breaks(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield b": hello\n\n"
            raise httpx.RemoteProtocolError("bad chunk: eyJ-token-number-0")

    answer = httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Breaks())
    client, _, _ = scripted(answer, credential=Tokens())
    with pytest.raises(ConnectionLost, match=r"bad chunk: \[key\]") as caught:
        await collect(client)
    assert "eyJ-token-number-0" not in f"{caught.value} {caught.value!r}"


@pytest.mark.parametrize("word", ["none", "error", "1", "message", '"'])
async def test_a_key_that_is_a_mere_word_changes_no_answer(word: str) -> None:
    client, _, _ = scripted(
        httpx.Response(200, json={"error": {"message": "none of 1 message", "code": 429}}), key=word, dialect="ollama"
    )
    with pytest.raises(Exception, match="none of 1 message"):
        await client.create(BODY)


@pytest.mark.parametrize("key", ["sk-“quoted”", "sk-two\nlines", "schlüssel"])
async def test_a_key_that_cannot_be_sent_is_an_answer_and_no_crash(key: str, http: httpx.AsyncClient) -> None:
    with pytest.raises(Unauthorized) as caught:
        await client_for("http://127.0.0.1:9/v1", http, key=key).create(BODY)
    assert key not in str(caught.value)
