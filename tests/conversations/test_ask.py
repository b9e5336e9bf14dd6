"""A question is stored with all that belongs to it, once, or not at all."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection, connections
from django.db.models.sql.compiler import SQLCompiler, SQLInsertCompiler, SQLUpdateCompiler
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from chat.conversations import ask as asking
from chat.conversations.ask import Asked, Question, Refused, ask, ask_again, provisional_title
from chat.models import Attachment, Conversation, Deployment, Provider, Response, Status, Turn, User
from chat.models.conversations import LIVE
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn

pytestmark = pytest.mark.django_db


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


def question(text: str = "Why is the sky blue?", **fields: Any) -> Question:
    return Question(text, fields.pop("key", uuid.uuid4()), **fields)


def kept() -> tuple[int, int, int]:
    return Conversation.objects.count(), Turn.objects.count(), Response.objects.count()


class TestStored:
    def test_a_first_question_makes_conversation_turn_and_response(self, alice: User, deployment: Deployment) -> None:
        asked = ask(alice, None, question(instructions="  Be brief.\r\nBe kind. "))
        conversation = Conversation.objects.get()
        assert (conversation.owner, conversation.title, conversation.head) == (
            alice,
            "Why is the sky blue?",
            asked.turn,
        )
        assert (conversation.deployment, conversation.instructions) == (deployment, "Be brief.\nBe kind.")
        turn = Turn.objects.get()
        assert (turn.question, turn.parent, turn.status, turn.deployment) == (
            "Why is the sky blue?",
            None,
            Status.QUEUED,
            deployment,
        )
        response = Response.objects.get()
        assert (response.turn, response.order, response.status) == (turn, 0, Status.QUEUED)
        assert (response.provider_name, response.owner, response.heartbeat_at) == ("Scripted", None, None)
        assert (asked.conversation, asked.turn, asked.response, asked.is_repeat) == (
            conversation,
            turn,
            response,
            False,
        )

    def test_the_next_one_continues_the_head_and_moves_it(self, alice: User, deployment: Deployment) -> None:
        long_ago = timezone.now() - timedelta(days=9)
        conversation = make_conversation(alice, deployment, turns=2, last_activity_at=long_ago)
        head = conversation.head
        asked = ask(alice, conversation, question("And at night?"))
        assert asked.turn.parent == head
        conversation.refresh_from_db()
        assert (conversation.head, conversation.title) == (asked.turn, "Talk")
        assert conversation.last_activity_at == asked.turn.created_at > long_ago

    def test_it_continues_the_head_as_it_is_now_and_not_as_the_page_knew_it(
        self, alice: User, deployment: Deployment
    ) -> None:
        page = make_conversation(alice, deployment, turns=1)
        newer = make_turn(Conversation.objects.get(pk=page.pk))
        assert ask(alice, page, question()).turn.parent == newer

    def test_attachments_keep_the_order_in_which_they_were_added(self, alice: User, deployment: Deployment) -> None:
        now = timezone.now()
        files = [make_attachment(alice, f"{n}.pdf", b"", created_at=now - timedelta(hours=n)) for n in (1, 3, 2)]
        asked = ask(alice, None, question("", attachment_ids=[f.pk for f in files]))
        shown = Turn.objects.with_answers().get(pk=asked.turn.pk)
        assert [a.name for a in shown.attachments.all()] == ["1.pdf", "3.pdf", "2.pdf"]
        Turn.objects.update(status=Status.FAILED)
        again = ask_again(shown, uuid.uuid4())
        shown = Turn.objects.with_answers().get(pk=again.turn.pk)
        assert [a.name for a in shown.attachments.all()] == ["1.pdf", "3.pdf", "2.pdf"]

    def test_what_no_database_can_carry_is_replaced(self, alice: User, deployment: Deployment) -> None:
        asked = ask(alice, None, question(" one\r\ntwo\0\ud83d "))
        asked.turn.refresh_from_db()
        assert asked.turn.question == "one\ntwo\ufffd\ufffd"

    def test_a_failure_half_way_keeps_nothing(
        self, alice: User, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(turn: Turn, *_: object) -> Response:
            assert Turn.objects.count() == 1, "the premise: the turn is stored already"
            raise ZeroDivisionError

        monkeypatch.setattr(asking, "_first_response", broken)
        with pytest.raises(ZeroDivisionError):
            ask(alice, None, question())
        assert kept() == (0, 0, 0)

    def test_it_costs_the_same_in_a_long_conversation(
        self, alice: User, deployment: Deployment, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        short = make_conversation(alice, deployment, turns=2)
        long = make_conversation(alice, deployment, turns=300)
        locks = connection.features.has_select_for_update  # the person's, where the transaction itself locks nothing
        for conversation in (short, long):
            with django_assert_num_queries(9 + locks):
                ask(alice, conversation, question())

    def test_no_statement_of_it_is_compiled_a_second_time(
        self, alice: User, deployment: Deployment, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        earlier = [make_conversation(alice, deployment, turns=2) for _ in range(2)]
        for conversation in (None, earlier[0]):
            ask(alice, conversation, question())

        def refused(*args: Any, **kwargs: Any) -> None:
            raise AssertionError("compiled")

        for kind in (SQLCompiler, SQLInsertCompiler, SQLUpdateCompiler):
            monkeypatch.setattr(kind, "as_sql", refused)
        for conversation in (None, earlier[1]):
            ask(alice, conversation, question())
        monkeypatch.undo()
        assert kept() == (4, 8, 8)


class TestDoubleSubmit:
    def test_the_same_form_twice_makes_one_turn(self, alice: User, deployment: Deployment) -> None:
        first = ask(alice, None, question(key=(key := uuid.uuid4())))
        second = ask(alice, None, question(key=key))
        assert (second.turn, second.response, second.is_repeat) == (first.turn, first.response, True)
        assert kept() == (1, 1, 1)

    def test_a_repeat_is_known_while_its_answer_runs_and_after(self, alice: User, deployment: Deployment) -> None:
        conversation = make_conversation(alice, deployment, turns=1)
        first = ask(alice, conversation, question(key=(key := uuid.uuid4())))
        assert ask(alice, conversation, question(key=key)).is_repeat
        Turn.objects.update(status=Status.COMPLETED)
        assert ask(alice, conversation, question(key=key)).turn == first.turn

    def test_other_words_under_a_used_key_are_not_swallowed(self, alice: User, deployment: Deployment) -> None:
        ask(alice, None, question(" Why?\r\n", key=(key := uuid.uuid4())))
        assert ask(alice, None, question("Why?", key=key)).is_repeat
        with pytest.raises(Refused, match="send your message again"):
            ask(alice, None, question("Something else", key=key))

    def test_another_persons_key_is_refused(self, alice: User, bob: User, deployment: Deployment) -> None:
        ask(alice, None, question(key=(key := uuid.uuid4())))
        with pytest.raises(Refused, match="Reload the page"):
            ask(bob, None, question(key=key))
        assert kept() == (1, 1, 1)

    @pytest.mark.django_db(transaction=True)
    @pytest.mark.parametrize("is_new", [True, False], ids=["new conversation", "existing conversation"])
    def test_the_same_form_at_the_same_moment_makes_one_turn(self, alice: User, is_new: bool) -> None:
        deployment = make_deployment()
        conversation = None if is_new else make_conversation(alice, deployment, turns=1)
        before = Turn.objects.count()
        same = question()
        results = at_once([lambda: ask(alice, conversation, same)] * 4)
        assert all(isinstance(result, Asked) for result in results), results
        assert sorted(r.is_repeat for r in results) == [False, True, True, True]
        assert len({r.turn.pk for r in results}) == 1
        assert Turn.objects.count() == before + 1
        assert Conversation.objects.count() == 1

    @pytest.mark.django_db(transaction=True)
    def test_of_two_questions_at_the_same_moment_one_is_taken(self, alice: User) -> None:
        conversation = make_conversation(alice, make_deployment(), turns=1)
        asks = [lambda n=n: ask(alice, conversation, question(f"Question {n}")) for n in range(4)]
        results = at_once(asks)
        assert sum(isinstance(result, Asked) for result in results) == 1
        assert sum(isinstance(result, Refused) for result in results) == 3
        assert Turn.objects.filter(status__in=LIVE).count() == 1


def at_once(deeds: list[Callable[[], Any]]) -> list[Any]:
    """What each deed gave back or raised, all let go together in threads of their own."""
    results: list[Any] = [None] * len(deeds)
    barrier = threading.Barrier(len(deeds))

    def run(place: int, deed: Callable[[], Any]) -> None:
        connection.ensure_connection()
        barrier.wait(10)
        try:
            results[place] = deed()
        except Refused as refused:
            results[place] = refused
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(deeds)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


class TestLimits:
    def test_a_person_has_so_many_answers_at_once(
        self, alice: User, bob: User, deployment: Deployment, settings: Settings
    ) -> None:
        settings.RUNNING_PER_PERSON = 2
        first = ask(alice, None, question())
        ask(alice, None, question())
        before = kept()
        with pytest.raises(Refused, match="2 answers are being written for you at the moment; wait"):
            ask(alice, None, question())
        assert kept() == before
        assert ask(bob, None, question()).turn.pk
        Turn.objects.filter(pk=first.turn.pk).update(status=Status.COMPLETED)
        assert ask_again(Turn.objects.get(pk=first.turn.pk), uuid.uuid4()).turn.pk
        with pytest.raises(Refused, match="2 answers"):
            ask(alice, None, question())

    def test_a_double_submit_of_the_last_one_is_a_repeat(
        self, alice: User, deployment: Deployment, settings: Settings
    ) -> None:
        settings.RUNNING_PER_PERSON = 1
        twice = question()
        ask(alice, None, twice)
        assert ask(alice, None, twice, is_full=True).is_repeat

    def test_a_process_that_is_full_keeps_nothing(self, alice: User, deployment: Deployment) -> None:
        with pytest.raises(Refused, match="Very many answers"):
            ask(alice, None, question(), is_full=True)
        assert kept() == (0, 0, 0)

    @pytest.mark.django_db(transaction=True)
    def test_of_questions_at_the_same_moment_as_many_as_fit_are_kept(
        self, alice: User, deployment: Deployment, settings: Settings
    ) -> None:
        settings.RUNNING_PER_PERSON = 2
        results = at_once([lambda: ask(alice, None, question())] * 5)
        assert sum(isinstance(result, Refused) for result in results) == 3
        assert sum(isinstance(result, Asked) for result in results) == kept()[1] == 2


class TestRefused:
    def refused(self, owner: User, conversation: Conversation | None, asked: Question, sentence: str) -> None:
        before = kept()
        with pytest.raises(Refused, match=sentence):
            ask(owner, conversation, asked)
        assert kept() == before

    @pytest.mark.parametrize("text", ["", " ", "\n\t \r\n", "\u3000"])
    def test_nothing_at_all(self, alice: User, deployment: Deployment, text: str) -> None:
        self.refused(alice, None, question(text), "Write a message or attach a file")

    def test_too_much_says_how_much_fits(self, alice: User, deployment: Deployment, settings: Settings) -> None:
        settings.QUESTION_MAX_CHARACTERS = 1000
        self.refused(alice, None, question("語" * 1001), "has 1,001 characters; 1,000 fit")
        assert ask(alice, None, question("語" * 1000)).turn.pk

    def test_instructions_that_are_too_long_for_a_new_conversation(self, alice: User, deployment: Deployment) -> None:
        self.refused(
            alice, None, question(instructions="x" * 20_001), "instructions have 20,001 characters; 20,000 fit"
        )

    def test_a_file_of_somebody_else_is_as_one_that_is_gone(
        self, alice: User, bob: User, deployment: Deployment
    ) -> None:
        sentence = "An attached file is no longer there"
        self.refused(alice, None, question(attachment_ids=[make_attachment(bob).pk]), sentence)
        self.refused(alice, None, question(attachment_ids=[uuid.uuid4()]), sentence)

    def test_more_files_than_a_message_takes(self, alice: User, deployment: Deployment, settings: Settings) -> None:
        settings.FILES_PER_TURN = 2
        ids = [make_attachment(alice).pk for _ in range(3)]
        self.refused(alice, None, question(attachment_ids=ids), "The message has 3 files; 2 fit. Remove some")
        assert ask(alice, None, question(attachment_ids=ids[:2])).turn.pk

    @pytest.mark.parametrize("status", [s for s in Attachment.Status if s != Attachment.Status.READY])
    def test_a_file_that_is_not_ready(self, alice: User, deployment: Deployment, status: str) -> None:
        files = [make_attachment(alice), make_attachment(alice, "late.pdf", status=status)]
        self.refused(alice, None, question(attachment_ids=[f.pk for f in files]), "“late.pdf” is not ready yet")

    @pytest.mark.parametrize("status", LIVE)
    def test_a_second_question_while_an_answer_is_written(
        self, alice: User, deployment: Deployment, status: Status
    ) -> None:
        conversation = make_conversation(alice, deployment)
        make_turn(conversation, status=status)
        self.refused(alice, conversation, question(), "still being written")
        other = make_conversation(alice, deployment)
        assert ask(alice, other, question()).turn.pk, "another conversation is free"

    def test_a_retry_while_an_answer_is_written(self, alice: User, deployment: Deployment) -> None:
        conversation = make_conversation(alice, deployment)
        first = make_turn(conversation)
        make_turn(conversation, status=Status.IN_PROGRESS)
        before = kept()
        with pytest.raises(Refused, match="still being written"):
            ask_again(first, uuid.uuid4())
        assert kept() == before

    def test_a_model_that_is_switched_off_or_unknown(self, alice: User, deployment: Deployment) -> None:
        off = make_deployment("off", enabled=False)
        for pk in (off.pk, 999_999, 10**40):
            self.refused(alice, None, question(deployment_id=pk), "no longer offered")

    def test_a_model_of_a_group_that_one_is_not_in(self, alice: User, deployment: Deployment) -> None:
        special = make_deployment("special")
        special.groups.add(researchers := Group.objects.create(name="Researchers"))
        self.refused(alice, None, question(deployment_id=special.pk), "no longer offered")
        alice.groups.add(researchers)
        assert ask(alice, None, question(deployment_id=special.pk)).turn.deployment == special

    def test_there_is_no_model(self, alice: User) -> None:
        self.refused(alice, None, question(), "Ask the operator")


class TestDeployment:
    def test_the_default_is_taken_first(self, alice: User) -> None:
        make_deployment("a", is_default=False)
        default = make_deployment("z")
        assert default.is_default, "the premise"
        assert ask(alice, None, question()).turn.deployment == default

    def test_the_choice_stays_with_the_conversation(self, alice: User, deployment: Deployment) -> None:
        other = make_deployment("other")
        asked = ask(alice, None, question(deployment_id=other.pk))
        Turn.objects.update(status=Status.COMPLETED)
        assert ask(alice, asked.conversation, question()).turn.deployment == other

    def test_another_one_can_be_chosen_on_the_way(self, alice: User, deployment: Deployment) -> None:
        other = make_deployment("other")
        conversation = make_conversation(alice, deployment, turns=1)
        assert ask(alice, conversation, question(deployment_id=other.pk)).turn.deployment == other
        conversation.refresh_from_db()
        assert conversation.deployment == other

    @pytest.mark.parametrize("gone", ["deployment", "provider"])
    def test_one_that_is_gone_is_replaced_by_the_default(self, alice: User, deployment: Deployment, gone: str) -> None:
        other = make_deployment("other", provider="Other")
        conversation = make_conversation(alice, other, turns=1)
        (Deployment if gone == "deployment" else Provider).objects.filter(name__in=["other", "Other"]).update(
            enabled=False
        )
        assert ask(alice, conversation, question()).turn.deployment == deployment


class TestAskAgain:
    @pytest.fixture
    def failed(self, alice: User, deployment: Deployment) -> Turn:
        conversation = make_conversation(alice, deployment)
        make_turn(conversation, "First")
        return make_turn(conversation, "Second", "", status=Status.FAILED)

    def test_it_makes_a_sibling_and_moves_the_head(self, failed: Turn) -> None:
        again = ask_again(failed, uuid.uuid4())
        assert (again.turn.parent, again.turn.question) == (failed.parent, "Second")
        assert again.turn.pk != failed.pk
        assert Conversation.objects.get().head == again.turn
        assert (again.response.status, again.is_repeat) == (Status.QUEUED, False)
        failed.refresh_from_db()
        assert failed.status == Status.FAILED, "the first answer stays as it was"

    def test_it_takes_the_files_along(self, alice: User, failed: Turn) -> None:
        failed.attachments.add(file := make_attachment(alice))
        assert list(ask_again(failed, uuid.uuid4()).turn.attachments.all()) == [file]

    def test_it_asks_the_model_that_is_chosen_now(self, failed: Turn) -> None:
        other = make_deployment("other")
        Conversation.objects.update(deployment=other)
        again = ask_again(Turn.objects.get(pk=failed.pk), uuid.uuid4())
        assert again.turn.deployment == other

    def test_a_first_turn_can_be_asked_again(self, alice: User, deployment: Deployment) -> None:
        first = make_turn(make_conversation(alice, deployment), status=Status.FAILED)
        assert ask_again(first, uuid.uuid4()).turn.parent is None


class TestProvisionalTitle:
    def test_it_is_the_question_on_one_line(self) -> None:
        assert provisional_title("  Why\n\n is\tthe sky blue? ", []) == "Why is the sky blue?"

    def test_a_long_one_is_cut_at_a_word(self) -> None:
        words = "word " * 40
        title = provisional_title(words, [])
        assert title == "word " * 11 + "word…"
        assert len(title) <= 61

    def test_a_sixty_first_character_is_one_too_many(self) -> None:
        assert provisional_title("x" * 60, []) == "x" * 60
        assert provisional_title("x" * 61, []) == "x" * 60 + "…"

    def test_a_word_that_ends_at_the_cut_is_kept(self) -> None:
        assert provisional_title("y" * 54 + " ends! and goes on", []) == "y" * 54 + " ends!…"

    def test_writing_without_spaces_is_cut_where_it_must(self) -> None:
        assert provisional_title("天空为什么是蓝色的" * 20, []) == ("天空为什么是蓝色的" * 20)[:60] + "…"
        mixed = "请问 " + "为什么" * 40
        assert provisional_title(mixed, []) == mixed[:60] + "…"

    def test_only_files_are_named_by_the_first(self, alice: User) -> None:
        files = [make_attachment(alice, "報告.pdf", b""), make_attachment(alice, "b.pdf", b"")]
        assert provisional_title(" ", files) == "報告.pdf"
        assert provisional_title("", []) == ""

    def test_a_title_that_is_there_stays(self, alice: User, deployment: Deployment) -> None:
        conversation = make_conversation(alice, deployment)
        ask(alice, conversation, question("Something else"))
        conversation.refresh_from_db()
        assert conversation.title == "Talk"
