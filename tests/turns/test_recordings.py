"""Each recording as a turn: asked for, streamed, stored, and read on the page by a person.

Nothing that a server sends may end in an exception, in an empty answer without a sentence, or in raw JSON that is not
folded away.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from asgiref.sync import sync_to_async

from chat.conversations.ask import Asked
from chat.models import Deployment, Response, Status, Turn
from chat.rendering.views import render_turn, turn_view
from chat.responses.dialects import DIALECTS, normalise_base_url
from chat.turns import run
from tests.dom import Element, parse
from tests.recordings import BY_NAME, RECORDINGS, TOO_LONG, Recording
from tests.responses.wire import draft_of
from tests.upstream import URL, Reply, Upstream, json_reply

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]

STATUSES = {"in_progress": Status.INTERRUPTED}
GONE = {
    "error": {"message": "Response with id 'resp' not found.", "type": "invalid_request_error", "code": "not_found"}
}


@dataclass
class Replay(Reply):
    """A reply that sends a recording's bytes, cut anywhere."""

    data: bytes = b""

    async def stream(self) -> AsyncIterator[bytes]:
        rng = random.Random(self.data)
        at = 0
        try:
            while at < len(self.data):
                size = rng.choice((3, 50, 900))
                yield self.data[at : at + size]
                at += size
        finally:
            self.closed.set()


async def page_of(asked: Asked) -> tuple[Response, Element]:
    """The stored response, and its turn as a reload shows it."""
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.aget(pk=asked.response.pk)
    turn = await sync_to_async(lambda: Turn.objects.with_answers().get(pk=asked.turn.pk))()
    return response, parse(await sync_to_async(lambda: str(render_turn(turn_view(turn))))())


def without_pictures(output: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """As rows keep it: the bytes of pictures are files."""
    return [{**item, "result": f"made:{item['id']}"} if item.get("result") else item for item in output]


def stores(script: Upstream, response_id: str, reply: Callable[[], httpx.Response]) -> None:
    """What the provider has of a response, at the address that the dialect makes of the base URL."""
    base = urlsplit(normalise_base_url(DIALECTS[script.dialect], URL)).path
    script.by_path[f"{base}responses/{response_id}"] = lambda request: reply()


def spoken(element: Element) -> str:
    """What is read without unfolding anything."""
    return "".join(
        child if isinstance(child, str) else "" if child.tag == "details" else spoken(child)
        for child in element.children
    )


@pytest.mark.parametrize("dialect", sorted({recording.dialect for recording in RECORDINGS}))
async def test_each_recording_becomes_an_answer_that_a_person_can_read(
    dialect: str, upstream: Script, put: Put
) -> None:
    for recording in RECORDINGS:
        if recording.dialect == dialect and not recording.continues:
            await assert_readable(recording, upstream, put)


async def assert_readable(recording: Recording, upstream: Script, put: Put) -> None:
    script = upstream(Replay(events=[], data=recording.bytes), dialect=recording.dialect)
    draft = draft_of(recording.name)
    stores(script, draft.response_id, lambda: json_reply(GONE, 404))
    response, page = await page_of(await sync_to_async(put)("Why?"))
    assert response.status == STATUSES.get(recording.status, recording.status), recording.name
    assert response.output == without_pictures(draft.output()), recording.name
    assert response.text == draft.text(), recording.name
    words = spoken(page)
    answer = page.by_id(f"r{response.pk}")
    assert answer is not None
    assert spoken(answer).strip() or "<img" in answer.html() or recording.sentence, f"{recording.name}: nothing to read"
    assert recording.sentence in words, f"{recording.name}: {words}"
    if not recording.sentence:
        assert 'class="problem"' not in page.html(), recording.name
    assert not re.search(r"""[{\[]\s*["'\]}]""", words), f"{recording.name}: JSON that nothing folds away"


async def test_an_answer_that_its_server_cut_in_silence_is_said_to_be_cut(
    upstream: Script, put: Put, deployment: Deployment
) -> None:
    """llama.cpp calls it completed; that it has as many tokens as it might is all that tells."""
    deployment.parameters = {"max_output_tokens": 12}
    await deployment.asave()
    upstream(Replay(events=[], data=BY_NAME["llamacpp_cut"].bytes), dialect="llamacpp")
    response, page = await page_of(await sync_to_async(put)("Why?"))
    assert (response.status, response.output_tokens) == (Status.INCOMPLETE, 12)
    assert TOO_LONG in spoken(page)


async def test_a_cut_background_answer_that_was_stored_meanwhile_is_fetched(upstream: Script, put: Put) -> None:
    cut = BY_NAME["azure_background_cut"]
    script = upstream(Replay(events=[], data=cut.bytes), dialect="azure")
    last = BY_NAME["azure_background_resumed"].bytes.rsplit(b"data: ", 1)[1]
    stores(script, "resp_bg2", lambda: json_reply(json.loads(last)["response"]))
    response, page = await page_of(await sync_to_async(put)("Why?"))
    assert (response.status, response.text) == (Status.COMPLETED, "The first half and the second.")
    assert "The first half and the second." in spoken(page)


async def test_an_answer_that_was_cancelled_elsewhere_keeps_what_was_said(upstream: Script, put: Put) -> None:
    """The stream of a cancelled response just ends; the stored one says why, with its items as they were."""
    recording = BY_NAME["azure_background_cancelled"]
    script = upstream(Replay(events=[], data=recording.bytes), dialect="azure")
    cancelled = {"id": "resp_bg3", "object": "response", "status": "cancelled", "usage": None}
    cancelled["output"] = draft_of(recording.name).output()
    stores(script, "resp_bg3", lambda: json_reply(cancelled))
    response, page = await page_of(await sync_to_async(put)("Why?"))
    assert (response.status, response.text) == (Status.CANCELLED, "Cancelled here")
    assert "You stopped this answer." in spoken(page)
