"""Django beside the server, on its database: `python -m tests.bench.stored`. Lines of JSON in, lines of JSON out.

People with their sessions are made here, past the sign-in: hashing hundreds of passwords would take minutes, and what
is measured begins after it. And here is looked up what the database holds once the answers are over.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import django
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY


def people(count: int) -> list[str]:
    """So many people who are signed in: the keys of their sessions."""
    from django.contrib.sessions.backends.db import SessionStore

    from chat.models import User

    first = User.objects.count()
    users = [User(username=f"person{number}", password="!") for number in range(first, first + count)]
    keys = []
    for user in User.objects.bulk_create(users):
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.create()
        keys.append(str(session.session_key))
    return keys


def whole(turns: dict[str, int]) -> list[int]:
    """Which of these turns (each with the number of its words) are completed with all of their text."""
    from chat.models import Response
    from tests.bench.answers import text_of

    rows = Response.objects.filter(turn_id__in=[int(pk) for pk in turns], status="completed")
    found = rows.values_list("turn_id", "text", "output")
    return [pk for pk, text, output in found if text == text_of(turns[str(pk)]) == _text_in(output)]


def _text_in(output: list[dict[str, Any]]) -> str:
    return "".join(part["text"] for item in output for part in item.get("content", []))


def main() -> None:
    django.setup()
    deeds: dict[str, Any] = {"people": people, "whole": whole}
    print("ready", flush=True)
    for line in sys.stdin:
        deed, argument = json.loads(line)
        print(json.dumps(deeds[deed](argument)), flush=True)


if __name__ == "__main__":
    main()
