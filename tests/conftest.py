"""The cast, their clients, a server process and a browser.

Alice owns things, Bob is a second person, Charlie a stranger, Rita a reviewer with view permissions.
"""

from __future__ import annotations

import fcntl
import gc
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import Permission
from django.db import connection
from django.test import Client

from chat.models import User
from tests import hypothesis_profiles as hypothesis_profiles  # registers and loads them
from tests.house import emptying
from tests.house.alone import pytest_configure_node, pytest_runtest_protocol  # noqa: F401
from tests.house.browsing import Browser, Browsers, chromium_path
from tests.house.needs import missing
from tests.house.order import pytest_collection_modifyitems, pytest_xdist_make_scheduler  # noqa: F401
from tests.house.postgresql import PostgreSQL, postgresql_server
from tests.house.redis import Redis, redis_server
from tests.house.serving import PythonServer, Server

# A shell that starts the tests in the background has them, and the servers that they start, ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

if connection.vendor == "postgresql":
    emptying.install()


def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: a third of the time of a test is waiting, for a browser or a server."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_finish() -> None:
    """What was imported and collected stays: looking through it for garbage again and again takes a sixth of the time."""
    gc.collect()
    gc.freeze()


PASSWORD = "correct horse battery staple"


@pytest.fixture
def alice(db: None) -> User:
    return User.objects.create_user("alice", password=PASSWORD)


@pytest.fixture
def bob(db: None) -> User:
    return User.objects.create_user("bob", password=PASSWORD)


@pytest.fixture
def charlie(db: None) -> User:
    return User.objects.create_user("charlie", password=PASSWORD)


@pytest.fixture
def rita(db: None) -> User:
    """Staff who may look at everything of the chat and change nothing."""
    rita = User.objects.create_user("rita", password=PASSWORD, is_staff=True)
    rita.user_permissions.set(Permission.objects.filter(content_type__app_label="chat", codename__startswith="view_"))
    return rita


@pytest.fixture
def admin_user(db: None) -> User:
    return User.objects.create_superuser("admin", password=PASSWORD)


def signed_in(user: User) -> Client:
    client = Client()
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    return client


@pytest.fixture
def alice_client(alice: User) -> Client:
    return signed_in(alice)


@pytest.fixture
def bob_client(bob: User) -> Client:
    return signed_in(bob)


@pytest.fixture
def charlie_client(charlie: User) -> Client:
    return signed_in(charlie)


@pytest.fixture
def rita_client(rita: User) -> Client:
    return signed_in(rita)


@pytest.fixture
def admin_client(admin_user: User) -> Client:
    return signed_in(admin_user)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, prepared_data: Path) -> Iterator[Server]:
    """The product as a process, one per module."""
    server = Server(Path(shutil.copytree(prepared_data, tmp_path_factory.mktemp("server") / "data")))
    yield server
    server.stop()


@pytest.fixture(scope="session")
def prepared_data(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of a server that was started once, for all workers: its database and static files are there."""
    folder = tmp_path_factory.getbasetemp()
    if hasattr(request.config, "workerinput"):
        folder = folder.parent  # theirs are side by side
    data = folder / "prepared"
    with (folder / "prepared.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not data.exists():
            server = PythonServer(folder / "preparing")
            server.stop()
            server.data_dir.rename(data)
    return data


@pytest.fixture
def start_server(tmp_path: Path, prepared_data: Path) -> Iterator[Callable[..., Server]]:
    """Start servers with variables of one's own: `start_server(SIGNUP_OPEN="1")`.

    Each has a data folder of its own that was started before; `data_dir` names another, which may be empty. `kind`
    says that Python is to start, too.
    """
    servers: list[Server] = []

    def start(data_dir: Path | None = None, kind: type[Server] = Server, **variables: str) -> Server:
        if data_dir is None:
            data_dir = Path(shutil.copytree(prepared_data, tmp_path / f"server{len(servers)}"))
        servers.append(kind(data_dir, **variables))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def redis() -> Iterator[Redis]:
    """A Redis of this test alone. It starts in a tenth of a second."""
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def postgresql() -> Iterator[PostgreSQL]:
    """A PostgreSQL for the tests of a module; each asks for its `new_database()`."""
    with postgresql_server() as server:
        yield server


@pytest.fixture(scope="session")
def browsers() -> Iterator[Browsers]:
    path = chromium_path()
    if path is None:
        missing("Journeys need chromium. On Debian: apt-get install chromium")
    browsers = Browsers(path)
    yield browsers
    browsers.stop()


@pytest.fixture
def browser(browsers: Browsers) -> Iterator[Browser]:
    """Chromium. A console error, an uncaught exception or a CSP violation on any page fails the test."""
    with browsers.browser() as browser:
        yield browser
    assert not browser.unexpected()
