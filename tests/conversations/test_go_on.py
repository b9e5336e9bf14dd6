"""An answer that broke off is gone on with in the same turn, once, and told as one from then on."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from pytest_django import Settings

from chat.conversations.ask import Asked, Question, Refused, ask
from chat.conversations.go_on import go_on
from chat.conversations.history import GO_ON, Plan, go_on_item, plan
from chat.models import Conversation, Deployment, Response, Status, Turn, User
from chat.responses.dialects import DIALECTS, Dialect
from tests.conversations.test_history import STATEFUL, STATELESS, said
from tests.rows import make_conversation, make_deployment, make_turn, message

pytestmark = pytest.mark.django_db

AT_ITS_LIMIT: dict[str, Any] = {"status": Status.INCOMPLETE, "error": {"code": "max_output_tokens", "message": "x"}}


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return make_conversation(alice, deployment, turns=1)


@pytest.fixture
def broken(conversation: Conversation) -> Turn:
    return make_turn(conversation, "Why?", "Because the", status=Status.INTERRUPTED)


def gone_on(turn: Turn) -> Asked:
    last = turn.responses.latest("order")
    return go_on(turn, last.pk)


def end(response: Response, text: str, status: Status = Status.COMPLETED, **fields: Any) -> None:
    """As the run that answers it stores it."""
    output = [message(text, id=f"msg_c{response.pk}")]
    fields = {"response_id": f"resp_c{response.pk}", **fields}
    Response.objects.filter(pk=response.pk).update(status=status, text=text, output=output, **fields)
    Turn.objects.filter(pk=response.turn_id).update(status=status)


def planned(asked: Asked, dialect: Dialect) -> Plan:
    turn = Turn.objects.with_answers().get(pk=asked.turn.pk)
    assert turn.deployment is not None
    return plan(turn, turn.deployment.provider, dialect, response=asked.response)


class TestStored:
    def test_the_turn_gets_its_next_response_and_is_answered_again(self, broken: Turn) -> None:
        asked = gone_on(broken)
        first, second = Response.objects.filter(turn=broken)
        assert (second.pk, second.order, second.status, second.provider_name) == (
            asked.response.pk,
            1,
            Status.QUEUED,
            "Scripted",
        )
        assert (second.input, second.owner) == ([go_on_item()], None)
        assert (first.status, first.text) == (Status.INTERRUPTED, "Because the"), "what was said stays"
        broken.refresh_from_db()
        assert (broken.status, asked.is_repeat) == (Status.QUEUED, False)
        assert [(earlier.pk, "Because the" in earlier.html()) for earlier in asked.earlier] == [(first.pk, True)]

    def test_an_answer_at_its_limit_of_length_can_be_gone_on_with(self, conversation: Conversation) -> None:
        assert gone_on(make_turn(conversation, **AT_ITS_LIMIT)).response.order == 1

    def test_twice_in_a_row_is_once(self, broken: Turn) -> None:
        first = gone_on(broken)
        before = broken.responses.earliest("order").pk
        again = go_on(broken, before)
        assert (again.is_repeat, again.response.pk) == (True, first.response.pk)
        end(first.response, " sky", Status.INTERRUPTED)
        late = go_on(broken, before)
        assert (late.is_repeat, late.response.pk) == (True, first.response.pk), "also when it broke off again meanwhile"
        assert broken.responses.count() == 2

    def test_what_breaks_off_again_goes_on_again(self, broken: Turn) -> None:
        end(gone_on(broken).response, " sky", Status.INTERRUPTED)
        assert gone_on(broken).response.order == 2


class TestRefused:
    def refused(self, turn: Turn, sentence: str) -> None:
        before = list(Response.objects.values())
        with pytest.raises(Refused, match=sentence):
            gone_on(turn)
        assert list(Response.objects.values()) == before

    @pytest.mark.parametrize("status", [Status.COMPLETED, Status.CANCELLED, Status.FAILED, Status.INCOMPLETE])
    def test_an_answer_that_did_not_break_off(self, conversation: Conversation, status: Status) -> None:
        self.refused(make_turn(conversation, status=status, error={"code": "content_filter"}), "cannot be gone on with")

    def test_an_answer_without_a_word(self, conversation: Conversation) -> None:
        self.refused(make_turn(conversation, answer="", status=Status.INTERRUPTED), "Try again instead")

    def test_while_something_else_is_being_answered(self, conversation: Conversation, broken: Turn) -> None:
        make_turn(conversation, status=Status.IN_PROGRESS)
        self.refused(broken, "still being written here")

    def test_a_turn_that_the_conversation_has_left_behind(self, conversation: Conversation, broken: Turn) -> None:
        make_turn(conversation)
        self.refused(broken, "has gone on since")

    def test_a_model_that_is_not_offered_any_more(self, broken: Turn) -> None:
        Deployment.objects.update(enabled=False)
        self.refused(broken, "no longer offered")

    def test_beyond_the_limit(self, broken: Turn, alice: User, deployment: Deployment, settings: Settings) -> None:
        settings.RUNNING_PER_PERSON = 1
        make_turn(make_conversation(alice, deployment), status=Status.IN_PROGRESS)
        self.refused(broken, "1 answer is being written for you")
        settings.RUNNING_PER_PERSON = 2
        with pytest.raises(Refused, match="Very many answers"):
            go_on(broken, broken.responses.latest("order").pk, is_full=True)


class TestPlanned:
    def test_without_state_the_text_so_far_and_the_wish_follow_the_question(self, broken: Turn) -> None:
        found = planned(gone_on(broken), STATELESS)
        assert found.previous_response_id == ""
        assert said(found)[2:] == [("user", "Why?"), ("assistant", "Because the"), ("user", GO_ON)]
        assert said(found)[0] == ("user", "Question 0")
        assert found.own_items == [go_on_item()]

    def test_what_broke_off_is_not_kept_and_so_is_told_after_the_turn_before(self, broken: Turn) -> None:
        found = planned(gone_on(broken), STATEFUL)
        assert found.previous_response_id == f"resp_{broken.parent_id}"
        assert said(found) == [("user", "Why?"), ("assistant", "Because the"), ("user", GO_ON)]

    def test_what_is_kept_up_to_its_limit_is_continued_by_its_id(self, conversation: Conversation) -> None:
        turn = make_turn(conversation, "Why?", "Because the", **AT_ITS_LIMIT)
        found = planned(gone_on(turn), STATEFUL)
        assert (found.previous_response_id, said(found)) == (f"resp_{turn.pk}", [("user", GO_ON)])

    def test_the_second_time_the_text_is_one(self, broken: Turn) -> None:
        end(gone_on(broken).response, " sky is", Status.INTERRUPTED)
        found = planned(gone_on(broken), STATELESS)
        assert said(found)[3:] == [("assistant", "Because the sky is"), ("user", GO_ON)]

    @pytest.mark.parametrize("name", ["ofox", "llamacpp", "generic"])
    def test_later_turns_tell_the_joined_text_once(self, conversation: Conversation, broken: Turn, name: str) -> None:
        end(gone_on(broken).response, " sky is blue.")
        later = ask(conversation.owner, conversation, Question("And then?", uuid.uuid4()))
        found = planned(later, DIALECTS[name])
        assert said(found)[2:] == [("user", "Why?"), ("assistant", "Because the sky is blue."), ("user", "And then?")]

    def test_later_turns_continue_the_last_response_where_it_is_kept(
        self, conversation: Conversation, broken: Turn
    ) -> None:
        asked = gone_on(broken)
        end(asked.response, " sky is blue.")
        later = ask(conversation.owner, conversation, Question("And then?", uuid.uuid4()))
        found = planned(later, STATEFUL)
        assert found.previous_response_id == f"resp_c{asked.response.pk}"
        assert said(found) == [("user", "And then?")]

    def test_reasoning_that_was_encrypted_is_left_out_of_a_joined_answer(
        self, conversation: Conversation, broken: Turn
    ) -> None:
        Deployment.objects.update(keeps_responses=False)
        asked = gone_on(broken)
        end(asked.response, " sky is blue.")
        thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "x"}
        row = Response.objects.get(pk=asked.response.pk)
        Response.objects.filter(pk=row.pk).update(output=[thought, *row.output])
        later = ask(conversation.owner, conversation, Question("And then?", uuid.uuid4()))
        assert said(planned(later, STATEFUL))[3:] == [("assistant", "Because the sky is blue."), ("user", "And then?")]
