"""What a model makes in a turn: fetched at its end, kept as files, and shown; or said to be gone."""

from __future__ import annotations

import asyncio
import base64
import io
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
import pytest_asyncio
from asgiref.sync import sync_to_async
from django.http import HttpResponse
from django.utils import timezone
from PIL import Image

from chat import engines
from chat.conversations import history
from chat.conversations.ask import Asked, Question, ask
from chat.files import intake
from chat.models import Attachment, Deployment, Response, Status, Turn, User
from chat.offline.app import create_app
from chat.offline.transport import OfflineTransport
from chat.rendering.views import render_turn, turn_view
from chat.responses.client import Client
from chat.responses.dialects import DIALECTS, normalise_base_url
from chat.responses.events import Terminal, parse_event
from chat.turns import made, run, sweep
from chat.turns.hub import Tab, hub
from tests.conftest import signed_in
from tests.dom import Element, Page, parse
from tests.files.makers import make_pdf
from tests.recordings import BY_NAME
from tests.rows import make_attachment
from tests.turns.test_mirror import Watching
from tests.turns.test_recordings import Replay
from tests.upstream import URL, Reply, Upstream, completed, json_reply, text_events

pytestmark = pytest.mark.django_db(transaction=True)

Script = Callable[..., Upstream]
Put = Callable[..., Asked]

CSV = "\ufeffname,value\n<b>one</b>,3\ntwo,5\n".encode()


def png(size: tuple[int, int] = (40, 30)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", size, "navy").save(data, "PNG")
    return data.getvalue()


def address(script: Upstream, path: str) -> str:
    return urlsplit(normalise_base_url(DIALECTS[script.dialect], URL)).path + path


def holds(script: Upstream, path: str, body: bytes | dict[str, Any] | int) -> list[str]:
    """What the provider has at an address, or the status that it refuses with. The list is of those who asked."""
    asked: list[str] = []

    def reply(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if isinstance(body, int):
            return json_reply({"error": {"message": "Container is expired.", "type": "invalid_request_error"}}, body)
        return json_reply(body) if isinstance(body, dict) else httpx.Response(200, content=body)

    script.by_path[address(script, path)] = reply
    return asked


def says(text: str, *citations: tuple[str, str], container: str = "cntr_1") -> Reply:
    """An answer of the code interpreter that cites files by id and name."""
    whole = completed("resp_1", text)
    part = whole["output"][0]["content"][0]
    part["annotations"] = [
        {"type": "container_file_citation", "container_id": container, "file_id": file_id, "filename": name}
        for file_id, name in citations
    ]
    call = {"id": "ci_1", "type": "code_interpreter_call", "status": "completed", "container_id": container, "code": ""}
    whole["output"].insert(0, call)
    events = text_events([text], done=False)
    return Reply(events=[*events, {"type": "response.completed", "response": whole, "sequence_number": len(events)}])


async def answered(put: Put) -> Response:
    asked = await sync_to_async(put)()
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    return await Response.objects.select_related("turn").aget(pk=asked.response.pk)


async def files_of(response: Response) -> list[Attachment]:
    return [attachment async for attachment in Attachment.objects.filter(made_by=response)]


def reloaded(turn_pk: int) -> Element:
    return parse(str(render_turn(turn_view(Turn.objects.with_answers().get(pk=turn_pk)))))


async def get(person: User, url: str) -> tuple[HttpResponse, bytes]:
    """What this person is answered, with its bytes."""

    reply: Any = await sync_to_async(lambda: signed_in(person).get(url))()
    if not reply.streaming:
        return reply, reply.content
    data = b"".join([chunk async for chunk in reply.streaming_content])
    await sync_to_async(reply.close)()
    return reply, data


def find(page: Element, tag: str, **attributes: str) -> list[Element]:
    wanted = {name.strip("_"): value for name, value in attributes.items()}
    return [e for e in page.walk() if e.tag == tag and all(e.attributes.get(k) == v for k, v in wanted.items())]


# Fetched


async def test_a_cited_chart_of_a_recording_is_ours_when_the_turn_is_over(
    upstream: Script, put: Put, owner: User
) -> None:
    script = upstream(Replay(events=[], data=BY_NAME["azure_code_interpreter"].bytes), dialect="azure")
    asked_for = holds(script, "containers/cntr_1/files/cfile_1/content", png())
    response = await answered(put)
    [chart] = await files_of(response)
    assert len(asked_for) == 1
    assert (chart.status, chart.name, chart.media_type) == (Attachment.Status.READY, "plot.png", "image/png")
    assert (chart.made_as, chart.owner_id, chart.width, chart.size) == ("cntr_1/cfile_1", owner.pk, 40, len(png()))
    assert chart.thumbnail
    page = await sync_to_async(reloaded)(response.turn_id)
    url = f"/files/{chart.pk}/"
    assert [link.text() for link in find(page, "a", class_="made-link", href=f"{url}?download")] == ["plot.png"]
    [picture] = find(page, "img", class_="made__picture")
    assert (picture.attributes["src"], "data-lightbox" in picture.attributes) == (url, True)
    shown, data = await get(owner, url)
    assert shown.headers["Content-Disposition"].startswith("inline")
    assert data == png()


async def test_a_picture_that_the_text_shows_stands_there_and_not_below_it_again(upstream: Script, put: Put) -> None:
    text = "Look:\n\n![The *chart*](sandbox:/mnt/data/my%20chart.png)"
    script = upstream(says(text, ("cfile_1", "my chart.png")))
    holds(script, "containers/cntr_1/files/cfile_1/content", png())
    response = await answered(put)
    page = await sync_to_async(reloaded)(response.turn_id)
    [picture] = find(page, "img", class_="made-image")
    assert (picture.attributes["alt"], picture.attributes["width"]) == ("The chart", "40")
    assert "data-lightbox" in picture.attributes
    assert not find(page, "img", class_="made__picture")


async def test_a_pdf_opens_in_the_page_and_is_saved_beside_it(
    upstream: Script, put: Put, owner: User, tmp_path: Path
) -> None:
    script = upstream(says("Here is the report.", ("cfile_1", "report.pdf")))
    holds(script, "containers/cntr_1/files/cfile_1/content", make_pdf(tmp_path / "a.pdf", ["One", "Two"]).read_bytes())
    response = await answered(put)
    [file] = await files_of(response)
    page = await sync_to_async(reloaded)(response.turn_id)
    [link] = [e for e in page.walk() if "data-preview" in e.attributes]
    assert link.attributes["data-preview"] == f"/files/{file.pk}/preview/"
    assert "2 pages" in link.text()
    [saved] = [e for e in page.walk() if "download" in e.attributes]
    assert saved.attributes["href"] == f"/files/{file.pk}/?download"
    reply, _ = await get(owner, link.attributes["href"] or "")
    assert (reply.status_code, reply.headers["Location"]) == (302, f"/files/{file.pk}/"), "as without JavaScript"
    reply, painted = await get(owner, f"/files/{file.pk}/pages/2.webp")
    assert (reply.status_code, painted[8:12]) == (200, b"WEBP")


async def test_a_picture_that_is_a_link_to_itself_opens_without_one(upstream: Script, put: Put) -> None:
    script = upstream(says("[![c](sandbox:/mnt/data/c.png)](sandbox:/mnt/data/c.png)", ("cfile_1", "c.png")))
    holds(script, "containers/cntr_1/files/cfile_1/content", png())
    page = await sync_to_async(reloaded)((await answered(put)).turn_id)
    assert len(find(page, "img", class_="made-image")) == 1
    assert not find(page, "a", class_="made-link")
    assert not find(page, "img", class_="made__picture")


async def test_a_file_that_the_text_alone_names_is_found_by_its_name(upstream: Script, put: Put) -> None:
    script = upstream(says("[data](sandbox:/mnt/data/data.csv), [again](sandbox:/mnt/data/data.csv)"))
    listed = {"object": "list", "data": [{"id": "cfile_7", "path": "/mnt/data/data.csv"}], "has_more": False}
    holds(script, "containers/cntr_1/files", listed)
    holds(script, "containers/cntr_1/files/cfile_7/content", CSV)
    response = await answered(put)
    [data] = await files_of(response)
    assert (data.status, data.media_type, data.made_as) == (
        Attachment.Status.READY,
        "text/csv",
        "cntr_1/sandbox:data.csv",
    )
    page = await sync_to_async(reloaded)(response.turn_id)
    assert len(find(page, "a", class_="made-link", href=f"/files/{data.pk}/?download")) == 2
    assert find(page, "details", class_="made__table")[0].attributes["hx-get"] == f"/files/{data.pk}/table/"


async def test_what_no_answer_names_is_found_in_the_container_once(upstream: Script, put: Put) -> None:
    text = "Here are [the plot](sandbox:/mnt/data/plot.png) and [a table](sandbox:/mnt/data/table.csv)."
    script = upstream(says(text, ("cfile_1", "plot.png")), says("Done."))
    files = [
        {"id": "cfile_1", "path": "/mnt/data/plot.png", "source": "assistant"},
        {"id": "cfile_2", "path": "/mnt/data/data.csv", "source": "assistant"},
        {"id": "cfile_3", "path": "/mnt/data/rain.csv", "source": "user"},
        {"id": "cfile_4", "path": "/mnt/data/table.csv", "source": "assistant"},
        {"path": "/mnt/data/x.csv", "source": "assistant"},
    ]
    holds(script, "containers/cntr_1/files", {"object": "list", "data": files})
    for number in (1, 2, 4, 5):
        holds(script, f"containers/cntr_1/files/cfile_{number}/content", CSV)
    response = await answered(put)
    found = {file.name: (file.made_as, file.status) for file in await files_of(response)}
    ready = Attachment.Status.READY
    assert found == {
        "plot.png": ("cntr_1/cfile_1", ready),
        "table.csv": ("cntr_1/sandbox:table.csv", ready),
        "data.csv": ("cntr_1/cfile_2", ready),
    }
    conversation = await sync_to_async(lambda: Turn.objects.select_related("conversation").get().conversation)()
    second = await sync_to_async(put)("And now?", conversation)
    files.append({"id": "cfile_5", "path": "/mnt/data/more.csv", "source": "assistant"})
    run.start(second)
    await run.wait_for(second.turn.pk)
    assert [file.made_as for file in await files_of(second.response)] == ["cntr_1/cfile_5"]


async def test_a_container_that_does_not_answer_holds_up_the_end_for_a_moment_alone(
    upstream: Script, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(client: Client, container: str) -> AsyncIterator[dict[str, Any]]:
        await asyncio.Event().wait()
        yield {}

    monkeypatch.setattr(made, "LIST_SECONDS", 0.01)
    monkeypatch.setattr(Client, "container_files", silent)
    upstream(says("Done."))
    response = await answered(put)
    assert (response.status, await files_of(response)) == (Status.COMPLETED, [])


async def test_what_no_one_knows_and_what_is_broken_is_kept_for_download_alone(
    upstream: Script, put: Put, owner: User
) -> None:
    script = upstream(says("Here.", ("cfile_1", "model.bin"), ("cfile_2", "half.png"), ("cfile_3", "page.html")))
    holds(script, "containers/cntr_1/files/cfile_1/content", bytes(range(256)))
    holds(script, "containers/cntr_1/files/cfile_2/content", png()[:40])
    holds(script, "containers/cntr_1/files/cfile_3/content", b"<script>alert(1)</script>")
    response = await answered(put)
    files = await files_of(response)
    assert {file.name: file.media_type for file in files} == {
        "model.bin": "application/octet-stream",
        "half.png": "application/octet-stream",
        "page.html": "text/html",
    }
    for file in files:
        reply, _ = await get(owner, f"/files/{file.pk}/")
        assert reply.headers["Content-Disposition"].startswith("attachment")
        assert reply.headers["Content-Type"] == "application/octet-stream"


@pytest_asyncio.fixture
async def default_install(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The deployment of a start without any setting, its engine in a hurry."""
    await sync_to_async(engines.sync_environment)({})
    engine = create_app(pace_seconds=0.0)
    monkeypatch.setattr(engines, "OfflineTransport", lambda: OfflineTransport(engine))
    yield
    await engines.close()
    await engine.aclose()


@pytest.mark.parametrize(
    ("question", "made_of_it"),
    [
        ("Chart this table", {"summary.csv": "text/csv", "chart.png": "image/png"}),
        ("Make a bar chart of 3, 5, 9", {"data.csv": "text/csv", "chart.png": "image/png"}),
        ("Draw a picture of a lighthouse", {"image.png": "image/png"}),
    ],
)
async def test_the_default_install_makes_charts_and_pictures(
    default_install: None, owner: User, question: str, made_of_it: dict[str, str]
) -> None:
    files = []
    if "table" in question:  # goes up once, into the container
        csv = b"month,mm\nMay,3\nJune,5\n"
        table = await sync_to_async(make_attachment)(owner, "rain.csv", csv, media_type="text/csv", pages=None)
        files.append(table.pk)
    asked = await sync_to_async(ask)(owner, None, Question(question, uuid.uuid4(), files))
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    response = await Response.objects.aget(pk=asked.response.pk)
    assert (response.status, response.error) == (Status.COMPLETED, None)
    found = await files_of(response)
    assert {file.name: file.media_type for file in found} == made_of_it
    assert {file.status for file in found} == {Attachment.Status.READY}
    page = await sync_to_async(reloaded)(response.turn_id)
    assert len([e for e in page.walk() if e.tag == "img" and "data-lightbox" in e.attributes]) == 1


async def test_a_file_that_a_later_answer_names_again_is_found_where_it_was_made(
    upstream: Script, put: Put, deployment: Deployment
) -> None:
    again = Reply(events=text_events(["Again: [it](sandbox:/mnt/data/d.csv)"], response_id="resp_2"))
    script = upstream(says("[d](sandbox:/mnt/data/d.csv)", ("cfile_1", "d.csv")), again)
    holds(script, "containers/cntr_1/files/cfile_1/content", CSV)
    first = await answered(put)
    conversation = await sync_to_async(lambda: Turn.objects.select_related("conversation").get().conversation)()
    asked = await sync_to_async(put)("And again?", conversation)
    run.start(asked)
    await run.wait_for(asked.turn.pk)
    [made_then], [named_now] = await files_of(first), await files_of(asked.response)
    assert (named_now.status, named_now.sha256) == (Attachment.Status.READY, made_then.sha256)
    assert named_now.file.name != made_then.file.name


# Gone


@pytest.mark.parametrize("status", [404, 400])
async def test_what_the_container_took_with_it_is_said_to_be_gone(upstream: Script, put: Put, status: int) -> None:
    script = upstream(says("[The *report*](sandbox:/mnt/data/report.csv).", ("cfile_1", "report.csv")))
    holds(script, "containers/cntr_1/files/cfile_1/content", status)
    response = await answered(put)
    [report] = await files_of(response)
    assert report.status == Attachment.Status.REFUSED
    assert report.refusal == "“report.csv” is gone: the provider does not have it any more."
    page = await sync_to_async(reloaded)(response.turn_id)
    assert not find(page, "a", class_="made-link")
    assert "The report (this file is gone)." in page.text()
    assert report.refusal in page.text()
    # The note that it is gone stays where the answer says so.
    await Attachment.objects.aupdate(created_at=timezone.now() - timedelta(days=3))
    assert await sync_to_async(intake.sweep)(timedelta(days=1)) == 0


async def test_a_name_that_leads_nowhere_is_said_to_be_gone(upstream: Script, put: Put) -> None:
    upstream(Reply(events=text_events(["[report](sandbox:/mnt/data/report.csv)"])))
    response = await answered(put)
    assert [file.status for file in await files_of(response)] == [Attachment.Status.REFUSED]


async def test_a_file_that_is_larger_than_any_here_is_refused(upstream: Script, put: Put, settings: Any) -> None:
    settings.FILE_MAX_BYTES = 50
    script = upstream(says("Here.", ("cfile_1", "large.bin")))
    holds(script, "containers/cntr_1/files/cfile_1/content", b"x" * 51)
    [large] = await files_of(await answered(put))
    assert large.refusal == "“large.bin”: This file is larger than this site takes from a provider."


# After a restart


async def left_behind(script: Upstream, put: Put, minutes: float) -> Attachment:
    """A file that was noted by a process that died, so many minutes after the answer was over."""
    unreachable = holds(script, "containers/cntr_1/files/cfile_1/content", 401)
    response = await answered(put)
    [file] = await files_of(response)
    assert file.status == Attachment.Status.CHECKING
    assert unreachable
    then = timezone.now() - timedelta(minutes=minutes)
    await Attachment.objects.aupdate(created_at=then)
    await Response.objects.aupdate(finished_at=then)
    return file


async def test_what_another_process_left_is_fetched(upstream: Script, put: Put) -> None:
    script = upstream(says("[plot](sandbox:/mnt/data/plot.png)", ("cfile_1", "plot.png")))
    file = await left_behind(script, put, minutes=2)
    holds(script, "containers/cntr_1/files/cfile_1/content", png())
    assert await made.collect_left() == 1
    await file.arefresh_from_db()
    assert file.status == Attachment.Status.READY
    assert await made.collect_left() == 0


async def test_what_an_answer_had_made_when_its_process_died_is_fetched(upstream: Script, put: Put) -> None:
    script = upstream()
    asked = await sync_to_async(put)()
    part = {"type": "output_text", "text": "[plot](sandbox:/mnt/data/plot.png) shows", "annotations": []}
    call = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "status": "completed"}
    output = [call, {"type": "message", "role": "assistant", "content": [part]}]
    asked.response.output = output
    await asked.response.asave()
    assert await sync_to_async(sweep.close)(asked.response, Status.INTERRUPTED)
    listed = {"object": "list", "data": [{"id": "cfile_7", "path": "/mnt/data/plot.png"}], "has_more": False}
    holds(script, "containers/cntr_1/files", listed)
    holds(script, "containers/cntr_1/files/cfile_7/content", png())
    assert await made.collect_left() == 1
    assert [file.status for file in await files_of(asked.response)] == [Attachment.Status.READY]


async def test_what_is_being_fetched_by_another_process_is_left_to_it(upstream: Script, put: Put) -> None:
    script = upstream(says("[plot](sandbox:/mnt/data/plot.png)", ("cfile_1", "plot.png")))
    await left_behind(script, put, minutes=0.5)
    assert await made.collect_left() == 0


async def test_what_could_not_be_fetched_while_its_container_lived_is_gone(upstream: Script, put: Put) -> None:
    script = upstream(says("[plot](sandbox:/mnt/data/plot.png)", ("cfile_1", "plot.png")))
    file = await left_behind(script, put, minutes=45)
    assert await made.collect_left() == 1
    await file.arefresh_from_db()
    assert file.refusal == "“plot.png” is gone: it could not be fetched in time."


async def test_a_picture_that_came_to_a_process_that_died_is_asked_for_again(upstream: Script, put: Put) -> None:
    recording = BY_NAME["openai_image"]
    script = upstream(Replay(events=[], data=recording.bytes))
    response = await answered(put)
    [picture] = await files_of(response)
    item = {"id": picture.made_as, "type": "image_generation_call", "status": "completed"}
    whole = {"id": response.response_id, "status": "completed", "output": [{**item, "result": encoded(png())}]}
    holds(script, f"responses/{response.response_id}", whole)
    stale = timezone.now() - timedelta(minutes=2)
    await Attachment.objects.aupdate(status=Attachment.Status.CHECKING, created_at=stale)
    assert await made.collect_left() == 1
    await picture.arefresh_from_db()
    assert (picture.status, picture.width) == (Attachment.Status.READY, 40)


# Generated pictures


def encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()


@pytest.mark.parametrize("name", ["azure_image", "openai_image", "openai_image_partials"])
async def test_a_generated_picture_is_kept_as_a_file_and_not_in_the_row(
    name: str, upstream: Script, put: Put, owner: User
) -> None:
    recording = BY_NAME[name]
    upstream(Replay(events=[], data=recording.bytes), dialect=recording.dialect)
    response = await answered(put)
    [picture] = await files_of(response)
    assert (picture.status, picture.media_type, picture.name) == (Attachment.Status.READY, "image/png", "image.png")
    [item] = [item for item in response.output if item["type"] == "image_generation_call"]
    assert item["result"] == f"made:{picture.made_as}" == f"made:{item['id']}"
    assert b"iVBOR" not in str(response.output).encode()
    page = await sync_to_async(reloaded)(response.turn_id)
    [shown] = find(page, "img", class_="made-image")
    assert shown.attributes["src"] == f"/files/{picture.pk}/"
    assert 'class="problem"' not in page.html()
    assert not find(page, "img", class_="made__picture")


async def test_a_conversation_with_a_picture_goes_on_where_nothing_is_kept(
    upstream: Script, put: Put, deployment: Deployment
) -> None:
    upstream(Replay(events=[], data=BY_NAME["openai_image_partials"].bytes))
    response = await answered(put)
    conversation = await sync_to_async(lambda: Turn.objects.select_related("conversation").get().conversation)()
    asked = await sync_to_async(put)("And now?", conversation)
    for dialect, previous in (("openai", response.response_id), ("ofox", "")):
        plan = await sync_to_async(history.plan)(asked.turn, deployment.provider, DIALECTS[dialect])
        assert plan.previous_response_id == previous
        assert "made:" not in str(plan.items)
    assert [item["role"] for item in plan.items] == ["user", "assistant", "user"]


def image_item(**fields: Any) -> dict[str, Any]:
    return {"id": "ig_1", "type": "image_generation_call", "status": "completed", **fields}


def test_the_bytes_of_a_picture_are_taken_out_of_all_that_is_told_of_it() -> None:
    pictures = made.Pictures()
    data = encoded(png())
    done = {"type": "response.output_item.done", "output_index": 0, "item": image_item(result=data)}
    last = {"type": "response.completed", "response": {"id": "r", "output": [image_item(result=data)]}}
    for event in (done, last):
        lighter = pictures.taken_out(parse_event(event))
        assert data not in repr(lighter) + str(lighter.raw)
        assert "made:ig_1" in str(lighter.raw)
    path = pictures.path_of("ig_1")
    assert path is not None
    assert path.read_bytes() == png()
    forgetful = {"type": "response.completed", "response": {"id": "r", "output": [image_item(result=None)]}}
    lighter = pictures.taken_out(parse_event(forgetful))
    assert isinstance(lighter, Terminal)
    assert lighter.response["output"][0]["result"] == "made:ig_1"
    pictures.close()
    assert not path.exists()


def test_a_last_preview_stands_for_a_picture_that_does_not_come() -> None:
    pictures = made.Pictures()
    preview = {"type": "response.image_generation_call.partial_image", "item_id": "ig_1", "output_index": 0}
    for colour in (b"first", b"second"):
        pictures.taken_out(parse_event({**preview, "partial_image_b64": encoded(colour)}))
    done = {"type": "response.output_item.done", "output_index": 0, "item": image_item(result=None)}
    assert pictures.taken_out(parse_event(done)).raw["item"]["result"] == "made:ig_1"
    path = pictures.path_of("ig_1")
    assert path is not None
    assert path.read_bytes() == b"second"


@pytest.mark.parametrize("result", ["no base64!", "abc"])
async def test_a_picture_that_cannot_be_read_is_said_to_be_gone(result: str, upstream: Script, put: Put) -> None:
    whole = {**completed("resp_1", "x"), "output": [image_item(result=result)]}
    script = upstream(Reply(events=[{"type": "response.completed", "response": whole, "sequence_number": 0}]))
    holds(script, "responses/resp_1", whole)
    response = await answered(put)
    assert [file.status for file in await files_of(response)] == [Attachment.Status.REFUSED]
    page = await sync_to_async(reloaded)(response.turn_id)
    assert "Generated image (this file is gone)" in page.text()


async def test_a_picture_that_was_being_made_when_the_answer_broke_off_is_not_made_any_more(
    upstream: Script, put: Put
) -> None:
    item = image_item(status="generating", result=None)
    added = {"type": "response.output_item.added", "output_index": 0, "item": item, "sequence_number": 0}
    upstream(Reply(events=[added]))
    response = await answered(put)
    assert response.status == Status.INTERRUPTED
    assert "Making" not in (await sync_to_async(reloaded)(response.turn_id)).text()


async def test_a_preview_is_shown_small_while_the_picture_is_made_and_never_stored(upstream: Script, put: Put) -> None:
    pictures = [png((1600, 1200)), png((1000, 1000)), png((1024, 1024))]
    item = image_item(status="generating", result=None)
    partial = {"type": "response.image_generation_call.partial_image", "item_id": "ig_1", "output_index": 0}
    whole = {**completed("resp_1", "x"), "output": [image_item(result=encoded(pictures[2]))]}
    events = [
        {"type": "response.output_item.added", "output_index": 0, "item": item},
        *({**partial, "partial_image_b64": broken} for broken in ("no base64!", encoded(b"no picture"))),
        {**partial, "item_id": "ig_9", "partial_image_b64": encoded(pictures[0])},
        *({**partial, "partial_image_b64": encoded(picture)} for picture in pictures[:2]),
        {"type": "response.completed", "response": whole},
    ]
    seen = asyncio.Event()
    upstream(Reply(events=[{**event, "sequence_number": n} for n, event in enumerate(events)], gates={6: seen}))
    asked = await sync_to_async(put)()
    run.start(asked)
    watching = Watching(asked.turn)
    watching.tab.watch(hub.turns[asked.turn.pk])
    await watching.until("Making an image", 'class="made-preview"')
    [shown] = find(parse(watching.answer), "img", class_="made-preview")
    head, _, data = (shown.attributes["src"] or "").partition(",")
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (head, image.format) == ("data:image/webp;base64", "WEBP")
        assert max(image.size) <= 640
    row = await Response.objects.aget(pk=asked.response.pk)
    assert "base64" not in str(row.output)
    seen.set()
    await watching.until("data-status")
    assert "made-preview" not in watching.answer
    await run.wait_for(asked.turn.pk)
    watching.task.cancel()
    assert [file.status for file in await files_of(row)] == [Attachment.Status.READY]


# The page that watches


async def test_a_page_that_watched_ends_as_a_reload_while_files_are_fetched_and_when_they_are_there(
    upstream: Script, put: Put, owner: User
) -> None:
    text = "See [plot](sandbox:/mnt/data/plot.png).\n\n![p](sandbox:/mnt/data/plot.png)\n\nThat is all."
    script = upstream(says(text, ("cfile_1", "plot.png")))
    holds(script, "containers/cntr_1/files/cfile_1/content", 401)
    asked = await sync_to_async(put)()
    turn_pk = asked.turn.pk
    page = Page(str(await sync_to_async(lambda: render_turn(turn_view(Turn.objects.with_answers().get(pk=turn_pk))))()))
    frames: list[str] = []

    async def send(frame: str) -> None:
        frames.append(frame)

    run.start(asked)
    tab = Tab(send, 0.0)
    tab.watch(hub.turns[turn_pk])
    await run.wait_for(turn_pk)
    page.receive(tab._frame())
    waiting = page.part(f"t{turn_pk}")
    assert "Fetching plot.png…" in waiting
    assert as_reloaded(waiting) == as_reloaded((await sync_to_async(reloaded)(turn_pk)).elements()[0].html())

    poll = find(parse(waiting), "ul", class_="made")[0].attributes["hx-get"] or ""
    assert (await get(owner, poll))[0].status_code == 204
    holds(script, "containers/cntr_1/files/cfile_1/content", png())
    await Attachment.objects.aupdate(created_at=timezone.now() - timedelta(minutes=2))
    await made.collect_left()
    news = (await get(owner, poll))[1].decode()
    page.receive(news.replace("<footer", '<footer hx-swap-oob="true"', 1))
    assert not page.missed
    there = page.part(f"t{turn_pk}")
    assert "Fetching" not in there
    assert len(find(parse(there), "img", class_="made-image")) == 1
    assert as_reloaded(there) == as_reloaded((await sync_to_async(reloaded)(turn_pk)).elements()[0].html())


def as_reloaded(html: str) -> str:
    """But for what tells that it is news, and for the space between elements."""
    return " ".join(html.replace('role="alert"', 'role="note"').split()).replace("> <", "><")


async def test_a_stranger_learns_nothing_of_what_was_made(upstream: Script, put: Put) -> None:
    script = upstream(says("[d](sandbox:/mnt/data/d.csv)", ("cfile_1", "d.csv")))
    holds(script, "containers/cntr_1/files/cfile_1/content", CSV)
    response = await answered(put)
    [file] = await files_of(response)
    charlie = await User.objects.acreate(username="charlie")
    for url in (f"/files/{file.pk}/", f"/files/{file.pk}/table/", f"/turns/{response.turn_id}/made/"):
        assert (await get(charlie, url))[0].status_code == 404


async def test_a_table_is_shown_escaped_with_the_count_of_its_rows(upstream: Script, put: Put, owner: User) -> None:
    script = upstream(says("[d](sandbox:/mnt/data/d.csv)", ("cfile_1", "d.csv")))
    holds(script, "containers/cntr_1/files/cfile_1/content", CSV)
    [file] = await files_of(await answered(put))
    table = parse((await get(owner, f"/files/{file.pk}/table/"))[1].decode())
    assert "2 rows" in table.text()
    assert [cell.text() for cell in table.walk() if cell.tag in ("th", "td")] == [
        "name",
        "value",
        "<b>one</b>",
        "3",
        "two",
        "5",
    ]
