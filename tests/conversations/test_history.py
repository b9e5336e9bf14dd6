"""What a request has to say so that the provider knows the conversation."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from hypothesis import given
from pytest_django import DjangoAssertNumQueries

from chat.conversations.ask import Question, ask
from chat.conversations.history import Item, Plan, answer_items, plan
from chat.models import Conversation, Deployment, Provider, Response, Status, Turn, User
from chat.models.conversations import TurnAttachment
from chat.responses.dialects import DIALECTS, Dialect
from chat.responses.fold import Draft
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn, message
from tests.wild import wild_output

pytestmark = pytest.mark.django_db

STATEFUL, STATELESS = DIALECTS["openai"], DIALECTS["ofox"]


@pytest.fixture
def deployment(db: None) -> Deployment:
    return make_deployment()


@pytest.fixture
def conversation(alice: User, deployment: Deployment) -> Conversation:
    return make_conversation(alice, deployment)


def next_plan(
    conversation: Conversation, dialect: Dialect = STATEFUL, *, chain: bool = True, text: str = "Next"
) -> Plan:
    """The plan of a question that is asked now."""
    turn = ask(conversation.owner, conversation, Question(text, uuid.uuid4())).turn
    return planned(turn, dialect, chain=chain)


def planned(turn: Turn, dialect: Dialect = STATEFUL, *, chain: bool = True) -> Plan:
    """The plan of a turn as a run loads it."""
    loaded = Turn.objects.with_answers().get(pk=turn.pk)
    assert loaded.deployment is not None
    return plan(loaded, loaded.deployment.provider, dialect, chain=chain)


def said(found: Plan) -> list[tuple[str, str]]:
    """Who said what, in order; other items by their type."""
    return [(item.get("role", item["type"]), text_of(item)) for item in found.items]


def text_of(item: Item) -> str:
    if item["type"] != "message":
        return str(item.get("call_id"))
    return "".join(part.get("text", part["type"]) for part in item["content"])


class TestChained:
    def test_a_first_question_stands_alone(self, conversation: Conversation) -> None:
        found = next_plan(conversation, text="Why?")
        assert found.previous_response_id == ""
        assert found.items == [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Why?"}]}]

    def test_the_next_one_names_the_response_before_it_and_says_only_what_is_new(
        self, conversation: Conversation
    ) -> None:
        make_turn(conversation, response_id="resp_old")
        make_turn(conversation, response_id="resp_new")
        found = next_plan(conversation)
        assert (found.previous_response_id, said(found)) == ("resp_new", [("user", "Next")])

    @pytest.mark.parametrize("status", [Status.FAILED, Status.CANCELLED, Status.INTERRUPTED])
    def test_an_answer_that_did_not_end_is_told_after_the_nearest_one_that_did(
        self, conversation: Conversation, status: Status
    ) -> None:
        make_turn(conversation, response_id="resp_good")
        make_turn(conversation, "Then?", "Half", status=status, response_id="resp_bad")
        found = next_plan(conversation)
        assert found.previous_response_id == "resp_good"
        assert said(found) == [("user", "Then?"), ("assistant", "Half"), ("user", "Next")]

    def test_an_answer_cut_off_at_its_length_can_be_continued(self, conversation: Conversation) -> None:
        make_turn(conversation, status=Status.INCOMPLETE, response_id="resp_cut")
        assert next_plan(conversation).previous_response_id == "resp_cut"

    def test_an_answer_of_another_provider_is_told(self, conversation: Conversation) -> None:
        make_turn(conversation, "One?", "One.", response_id="resp_here")
        make_turn(conversation, "Two?", "Two.", response_id="resp_there", provider_name="Elsewhere")
        found = next_plan(conversation)
        assert found.previous_response_id == "resp_here"
        assert said(found) == [("user", "Two?"), ("assistant", "Two."), ("user", "Next")]

    def test_one_that_was_not_stored_or_has_no_id_is_told(self, conversation: Conversation) -> None:
        make_turn(conversation, "One?", "One.", store=False)
        make_turn(conversation, "Two?", "Two.", response_id="")
        found = next_plan(conversation)
        assert found.previous_response_id == ""
        assert [text for _, text in said(found)] == ["One?", "One.", "Two?", "Two.", "Next"]

    def test_of_several_responses_of_a_turn_the_last_is_continued(self, conversation: Conversation) -> None:
        turn = make_turn(conversation, response_id="resp_call")
        Response.objects.create(
            turn=turn, order=1, status=Status.COMPLETED, provider_name="Scripted", response_id="resp_end"
        )
        assert next_plan(conversation).previous_response_id == "resp_end"

    def test_a_version_continues_what_its_sibling_continued(self, conversation: Conversation) -> None:
        first = make_turn(conversation, response_id="resp_first")
        make_turn(conversation, "No", "Not this", response_id="resp_sibling")
        other = make_turn(conversation, "Yes", "", parent=first, status=Status.QUEUED)
        found = planned(other)
        assert (found.previous_response_id, said(found)) == ("resp_first", [("user", "Yes")])

    def test_it_costs_the_same_after_a_thousand_turns(
        self, alice: User, deployment: Deployment, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for turns in (3, 1000):
            conversation = make_conversation(alice, deployment, turns=turns)
            turn = ask(alice, conversation, Question("Next", uuid.uuid4())).turn
            loaded = Turn.objects.with_answers().get(pk=turn.pk)
            # The path's one id; its turn; the responses and attachments of that.
            with django_assert_num_queries(1):
                found = plan(loaded, deployment.provider, STATEFUL)
            assert (len(found.items), found.previous_response_id) == (1, f"resp_{turn.parent_id}")


class TestWhole:
    def test_a_stateless_dialect_gets_all_of_it_in_order(self, conversation: Conversation) -> None:
        make_turn(conversation, "One?", "One.")
        make_turn(conversation, "Two?", "Two.")
        found = next_plan(conversation, STATELESS)
        assert found.previous_response_id == ""
        assert said(found) == [
            ("user", "One?"),
            ("assistant", "One."),
            ("user", "Two?"),
            ("assistant", "Two."),
            ("user", "Next"),
        ]

    def test_so_does_one_that_has_forgotten(self, conversation: Conversation) -> None:
        make_turn(conversation, "One?", "One.")
        asked = ask(conversation.owner, conversation, Question("Next", uuid.uuid4()))
        assert planned(asked.turn).previous_response_id, "the premise"
        found = planned(asked.turn, chain=False)
        assert (found.previous_response_id, [text for _, text in said(found)]) == ("", ["One?", "One.", "Next"])

    def test_a_long_path_is_whole_and_read_in_batches(
        self, alice: User, deployment: Deployment, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        conversation = make_conversation(alice, deployment, turns=120)
        turn = ask(alice, conversation, Question("Next", uuid.uuid4())).turn
        loaded = Turn.objects.with_answers().get(pk=turn.pk)
        with django_assert_max_num_queries(4 * 4):
            found = plan(loaded, deployment.provider, STATELESS)
        questions = [text for role, text in said(found) if role == "user"]
        assert questions == [*(f"Question {n}" for n in range(120)), "Next"]
        assert len(found.items) == 241

    def test_other_versions_are_left_out(self, conversation: Conversation) -> None:
        first = make_turn(conversation, "One?", "One.")
        make_turn(conversation, "Not this", "Nor this")
        make_turn(conversation, "Two?", "Two.", parent=first)
        found = next_plan(conversation, STATELESS)
        assert [text for _, text in said(found)] == ["One?", "One.", "Two?", "Two.", "Next"]

    def test_assistant_messages_have_an_id_where_the_dialect_keeps_them(self, conversation: Conversation) -> None:
        make_turn(conversation, output=[message("With", id="msg_1"), message("Without")])
        kept = next_plan(conversation, STATELESS).items[1:3]
        assert kept[0]["id"] == "msg_1"
        assert kept[1]["id"].startswith("msg_")
        assert {item["status"] for item in kept} == {"completed"}
        Turn.objects.update(status=Status.COMPLETED)
        dropping = STATELESS.with_overrides({"keeps_assistant_ids": False})
        for item in next_plan(conversation, dropping).items[1:3]:
            assert sorted(item) == ["content", "role", "type"]

    def test_a_refusal_is_what_the_model_said(self, conversation: Conversation) -> None:
        refusal = {"type": "message", "content": [{"type": "refusal", "refusal": "I will not."}]}
        make_turn(conversation, output=[refusal])
        assert ("assistant", "I will not.") in said(next_plan(conversation, STATELESS))

    def test_reasoning_and_empty_messages_are_left_out(self, conversation: Conversation) -> None:
        reasoning = {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm"}]}
        make_turn(conversation, "One?", output=[reasoning, message(""), message("One.")])
        assert [text for _, text in said(next_plan(conversation, STATELESS))] == ["One?", "One.", "Next"]

    def test_sources_of_an_answer_are_not_sent_back(self, conversation: Conversation) -> None:
        part = {"type": "output_text", "text": "One.", "annotations": [{"type": "url_citation", "url": "x"}]}
        make_turn(conversation, output=[{"type": "message", "content": [part]}])
        assert next_plan(conversation, STATELESS).items[1]["content"][0]["annotations"] == []


class TestFunctions:
    CALL = {
        "type": "function_call",
        "id": "fc_1",
        "status": "completed",
        "call_id": "c1",
        "name": "now",
        "arguments": "{}",
    }
    OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "noon"}

    def called(self, conversation: Conversation, *outputs: Item) -> Turn:
        """A turn of two responses: the first calls, the second has the outputs in its input and answers."""
        turn = make_turn(conversation, "When?", output=[self.CALL])
        Response.objects.create(
            turn=turn, order=1, status=Status.COMPLETED, input=list(outputs), output=[message("At noon.")]
        )
        return turn

    def test_a_call_is_followed_by_what_came_of_it_and_then_by_the_answer(self, conversation: Conversation) -> None:
        self.called(conversation, self.OUTPUT)
        found = next_plan(conversation, STATELESS)
        assert [item["type"] for item in found.items[1:4]] == ["function_call", "function_call_output", "message"]
        assert found.items[1] == {"type": "function_call", "call_id": "c1", "name": "now", "arguments": "{}"}
        assert found.items[2] == self.OUTPUT

    def test_a_call_without_an_output_is_left_out(self, conversation: Conversation) -> None:
        self.called(conversation)
        assert [text for _, text in said(next_plan(conversation, STATELESS))] == ["When?", "At noon.", "Next"]

    def test_outputs_of_earlier_turns_that_were_sent_along_are_not_told_twice(self, conversation: Conversation) -> None:
        self.called(conversation, self.OUTPUT)
        make_turn(conversation, "And now?", "Later.", input=next_items(conversation))
        types = [item["type"] for item in next_plan(conversation, STATELESS).items]
        assert types.count("function_call_output") == types.count("function_call") == 1


def next_items(conversation: Conversation) -> list[Item]:
    """What a stateless provider would be sent next, without asking."""
    assert conversation.head is not None
    turn = Turn(conversation=conversation, parent=conversation.head, deployment=conversation.deployment)
    turn.save()
    items = planned(turn, STATELESS).items
    turn.delete()
    return items


@pytest.mark.seed("S1-30")
class TestNothingKept:
    """Deployments whose provider may keep nothing: the whole path, and reasoning in its encrypted form."""

    THOUGHT = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [{"type": "summary_text", "text": "Hm"}],
        "encrypted_content": "gAAA",
        "content": None,
        "status": None,
    }
    ANSWER = message("One.", id="msg_1", phase="final_answer", extra=None)
    CALL = {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "now", "arguments": "{}"}
    OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "noon"}

    @pytest.fixture
    def deployment(self, db: None) -> Deployment:
        return make_deployment(keeps_responses=False)

    def told(self, conversation: Conversation, *output: Item, **response: Any) -> Turn:
        return make_turn(conversation, "One?", output=list(output), **{"store": False, **response})

    def test_reasoning_goes_back_whole_and_in_order_with_what_it_led_to(self, conversation: Conversation) -> None:
        self.told(conversation, self.THOUGHT, self.ANSWER)
        found = next_plan(conversation)
        assert found.previous_response_id == ""
        assert found.has_reasoning
        assert [item["type"] for item in found.items] == ["message", "reasoning", "message", "message"]
        thought, answer = found.items[1:3]
        # What is null in an answer is unknown in an input.
        assert thought == {key: self.THOUGHT[key] for key in ("type", "id", "summary", "encrypted_content")}
        assert answer == {key: value for key, value in self.ANSWER.items() if value is not None}

    def test_the_whole_path_is_told_even_where_an_earlier_response_was_kept(self, conversation: Conversation) -> None:
        make_turn(conversation, "Zero?", "Zero.", response_id="resp_kept", store=True)
        self.told(conversation, self.THOUGHT, self.ANSWER)
        found = next_plan(conversation)
        assert found.previous_response_id == ""
        assert found.items[0]["content"][0]["text"] == "Zero?"

    def test_once_responses_are_kept_again_what_was_not_is_told_and_the_rest_chained(
        self, conversation: Conversation, deployment: Deployment
    ) -> None:
        make_turn(conversation, "Zero?", "Zero.", response_id="resp_kept", store=True)
        self.told(conversation, self.THOUGHT, self.ANSWER)
        deployment.keeps_responses = True
        deployment.save()
        found = next_plan(conversation)
        assert found.previous_response_id == "resp_kept"
        assert said(found) == [("user", "One?"), ("assistant", "One."), ("user", "Next")]
        assert not found.has_reasoning

    def test_a_call_keeps_the_reasoning_before_it_and_is_followed_by_what_came_of_it(
        self, conversation: Conversation
    ) -> None:
        turn = self.told(conversation, self.THOUGHT, self.CALL)
        Response.objects.create(
            turn=turn,
            order=1,
            status=Status.COMPLETED,
            provider_name="Scripted",
            input=[self.OUTPUT],
            output=[{**self.THOUGHT, "id": "rs_2"}, self.ANSWER],
        )
        found = next_plan(conversation)
        assert [item.get("id") or item.get("call_id") for item in found.items[1:-1]] == [
            *("rs_1", "fc_1", "c1"),
            *("rs_2", "msg_1"),
        ]

    def test_a_search_between_two_thoughts_goes_back_too(self, conversation: Conversation) -> None:
        search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
        self.told(conversation, self.THOUGHT, search, {**self.THOUGHT, "id": "rs_2"}, self.ANSWER)
        assert [item.get("id") for item in next_plan(conversation).items[1:-1]] == ["rs_1", "ws_1", "rs_2", "msg_1"]

    @pytest.mark.parametrize(
        ("output", "response"),
        [
            ([{**THOUGHT, "encrypted_content": None}, ANSWER], {}),
            ([{**THOUGHT, "encrypted_content": ""}, ANSWER], {}),
            ([{**THOUGHT, "encrypted_content": 7}, ANSWER], {}),
            ([{**THOUGHT, "id": None}, ANSWER], {}),
            ([THOUGHT, {**THOUGHT, "id": "rs_2", "encrypted_content": None}, ANSWER], {}),
            ([THOUGHT, CALL, ANSWER], {}),
            ([THOUGHT, {"type": "image_generation_call", "id": "ig_1", "result": "b64"}, ANSWER], {}),
            ([THOUGHT, {"type": "new_thing", "id": "new_1"}, ANSWER], {}),
            ([ANSWER, THOUGHT], {"status": Status.INCOMPLETE}),
            ([THOUGHT, ANSWER], {"status": Status.CANCELLED}),
            ([THOUGHT, ANSWER], {"status": Status.INTERRUPTED}),
            ([THOUGHT, ANSWER], {"provider_name": "Elsewhere"}),
        ],
        ids=["not-encrypted", "empty", "no-text", "no-id", "one-is-not", "call-without-output", "image", "unknown",
             "cut-off", "stopped", "interrupted", "elsewhere"],
    )  # fmt: skip
    def test_otherwise_it_is_left_out_with_the_ids_of_what_it_led_to(
        self, conversation: Conversation, output: list[Item], response: dict[str, Any]
    ) -> None:
        self.told(conversation, *output, **response)
        found = next_plan(conversation)
        assert not found.has_reasoning
        assert said(found) == [("user", "One?"), ("assistant", "One."), ("user", "Next")]
        if output[0]["type"] == "reasoning":
            assert found.items[1]["id"] != "msg_1"

    def test_another_model_cannot_read_it(self, conversation: Conversation) -> None:
        self.told(conversation, self.THOUGHT, self.ANSWER)
        conversation.deployment = make_deployment("m-2", keeps_responses=False)
        conversation.save()
        assert not next_plan(conversation).has_reasoning

    def test_nor_can_a_server_that_takes_none_or_not_such_items(self, conversation: Conversation) -> None:
        self.told(conversation, self.THOUGHT, self.ANSWER)
        turn = ask(conversation.owner, conversation, Question("Next", uuid.uuid4())).turn
        assert planned(turn).has_reasoning, "the premise"
        for lacking in ({"encrypted_reasoning": False}, {"input_item_types": ["message"]}):
            assert not planned(turn, STATEFUL.with_overrides(lacking)).has_reasoning

    def test_a_stateless_server_that_encrypts_gets_it_although_it_might_keep_all(
        self, alice: User, conversation: Conversation, deployment: Deployment
    ) -> None:
        deployment.keeps_responses = True
        deployment.save()
        self.told(conversation, self.THOUGHT, self.ANSWER, store=True)
        assert next_plan(conversation, STATELESS.with_overrides({"encrypted_reasoning": True})).has_reasoning

    def test_it_can_be_left_out_on_demand(self, conversation: Conversation) -> None:
        self.told(conversation, self.THOUGHT, self.ANSWER)
        turn = Turn.objects.with_answers().get(
            pk=ask(conversation.owner, conversation, Question("N", uuid.uuid4())).turn.pk
        )
        assert turn.deployment is not None
        assert not plan(turn, turn.deployment.provider, STATEFUL, reasoning=False).has_reasoning


class TestFiles:
    def test_they_come_before_the_text_and_as_placeholders(self, alice: User, deployment: Deployment) -> None:
        files = [make_attachment(alice, name, b"") for name in ("a.pdf", "b.pdf")]
        turn = ask(alice, None, Question("Compare", uuid.uuid4(), [f.pk for f in files])).turn
        found = planned(turn)
        assert found.items[0]["content"] == [
            *({"type": "attachment", "id": str(f.pk)} for f in files),
            {"type": "input_text", "text": "Compare"},
        ]
        assert found.attachment_ids == [f.pk for f in files]

    def test_a_file_alone_needs_no_text(self, alice: User, deployment: Deployment) -> None:
        file = make_attachment(alice, content=b"")
        turn = ask(alice, None, Question("", uuid.uuid4(), [file.pk])).turn
        assert planned(turn).items[0]["content"] == [{"type": "attachment", "id": str(file.pk)}]

    def test_a_chained_turn_leaves_earlier_files_to_the_provider(self, alice: User, conversation: Conversation) -> None:
        first = make_turn(conversation)
        file = make_attachment(alice, content=b"")
        TurnAttachment.objects.create(turn=first, attachment=file)
        turn = ask(alice, conversation, Question("Next", uuid.uuid4())).turn
        assert planned(turn).attachment_ids == []
        assert planned(turn, chain=False).attachment_ids == [file.pk]


@given(output=wild_output)
def test_whatever_a_provider_sent_can_be_told_again(output: list[Any]) -> None:
    response = Response(output=Draft.from_response({"id": "r", "status": "completed", "output": output}).output())
    turn = Turn(pk=1, question="Why?")
    turn._prefetched_objects_cache = {"responses": [response]}  # type: ignore[attr-defined]
    for item in answer_items(turn, STATELESS):
        assert item["type"] in ("message", "function_call")
    response.status, response.provider_name = Status.COMPLETED, "Here"
    assert isinstance(answer_items(turn, STATEFUL, Provider(name="Here")), list)
