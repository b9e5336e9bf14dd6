"""The people: who chats, who reviews, who operates."""

from __future__ import annotations

import secrets

from django.contrib.auth.models import AbstractUser
from django.db import models


def new_nonce() -> str:
    return secrets.token_hex(16)


class User(AbstractUser):
    """A person. Custom from day one, since Django cannot swap the model later."""

    signin_nonce = models.CharField(max_length=32, default=new_nonce, editable=False)

    def consume_signin_nonce(self, nonce: str) -> bool:
        """Trade `nonce` for a new one; False when it was used before.

        One conditional UPDATE, so that of two requests with the same link one signs in.
        """
        fresh = new_nonce()
        changed = User.objects.filter(pk=self.pk, signin_nonce=nonce).update(signin_nonce=fresh)
        if changed:
            self.signin_nonce = fresh
        return bool(changed)
