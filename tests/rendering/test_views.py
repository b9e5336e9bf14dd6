"""From rows to what the fragments print; and that printing them queries nothing."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.urls import reverse
from hypothesis import given
from pytest_django import DjangoAssertNumQueries

from chat.models import Attachment, Conversation, Response, Status, Turn, User
from chat.models.conversations import LIVE, TurnAttachment
from chat.rendering.views import (
    STATUS_SENTENCES,
    Usage,
    chip_view,
    file_size,
    foot_view,
    render_foot,
    render_turn,
    turn_view,
    usage_of,
)
from tests.dom import parse
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn
from tests.wild import anything

ENDED = [s for s in Status if s not in LIVE]


@pytest.fixture
def conversation(alice: User) -> Conversation:
    return make_conversation(alice, make_deployment(label="The model"))


def loaded(turn: Turn) -> Turn:
    return Turn.objects.with_answers().get(pk=turn.pk)


class TestTurn:
    def test_it_has_the_question_the_files_and_the_answer(self, alice: User, conversation: Conversation) -> None:
        turn = make_turn(conversation, "Why <b>?\nSo.", "Because *so*.")
        TurnAttachment.objects.create(turn=turn, attachment=(file := make_attachment(alice, content=b"")))
        html = render_turn(turn_view(loaded(turn)))
        assert "Why &lt;b&gt;?\nSo." in html
        assert "<em>so</em>" in html
        assert f'href="{reverse("file", args=[file.pk])}"' in html
        assert "The model said" in html
        assert parse(html).elements()[0].attributes["id"] == f"t{turn.pk}"

    def test_several_responses_stand_one_after_the_other(self, conversation: Conversation) -> None:
        turn = make_turn(conversation, answer="First.")
        second = Response.objects.create(
            turn=turn, order=1, status=Status.COMPLETED, output=turn.responses.get().output
        )
        ids = re.findall(r'class="response" id="r(\d+)"', render_turn(turn_view(loaded(turn))))
        assert ids == [str(turn.responses.get(order=0).pk), str(second.pk)]

    def test_one_whose_model_is_gone_still_has_a_name(self, conversation: Conversation) -> None:
        turn = make_turn(conversation)
        Turn.objects.update(deployment=None)
        assert "The model said" in render_turn(turn_view(loaded(turn)))

    @pytest.mark.parametrize("status", list(Status))
    def test_printing_queries_nothing(
        self, conversation: Conversation, status: Status, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        turn = loaded(make_turn(conversation, status=status))
        with django_assert_num_queries(0):
            parse(render_turn(turn_view(turn)))


class TestFoot:
    @pytest.mark.parametrize("status", LIVE)
    def test_a_running_one_only_says_so(self, conversation: Conversation, status: Status) -> None:
        turn = make_turn(conversation, status=status)
        html = render_foot(foot_view(loaded(turn)))
        assert f'data-live="{turn.pk}"' in html
        assert "data-status" not in html
        assert "<button" not in html

    @pytest.mark.parametrize("status", ENDED)
    def test_an_ended_one_says_how(self, conversation: Conversation, status: Status) -> None:
        turn = make_turn(conversation, status=status)
        html = render_foot(foot_view(loaded(turn)))
        assert f'data-status="{status}"' in html
        assert "data-live" not in html
        assert STATUS_SENTENCES.get(status, "") in html
        assert ("Try again" in html) == (status in STATUS_SENTENCES)

    @pytest.mark.parametrize(
        ("status", "code", "answer", "offers"),
        [
            (Status.INTERRUPTED, "stream_ended", "Half", True),
            (Status.INTERRUPTED, "", "", False),
            (Status.INCOMPLETE, "max_output_tokens", "Half", True),
            (Status.INCOMPLETE, "max_tokens", "Half", True),
            (Status.INCOMPLETE, "content_filter", "Half", False),
            (Status.CANCELLED, "", "Half", False),
            (Status.FAILED, "server_error", "Half", False),
        ],
    )
    def test_what_broke_off_offers_to_go_on(
        self, conversation: Conversation, status: Status, code: str, answer: str, offers: bool
    ) -> None:
        turn = make_turn(conversation, answer=answer, status=status, error={"code": code, "message": "So it is."})
        html = render_foot(foot_view(loaded(turn)))
        url = reverse("go_on", args=[turn.pk, turn.responses.get().pk])
        assert (f'hx-post="{url}"' in html) == offers
        assert "Try again" in html
        assert "<button" not in render_foot(foot_view(loaded(turn), readonly=True)).split("foot__bar")[0]
        make_turn(conversation)
        assert url not in render_foot(foot_view(loaded(turn))), "the conversation has gone on"

    @pytest.mark.parametrize("status", [Status.FAILED, Status.INCOMPLETE])
    def test_the_sentence_of_the_failure_is_shown_and_nothing_else_of_it(
        self, conversation: Conversation, status: Status
    ) -> None:
        error = {"code": "boom", "message": "The <model> is busy."}
        html = render_foot(foot_view(loaded(make_turn(conversation, status=status, error=error))))
        assert "The &lt;model&gt; is busy." in html
        assert "boom" not in html
        assert STATUS_SENTENCES[status] not in html

    @pytest.mark.parametrize("status", [Status.CANCELLED, Status.COMPLETED, Status.INTERRUPTED])
    def test_an_error_left_over_says_nothing_where_it_is_not_the_end(
        self, conversation: Conversation, status: Status
    ) -> None:
        html = render_foot(foot_view(loaded(make_turn(conversation, status=status, error={"message": "Left over."}))))
        assert "Left over." not in html

    @pytest.mark.parametrize("error", [None, {}, {"message": ""}, {"code": "x"}, "words", [1]])
    def test_a_failure_without_a_sentence_has_one_still(self, conversation: Conversation, error: Any) -> None:
        turn = make_turn(conversation, status=Status.FAILED, error=error)
        assert "The answer failed." in render_foot(foot_view(loaded(turn)))

    def test_only_the_last_turn_offers_to_try_again_and_never_to_a_reviewer(self, conversation: Conversation) -> None:
        first = make_turn(conversation, status=Status.FAILED)
        assert "Try again" in render_foot(foot_view(loaded(first)))
        assert "Try again" not in render_foot(foot_view(loaded(first), readonly=True))
        make_turn(conversation)
        assert "Try again" not in render_foot(foot_view(loaded(first)))

    def test_an_empty_answer_says_so_and_can_be_asked_again(self, conversation: Conversation) -> None:
        turn = make_turn(conversation, answer="", output=[])
        html = render_foot(foot_view(loaded(turn)))
        assert "The model gave no answer." in html
        assert "Try again" in html

    def test_nothing_is_said_to_be_kept_where_nothing_had_arrived(self, conversation: Conversation) -> None:
        turn = make_turn(conversation, status=Status.INTERRUPTED, answer="", output=[])
        html = render_foot(foot_view(loaded(turn)))
        assert "before its first word" in html
        assert "kept" not in html

    def test_a_failure_is_announced_once_when_it_happens(self, conversation: Conversation) -> None:
        turn = loaded(make_turn(conversation, status=Status.FAILED))
        assert 'role="alert"' in render_foot(foot_view(turn, is_new=True))
        assert 'role="alert"' not in render_foot(foot_view(turn))

    def test_an_answer_without_text_has_nothing_to_copy(self, conversation: Conversation) -> None:
        assert "data-copy-answer" in render_foot(foot_view(loaded(make_turn(conversation))))
        assert "data-copy-answer" not in render_foot(foot_view(loaded(make_turn(conversation, answer=""))))

    def test_the_model_is_the_one_that_answered(self, conversation: Conversation) -> None:
        assert foot_view(loaded(make_turn(conversation, model="m-1-2026"))).model == "m-1-2026"
        assert foot_view(loaded(make_turn(conversation))).model == "m-1"


class TestUsage:
    USAGE = {
        "input_tokens": 1200,
        "input_tokens_details": {"cached_tokens": 1000},
        "output_tokens": 300,
        "output_tokens_details": {"reasoning_tokens": 200},
    }

    def test_that_of_all_responses_is_added_up(self) -> None:
        usage = usage_of([Response(usage=self.USAGE), Response(usage=self.USAGE), Response(usage=None)])
        assert usage.sentence() == "2,400 tokens in, 600 out"
        assert usage.detail() == (
            "3,000 tokens in all, 2,000 of the input from the cache, 400 of the output for reasoning"
        )

    def test_without_any_nothing_is_said(self) -> None:
        assert Usage().sentence() == ""
        assert usage_of([Response(usage=None)]).sentence() == ""

    @given(usage=anything)
    def test_whatever_a_provider_counts_is_a_number(self, usage: Any) -> None:
        for counted in (usage, {"input_tokens": usage, "output_tokens_details": usage}):
            assert isinstance(usage_of([Response(usage=counted)]).detail(), str)


class TestChip:
    @pytest.mark.parametrize(
        ("fields", "detail"),
        [
            ({"size": 2048, "pages": 1}, "2 kB, 1 page"),
            ({"size": 2048, "pages": 12}, "2 kB, 12 pages"),
            ({"size": 5, "pages": None, "width": 640, "height": 480}, "5 bytes, 640 × 480"),
            ({"size": 5, "pages": None}, "5 bytes"),
            ({"status": "uploading"}, "Uploading"),
            ({"status": "checking"}, "Checking"),
            ({"status": "refused", "refusal": "“a.pdf” is empty."}, "“a.pdf” is empty."),
        ],
    )
    def test_it_says_what_the_file_is(self, fields: dict[str, Any], detail: str) -> None:
        attachment = Attachment(**{"status": Attachment.Status.READY, "name": "a.pdf", "pages": 3, **fields})
        assert chip_view(attachment).detail == detail

    @pytest.mark.parametrize(
        ("dialect", "capabilities", "media_type", "said"),
        [
            ("ofox", {}, "application/pdf", "3 pages, only its text was sent"),
            ("ofox", {"pdf_input": True}, "application/pdf", "3 pages"),
            ("openai", {}, "application/pdf", "3 pages"),
            ("ofox", {}, "image/png", "3 pages"),
        ],
    )
    @pytest.mark.django_db
    def test_under_a_question_it_says_when_the_model_was_given_only_the_text(
        self, alice: User, dialect: str, capabilities: dict[str, Any], media_type: str, said: str
    ) -> None:
        deployment = make_deployment("m-2", provider="Gateway", dialect=dialect)
        type(deployment.provider).objects.update(capabilities=capabilities)
        turn = make_turn(make_conversation(alice, deployment))
        turn.attachments.add(make_attachment(alice, content=b"", media_type=media_type))
        (chip,) = turn_view(loaded(turn)).attachments
        assert chip.detail == f"0 bytes, {said}"

    @pytest.mark.parametrize(
        ("size", "words"),
        [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 kB"),
            (1024 * 1024 - 1, "1.0 MB"),
            (1024 * 1024, "1.0 MB"),
            (52 * 1024 * 1024, "52.0 MB"),
        ],
    )
    def test_sizes_are_for_people(self, size: int, words: str) -> None:
        assert file_size(size) == words
