from __future__ import annotations

from collections.abc import AsyncIterator
from functools import cache

import httpx
import pytest

from chat.responses.transport import open_http

# To read the certificates of this machine takes longer than a test.
certificates = cache(httpx.create_ssl_context)


@pytest.fixture
async def http(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[httpx.AsyncClient]:
    monkeypatch.setattr(httpx, "create_ssl_context", certificates)
    async with open_http(trust_env=False) as http:
        yield http
