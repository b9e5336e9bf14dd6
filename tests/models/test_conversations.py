"""What the database itself holds to, and the path through the tree."""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from chat.models import Attachment, Conversation, Deployment, Provider, ProviderFile, Response, Status, Turn, User
from chat.models.conversations import LIVE, TERMINAL, TurnAttachment
from tests.rows import make_attachment, make_conversation, make_deployment, make_turn

pytestmark = pytest.mark.django_db


class TestConstraints:
    def refused(self, deed: Callable[[], object], constraint: str) -> None:
        with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
            deed()

    def test_a_form_makes_one_turn(self, alice: User) -> None:
        turn = make_turn(make_conversation(alice))
        again = Turn(conversation=make_conversation(alice), idempotency_key=turn.idempotency_key)
        self.refused(again.save, "idempotency_key")

    def test_a_place_in_a_turn_has_one_response(self, alice: User) -> None:
        turn = make_turn(make_conversation(alice))
        self.refused(lambda: Response.objects.create(turn=turn, order=0), "turn_id.*order|one_response_per_place")
        assert Response.objects.create(turn=turn, order=1)

    def test_a_file_is_in_a_turn_once(self, alice: User) -> None:
        turn, file = make_turn(make_conversation(alice)), make_attachment(alice, content=b"")
        TurnAttachment.objects.create(turn=turn, attachment=file)
        self.refused(
            lambda: TurnAttachment.objects.create(turn=turn, attachment=file), "attachment_id|attachment_once_per_turn"
        )

    def test_a_provider_has_one_copy_of_a_file_for_a_purpose(self, alice: User) -> None:
        file, provider = make_attachment(alice, content=b""), make_deployment().provider
        copy = {"attachment": file, "provider": provider, "purpose": "assistants"}
        ProviderFile.objects.create(file_id="file-1", **copy)
        self.refused(lambda: ProviderFile.objects.create(file_id="file-2", **copy), "purpose|one_copy")
        assert ProviderFile.objects.create(file_id="file-3", **{**copy, "purpose": "user_data"})

    def test_one_deployment_is_the_default(self, db: None) -> None:
        make_deployment("a", is_default=True)
        self.refused(lambda: make_deployment("b", is_default=True), "is_default|one_default_deployment")
        assert make_deployment("b", is_default=False)

    def test_a_provider_serves_a_name_once(self, db: None) -> None:
        make_deployment("a")
        self.refused(lambda: make_deployment("a"), "name|one_row_per_deployment")
        assert make_deployment("a", provider="Another")

    @pytest.mark.parametrize("model", [Turn, Response])
    def test_a_state_is_a_known_one(self, alice: User, model: type[Turn] | type[Response]) -> None:
        make_turn(make_conversation(alice))
        self.refused(lambda: model.objects.update(status="thinking"), "status_is_known")

    def test_every_state_is_live_waiting_or_the_last_and_only_one_of_them(self) -> None:
        assert sorted([*LIVE, Status.WAITING, *TERMINAL]) == sorted(Status)


class TestPath:
    def test_it_goes_from_a_turn_to_its_oldest_ancestor(self, alice: User) -> None:
        conversation = make_conversation(alice, turns=5)
        pks = list(conversation.turns.order_by("-pk").values_list("pk", flat=True))
        assert Turn.objects.path_ids(pks[0]) == pks
        assert Turn.objects.path_ids(pks[2]) == pks[2:]
        assert Turn.objects.path_ids(pks[-1]) == [pks[-1]]

    @pytest.mark.parametrize("limit", [1, 2, 5, 6, 50])
    def test_it_stops_at_its_limit(self, alice: User, limit: int) -> None:
        conversation = make_conversation(alice, turns=5)
        pks = list(conversation.turns.order_by("-pk").values_list("pk", flat=True))
        assert Turn.objects.path_ids(pks[0], limit) == pks[:limit]

    def test_of_nothing_it_is_nothing(self, db: None) -> None:
        assert Turn.objects.path_ids(999_999) == []

    def test_it_keeps_to_its_branch_of_any_tree(self, alice: User) -> None:
        chance = random.Random(7)
        conversation = make_conversation(alice)
        turns: list[Turn] = []
        for _ in range(60):
            parent = chance.choice([None, *turns])
            turns.append(Turn.objects.create(conversation=conversation, parent=parent))
        for turn in turns:
            path, step = [], turn
            while step is not None:
                path.append(step.pk)
                step = step.parent
            assert Turn.objects.path_ids(turn.pk) == path

    def test_it_takes_one_query(self, alice: User, django_assert_num_queries: DjangoAssertNumQueries) -> None:
        conversation = make_conversation(alice, turns=50)
        assert conversation.head_id
        with django_assert_num_queries(1):
            assert len(Turn.objects.path_ids(conversation.head_id)) == 50


class TestIndexes:
    """The hot paths must not read whole tables, however small the tables of a test are."""

    def plan(self, sql: str, params: tuple[object, ...]) -> str:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
            return "\n".join(str(row) for row in cursor.fetchall())

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's plan")
    def test_the_sidebar_is_read_in_the_order_of_its_index(self, alice: User) -> None:
        rows = Conversation.objects.visible_to(alice).newest_first()[:41]
        plan = self.plan(*rows.query.sql_with_params())
        assert "USING INDEX sidebar" in plan
        assert "TEMP B-TREE" not in plan

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's plan")
    def test_live_turns_of_a_conversation_are_found_by_theirs(self, alice: User) -> None:
        rows = Turn.objects.filter(conversation=uuid.uuid4(), status__in=LIVE).order_by()  # as exists() asks
        assert "turns_by_status" in self.plan(*rows.query.sql_with_params())

    @pytest.mark.skipif(connection.vendor != "sqlite", reason="reads SQLite's plan")
    def test_files_that_are_still_to_be_fetched_are_found_by_theirs(self, db: None) -> None:
        rows = Attachment.objects.to_fetch(before=timezone.now())
        plan = self.plan(*rows.query.sql_with_params())
        assert "made_to_fetch" in plan
        assert "TEMP B-TREE" not in plan


class TestCascade:
    def test_a_person_goes_with_all_that_is_theirs(self, alice: User, bob: User) -> None:
        for owner in (alice, bob):
            turn = make_turn(make_conversation(owner, make_deployment(owner.username)))
            TurnAttachment.objects.create(turn=turn, attachment=make_attachment(owner, content=b""))
        alice.delete()
        assert set(Conversation.objects.values_list("owner__username", flat=True)) == {"bob"}
        assert Turn.objects.count() == Response.objects.count() == Attachment.objects.count() == 1

    def test_a_deployment_goes_without_what_it_answered(self, alice: User) -> None:
        deployment = make_deployment()
        conversation = make_conversation(alice, deployment, turns=2)
        Provider.objects.all().delete()
        conversation.refresh_from_db()
        assert conversation.deployment is None
        assert conversation.turns.filter(deployment=None).count() == 2
        assert not Deployment.objects.exists()
