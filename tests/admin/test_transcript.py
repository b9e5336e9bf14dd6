"""The transcript of a conversation, its files, and the trace that a look leaves."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from chat.admin.transcript import TURNS_PER_PAGE, error_text, reading_order, usage_rows
from chat.models import Attachment, Conversation, Response, ReviewEvent, Status, Turn, User
from chat.rendering.answer import response_html
from tests.admin.conftest import Asked, attached, output
from tests.rows import make_attachment


def address(conversation: Conversation, query: str = "") -> str:
    return reverse("admin:chat_conversation_change", args=[conversation.pk]) + query


def transcript(client: Client, conversation: Conversation, query: str = "") -> str:
    page = client.get(address(conversation, query))
    assert page.status_code == 200
    return page.content.decode()


def order_of(page: str) -> list[int]:
    return [int(pk) for pk in re.findall(r'id="turn-(\d+)"', page)]


# What is shown


def test_a_reviewer_reads_questions_and_answers_in_order(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    first = ask(conversation, "Why <tides>?", "The **moon** pulls.")
    second = ask(conversation, "And here?", "Less at the harbour.")
    page = transcript(rita_client, conversation)
    assert order_of(page) == [first.pk, second.pk]
    assert "Why &lt;tides&gt;?" in page
    for response in Response.objects.all():
        assert response_html(response) in page


def test_a_response_shows_its_record(rita_client: Client, conversation: Conversation, ask: Asked) -> None:
    ask(conversation, "One", "1", response_id="resp_first")
    ask(
        conversation,
        "Two",
        "2",
        response_id="resp_second",
        previous_response_id="resp_first",
        provider_name="House",
        model="large-2026",
        request_id="req-9",
        status=Status.FAILED,
        error={"code": "rate_limit", "message": "Too many questions <b>at once</b>."},
        usage={"input_tokens": 1200, "output_tokens_details": {"reasoning_tokens": 64}, "novel_tokens": 3},
        input_tokens=1200,
        output_tokens=70,
        finished_at=timezone.now(),
    )
    page = transcript(rita_client, conversation)
    for text in ("resp_second", "House", "large-2026", "req-9", "1,200 in, 70 out", "Output tokens details: reasoning"):
        assert text in page
    assert "rate_limit: Too many questions &lt;b&gt;at once&lt;/b&gt;." in page
    assert "Novel tokens" in page
    first = Response.objects.get(response_id="resp_first")
    assert f'<a href="?page=1#response-{first.pk}"><code>resp_first</code></a>' in page


def test_costs_stand_at_the_response_the_turn_and_the_conversation(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    turn = ask(conversation, "One", "1", input_tokens=1200, output_tokens=70, cost=Decimal("0.0042125"))
    page = transcript(rita_client, conversation)
    assert "1,200 in, 70 out, under $0.01" in page
    assert "<dt>Cost</dt><dd>$0.0042125</dd>" in page
    assert "<dt>Cost</dt><dd>under $0.01</dd>" in page, "of all"
    Response.objects.create(turn=turn, order=1, status=Status.COMPLETED, input_tokens=9, cost=Decimal("0.1"))
    ask(conversation, "Two", "2", input_tokens=1)
    page = transcript(rita_client, conversation)
    assert "<span>$0.10</span>" in page, "of the turn"
    assert "<dt>Cost</dt><dd>at least $0.10</dd>" in page, "of all"


def test_without_prices_a_transcript_says_nothing_of_cost(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    ask(conversation, "One", "1", input_tokens=1200, output_tokens=70)
    page = transcript(rita_client, conversation)
    assert "1,200 in, 70 out" in page
    assert "<dt>Cost</dt>" not in page
    assert "$" not in page.partition('class="transcript"')[2]


def test_reasoning_is_read_and_what_is_encrypted_is_only_named(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    cipher = "gAAAAABo" + "c1pher" * 40
    summary = [{"type": "summary_text", "text": "First the **moon**."}]
    reasoned = [
        {"type": "reasoning", "id": "rs_open", "summary": summary, "encrypted_content": cipher},
        {"type": "function_call", "id": "fc_1", "name": "tide_table", "arguments": "{}"},
        *output("High at noon."),
    ]
    turn = ask(conversation, "When?", "High at noon.")
    turn.responses.update(output=reasoned)
    page = transcript(rita_client, conversation)
    assert "First the <strong>moon</strong>." in page
    assert "reasoning <code>rs_open</code> summary, [encrypted]" in page
    assert "function call <code>fc_1</code> tide_table" in page
    assert cipher not in page
    assert "transcript__sealed" not in page

    turn.responses.update(output=[{"type": "reasoning", "id": "rs_shut", "summary": [], "encrypted_content": cipher}])
    page = transcript(rita_client, conversation)
    assert "The provider showed nothing of it." in page
    assert cipher not in page


def test_the_answer_of_a_model_cannot_act(rita_client: Client, conversation: Conversation, ask: Asked) -> None:
    hostile = '<script>alert(1)</script>\n\n![x](https://evil.example/leak.png)\n\n<img src=x onerror="alert(2)">'
    ask(conversation, '<script>alert(3)</script> " onclick="x', hostile, model="<i>m</i>", response_id='"><b>')
    Conversation.objects.update(title="</title><script>alert(4)</script>", instructions="<script>alert(5)</script>")
    page = transcript(rita_client, conversation)
    body = page[page.index('<div class="transcript">') :]
    assert "<script" not in body.replace("<script src=", "")
    assert "<script>alert" not in page
    assert not re.search(r"<img[^>]+(evil|onerror)", page)
    assert "<i>m</i>" not in page
    assert '"><b>' not in page


def test_the_page_has_no_inline_script_style_or_handler(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    ask(conversation, "One", "```python\nprint(1)\n```\n\n$x^2$")
    page = transcript(rita_client, conversation)
    assert not re.search(r"<style|\sstyle=|\son\w+=|javascript:", page)
    assert not re.search(r"<script(?![^>]*\bsrc=)", page)


def test_a_deleted_conversation_is_read_and_marked(rita_client: Client, conversation: Conversation, ask: Asked) -> None:
    ask(conversation, "One", "1")
    assert "Deleted by its owner" not in transcript(rita_client, conversation)
    Conversation.objects.update(deleted_at=timezone.now())
    page = transcript(rita_client, conversation)
    assert "Deleted by its owner" in page
    assert "One" in page


def test_an_empty_conversation_says_so(rita_client: Client, conversation: Conversation) -> None:
    assert "Nothing was asked" in transcript(rita_client, conversation)


def test_the_sentence_under_a_broken_answer_is_the_one_that_the_person_saw(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    ask(conversation, "One", "1", status=Status.INTERRUPTED)
    assert "The answer was interrupted. What had arrived is kept." in transcript(rita_client, conversation)


# Versions


def test_what_the_check_of_a_summary_found_is_seen_as_the_person_saw_it(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    turn = ask(conversation, "Summarize", "Weavers left (p. 3).")
    Response.objects.filter(turn=turn).update(citations={"compared": 2, "not_found": [0]})
    page = transcript(rita_client, conversation)
    assert "1 of 2 cited statements was not found on its page." in page
    assert "not found on this page</span>" in page


def test_versions_that_were_left_are_folded_beside_the_one_that_was_kept(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    first = ask(conversation, "First")
    left = ask(conversation, "Second, as it was")
    after = ask(conversation, "What followed it")
    kept = ask(conversation, "Second, edited", parent=first)
    last = ask(conversation, "Last")
    page = transcript(rita_client, conversation)
    assert order_of(page) == [first.pk, kept.pk, left.pk, after.pk, last.pk]
    folded = page[page.index('<details class="transcript__versions"') : page.index(f'id="turn-{last.pk}"')]
    assert order_of(folded) == [left.pk, after.pk]
    assert "2 turns in other versions" in page
    assert page.count("Version 1 of 2") == page.count("Version 2 of 2") == 1


def test_a_link_to_a_turn_in_a_left_version_unfolds_it(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    first = ask(conversation, "First")
    left = ask(conversation, "Left")
    ask(conversation, "Kept", parent=first)
    assert '<details class="transcript__versions" >' in transcript(rita_client, conversation)
    assert '<details class="transcript__versions" open>' in transcript(rita_client, conversation, f"?turn={left.pk}")


def test_reading_order_of_a_deep_tree() -> None:
    depth = 5_000
    edges = [(number, number - 1 or None) for number in range(1, depth + 1)]
    places = reading_order([*edges, (depth + 1, None)], head_id=depth)
    assert [place.turn_id for place in places] == [1, depth + 1, *range(2, depth + 1)]
    assert [place.on_path for place in places[:3]] == [True, False, True]
    assert (places[0].version, places[1].version, places[0].versions) == (1, 2, 2)


@given(st.lists(st.integers(min_value=0, max_value=30), max_size=30), st.integers(min_value=0, max_value=31))
def test_every_turn_stands_once_in_the_order_and_after_its_parent(parents: list[int], head: int) -> None:
    edges = [(number, parent % number or None) for number, parent in enumerate(parents, start=1)]
    places = reading_order(edges, head or None)
    ids = [place.turn_id for place in places]
    assert sorted(ids) == [number for number, _ in edges]
    for number, parent in edges:
        assert parent is None or ids.index(parent) < ids.index(number)
    on_path = [place.turn_id for place in places if place.on_path]
    assert on_path == sorted(on_path)
    if 0 < head <= len(edges):
        assert on_path[-1] == head


# Pages


@pytest.fixture
def long(conversation: Conversation) -> Conversation:
    """A conversation of 120 turns in a row."""
    parent = None
    for number in range(1, 121):
        parent = Turn.objects.create(
            conversation=conversation, parent=parent, question=f"Question {number}.", status=Status.COMPLETED
        )
        Response.objects.create(
            turn=parent,
            response_id=f"resp_{number}",
            previous_response_id=f"resp_{number - 1}" if number > 1 else "",
            output=output(f"Answer {number}."),
            status=Status.COMPLETED,
        )
    conversation.head = parent
    conversation.save()
    return conversation


def test_a_long_conversation_is_paged(rita_client: Client, long: Conversation) -> None:
    pages = [order_of(transcript(rita_client, long, f"?page={number}")) for number in (1, 2, 3)]
    assert [len(page) for page in pages] == [TURNS_PER_PAGE, TURNS_PER_PAGE, 20]
    assert sum(pages, []) == list(long.turns.values_list("pk", flat=True))  # noqa: RUF017
    assert 'href="?page=1" rel="prev"' in transcript(rita_client, long, "?page=2")


@pytest.mark.parametrize(("query", "page"), [("?page=99", 3), ("?page=0", 1), ("?page=x", 1), ("?turn=²", 1)])
def test_a_page_that_is_not_there_gives_one_that_is(
    rita_client: Client, long: Conversation, query: str, page: int
) -> None:
    assert f"Page {page} of 3" in transcript(rita_client, long, query)


def test_a_response_id_opens_the_page_on_which_it_stands(rita_client: Client, long: Conversation) -> None:
    page = transcript(rita_client, long, "?response=resp_60")
    assert "Page 2 of 3" in page
    assert "Question 60." in page


def test_the_link_to_the_previous_response_leads_to_its_page(rita_client: Client, long: Conversation) -> None:
    fiftieth = Response.objects.get(response_id="resp_50")
    page = transcript(rita_client, long, "?page=2")
    assert f'href="?page=1#response-{fiftieth.pk}"' in page


def test_a_page_of_fifty_turns_costs_as_many_queries_as_one_of_one(
    rita_client: Client, conversation: Conversation, ask: Asked
) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as captured:
            transcript(rita_client, conversation)
        return len(captured)

    turn = ask(conversation, "One", "1", response_id="r1")
    attached(turn, "a.png", b"png", "image/png")
    ask(conversation, "Two", "2", response_id="r2", previous_response_id="r1")
    few = cost()
    for number in range(45):
        turn = ask(conversation, "More", "more", response_id=f"more{number}", previous_response_id="r2")
        attached(turn, f"{number}.png", b"png", "image/png")
    assert cost() == few
    assert few <= 16


# Who may see it, and what it leaves behind


def test_each_look_is_logged_once(rita: User, rita_client: Client, conversation: Conversation, ask: Asked) -> None:
    ask(conversation, "One", "1")
    transcript(rita_client, conversation)
    event = ReviewEvent.objects.get()
    assert (event.reviewer, event.action, event.conversation_id) == (rita, "looked", conversation.pk)
    assert event.owner_name == "alice"
    transcript(rita_client, conversation)
    assert ReviewEvent.objects.count() == 2


def test_a_look_at_a_later_page_says_which(rita_client: Client, long: Conversation) -> None:
    transcript(rita_client, long, "?page=2")
    assert ReviewEvent.objects.get().detail == "page 2 of 3"


def test_what_cannot_be_logged_is_not_shown(
    rita_client: Client, conversation: Conversation, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**fields: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(ReviewEvent.objects, "create", refuse)
    with pytest.raises(OSError, match="disk full"):
        rita_client.get(address(conversation))


def test_a_refused_look_is_not_logged(alice_client: Client, sam_client: Client, conversation: Conversation) -> None:
    assert sam_client.get(address(conversation)).status_code == 403
    assert alice_client.get(address(conversation), follow=True).status_code == 403
    assert not ReviewEvent.objects.exists()


@pytest.mark.parametrize("where", ["not-an-id", "00000000-0000-4000-8000-000000000000"])
def test_an_unknown_conversation_is_not_found(rita_client: Client, where: str) -> None:
    assert rita_client.get(reverse("admin:chat_conversation_change", args=[where])).status_code == 404


def test_the_trace_is_listed_and_cannot_be_changed(
    admin_client: Client, rita_client: Client, conversation: Conversation
) -> None:
    transcript(rita_client, conversation)
    event = ReviewEvent.objects.get()
    listed = rita_client.get(reverse("admin:chat_reviewevent_changelist"), {"q": str(conversation.pk)})
    assert listed.context["cl"].result_count == 1
    assert address(conversation) in listed.content.decode()
    where = reverse("admin:chat_reviewevent_change", args=[event.pk])
    assert rita_client.get(where).status_code == 200
    assert admin_client.post(where, {"detail": "nothing"}).status_code == 403
    assert admin_client.post(reverse("admin:chat_reviewevent_add"), {}).status_code == 403
    remove = reverse("admin:chat_reviewevent_delete", args=[event.pk])
    assert admin_client.post(remove, {"post": "yes"}).status_code == 403
    assert ReviewEvent.objects.filter(pk=event.pk, detail="").exists()


# Files


def content_of(response: Any) -> bytes:
    async def collect() -> bytes:
        return b"".join([part async for part in response])

    return async_to_sync(collect)()


def file_of(attachment: Attachment, conversation: Conversation, kind: str = "file") -> str:
    return reverse(f"admin:chat_conversation_{kind}", args=[conversation.pk, attachment.pk])


@pytest.fixture
def pdf(conversation: Conversation, ask: Asked) -> Attachment:
    return attached(ask(conversation, "Read", "Done."), "tide tables.pdf", b"%PDF-1.7 tides", "application/pdf")


@pytest.fixture
def chart(conversation: Conversation, ask: Asked) -> Attachment:
    turn = ask(conversation, "Draw", "![The tides](sandbox:/mnt/data/tides.png)")
    response = turn.responses.get()
    return make_attachment(
        conversation.owner,
        "tides.png",
        b"picture",
        media_type="image/png",
        pages=None,
        made_by=response,
        made_as="cntr_1/cfile_1",
    )


def test_what_the_model_made_is_seen_by_those_who_may_open_files(
    rita_client: Client, conversation: Conversation, chart: Attachment
) -> None:
    page = transcript(rita_client, conversation)
    assert f'<img class="made-image" src="{file_of(chart, conversation, "thumbnail")}" alt="The tides"' in page
    assert page.count(f'href="{file_of(chart, conversation)}"') == 2
    assert content_of(rita_client.get(file_of(chart, conversation))) == b"picture"
    assert ReviewEvent.objects.filter(action=ReviewEvent.Action.OPENED_FILE).count() == 1


def test_what_the_model_made_is_only_named_for_others(
    rita: User, rita_client: Client, conversation: Conversation, chart: Attachment
) -> None:
    rita.user_permissions.remove(Permission.objects.get(codename="view_attachment"))
    page = transcript(rita_client, conversation)
    assert "The tides" in page
    assert "tides.png" in page
    assert str(chart.pk) not in page
    assert rita_client.get(file_of(chart, conversation)).status_code == 403


def test_a_pdf_opens_in_the_browser_and_the_trace_names_it(
    rita_client: Client, conversation: Conversation, pdf: Attachment
) -> None:
    assert file_of(pdf, conversation) in transcript(rita_client, conversation)
    response = rita_client.get(file_of(pdf, conversation))
    assert content_of(response) == b"%PDF-1.7 tides"
    assert response.headers["Content-Type"] == "application/pdf"
    assert response.headers["Content-Disposition"].startswith("inline")
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Cache-Control"] == "private, no-store"
    event = ReviewEvent.objects.get(action=ReviewEvent.Action.OPENED_FILE)
    assert event.detail == "tide tables.pdf"


@pytest.mark.parametrize("media_type", ["text/html", "image/svg+xml", "text/plain", ""])
def test_anything_else_is_saved_and_not_shown(
    rita_client: Client, conversation: Conversation, ask: Asked, media_type: str
) -> None:
    attachment = attached(ask(conversation, "Read", "Done."), "page.html", b"<script>", media_type)
    response = rita_client.get(file_of(attachment, conversation))
    assert content_of(response) == b"<script>"
    assert response.headers["Content-Disposition"].startswith("attachment")
    assert response.headers["Content-Type"] == "application/octet-stream"
    assert response.headers["X-Content-Type-Options"] == "nosniff"


def test_a_thumbnail_is_part_of_the_look(rita_client: Client, conversation: Conversation, pdf: Attachment) -> None:
    response = rita_client.get(file_of(pdf, conversation, "thumbnail"))
    assert content_of(response) == b"RIFF thumbnail WEBP"
    assert response.headers["Content-Type"] == "image/webp"
    assert response.headers["Cache-Control"].startswith("private")
    assert not ReviewEvent.objects.exists()


@pytest.mark.parametrize("kind", ["file", "thumbnail"])
def test_a_file_is_kept_from_those_who_may_not_review(
    client: Client,
    alice_client: Client,
    sam_client: Client,
    olga_client: Client,
    conversation: Conversation,
    pdf: Attachment,
    kind: str,
) -> None:
    where = file_of(pdf, conversation, kind)
    assert client.get(where).status_code == 302
    assert alice_client.get(where, follow=True).status_code == 403
    assert sam_client.get(where).status_code == 403
    assert olga_client.get(where).status_code == 403
    assert not ReviewEvent.objects.exists()


def test_without_the_right_to_files_their_names_are_shown_and_nothing_more(
    rita: User, rita_client: Client, conversation: Conversation, pdf: Attachment
) -> None:
    rita.user_permissions.remove(*rita.user_permissions.filter(codename="view_attachment"))
    page = transcript(rita_client, conversation)
    assert "tide tables.pdf" in page
    assert file_of(pdf, conversation) not in page
    assert rita_client.get(file_of(pdf, conversation)).status_code == 403
    assert rita_client.get(file_of(pdf, conversation, "thumbnail")).status_code == 403


def test_a_file_of_another_conversation_is_not_found(
    rita_client: Client, conversation: Conversation, pdf: Attachment, bob: User
) -> None:
    other = Conversation.objects.create(owner=bob)
    unsent = Attachment.objects.create(owner=conversation.owner, name="draft.pdf", status=Attachment.Status.READY)
    assert rita_client.get(file_of(pdf, other)).status_code == 404
    assert rita_client.get(file_of(unsent, conversation)).status_code == 404


def test_a_file_that_the_storage_has_lost_is_not_found_and_not_logged(
    rita_client: Client, conversation: Conversation, pdf: Attachment
) -> None:
    pdf.file.storage.delete(pdf.file.name)
    assert rita_client.get(file_of(pdf, conversation)).status_code == 404
    assert not ReviewEvent.objects.exists()


def test_files_are_only_read(rita_client: Client, conversation: Conversation, pdf: Attachment) -> None:
    assert rita_client.post(file_of(pdf, conversation)).status_code == 405
    assert rita_client.delete(file_of(pdf, conversation)).status_code == 405


# Words for what the wire sent


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (None, ""),
        ({}, ""),
        ({"code": "a", "message": "b"}, "a: b"),
        ({"message": "b"}, "b"),
        ({"code": None, "type": "odd"}, "{'code': None, 'type': 'odd'}"),
        ("odd", "odd"),
        (["odd"], "['odd']"),
        ({"code": "a", "message": "b", "details": {"param": "top_p"}}, "a: b [param: top_p]"),
        (
            {
                "message": "b",
                "details": {
                    "content_filters": [
                        {
                            "source_type": "completion",
                            "content_filter_results": {
                                "violence": {"filtered": True, "severity": "medium"},
                                "jailbreak": {"detected": False},
                            },
                        }
                    ]
                },
            },
            "b [filter, answer: violence medium and filtered, jailbreak no]",
        ),
        ({"message": "b", "details": {"content_filters": [{"source_type": "prompt"}]}}, "b [filter, question: ]"),
        ({"message": "b", "details": "odd"}, "b"),
    ],
)
def test_errors_of_any_shape_have_words(error: Any, text: str) -> None:
    assert error_text(error) == text


def test_usage_of_any_shape_gives_its_numbers() -> None:
    usage = {
        "input_tokens": 1,
        "deep": {"cached_tokens": 2, "deeper": {"x": 3}},
        "flag": True,
        "text": "9",
        "none": None,
    }
    assert list(usage_rows(usage)) == [("input tokens", 1), ("deep: cached tokens", 2)]
    assert list(usage_rows(None)) == list(usage_rows([1])) == []
