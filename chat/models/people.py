"""The people: who chats, who reviews, who operates."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import AbstractUser
from django.core import signing
from django.db import models

SIGNIN_SALT = "chat.signin-link"


def new_nonce() -> str:
    return secrets.token_hex(16)


class User(AbstractUser):
    """A person. Custom from day one, since Django cannot swap the model later."""

    signin_nonce = models.CharField(max_length=32, default=new_nonce, editable=False)

    def set_password(self, raw_password: str | None) -> None:
        """Also ends the sign-in links that were made before: who changes a password wants others out."""
        super().set_password(raw_password)
        self.signin_nonce = new_nonce()

    def signin_token(self) -> str:
        """The signed part of a sign-in link. Good until its nonce is consumed or it is too old."""
        return signing.dumps({"u": self.pk, "n": self.signin_nonce}, salt=SIGNIN_SALT)

    def consume_signin_nonce(self, nonce: str) -> bool:
        """Trade `nonce` for a new one; False when it was used before.

        One conditional UPDATE, so that of two requests with the same link one signs in.
        """
        fresh = new_nonce()
        changed = User.objects.filter(pk=self.pk, signin_nonce=nonce).update(signin_nonce=fresh)
        if changed:
            self.signin_nonce = fresh
        return bool(changed)
