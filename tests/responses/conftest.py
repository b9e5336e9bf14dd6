from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from chat.responses.transport import open_http


@pytest.fixture
async def http() -> AsyncIterator[httpx.AsyncClient]:
    async with open_http(trust_env=False) as http:
        yield http
