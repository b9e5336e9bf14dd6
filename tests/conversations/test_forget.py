"""What is deleted goes here and is noted to go at the provider; what somebody still needs stays."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import pytest
from django.utils import timezone
from pytest_django import Settings

from chat.conversations import forget, history, keep
from chat.conversations.ask import Question, Refused, ask, ask_again
from chat.files.errors import StorageAway
from chat.models import Attachment, Conversation, Deployment, Forgetting, Provider, ProviderFile, Response, Status, User
from chat.responses.dialects import DIALECTS
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn

pytestmark = pytest.mark.django_db

Kind = Forgetting.Kind


@pytest.fixture(autouse=True)
def media(settings: Settings, tmp_path: Path) -> None:
    settings.MEDIA_ROOT = tmp_path


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return make_conversation(alice, deployment)


@pytest.fixture
def paper(alice: User, deployment: Deployment) -> Attachment:
    return with_copy(make_attachment(alice, sha256="aa"), deployment.provider)


def with_copy(attachment: Attachment, provider: Provider, file_id: str = "file-1") -> Attachment:
    ProviderFile.objects.create(attachment=attachment, provider=provider, file_id=file_id, purpose="user_data")
    return attachment


def asked(conversation: Conversation, *attachments: Attachment, **fields: Any) -> Response:
    turn = make_turn(conversation, **fields)
    turn.attachments.add(*attachments)
    return turn.responses.get()


def noted() -> set[tuple[str, str]]:
    return set(Forgetting.objects.filter(done_at=None).values_list("kind", "upstream_id"))


def due() -> set[str]:
    return set(Forgetting.objects.filter(next_try_at__lte=timezone.now()).values_list("upstream_id", flat=True))


class TestAFile:
    def test_its_bytes_and_its_copy_go_and_its_name_stays_where_a_turn_shows_it(
        self, conversation: Conversation, paper: Attachment
    ) -> None:
        response = asked(conversation, paper)
        path = Path(paper.file.path)
        assert path.exists()

        forget.forget_attachment(paper)

        assert not path.exists()
        paper.refresh_from_db()
        assert (paper.name, bool(paper.file), paper.forgotten_at is not None) == ("report.pdf", False, True)
        assert noted() == {(Kind.FILE, "file-1"), (Kind.RESPONSE, response.response_id)}
        assert due() == {"file-1", response.response_id}
        assert not ProviderFile.objects.exists()

    def test_nothing_stays_of_one_that_no_turn_shows(self, paper: Attachment) -> None:
        forget.forget_attachment(paper)
        assert not Attachment.objects.exists()
        assert noted() == {(Kind.FILE, "file-1")}

    def test_the_copy_stays_with_the_same_content_under_another_name(self, alice: User, paper: Attachment) -> None:
        same = make_attachment(alice, "again.pdf", sha256="aa")
        forget.forget_attachment(paper)
        assert noted() == set()
        assert ProviderFile.objects.get().attachment == same
        forget.forget_attachment(same)
        assert noted() == {(Kind.FILE, "file-1")}

    def test_a_strangers_file_of_the_same_content_is_no_heir(self, charlie: User, paper: Attachment) -> None:
        make_attachment(charlie, sha256="aa")
        forget.forget_attachment(paper)
        assert noted() == {(Kind.FILE, "file-1")}

    def test_the_conversation_goes_on_from_before_the_file_and_says_that_it_was_deleted(
        self, conversation: Conversation, deployment: Deployment, paper: Attachment
    ) -> None:
        before = asked(conversation)
        read, later = asked(conversation, paper, question="Summarize."), asked(conversation)
        turn = make_turn(conversation, "And?", answer="", status=Status.QUEUED)
        dialect = DIALECTS["openai"]
        assert history.plan(turn, deployment.provider, dialect).previous_response_id == later.response_id

        forget.forget_attachment(paper)
        plan = history.plan(turn, deployment.provider, dialect)

        assert plan.previous_response_id == before.response_id
        assert plan.attachment_ids == []
        assert plan.items[0]["content"] == [
            {"type": "input_text", "text": "[The attached file “report.pdf” was deleted. Its content is gone.]"},
            {"type": "input_text", "text": "Summarize."},
        ]
        assert noted() == {(Kind.FILE, "file-1"), *((Kind.RESPONSE, r.response_id) for r in (read, later))}

    def test_it_cannot_be_attached_again_and_its_question_can_be_asked_again(
        self, alice: User, conversation: Conversation, paper: Attachment
    ) -> None:
        turn = asked(conversation, paper).turn
        forget.forget_attachment(paper)
        with pytest.raises(Refused, match="no longer there"):
            ask(alice, conversation, Question("Why?", uuid.uuid4(), [paper.pk]))
        again = ask_again(turn, uuid.uuid4()).turn
        assert history.question_item(again) == history.question_item(turn)

    def test_when_the_storage_is_away_it_is_forgotten_all_the_same(
        self, conversation: Conversation, paper: Attachment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked(conversation, paper)

        def away(attachment: Attachment) -> None:
            raise StorageAway("503")

        with monkeypatch.context() as patched:
            patched.setattr(forget, "drop_bytes", away)
            forget.forget_attachment(paper)
        paper.refresh_from_db()
        assert paper.forgotten_at is not None
        assert paper.file
        forget.drop(paper)
        paper.refresh_from_db()
        assert not paper.file

    def test_one_that_a_model_made_leaves_its_name_with_the_answer(
        self, alice: User, conversation: Conversation
    ) -> None:
        response = asked(conversation)
        chart = make_attachment(alice, "chart.png", made_by=response, made_as="cntr_1/cfile_1")
        forget.forget_attachment(chart)
        assert response.made.get().forgotten_at is not None
        assert noted() == {(Kind.RESPONSE, response.response_id)}


class TestAConversation:
    def test_what_the_provider_holds_is_noted_for_later(self, conversation: Conversation, paper: Attachment) -> None:
        code = {"type": "code_interpreter_call", "id": "ci_1", "container_id": "cntr_1", "code": "1"}
        response = asked(conversation, paper, output=[code, {**code, "id": "ci_2"}])

        keep.delete(conversation)

        assert noted() == {
            (Kind.RESPONSE, response.response_id),
            (Kind.CONTAINER, "cntr_1"),
            (Kind.FILE, "file-1"),
        }
        assert due() == set()
        assert paper.file.storage.exists(paper.file.name), "reviewers read it"

    @pytest.mark.parametrize(
        "fields",
        [{"store": False}, {"response_id": ""}, {"status": Status.IN_PROGRESS}],
        ids=["was not kept", "has no id", "is being written"],
    )
    def test_what_the_provider_does_not_hold_is_not_noted(
        self, conversation: Conversation, fields: dict[str, Any]
    ) -> None:
        asked(conversation, **fields)
        keep.delete(conversation)
        assert noted() == set()

    def test_where_nothing_can_be_deleted_nothing_is_noted(self, alice: User) -> None:
        response = asked(make_conversation(alice, make_deployment("phi", provider="Foundry", dialect="foundry")))
        keep.delete(response.turn.conversation)
        assert noted() == set()

    def test_a_file_that_another_conversation_shows_stays(
        self, alice: User, conversation: Conversation, deployment: Deployment, paper: Attachment
    ) -> None:
        other = make_conversation(alice, deployment)
        same = make_attachment(alice, "same.pdf", sha256="aa")
        asked(conversation, paper)
        asked(other, same)
        keep.delete(conversation)
        assert Kind.FILE not in {kind for kind, _ in noted()}
        keep.delete(other)
        assert (Kind.FILE, "file-1") in noted()

    def test_undo_withdraws_what_is_not_done(self, conversation: Conversation, paper: Attachment) -> None:
        asked(conversation, paper)
        done = asked(conversation)
        keep.delete(conversation)
        Forgetting.objects.filter(upstream_id=done.response_id).update(done_at=timezone.now())

        keep.restore(conversation)

        assert noted() == set()
        assert Forgetting.objects.get().upstream_id == done.response_id
        assert ProviderFile.objects.exists()

    def test_undo_brings_no_deleted_file_back(self, conversation: Conversation, paper: Attachment) -> None:
        response = asked(conversation, paper)
        forget.forget_attachment(paper)
        keep.delete(conversation)
        keep.restore(conversation)
        assert noted() == {(Kind.FILE, "file-1"), (Kind.RESPONSE, response.response_id)}

    def test_a_file_that_is_deleted_for_good_does_not_wait_for_an_undo(
        self, conversation: Conversation, paper: Attachment
    ) -> None:
        asked(conversation, paper)
        keep.delete(conversation)
        assert due() == set()
        forget.forget_attachment(paper)
        assert "file-1" in due()

    def test_a_conversation_of_a_thousand_turns_is_noted_in_few_queries(
        self, alice: User, deployment: Deployment, django_assert_max_num_queries: Any
    ) -> None:
        conversation = make_conversation(alice, deployment, turns=1000)
        with django_assert_max_num_queries(25):  # SQLite takes a hundred rows at once
            keep.delete(conversation)
        assert Forgetting.objects.count() == 1000

    def test_erasing_leaves_nothing_but_what_others_show(
        self, alice: User, conversation: Conversation, deployment: Deployment, paper: Attachment
    ) -> None:
        response = asked(conversation, paper)
        shared = with_copy(make_attachment(alice, "shared.pdf", sha256="bb"), deployment.provider, "file-2")
        chart = make_attachment(alice, "chart.png", made_by=response, made_as="a")
        conversation.head.attachments.add(shared)  # type: ignore[union-attr]
        asked(make_conversation(alice, deployment), shared, chart)
        lost = make_attachment(alice, "lost.png", made_by=response, made_as="b")
        paths = [Path(each.file.path) for each in (paper, lost)]

        forget.erase_conversation(conversation)

        assert Conversation.objects.count() == 1
        assert set(Attachment.objects.values_list("name", flat=True)) == {"shared.pdf", "chart.png"}
        assert not any(path.exists() for path in paths)
        assert noted() == {(Kind.FILE, "file-1"), (Kind.RESPONSE, response.response_id)}
        assert due() == {"file-1", response.response_id}
