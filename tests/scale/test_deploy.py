"""What Dockerfile, compose.yaml, nginx.conf and the systemd unit say: that it fits the code, and that nginx does it."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.bench.answers import Order
from tests.bench.product import child
from tests.house.needs import missing
from tests.house.people import Person, words_in
from tests.house.services import Service, free_port
from tests.house.serving import ROOT, STOP_SECONDS, Server
from tests.house.test_settings import EXAMPLE

COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = (ROOT / ".deploy" / "chat.service").read_text()
NGINX = (ROOT / ".deploy" / "nginx.conf").read_text()

KNOWN = set(re.findall(r"^#([A-Z0-9_]+)=", EXAMPLE, re.MULTILINE)) | {"DOTENV"}
OF_BOTO3 = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
WEB = ("web1", "web2")


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_every_variable_of_compose_is_one_that_the_settings_read() -> None:
    for name in (*WEB, "prepare"):
        assert set(COMPOSE["services"][name]["environment"]) <= KNOWN | OF_BOTO3


def test_both_web_processes_are_the_same_and_wait_for_what_they_need() -> None:
    one, two = (COMPOSE["services"][name] for name in WEB)
    assert one == two
    assert one["image"] == COMPOSE["services"]["prepare"]["image"]
    assert one["depends_on"]["prepare"]["condition"] == "service_completed_successfully"
    assert COMPOSE["services"]["prepare"]["command"] == ["python", "manage.py", "prepare"]
    assert seconds(one["stop_grace_period"]) >= STOP_SECONDS


def test_no_secret_has_a_default_and_only_the_proxy_is_reached_from_outside() -> None:
    text = (ROOT / "compose.yaml").read_text()
    asked_for = re.findall(r"\$\{([A-Z_]+)(.*?)\}", text)
    assert {name for name, _ in asked_for} == {
        *("SECRET_KEY", "ALLOWED_HOSTS", "POSTGRES_PASSWORD", "MINIO_PASSWORD", "TLS_DIR")
    }
    assert {rest[:2] for _, rest in asked_for} == {":?"}
    assert [name for name, service in COMPOSE["services"].items() if "ports" in service] == ["nginx"]


def test_the_settings_of_compose_start(tmp_path: Path) -> None:
    given = {name: str(value) for name, value in COMPOSE["services"]["web1"]["environment"].items()}
    filled = {name: re.sub(r"\$\{(\w+):\?.*?\}", r"value-of-\1", value) for name, value in given.items()}
    filled |= {"SECRET_KEY": secrets.token_urlsafe(64), "DATA_DIR": str(tmp_path), "DOTENV": os.devnull}
    show = "from django.conf import settings as s; print(s.DATABASES['default']['HOST'], s.REDIS_URL, s.STORAGES)"
    done = subprocess.run(
        [sys.executable, "manage.py", "shell", "-v0", "-c", show],
        cwd=ROOT,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "chatsite.settings", **filled},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    # The names by which the services of compose find each other.
    for name in ("postgres", "redis", "minio"):
        assert name in COMPOSE["services"]
        assert name in done.stdout


def test_the_image_has_all_that_is_served_and_nothing_else() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--from)(\S+) ", DOCKERFILE, re.MULTILINE)
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path}" in ignored
    assert {"manage.py", "chat", "chatsite", "static", "templates"} <= set(copied)
    assert "*" in ignored
    extras = re.findall(r"^ARG EXTRAS=(.*)$", DOCKERFILE, re.MULTILINE)
    assert extras == ["scale"]
    assert (ROOT / ".lock" / "scale.txt").exists()
    assert DOCKERFILE.rindex("\nUSER chat") > DOCKERFILE.rindex("\nFROM ")


def test_the_unit_sets_what_the_settings_read_and_waits_for_the_end() -> None:
    given = dict(
        pair.split("=", 1) for line in re.findall(r"^Environment=(.*)$", UNIT, re.MULTILINE) for pair in line.split()
    )
    assert set(given) - {"PYTHONDONTWRITEBYTECODE"} <= KNOWN
    assert given["DATA_DIR"] == "/var/lib/" + re.findall(r"^StateDirectory=(.*)$", UNIT, re.MULTILINE)[0]
    assert int(re.findall(r"^TimeoutStopSec=(\d+)$", UNIT, re.MULTILINE)[0]) >= STOP_SECONDS
    assert re.search(r"^ExecStart=/srv/chat/\.venv/bin/python manage\.py serve$", UNIT, re.MULTILINE)
    if shutil.which("systemd-analyze"):
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(ROOT / ".deploy" / "chat.service")],
            capture_output=True,
            text=True,
            check=False,
        )
        # On this machine the chat is not installed; everything else that it says is a mistake of ours.
        assert not [
            line for line in done.stderr.splitlines() if "chat.service" in line and "not executable" not in line
        ]


def asks_for_health(server: Server) -> subprocess.CompletedProcess[str]:
    """What the image's health check does inside its container."""
    ask = [sys.executable, str(ROOT / ".deploy" / "healthy.py")]
    return subprocess.run(ask, env=server.env, capture_output=True, text=True, check=False)


class Nginx(Service):
    """The site of .deploy/nginx.conf, with the addresses of this test in place of those of compose.yaml."""

    ready = "start worker process "

    def __init__(self, program: str, folder: Path, servers: list[Server]) -> None:
        self.port, self.plain_port = free_port(), free_port()
        self.url = f"https://localhost:{self.port}"
        self.servers = servers
        site = NGINX
        for old, new in {
            "listen 443 ssl;": f"listen 127.0.0.1:{self.port} ssl;",
            "listen 80;": f"listen 127.0.0.1:{self.plain_port};",
            "web1:8000": servers[0].url.rpartition("/")[2],
            "web2:8000": servers[1].url.rpartition("/")[2],
            "/etc/nginx/tls": str(folder),
        }.items():
            assert old in site, old
            site = site.replace(old, new)
        (folder / "site.conf").write_text(site)
        (folder / "nginx.conf").write_text(
            f"daemon off; pid {folder}/pid; error_log stderr notice; worker_processes 1;\n"
            + ("user root;\n" if os.getuid() == 0 else "")
            + "events {}\nhttp { access_log off;\n"
            + "".join(
                f"{kind}_temp_path {folder}/{kind};\n" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
            )
            + f"include {folder}/site.conf; }}\n"
        )
        super().__init__([program, "-p", str(folder), "-c", str(folder / "nginx.conf")])

    def signin_link(self, name: str) -> str:
        return f"{self.url}/signin/" + self.servers[0].signin_link(name).partition("/signin/")[2]


@pytest.fixture
def nginx(tmp_path: Path, prepared_data: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Nginx]:
    program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
    if program is None:
        missing("This needs nginx. On Debian: apt-get install nginx")
    certificate = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    certificate += ["-addext", "subjectAltName=DNS:localhost"]
    where = ["-keyout", str(tmp_path / "privkey.pem"), "-out", str(tmp_path / "fullchain.pem")]
    subprocess.run([*certificate, *where], check=True, capture_output=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "fullchain.pem"))
    data_dir = Path(shutil.copytree(prepared_data, tmp_path / "data"))
    with ExitStack() as stack:
        provider = stack.enter_context(child("provider", str(tmp_path / "times")))
        variables = {
            "ENVIRONMENT": "production",
            "SECRET_KEY": secrets.token_urlsafe(64),
            "ALLOWED_HOSTS": ".localhost,other.example.org",
            "BEHIND_PROXY": "1",
            "OPENAI_API_KEY": "sk-none",
            "OPENAI_BASE_URL": f"http://127.0.0.1:{json.loads(provider.hello)['port']}/v1/",
            "OPENAI_MODELS": "bench",
        }
        servers = []
        for _ in range(2):
            servers.append(Server(data_dir, **variables))
            stack.callback(servers[-1].stop)
        server = Nginx(program, tmp_path, servers)
        stack.callback(server.stop)
        yield server


async def test_through_nginx_people_chat_over_tls_while_the_processes_come_and_go(nginx: Nginx) -> None:
    order = Order(number=1, words=200, per_second=80)
    async with Person(nginx, "alice") as alice, alice.tab(nginx) as tab:
        plain = await alice.http.get(f"http://localhost:{nginx.plain_port}/c/?a=b")
        assert (plain.status_code, plain.headers["location"]) == (301, "https://localhost/c/?a=b")
        # What a stranger says of himself is not passed on: this would be sent to HTTPS once more.
        forged = await alice.http.get(f"{nginx.url}/", headers={"X-Forwarded-Proto": "http"})
        assert forged.status_code == 200
        large = await alice.http.post(f"{nginx.url}/ask/", content=bytes(9_000_000))
        assert large.status_code == 413

        pk = await alice.ask(nginx, order)
        await tab.watch(pk)
        await tab.until('data-status="completed"')
        assert words_in(tab.text(pk)) == [f"w{number:06}" for number in range(order.words)]

        assert asks_for_health(nginx.servers[0]).returncode == 0
        nginx.servers[0].stop(signal.SIGKILL)
        unhealthy = asks_for_health(nginx.servers[0])
        assert unhealthy.returncode == 1
        assert "Traceback" not in unhealthy.stderr
        pages = [await alice.http.get(f"{nginx.url}/") for _ in range(6)]
        assert {page.status_code for page in pages} == {200}
        async with alice.tab(nginx) as late:
            await late.watch(pk)
            await late.until("data-status")
            assert late.answer(pk) == tab.answer(pk)
        nginx.servers[1].stop(signal.SIGKILL)
        assert (await alice.http.get(f"{nginx.url}/")).status_code == 502
