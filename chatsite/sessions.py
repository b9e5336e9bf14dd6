"""Sessions as Django keeps them in the database, read for less: each request and each socket begins with it."""

from __future__ import annotations

from django.contrib.sessions.backends import db
from django.contrib.sessions.models import Session
from django.utils import timezone

from chat.models.prepared import Prepared, field

_unexpired = Prepared(
    lambda key, now: Session.objects.filter(session_key=key, expire_date__gt=now),
    field(Session, "session_key"),
    field(Session, "expire_date"),
)


class SessionStore(db.SessionStore):
    """To keep this name: it is part of what sessions are signed with."""

    def _get_session_from_db(self) -> Session | None:
        found = _unexpired.first(self.session_key, timezone.now()) if self.session_key else None
        if found is None:
            self._session_key = None
        return found
