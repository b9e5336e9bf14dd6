"""Which files are taken, besides PDF and the usual images: as many kinds as some offered model can use."""

from __future__ import annotations

from collections.abc import Iterable

from chat.conversations.parameters import runs_code
from chat.engines import dialect_of
from chat.files.kinds import GIF, Accepted
from chat.models import Deployment, User
from chat.models.providers import offers_to


def accepted_from(user: User) -> Accepted:
    return accepted_by(offers_to(user))


def accepted_by(deployments: Iterable[Deployment]) -> Accepted:
    gif = data = False
    for deployment in deployments:
        try:
            dialect = dialect_of(deployment.provider)
        except ValueError:  # an override that is none: the admin says so
            continue
        gif = gif or (dialect.image_base64 and GIF in dialect.image_types)
        data = data or runs_code(deployment, dialect)
    return Accepted(gif=gif, data=data)
