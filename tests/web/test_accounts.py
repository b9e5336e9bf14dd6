"""Signing in by link and by password, and the pages around it."""

from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth import get_user
from django.core.cache import cache
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from django.urls import reverse

from chat.models import User
from tests.conftest import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def forgotten_rate_limits() -> None:
    cache.clear()


def link(user: User) -> str:
    return reverse("signin", args=[user.signin_token()])


def who(client: Client) -> str:
    return get_user(client).get_username()  # type: ignore[arg-type]


class TestSigninLink:
    def test_it_signs_in_once(self, alice: User) -> None:
        first, second = Client(), Client()
        address = link(alice)
        assert first.post(address).headers["Location"] == "/"
        assert who(first) == "alice"
        used = second.post(address)
        assert used.status_code == 410
        assert "signin_link NAME" in used.content.decode()
        assert who(second) == ""

    @pytest.mark.parametrize("method", ["get", "head"])
    def test_looking_at_it_does_not_use_it_up(self, alice: User, method: str) -> None:
        client, address = Client(), link(alice)
        assert getattr(client, method)(address).status_code == 200
        assert who(client) == ""
        assert client.post(address).status_code == 302

    def test_of_two_links_made_before_either_is_used_one_works(self, alice: User) -> None:
        one, other = link(alice), link(alice)
        assert Client().post(one).status_code == 302
        assert Client().post(other).status_code == 410

    def test_an_old_one_says_so(self, alice: User) -> None:
        address = link(alice)
        with override_settings(SIGNIN_LINK_SECONDS=-1):
            page = Client().post(address)
        assert page.status_code == 410
        assert "too old" in page.content.decode()
        assert Client().post(address).status_code == 302

    def test_a_forged_one_is_404_and_shows_no_name(self, alice: User) -> None:
        body, seal, signature = alice.signin_token().split(":")
        forged = ":".join([body, seal, signature[::-1]])
        page = Client().post(reverse("signin", args=[forged]))
        assert page.status_code == 404
        assert "alice" not in page.content.decode()

    def test_it_does_not_wake_a_deactivated_account(self, alice: User) -> None:
        alice.is_active = False
        alice.save()
        assert Client().post(link(alice)).status_code == 410

    def test_it_is_not_stored_and_its_address_stays_here(self, alice: User) -> None:
        page = Client().get(link(alice))
        assert "no-store" in page.headers["Cache-Control"]
        assert page.headers["Referrer-Policy"] == "same-origin"

    def test_it_names_the_account_and_waits_for_the_button(self, alice: User, bob_client: Client) -> None:
        """Else a stranger's link would sign somebody in as the stranger, who then reads what they write."""
        asked = Client().get(link(alice)).content.decode()
        assert "Sign in as alice</button>" in asked
        assert "<script type=" not in asked
        assert "You are signed in as bob" in bob_client.get(link(alice)).content.decode()

    def test_changing_accounts_ends_the_session_before(self, alice: User, bob: User) -> None:
        client, other_tab = Client(), Client()
        client.post(link(bob))
        other_tab.cookies["sessionid"] = client.cookies["sessionid"].value
        assert who(other_tab) == "bob"
        client.post(link(alice))
        assert (who(client), who(other_tab)) == ("alice", "")

    def test_it_takes_nobody_with_a_token_missing(self, alice: User) -> None:
        client = Client(enforce_csrf_checks=True)
        assert client.post(link(alice)).status_code == 403
        assert who(client) == ""


class TestSigninLinkCommand:
    def run(self, *arguments: str) -> str:
        out = StringIO()
        call_command("signin_link", *arguments, stdout=out)
        return out.getvalue().strip()

    def test_it_prints_a_link_that_works(self, alice: User) -> None:
        printed = self.run("alice")
        assert printed.startswith("http://127.0.0.1:8000/signin/")
        client = Client()
        client.post(printed.removeprefix("http://127.0.0.1:8000"))
        assert who(client) == "alice"

    def test_it_makes_nobody_unasked(self) -> None:
        with pytest.raises(CommandError, match=r"There is nobody named dora\. Add --create"):
            self.run("dora")
        assert not User.objects.filter(username="dora").exists()

    def test_it_makes_a_person_without_password_or_rights(self) -> None:
        self.run("dora", "--create")
        dora = User.objects.get(username="dora")
        assert not dora.has_usable_password()
        assert (dora.is_staff, dora.is_superuser) == (False, False)

    def test_it_makes_an_admin_when_asked(self, alice: User) -> None:
        self.run("alice", "--admin")
        alice.refresh_from_db()
        assert (alice.is_staff, alice.is_superuser) == (True, True)

    def test_it_refuses_a_name_that_cannot_be(self) -> None:
        with pytest.raises(CommandError, match="valid username"):
            self.run("no spaces", "--create")

    @override_settings(PUBLIC_URL="https://chat.example.org")
    def test_it_uses_the_public_address(self, alice: User) -> None:
        assert self.run("alice").startswith("https://chat.example.org/signin/")


class TestPassword:
    @pytest.mark.parametrize(
        "elsewhere", ["https://evil.example/", "//evil.example/", "/\\\\evil.example/", "javascript:alert(1)"]
    )
    def test_signing_in_leads_nowhere_else(self, alice: User, elsewhere: str) -> None:
        address = reverse("account_login")
        form = {"login": "alice", "password": PASSWORD, "next": elsewhere}
        assert Client().post(address, form).headers["Location"] == "/"
        assert Client().post(address, {**form, "next": "/admin/"}).headers["Location"] == "/admin/"

    def test_a_new_one_ends_the_links_that_were_made_before(self, alice: User) -> None:
        old = link(alice)
        client = Client()
        assert client.login(username="alice", password=PASSWORD)
        new = {"oldpassword": PASSWORD, "password1": "violet anchor 93", "password2": "violet anchor 93"}
        assert client.post(reverse("account_change_password"), new).status_code == 302
        assert Client().post(old).status_code == 410

    def test_signing_in_changes_the_session_that_was_there_before(self, alice: User) -> None:
        client = Client()
        client.session.save()
        session = client.session
        session["planted"] = "yes"
        session.save()
        before = session.session_key
        client.cookies["sessionid"] = before
        client.post(link(alice))
        assert who(client) == "alice"
        assert client.session.session_key != before

    def test_it_signs_in_and_out(self, alice: User) -> None:
        client = Client()
        page = client.post(reverse("account_login"), {"login": "alice", "password": PASSWORD})
        assert page.headers["Location"] == "/"
        assert who(client) == "alice"
        assert client.get(reverse("account_logout")).status_code == 200
        assert client.post(reverse("account_logout")).headers["Location"] == reverse("account_login")
        assert who(client) == ""

    @pytest.mark.parametrize("door", ["account_logout", "admin:logout"])
    def test_signing_out_makes_the_browser_drop_what_it_kept(self, rita_client: Client, door: str) -> None:
        left = rita_client.post(reverse(door))
        assert left.headers["Clear-Site-Data"] == '"cache"'
        assert who(rita_client) == ""

    def test_a_wrong_one_is_said_beside_the_form(self, alice: User) -> None:
        client = Client()
        page = client.post(reverse("account_login"), {"login": "alice", "password": "guess"})
        assert "not correct" in page.content.decode()
        assert who(client) == ""

    def test_guessing_is_stopped(self, alice: User) -> None:
        client = Client()
        for _ in range(5):
            client.post(reverse("account_login"), {"login": "alice", "password": "guess"})
        page = client.post(reverse("account_login"), {"login": "alice", "password": PASSWORD})
        assert "Too many failed login attempts" in page.content.decode()
        assert who(client) == ""

    def test_who_came_by_link_sets_a_first_one(self, alice: User) -> None:
        alice.set_unusable_password()
        alice.save()
        client = Client()
        client.post(link(alice))
        assert client.get(reverse("account_change_password")).headers["Location"] == reverse("account_set_password")
        assert client.get(reverse("account_set_password")).status_code == 200
        chosen = {"password1": "violet anchor 93", "password2": "violet anchor 93"}
        assert client.post(reverse("account_set_password"), chosen).status_code == 302
        assert who(client) == "alice"
        assert Client().login(username="alice", password="violet anchor 93")

    def test_changing_it_keeps_this_browser_and_signs_out_the_others(self, alice: User) -> None:
        here, elsewhere = Client(), Client()
        for client in (here, elsewhere):
            assert client.login(username="alice", password=PASSWORD)
        new = {"oldpassword": PASSWORD, "password1": "violet anchor 93", "password2": "violet anchor 93"}
        assert here.post(reverse("account_change_password"), new).status_code == 302
        assert (who(here), who(elsewhere)) == ("alice", "")

    def test_a_weak_one_is_refused_with_the_reason(self, alice_client: Client) -> None:
        weak = {"oldpassword": PASSWORD, "password1": "12345", "password2": "12345"}
        page = alice_client.post(reverse("account_change_password"), weak)
        assert page.status_code == 200
        assert "too short" in page.content.decode()

    def test_it_is_never_shown_again(self, alice: User) -> None:
        page = Client().post(reverse("account_login"), {"login": "alice", "password": "my-secret-guess"})
        assert "my-secret-guess" not in page.content.decode()


class TestSignup:
    NEW = {"username": "dora", "password1": "violet anchor 93", "password2": "violet anchor 93"}

    def test_it_is_closed_by_default_and_says_whom_to_ask(self) -> None:
        for page in (Client().get(reverse("account_signup")), Client().post(reverse("account_signup"), self.NEW)):
            assert "Sign-up is closed" in page.content.decode()
        assert not User.objects.filter(username="dora").exists()
        assert reverse("account_signup") not in Client().get(reverse("account_login")).content.decode()

    @override_settings(SIGNUP_OPEN=True)
    def test_opened_it_makes_a_person_without_rights(self) -> None:
        client = Client()
        assert reverse("account_signup") in client.get(reverse("account_login")).content.decode()
        assert client.post(reverse("account_signup"), self.NEW).headers["Location"] == "/"
        assert who(client) == "dora"
        assert not User.objects.get(username="dora").is_staff


class TestPages:
    @pytest.mark.parametrize("name", ["account_login", "account_signup", "account_inactive"])
    def test_a_stranger_may_see(self, name: str) -> None:
        assert Client().get(reverse(name)).status_code == 200

    @pytest.mark.parametrize("name", ["account_change_password", "account_set_password", "account_reauthenticate"])
    def test_a_stranger_is_asked_to_sign_in_for(self, name: str) -> None:
        assert Client().get(reverse(name)).headers["Location"].startswith(reverse("account_login"))

    def test_the_admin_has_the_same_door(self) -> None:
        page = Client().get("/admin/login/?next=/admin/")
        assert page.headers["Location"].startswith(reverse("account_login"))

    def test_no_page_has_inline_script_or_style(self, alice: User, alice_client: Client) -> None:
        pages = [Client().get(link(alice)), Client().get(reverse("account_login"))]
        pages += [alice_client.get(reverse(name)) for name in ("account_change_password", "account_logout")]
        for page in pages:
            html = page.content.decode()
            assert page.status_code == 200
            assert "<style" not in html
            assert "style=" not in html
            assert "<script>" not in html
            assert " on" + "click" not in html

    def test_a_redirect_after_sign_in_stays_on_this_site(self, alice: User) -> None:
        told = {"login": "alice", "password": PASSWORD, "next": "https://evil.example/"}
        assert Client().post(reverse("account_login"), told).headers["Location"] == "/"
