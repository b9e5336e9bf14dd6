"""The way in: sign-in links, and those pages of allauth that make sense without e-mail."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from allauth.account import views as allauth
from allauth.account.adapter import DefaultAccountAdapter
from allauth.account.signals import password_changed, password_set
from asgiref.sync import async_to_sync
from django.conf import settings
from django.contrib.auth import login, logout, user_logged_out
from django.core import signing
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from chat.models import User
from chat.models.people import SIGNIN_SALT
from chat.turns import notices


def forgets(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """After a POST let the browser drop the files that it kept: the next person on it may be another one."""

    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if request.method == "POST":
            response.headers["Clear-Site-Data"] = '"cache"'
        return response

    return wrapper


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:
        return bool(settings.SIGNUP_OPEN)


class LoginView(allauth.LoginView):
    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        return {**super().get_context_data(**kwargs), "signup_is_open": settings.SIGNUP_OPEN}


@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@forgets
def signin(request: HttpRequest, token: str) -> HttpResponse:
    """Sign a person in by a link that works once.

    Only POST uses the link up: mail scanners and link previews follow it with GET.
    """
    try:
        claim = signing.loads(token, salt=SIGNIN_SALT, max_age=settings.SIGNIN_LINK_SECONDS)
    except signing.SignatureExpired:
        return unusable_link(request, "This link is too old.", status=410)
    except signing.BadSignature:
        return unusable_link(request, "This is not a sign-in link of this chat.", status=404)
    user = User.objects.filter(pk=claim["u"], is_active=True).first()
    if user is None or user.signin_nonce != claim["n"]:
        return unusable_link(request, "This link was used before.", status=410)
    if request.method != "POST":
        return offer_signin(request, user)
    if not user.consume_signin_nonce(claim["n"]):
        return unusable_link(request, "This link was used before.", status=410)
    if request.user.is_authenticated and request.user != user:
        logout(request)
    login(request, user, backend="django.contrib.auth.backends.ModelBackend")
    return redirect(settings.LOGIN_REDIRECT_URL)


def offer_signin(request: HttpRequest, person: User) -> HttpResponse:
    """Name the account and wait for the button: a stranger's link must sign nobody in as the stranger unawares."""
    return without_referrer(render(request, "chat/signin.html", {"person": person}))


def unusable_link(request: HttpRequest, reason: str, *, status: int) -> HttpResponse:
    return without_referrer(render(request, "chat/signin.html", {"reason": reason}, status=status))


def without_referrer(page: HttpResponse) -> HttpResponse:
    """The address holds the token, so it stays on this site whatever the site's policy is.

    Not "no-referrer": browsers then post with "Origin: null", which the CSRF check refuses.
    """
    page.headers["Referrer-Policy"] = "same-origin"
    return page


@receiver(user_logged_out)
def close_sockets(request: HttpRequest, user: User | None, **kwargs: Any) -> None:
    """A socket outlives the session that opened it: tell the person's open tabs to look at theirs again."""
    if user is None:
        return
    # The signal comes before Django forgets the session, and the tabs look at once.
    request.session.delete()
    async_to_sync(notices.signed_out)(user.pk)


@receiver([password_changed, password_set])
def close_other_sockets(user: User, **kwargs: Any) -> None:
    """A new password ends the person's other sessions."""
    async_to_sync(notices.signed_out)(user.pk)


# An explicit list: what is left out of allauth's (e-mail addresses, resets by mail, codes) asks for a
# mail server, and a page that cannot work is worse than none.
urlpatterns = [
    path("signin/<str:token>/", signin, name="signin"),
    path("accounts/login/", LoginView.as_view(), name="account_login"),
    path("accounts/logout/", forgets(allauth.logout), name="account_logout"),
    path("accounts/signup/", allauth.signup, name="account_signup"),
    path("accounts/inactive/", allauth.account_inactive, name="account_inactive"),
    path("accounts/reauthenticate/", allauth.reauthenticate, name="account_reauthenticate"),
    path("accounts/password/change/", allauth.password_change, name="account_change_password"),
    path("accounts/password/set/", allauth.password_set, name="account_set_password"),
]
