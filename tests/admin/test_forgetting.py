"""The operator sees what providers still hold, and can have it tried at once."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from chat.models import Forgetting, Provider, ProviderFile, User
from tests.rows import make_attachment

LIST = reverse("admin:chat_forgetting_changelist")


@pytest.fixture
def rows(provider: Provider) -> dict[str, Forgetting]:
    later = timezone.now() + timedelta(hours=5)
    fields = {
        "waiting": {"kind": "response"},
        "failing": {"kind": "file", "tries": 7, "error": "500 server_error: Sorry."},
        "gone": {"kind": "file", "done_at": timezone.now()},
    }
    return {
        name: Forgetting.objects.create(provider=provider, upstream_id=f"id-{name}", next_try_at=later, **more)
        for name, more in fields.items()
    }


@pytest.mark.parametrize(
    ("query", "shown"),
    [("", {"waiting", "failing"}), ("?state=failing", {"failing"}), ("?state=done", {"gone"}), ("?state=all", None)],
)
def test_open_ones_are_listed_and_others_on_request(
    admin_client: Client, rows: dict[str, Forgetting], query: str, shown: set[str] | None
) -> None:
    page = admin_client.get(LIST + query).content.decode()
    assert {name for name in rows if f"id-{name}" in page} == (set(rows) if shown is None else shown)
    assert ("500 server_error: Sorry." in page) == (shown is None or "failing" in shown)


def test_try_now_makes_them_due_and_leaves_what_is_done(admin_client: Client, rows: dict[str, Forgetting]) -> None:
    chosen = {"action": "try_now", "_selected_action": [row.pk for row in rows.values()]}
    page = admin_client.post(f"{LIST}?state=all", chosen, follow=True).content.decode()
    assert "2 of them are tried within 10 seconds" in page
    due = Forgetting.objects.filter(next_try_at__lte=timezone.now())
    assert set(due) == {rows["waiting"], rows["failing"]}


def test_who_may_only_look_cannot_try(rita: User, rita_client: Client, rows: dict[str, Forgetting]) -> None:
    page = rita_client.get(LIST).content.decode()
    assert "id-waiting" in page
    assert "try_now" not in page
    chosen = {"action": "try_now", "_selected_action": [rows["waiting"].pk]}
    rita_client.post(LIST, chosen)
    assert not Forgetting.objects.filter(next_try_at__lte=timezone.now()).exists()
    rita.user_permissions.add(Permission.objects.get(codename="change_forgetting"))
    rita_client.post(LIST, chosen)
    assert Forgetting.objects.filter(next_try_at__lte=timezone.now()).exists()


def test_nothing_is_added_changed_or_deleted_here(admin_client: Client, rows: dict[str, Forgetting]) -> None:
    one = reverse("admin:chat_forgetting_change", args=[rows["failing"].pk])
    assert admin_client.get(one).status_code == 200
    assert admin_client.post(one, {"tries": 0}).status_code == 403
    assert admin_client.get(reverse("admin:chat_forgetting_add")).status_code == 403
    assert admin_client.get(reverse("admin:chat_forgetting_delete", args=[rows["failing"].pk])).status_code == 403


def test_copies_at_providers_are_listed_with_their_owners(
    admin_client: Client, sam_client: Client, provider: Provider, alice: User
) -> None:
    attachment = make_attachment(alice, "tides.pdf", b"")
    ProviderFile.objects.create(attachment=attachment, provider=provider, file_id="file-7", purpose="user_data")
    address = reverse("admin:chat_providerfile_changelist")
    page = admin_client.get(address).content.decode()
    assert all(words in page for words in ("file-7", "tides.pdf", "alice", "House"))
    assert sam_client.get(address).status_code == 403


def test_a_provider_is_deleted_with_what_is_known_of_its_files(
    admin_client: Client, provider: Provider, rows: dict[str, Forgetting], alice: User
) -> None:
    attachment = make_attachment(alice, content=b"")
    ProviderFile.objects.create(attachment=attachment, provider=provider, file_id="file-7", purpose="user_data")
    address = reverse("admin:chat_provider_delete", args=[provider.pk])
    assert admin_client.post(address, {"post": "yes"}).status_code == 302
    assert not Provider.objects.filter(pk=provider.pk).exists()
    assert not Forgetting.objects.exists()
    attachment.refresh_from_db()
