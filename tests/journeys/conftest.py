"""One server for all journeys that need nothing special of it, and one person who uses it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.engines import Engine
from tests.journeys.tab import Tab
from tests.offline.papers import darwin_pdf


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, prepared_data: Path) -> Iterator[Server]:
    """The product with its embedded engine, shared: each journey has conversations of its own."""
    data = Path(shutil.copytree(prepared_data, tmp_path_factory.mktemp("server") / "data"))
    server = Server(data, FILE_MAX_MB="1")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def session_cookies(server: Server) -> list[dict[str, Any]]:
    """A session of the admin, so that not every journey begins with the link (the main one does)."""
    with httpx.Client(timeout=60) as client:
        link = server.admin_link
        client.get(link)
        token = client.cookies["csrftoken"]
        client.post(link, data={"csrfmiddlewaretoken": token}, headers={"Origin": server.url})
        return [{"name": name, "value": value, "url": server.url} for name, value in client.cookies.items()]


@pytest.fixture
def open_tab(server: Server, browser: Browser, session_cookies: list[dict[str, Any]]) -> Callable[..., Tab]:
    """Open a signed-in tab: `open_tab(width=390)`, or a second one with `open_tab(beside=tab)`."""

    def open(path: str = "/", *, beside: Tab | None = None, **options: Any) -> Tab:
        context = beside.page.context if beside else browser.context(**options)
        if beside is None:
            context.add_cookies(session_cookies)  # type: ignore[arg-type]
        tab = Tab(context.new_page())
        tab.page.goto(server.url + path)
        tab.box.wait_for()
        return tab

    return open


@pytest.fixture
def tab(open_tab: Callable[..., Tab]) -> Tab:
    return open_tab()


@pytest.fixture
def start_engine(tmp_path: Path) -> Iterator[Callable[..., Engine]]:
    engines: list[Engine] = []

    def start(dialect: str = "openai", **options: Any) -> Engine:
        engines.append(Engine(tmp_path, dialect, **options))
        return engines[-1]

    yield start
    for engine in engines:
        engine.stop()


@pytest.fixture
def paper(tmp_path: Path) -> Path:
    """Ten pages of real prose."""
    path = tmp_path / "struggle.pdf"
    path.write_bytes(darwin_pdf())
    return path


@pytest.fixture
def thinking(server: Server) -> Iterator[None]:
    """The model says what it thinks before it answers."""
    change = "from chat.models import Deployment; Deployment.objects.update(reasoning_summary={!r})"
    assert server.manage("shell", "--no-imports", "-c", change.format("detailed")).returncode == 0
    yield
    server.manage("shell", "--no-imports", "-c", change.format(""))
