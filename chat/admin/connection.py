"""*Test connection*: one short question to a deployment, and what the operator learns from the answer.

It asks what is stored, on an event loop and connections of its own: what goes wrong here touches no running answer.
The last report of each deployment stays in the operator's session, so that a reload shows it again.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from asgiref.sync import async_to_sync
from django.http import HttpRequest
from django.utils import timezone

from chat import engines
from chat.engines import KeyMissing
from chat.entra import IdentityMissing, TokenRefused
from chat.models import Deployment, Provider
from chat.responses.dialects import DIALECTS, Dialect, normalise_base_url
from chat.responses.errors import (
    BadStream,
    ContentFiltered,
    DeploymentMissing,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    RateLimited,
    ResponsesError,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unreachable,
)
from chat.responses.probe import Findings, probe

log = logging.getLogger(__name__)

MOST_SECONDS = 30.0
IN_SESSION = "connection_tests"
REPORTS_KEPT = 12

ADVICE: tuple[tuple[type[ResponsesError], str], ...] = (
    (DeploymentMissing, "It does not know “{model}”. On Azure this is the name of the deployment, not of the model."),
    (NotFound, "It has nothing at this address: is {address} the base URL?"),
    (QuotaExceeded, "The account there has nothing left to spend."),
    (RateLimited, "It refuses more requests for the moment. Wait, and test again."),
    (ContentFiltered, "It answers, but its content filter blocked even the question of this test."),
    (TimedOut, "It was reached, or nearly, but did not answer in time."),
    (Unreachable, "{host} cannot be reached from this server. Does it run, and is the address right?"),
    (BadStream, "What answers at {address} does not speak the Responses API. Is the base URL right?"),
    (ServerFault, "The server there failed."),
    (InvalidRequest, "It refused the question. Do dialect and model fit what runs there?"),
)


@dataclass(frozen=True)
class Report:
    """A test as the page shows it. `people_read` is what a person who chats is told of the same failure."""

    headline: str
    is_good: bool = False
    sentences: list[str] = field(default_factory=list)
    people_read: str = ""
    suggestions: dict[str, Any] = field(default_factory=dict)
    at: str = ""
    seconds: float = 0.0

    @property
    def overrides(self) -> str:
        """The suggestions as the field “capability overrides” takes them."""
        return json.dumps(self.suggestions, ensure_ascii=False)


def report_on(provider: Provider, deployment: Deployment) -> Report:
    """Ask, for at most half a minute. Whatever is wrong is in the report."""
    begun = time.monotonic()
    report = _set_up_wrong(provider) or async_to_sync(_asked, force_new_loop=True)(provider, deployment)
    return replace(report, at=f"{timezone.localtime():%Y-%m-%d %H:%M:%S}", seconds=round(time.monotonic() - begun, 1))


def _set_up_wrong(provider: Provider) -> Report | None:
    """What keeps a client from being made: rows older than a rule, or written past the form."""
    if provider.dialect not in DIALECTS:
        return Report(f"There is no dialect “{provider.dialect}” (any more). Choose another one.")
    if not isinstance(provider.capabilities, Mapping):
        return Report("The capability overrides are no JSON object. Correct them first.")
    if not isinstance(provider.extra_headers, Mapping):
        return Report("The extra headers are no JSON object. Correct them first.")
    return None


async def _asked(provider: Provider, deployment: Deployment) -> Report:
    try:
        client = engines.client_for(provider, deployment, max_retries=0)
        async with asyncio.timeout(MOST_SECONDS):
            found = await probe(client, deployment.name, may_store=deployment.keeps_responses)
        return told(found, provider, deployment)
    except KeyMissing as error:
        return Report(_unsent(error), people_read=error.user_message)
    except ValueError as error:  # an address or an override that cannot be used; its text is a sentence
        return Report(f"Nothing was sent. {error}")
    except TimeoutError:
        return Report(f"There was no whole answer within {MOST_SECONDS:.0f} seconds. Is it still loading its model?")
    finally:
        await engines.close()  # this loop's, which nobody else has


def told(found: Findings, provider: Provider, deployment: Deployment) -> Report:
    """Findings in the operator's words: first what it comes to, then every sentence."""
    error = found.error
    if isinstance(error, TokenRefused):
        detail = [str(error)]  # which ways to an identity were tried; rather long
        return Report("Nothing was sent: Entra ID gives this server no token.", False, detail, error.user_message)
    if isinstance(error, IdentityMissing):
        return Report(_unsent(error), people_read=error.user_message)
    people_read = error.user_message if error else ""
    return Report(
        headline=_headline(found, provider, deployment),
        is_good=found.ok,
        sentences=[sentence for sentence in found.sentences if sentence != people_read],
        people_read=people_read,
        suggestions=dict(found.suggestions),
    )


def _unsent(error: Exception) -> str:
    return f"Nothing was sent: {str(error).rstrip('.')}."


def _headline(found: Findings, provider: Provider, deployment: Deployment) -> str:
    if found.ok:
        return "It works."
    if found.error is None:
        return "It answers, but not to the end."
    if isinstance(found.error, Unauthorized):
        return _refused_credentials(provider)
    address = urlsplit(normalise_base_url(DIALECTS[provider.dialect], provider.base_url))  # as it was asked
    where = f"{address.scheme}://{address.netloc}{address.path}"
    for kind, sentence in ADVICE:
        if isinstance(found.error, kind):
            return sentence.format(model=deployment.name, address=where, host=address.netloc)
    return "It did not answer the question."


def _refused_credentials(provider: Provider) -> str:
    if provider.auth == Provider.Auth.ENTRA:
        return "It refuses the identity of this server. Has it been given a role on the resource?"
    if provider.auth == Provider.Auth.NONE:
        return "It wants credentials, and this provider is set to send none."
    return f"It refuses the key. Is the one in {provider.key_variable} the right one for this address?"


# What the operator's session keeps


def keep(request: HttpRequest, deployment: Deployment, report: Report) -> None:
    """Store it in the session as that is now: while the test ran, other tabs may have changed it, or signed out."""
    session = type(request.session)(request.session.session_key)
    reports = dict(session.get(IN_SESSION, {}))
    if session.session_key is None:
        return
    reports.pop(str(deployment.pk), None)
    reports[str(deployment.pk)] = asdict(report)
    session[IN_SESSION] = dict(list(reports.items())[-REPORTS_KEPT:])
    session.save()


def kept(request: HttpRequest, deployment: Deployment) -> Report | None:
    stored = request.session.get(IN_SESSION, {}).get(str(deployment.pk))
    try:
        return Report(**stored) if stored else None
    except TypeError:  # of an older version of this page
        return None


def forget(request: HttpRequest, provider: Provider) -> None:
    """What was learnt of a provider says nothing of it once it is another."""
    reports = request.session.get(IN_SESSION, {})
    stale = {str(pk) for pk in provider.deployments.values_list("pk", flat=True)} & reports.keys()
    if stale:
        request.session[IN_SESSION] = {pk: report for pk, report in reports.items() if pk not in stale}


def take_over(overrides: Mapping[str, Any], suggestions: Mapping[str, Any], dialect: Dialect) -> dict[str, Any]:
    """The overrides with the suggestions. One that says what the dialect says itself is left out."""
    dialect.with_overrides(suggestions)
    merged = {**overrides, **suggestions}
    return {name: value for name, value in merged.items() if name not in suggestions or value != getattr(dialect, name)}
