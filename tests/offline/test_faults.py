"""Faults: the words they are written in, and how the product's client meets each of them, in process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat.offline import faults
from chat.offline.app import OfflineEngine, create_app
from chat.offline.faults import (
    BadFault,
    ContentType,
    Drip,
    Drop,
    Duplicate,
    ErrorEvent,
    Fault,
    Malformed,
    NoTerminal,
    Pass,
    Place,
    Refusal,
    Script,
    Stall,
    Status,
    parse,
)
from chat.offline.transport import OfflineTransport
from chat.offline.wires import WIRES
from chat.responses.client import Client, Endpoint
from chat.responses.dialects import DIALECTS
from chat.responses.errors import (
    BadStream,
    ConnectionLost,
    ContentFiltered,
    ContextOverflow,
    DeploymentMissing,
    PreviousResponseNotFound,
    QuotaExceeded,
    RateLimited,
    ResponsesError,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from chat.responses.fold import Draft

from .conftest import text_of

TALK = {"model": "any", "input": "repeat after me: one two three"}

# The words


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("drop", Fault(Drop())),
        ("drop after 2000 bytes", Fault(Drop(Place(2000, "bytes")))),
        ("drop after 1 event always", Fault(Drop(Place(1, "events")), times=None)),
        ("stall 2.5 seconds", Fault(Stall(2.5))),
        ("stall forever after 300 bytes twice", Fault(Stall(None, Place(300, "bytes")), times=2)),
        ("drip 1 byte every 0.01 seconds", Fault(Drip(1, 0.01))),
        ("malformed event 4", Fault(Malformed(4))),
        ("duplicate events", Fault(Duplicate())),
        ("no terminal event on resume", Fault(NoTerminal(), "resume")),
        ("error event", Fault(ErrorEvent())),
        ("error event bare always", Fault(ErrorEvent("bare"), times=None)),
        ("quota used up on any", Fault(Refusal("quota used up"), "any")),
        ("error event nested then failed after 5 events", Fault(ErrorEvent("nested", True, Place(5, "events")))),
        ("content type text/html", Fault(ContentType("text/html"))),
        ("500", Fault(Status(500))),
        ("503 as nothing 3 times", Fault(Status(503, "nothing"), times=3)),
        (
            "429 with Retry-After: 2; x-ratelimit-remaining-requests: 0 twice",
            Fault(Status(429, "json", (("retry-after", "2"), ("x-ratelimit-remaining-requests", "0"))), times=2),
        ),
        (
            "503 as html with retry-after: Wed, 21 Oct 2015 07:28:00 GMT",
            Fault(Status(503, "html", (("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT"),))),
        ),
        ("expired token on any once # of the morning", Fault(Refusal("expired token"), "any")),
        ("previous response not found", Fault(Refusal("previous response not found"))),
        ("Old Content Filter", Fault(Refusal("old content filter"))),
        ("  pass   4 times ", Fault(Pass(), times=4)),
    ],
)
def test_a_fault_is_a_line_of_plain_words(line: str, fault: Fault) -> None:
    assert parse(line) == fault


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("explode", "“explode” is no fault. A fault is"),
        ("", "There is no fault in “”"),
        ("# only a remark", "There is no fault"),
        ("drop after lunch", "“drop after lunch” is no fault"),
        ("drop on tuesday", "“tuesday” is no operation; there are create, retrieve"),
        ("drop 0 times", "“0 times” is no number of times"),
        ("malformed event 0", "counts from 1"),
        ("drip 0 bytes every 1 second", "counts from 1"),
        ("200", "“200” is no fault"),
        ("429 with slowly", "“slowly” is no header; headers are NAME: VALUE"),
    ],
)
def test_what_is_no_fault_is_told_so(line: str, said: str) -> None:
    with pytest.raises(BadFault) as caught:
        parse(line)
    assert said in str(caught.value)


@settings(max_examples=300)
@given(st.text(max_size=60) | st.lists(st.sampled_from(faults.GRAMMAR.split()), max_size=8).map(" ".join))
def test_any_line_is_a_fault_or_told_that_it_is_none(line: str) -> None:
    with suppress(BadFault):
        assert parse(line).times != 0


def test_requests_meet_the_faults_of_a_script_in_their_order() -> None:
    script = Script(["429 twice", "pass", "drop on files", "500 always"])
    assert [script.take("create", b"") for _ in range(5)] == [
        Status(429),
        Status(429),
        Pass(),
        Status(500),
        Status(500),
    ]
    assert script.take("models", b"") is None
    assert script.take("files", b"") == Drop()
    assert script.take("files", b"") is None


def test_only_a_request_that_continues_can_miss_what_it_continues() -> None:
    script = Script(["previous response not found"])
    assert script.take("create", b'{"input": "hi", "previous_response_id": null}') is None
    assert script.take("create", b'{"previous_response_id": "resp_1"}') == Refusal("previous response not found")


# The client's ways


@dataclass
class Met:
    """An engine with faults, our client on it, and what came of asking."""

    client: Client
    http: httpx.AsyncClient
    app: OfflineEngine
    draft: Draft = field(default_factory=Draft)
    tries: list[str] = field(default_factory=list)
    waits: list[float] = field(default_factory=list)

    async def create(self, **more: Any) -> str:
        return text_of(await self.client.create({**TALK, **more}))

    async def stream(self, **more: Any) -> Draft:
        """The draft of a whole stream. An error leaves with the draft so far in `met`."""
        self.draft = Draft()
        async with self.client.stream({**TALK, **more}) as stream:
            async for event in stream:
                self.draft.apply(event)
        return self.draft


class Tokens:
    def __init__(self) -> None:
        self.renewed = 0

    async def token(self, *, renew: bool = False) -> str:
        self.renewed += renew
        return f"token-{self.renewed}"


Meet = Callable[..., Awaitable[Met]]


@pytest.fixture
async def meet() -> AsyncIterator[Meet]:
    async with AsyncExitStack() as stack:

        async def make(
            *lines: str, dialect: str = "openai", patience: float = 30, credential: Tokens | None = None, **options: Any
        ) -> Met:
            app = create_app(dialect=dialect, pace_seconds=0.0, faults=lines, **options)
            stack.push_async_callback(app.aclose)

            async def counting(scope: Any, receive: Any, send: Any) -> None:
                met.tries.append(scope["method"])
                await app(scope, receive, send)

            async def sleep(seconds: float) -> None:
                met.waits.append(seconds)

            transport = OfflineTransport(counting)
            http = await stack.enter_async_context(httpx.AsyncClient(transport=transport, timeout=patience))
            known = DIALECTS.get(dialect, DIALECTS["generic"])
            endpoint = Endpoint(f"http://engine/{known.base_path}/", known, credential=credential)
            met = Met(Client(endpoint, http, sleep=sleep, jitter=lambda: 0.0), http, app)
            return met

        yield make


async def test_a_connection_cut_before_any_byte_is_tried_again(meet: Meet) -> None:
    met = await meet("drop")
    assert "one two three" in await met.create()
    assert (len(met.tries), met.waits) == (2, [0.0])


async def test_a_server_that_always_hangs_up_is_given_up_after_three_tries(meet: Meet) -> None:
    met = await meet("drop always")
    with pytest.raises(Unreachable):
        await met.create()
    assert (len(met.tries), met.waits) == (3, [0.0, 1.0])


@pytest.mark.parametrize("place", ["1500 bytes", "6 events"])
async def test_a_connection_cut_inside_a_stream_keeps_what_came_and_is_not_tried_again(meet: Meet, place: str) -> None:
    met = await meet(f"drop after {place}")
    with pytest.raises(ConnectionLost):
        await met.stream(input="write a text of 300 words")
    assert met.draft.response_id
    assert not met.draft.is_terminal
    assert len(met.tries) == 1
    assert (await met.stream()).status == "completed"


async def test_the_cut_is_at_the_byte(meet: Meet) -> None:
    met = await meet("drop after 700 bytes")
    came = b""
    async with met.http.stream("POST", "http://engine/v1/responses", json={**TALK, "stream": True}) as reply:
        chunks = reply.aiter_raw()
        while len(came) < 700:
            came += await anext(chunks)
        assert len(came) == 700
        with pytest.raises(httpx.RemoteProtocolError):
            await anext(chunks)


async def test_a_reply_that_is_shorter_than_the_place_of_the_cut_is_whole(meet: Meet) -> None:
    assert "one two three" in await (await meet("drop after 9000000 bytes")).create()


@pytest.mark.parametrize("place", ["", " after 1500 bytes", " after 4 events"])
async def test_silence_is_a_timeout_and_not_tried_again(meet: Meet, place: str) -> None:
    met = await meet(f"stall forever{place}", patience=0.1)
    with pytest.raises(TimedOut):
        await met.stream(input="write a text of 300 words")
    assert len(met.tries) == 1


async def test_a_pause_is_waited_for(meet: Meet) -> None:
    met = await meet("stall 0.2 seconds after 5 events")
    before = time.monotonic()
    assert (await met.stream()).status == "completed"
    assert time.monotonic() - before >= 0.2


async def test_a_reply_in_single_bytes_is_the_same_reply(meet: Meet) -> None:
    met = await meet("drip 1 byte every 0 seconds")
    slowly = await met.stream()
    assert slowly.status == "completed"
    assert slowly.text() == (await met.stream()).text()


@pytest.mark.parametrize(
    ("headers", "waits"),
    [
        ("with retry-after: 7", [7.0, 7.0]),
        ("with retry-after-ms: 250; retry-after: 7", [0.25, 0.25]),
        ("with x-ratelimit-remaining-requests: -1; x-ratelimit-limit-requests: -1", [0.5, 1.0]),
        ("as html", [0.5, 1.0]),
        ("as nothing", [0.5, 1.0]),
    ],
)
async def test_a_pause_that_is_asked_for_is_kept_and_then_all_is_well(
    meet: Meet, headers: str, waits: list[float]
) -> None:
    met = await meet(f"429 {headers} twice")
    assert "one two three" in await met.create()
    assert (len(met.tries), met.waits) == (3, waits)


async def test_a_pause_longer_than_anyone_waits_is_an_error_at_once(meet: Meet) -> None:
    met = await meet("429 with retry-after: 300")
    with pytest.raises(RateLimited) as caught:
        await met.create()
    assert caught.value.retry_after == 300
    assert (len(met.tries), met.waits) == (1, [])


@pytest.mark.seed("S3-15")
@pytest.mark.parametrize("status", [500, 503])
@pytest.mark.parametrize("body", ["json", "html", "text", "nothing"])
async def test_a_fault_of_the_server_is_tried_again_whatever_its_body(meet: Meet, status: int, body: str) -> None:
    met = await meet(f"{status} as {body} 5 times")
    with pytest.raises(ServerFault) as caught:
        await met.create()
    assert caught.value.status == status
    assert len(met.tries) == 3
    assert "one two three" in await met.create()
    assert len(met.tries) == 6


async def test_the_servers_word_against_another_try_counts(meet: Meet) -> None:
    met = await meet("500 with x-should-retry: false")
    with pytest.raises(ServerFault):
        await met.create()
    assert len(met.tries) == 1


@pytest.mark.parametrize(
    ("line", "kind"), [("401", Unauthorized), ("404", ResponsesError), ("403 as html", Unauthorized)]
)
async def test_what_stays_refused_is_asked_once(meet: Meet, line: str, kind: type[ResponsesError]) -> None:
    met = await meet(f"{line} always")
    with pytest.raises(kind):
        await met.create()
    assert len(met.tries) == 1


async def test_half_an_event_is_no_protocol(meet: Meet) -> None:
    met = await meet("malformed event 5")
    with pytest.raises(BadStream):
        await met.stream()
    assert len(met.tries) == 1
    assert met.draft.response_id


async def test_events_that_come_twice_end_in_the_same_answer(meet: Meet) -> None:
    met = await meet("duplicate events")
    twice = await met.stream()
    assert twice.status == "completed"
    assert twice.text() == (await met.stream()).text()


async def test_a_stream_without_its_last_event_is_no_end_and_can_be_fetched(meet: Meet) -> None:
    met = await meet("no terminal event")
    draft = await met.stream()
    assert not draft.is_terminal
    assert draft.response_id is not None
    kept = await met.client.retrieve(draft.response_id)
    assert kept["status"] == "completed"
    assert text_of(kept) == draft.text()


async def test_a_gateways_mark_of_the_end_goes_with_its_last_event(meet: Meet) -> None:
    met = await meet("no terminal event", dialect="ofox")
    reply = await met.http.post("http://engine/v1/responses", json={**TALK, "stream": True})
    assert "[DONE]" not in reply.text
    assert "response.completed" not in reply.text
    assert "response.output_item.done" in reply.text


@pytest.mark.parametrize("form", ["", " nested", " bare"])
@pytest.mark.parametrize("failed", ["", " then failed"])
@pytest.mark.parametrize("dialect", ["openai", "ofox"])
async def test_an_error_inside_a_stream_is_a_fault_of_the_server(
    meet: Meet, form: str, failed: str, dialect: str
) -> None:
    met = await meet(f"error event{form}{failed} after 5 events", dialect=dialect)
    draft = await met.stream()
    assert isinstance(draft.failure(), ServerFault)
    assert draft.text()
    assert len(met.tries) == 1
    if failed:
        assert draft.status == "failed"


@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
async def test_a_stream_under_another_name_is_no_protocol(meet: Meet, content_type: str) -> None:
    met = await meet(f"content type {content_type}")
    with pytest.raises(BadStream):
        await met.stream()
    assert len(met.tries) == 1


async def test_a_stream_that_is_called_plain_text_is_read(meet: Meet) -> None:
    assert (await (await meet("content type text/plain")).stream()).status == "completed"


@pytest.mark.parametrize("dialect", ["openai", "azure"])
async def test_an_expired_token_is_renewed_once(meet: Meet, dialect: str) -> None:
    tokens = Tokens()
    met = await meet("expired token", dialect=dialect, credential=tokens)
    assert "one two three" in await met.create()
    assert (len(met.tries), tokens.renewed, met.waits) == (2, 1, [])


async def test_a_token_that_is_refused_again_is_an_error(meet: Meet) -> None:
    tokens = Tokens()
    met = await meet("expired token always", dialect="azure", credential=tokens)
    with pytest.raises(Unauthorized):
        await met.create()
    assert (len(met.tries), tokens.renewed) == (2, 1)


async def test_a_chain_that_is_gone_is_told_once(meet: Meet) -> None:
    met = await meet("previous response not found")
    first = await met.client.create(TALK)
    with pytest.raises(PreviousResponseNotFound):
        await met.create(previous_response_id=first["id"])
    assert "one two three" in await met.create(previous_response_id=first["id"])
    assert len(met.tries) == 3


@pytest.mark.parametrize("age", ["", "old "])
async def test_a_filtered_question_is_told_in_words_whatever_the_shape(meet: Meet, age: str) -> None:
    met = await meet(f"{age}content filter", dialect="azure")
    with pytest.raises(ContentFiltered) as caught:
        await met.create()
    assert "violence, medium" in caught.value.user_message
    assert len(met.tries) == 1


@pytest.mark.parametrize("dialect", WIRES)
@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("context too long", ContextOverflow),
        ("deployment missing", DeploymentMissing),
        ("quota used up", QuotaExceeded),
    ],
)
async def test_what_no_other_try_mends_has_an_error_of_its_own_in_every_dialect(
    meet: Meet, line: str, kind: type[ResponsesError], dialect: str
) -> None:
    met = await meet(line, dialect=dialect)
    with pytest.raises(kind):
        await met.create()
    assert len(met.tries) == 1


async def test_other_operations_have_faults_of_their_own(meet: Meet) -> None:
    met = await meet("500 on retrieve 3 times", "drop on models", "404 on delete")
    response = await met.client.create(TALK)
    with pytest.raises(ServerFault):
        await met.client.retrieve(response["id"])
    assert await met.client.models()
    with pytest.raises(ResponsesError):
        await met.client.delete(response["id"])
    assert (await met.client.retrieve(response["id"]))["id"] == response["id"]
    assert met.tries == ["POST", "GET", "GET", "GET", "GET", "GET", "DELETE", "GET"]


@pytest.mark.seed("S1-27", "S1-28")
async def test_a_background_stream_that_is_cut_is_resumed_where_it_broke(meet: Meet) -> None:
    met = await meet("drop after 9 events", "drop after 4 events on resume")
    with pytest.raises(ConnectionLost):
        await met.stream(background=True)
    draft = met.draft
    with pytest.raises(ConnectionLost):
        await _resume(met.client, draft)
    await _resume(met.client, draft)
    assert draft.status == "completed"
    assert "one two three" in draft.text()


async def _resume(client: Client, draft: Draft) -> None:
    assert draft.response_id is not None
    async with client.resume(draft.response_id, draft.cursor) as stream:
        async for event in stream:
            draft.apply(event)


# A request's own


async def test_a_request_brings_its_fault_where_the_engine_lets_it(meet: Meet) -> None:
    met = await meet(faults_from_header=True)
    url = "http://engine/v1/responses"
    struck = await met.http.post(url, json=TALK, headers={"x-engine-fault": "503 with retry-after: 3"})
    assert (struck.status_code, struck.headers["retry-after"]) == (503, "3")
    again = await met.http.post(url, json=TALK, headers={"x-engine-fault": "503 with retry-after: 3"})
    assert again.status_code == 200
    other = await met.http.post(url, json=TALK, headers={"x-engine-fault": "503 with retry-after: 3 # another test"})
    assert other.status_code == 503
    bad = await met.http.post(url, json=TALK, headers={"x-engine-fault": "explode"})
    assert bad.status_code == 400
    assert "is no fault" in bad.json()["error"]["message"]


async def test_the_header_means_nothing_to_an_engine_that_was_not_told(meet: Meet) -> None:
    met = await meet()
    reply = await met.http.post("http://engine/v1/responses", json=TALK, headers={"x-engine-fault": "503"})
    assert reply.status_code == 200


async def test_the_first_byte_can_be_late(meet: Meet) -> None:
    met = await meet(lag_seconds=0.2)
    before = time.monotonic()
    assert (await met.client.models()) is not None
    assert time.monotonic() - before >= 0.2


async def test_a_fault_leaves_nothing_behind(meet: Meet) -> None:
    before = asyncio.all_tasks()
    met = await meet("drop after 4 events", "stall forever after 4 events", "error event after 4 events", patience=0.1)
    for kind in (ConnectionLost, TimedOut):
        with pytest.raises(kind):
            await met.stream(input="write a text of 300 words")
    await met.stream(input="write a text of 300 words")
    assert asyncio.all_tasks() == before
