"""Tokens of Microsoft Entra ID, for Azure resources that take no keys.

The package azure-identity (the extra `entra`) finds out who this process is: a service principal of the environment,
a workload's or a managed identity, or whoever signed in with a developer's tool. Here its tokens are kept as long as
they are good, so that no question waits for one (some of those tools start a program for each token).
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import time
from typing import TYPE_CHECKING, TypeGuard, cast

from chat.responses.errors import ResponsesError, Unauthorized

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken
    from azure.identity.aio import DefaultAzureCredential

logger = logging.getLogger(__name__)

AHEAD_SECONDS = 300  # before it expires a token is replaced; a request may wait in a queue for a while
RENEWED_SECONDS = 30  # many requests that are refused at once renew the token once
FETCH_SECONDS = 30
LONGEST_DETAIL = 2_000


class IdentityMissing(ResponsesError):
    """The package that gets tokens is not installed."""

    sentence = "This model is not fully set up: its sign-in is missing. Ask the operator of this chat."


class TokenRefused(Unauthorized):
    """There is no identity here, or Entra ID gives it no token. The details are for the log."""

    sentence = "This site could not sign in to the model's provider; please tell the person who runs this site."


class EntraCredential:
    """The tokens of this process's identity for one scope, on one event loop. A `Credential` of the client."""

    def __init__(self, scope: str) -> None:
        self.scope = scope
        self._identity: DefaultAzureCredential | None = None
        self._token: AccessToken | None = None
        self._renewed_at = -math.inf  # on the monotonic clock
        self._lock = asyncio.Lock()

    def __repr__(self) -> str:
        return f"EntraCredential({self.scope!r})"

    async def token(self, *, renew: bool = False) -> str:
        """A token that is good now; with `renew` another one than was just refused.

        Raises IdentityMissing and TokenRefused.
        """
        if not renew and _lasts(self._token, AHEAD_SECONDS):
            return self._token.token
        async with self._lock:
            # While this request waited for its turn, another one may have done what it wants.
            is_done = not renew or time.monotonic() - self._renewed_at < RENEWED_SECONDS
            if is_done and _lasts(self._token, AHEAD_SECONDS):
                return self._token.token
            return (await (self._renewed() if renew else self._fresh())).token

    async def close(self) -> None:
        """Close the connections to Entra ID. A later token opens new ones."""
        identity, self._identity, self._token = self._identity, None, None
        if identity is not None:
            await identity.close()

    async def _renewed(self) -> AccessToken:
        # azure-identity keeps tokens as well, and one that is asked anew gives the refused one again: so forget it.
        await self.close()
        self._token = await self._fetched()
        self._renewed_at = time.monotonic()
        return self._token

    async def _fresh(self) -> AccessToken:
        try:
            self._token = await self._fetched()
        except TokenRefused as refusal:
            if not _lasts(self._token, 0):
                raise
            logger.warning("%s; the last token is used until it expires", refusal)
        return self._token

    async def _fetched(self) -> AccessToken:
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                if self._identity is None:
                    # The import alone takes half a second, in which every other stream would stand still.
                    self._identity = await asyncio.to_thread(_default_identity)
                return await _asked(self._identity, self.scope)
        except TimeoutError as error:
            raise TokenRefused(f"Entra ID, {self.scope}: no token within {FETCH_SECONDS} s") from error


def _lasts(token: AccessToken | None, seconds: float) -> TypeGuard[AccessToken]:
    return token is not None and token.expires_on - time.time() > seconds


async def _asked(identity: DefaultAzureCredential, scope: str) -> AccessToken:
    from azure.core.exceptions import AzureError

    try:
        return await identity.get_token(scope)
    except (AzureError, ValueError) as error:
        detail = " ".join(str(error).split())[:LONGEST_DETAIL]
        raise TokenRefused(f"Entra ID, {scope}: {detail}") from error


def _default_identity() -> DefaultAzureCredential:
    try:
        module = importlib.import_module("azure.identity.aio")
    except ImportError as error:
        raise IdentityMissing(
            "Entra ID needs the package azure-identity, which is not installed here. "
            "Install it beside the chat: make entra"
        ) from error
    try:
        return cast("DefaultAzureCredential", module.DefaultAzureCredential())
    except ValueError as error:  # variables that contradict each other
        raise TokenRefused(f"Entra ID: {error}") from error
