"""The people: who chats, who reviews, who operates."""

from __future__ import annotations

import secrets
from typing import Any, ClassVar

from django.contrib.auth.models import AbstractUser, UserManager
from django.core import signing
from django.db import models

from chat.models.prepared import Prepared, field

SIGNIN_SALT = "chat.signin-link"


def new_nonce() -> str:
    return secrets.token_hex(16)


class People(UserManager["User"]):
    use_in_migrations = False

    def get(self, *args: Any, **kwargs: Any) -> User:
        """As of all managers, and for less by the key alone: so each request and each socket finds out who is there.

        Here, since a sign-in backend of ours would sign everybody out: sessions hold the name of theirs.
        """
        key = kwargs.get("pk")
        # Related managers derive from this class, and a proxy of the model has an instance of it.
        is_ours = type(self) is People and self.model is User and self._db is None
        if not is_ours or args or len(kwargs) != 1 or not isinstance(key, int):
            return super().get(*args, **kwargs)
        found = _by_key.first(key)
        if found is None:
            raise User.DoesNotExist("User matching query does not exist.")
        return found


class User(AbstractUser):
    """A person. Custom from day one, since Django cannot swap the model later."""

    signin_nonce = models.CharField(max_length=32, default=new_nonce, editable=False)

    objects: ClassVar[People] = People()

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


_by_key = Prepared(lambda pk: User.objects.filter(pk=pk), field(User, "id"))
