"""Which deployments are offered, to whom, and in which order."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from chat.models import Deployment, Provider, User
from tests.rows import make_deployment

pytestmark = pytest.mark.django_db


def test_the_default_comes_first_then_names(alice: User) -> None:
    for provider, name in (("B", "a"), ("A", "z"), ("A", "b"), ("C", "default")):
        make_deployment(name, provider=provider, is_default=name == "default")
    found = [(d.provider.name, d.name) for d in Deployment.objects.offered_to(alice)]
    assert found == [("C", "default"), ("A", "b"), ("A", "z"), ("B", "a")]


def test_what_is_switched_off_is_not_offered(alice: User) -> None:
    make_deployment("on", provider="On")
    make_deployment("off", provider="On", enabled=False)
    make_deployment("on", provider="Off")
    Provider.objects.filter(name="Off").update(enabled=False)
    assert [d.provider.name for d in Deployment.objects.offered_to(alice)] == ["On"]
    assert Deployment.objects.offered().count() == 1


def test_one_of_groups_is_offered_to_each_of_their_members_once(alice: User, bob: User) -> None:
    special = make_deployment("special")
    groups = [Group.objects.create(name=name) for name in ("Readers", "Writers")]
    special.groups.set(groups)
    alice.groups.set(groups)
    assert list(Deployment.objects.offered_to(alice)) == [special]
    assert list(Deployment.objects.offered_to(bob)) == []


@pytest.mark.parametrize("name", ["sk-abc", "MY KEY", "1KEY", "KEY\n", "", "$KEY"])
def test_a_variable_has_the_name_of_one(name: str) -> None:
    provider = Provider(name="P", dialect="openai", key_variable=name)
    if name == "":
        provider.full_clean()
        return
    with pytest.raises(ValidationError, match="never the key itself"):
        provider.full_clean()


def test_its_parameters_are_a_copy(db: None) -> None:
    deployment = make_deployment(parameters={"a": 1})
    deployment.as_parameters()["b"] = 2
    assert deployment.parameters == {"a": 1}
