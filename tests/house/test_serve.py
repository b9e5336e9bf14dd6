"""One command from nothing to a page: what it prints, keeps, and how it ends."""

from __future__ import annotations

import contextlib
import resource
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.client import connect

from tests.house.serving import PythonServer, Server, environment, manage
from tests.house.test_settings import PRODUCTION

START = Callable[..., Server]


def sign_in(client: httpx.Client, link: str) -> httpx.Response:
    page = client.get(link)
    token = client.cookies["csrftoken"]
    assert page.status_code == 200
    return client.post(
        link, data={"csrfmiddlewaretoken": token}, headers={"Origin": str(page.url.copy_with(path="/"))[:-1]}
    )


def cpu_of_the_dead() -> float:
    """CPU seconds of all processes that this one started and saw end."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_the_printed_link_signs_the_first_admin_in(server: Server) -> None:
    with httpx.Client() as client:
        assert client.get(f"{server.url}/admin/").status_code == 302
        assert sign_in(client, server.admin_link).status_code == 302
        admin = client.get(f"{server.url}/admin/")
    assert admin.status_code == 200, server.output
    assert "Log out" in admin.text


def test_pages_name_static_files_by_their_hash(server: Server) -> None:
    page = httpx.get(f"{server.url}/accounts/login/")
    address = page.text.partition('rel="stylesheet" href="')[2].partition('"')[0]
    style = httpx.get(f"{server.url}{address}")
    assert style.status_code == 200
    assert "immutable" in style.headers["cache-control"]


def test_a_second_start_keeps_people_and_sessions_and_is_quick(start_server: START, tmp_path: Path) -> None:
    began = cpu_of_the_dead()
    server = start_server(tmp_path / "nothing yet", PythonServer)
    with httpx.Client() as client:
        sign_in(client, server.signin_link("alice", admin=True))
        server.stop(signal.SIGKILL)
        first = cpu_of_the_dead() - began
        server.start()
        assert client.get(f"{server.url}/admin/").status_code == 200
        server.stop(signal.SIGKILL)
    assert cpu_of_the_dead() - began - first < 0.8 * first
    assert server.output.count("Preparing the database") == 1
    assert server.output.count("Collected the static files") == 1


def test_a_taken_port_is_said_in_one_sentence_before_anything_is_prepared(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = manage("serve", env=environment(tmp_path, PORT=port))
    assert done.returncode == 1
    assert f"Port {port} is taken" in done.stderr
    assert "PORT=" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "chat.sqlite3").exists()


def test_a_foreign_host_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = manage("serve", env=environment(tmp_path, **PRODUCTION, HOST="192.0.2.1"))
    assert done.returncode == 1
    assert done.stderr.strip() == "HOST=192.0.2.1 is not an address of this machine."


def test_a_half_described_provider_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = manage("serve", env=environment(tmp_path, PORT="0", RESPONSES_BASE_URL="http://127.0.0.1:9/v1/"))
    assert done.returncode == 1
    assert "RESPONSES_MODELS" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly_while_a_page_keeps_its_connection(start_server: START, how: signal.Signals) -> None:
    server = start_server(kind=PythonServer)
    with httpx.Client() as client:
        assert client.get(f"{server.url}/accounts/login/").status_code == 200
        started = time.monotonic()
        assert server.stop(how) == 0
    assert time.monotonic() - started < 8
    assert "Traceback" not in server.output


def test_an_open_socket_does_not_hold_up_the_end(start_server: START) -> None:
    server = start_server()
    with httpx.Client() as client:
        sign_in(client, server.signin_link("alice"))
        cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    address = f"{server.url.replace('http', 'ws')}/ws/"
    with connect(address, origin=server.url, additional_headers={"Cookie": cookies}) as socket:  # type: ignore[arg-type]
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 8
        with pytest.raises(ConnectionClosedError):
            socket.recv(timeout=5)
    assert "Traceback" not in server.output


def test_the_server_can_start_anew_on_the_port_it_just_left(start_server: START) -> None:
    server = start_server(kind=PythonServer)
    url = server.url
    server.restart()
    assert server.url == url
    assert httpx.get(f"{url}/accounts/login/").status_code == 200


def test_a_socket_from_a_foreign_page_is_refused(server: Server) -> None:
    with (
        pytest.raises(Exception, match="403"),
        connect(f"{server.url.replace('http', 'ws')}/ws/", origin="http://evil.example"),
    ):
        pass


def test_in_production_the_link_is_printed_until_an_admin_was_there(start_server: START) -> None:
    server = start_server(**PRODUCTION)
    assert server.admin_link.startswith("https://chat.example.org/signin/")
    forwarded = {"Host": "chat.example.org", "X-Forwarded-Proto": "https", "Referer": "https://chat.example.org/"}
    path = server.admin_link.removeprefix("https://chat.example.org")
    with httpx.Client(base_url=server.url, headers=forwarded) as client:
        page = client.get(path)
        token = page.text.partition('name="csrfmiddlewaretoken" value="')[2].partition('"')[0]
        cookie = {"Cookie": page.headers["set-cookie"].partition(";")[0]}
        assert client.post(path, data={"csrfmiddlewaretoken": token}, headers=cookie).status_code == 302
    server.restart()
    assert "/signin/" not in server.output[server.output.rindex("is running at") :]


def test_in_production_plain_http_is_sent_to_https(start_server: START) -> None:
    server = start_server(**PRODUCTION)
    answer = httpx.get(f"{server.url}/accounts/login/", headers={"Host": "chat.example.org"})
    assert answer.status_code == 301
    assert answer.headers["location"] == "https://chat.example.org/accounts/login/"


def test_only_a_debugging_operator_gets_a_line_for_each_request(start_server: START) -> None:
    quiet, debugging = start_server(), start_server(LOG_LEVEL="DEBUG")
    for server in (quiet, debugging):
        httpx.get(f"{server.url}/accounts/login/")
    debugging.wait_for("GET /accounts/login/")
    quiet.stop()
    assert "GET /accounts/login/" not in quiet.output


def test_a_browser_does_not_say_where_the_site_is_mounted(server: Server) -> None:
    page = httpx.get(f"{server.url}/accounts/login/", headers={"Daphne-Root-Path": "/elsewhere"})
    assert page.status_code == 200
    assert "elsewhere" not in page.text


@pytest.mark.parametrize("length", [b"Content-Length: 1000000000", b"Transfer-Encoding: chunked"])
def test_a_body_without_end_is_refused_before_it_has_arrived(server: Server, length: bytes) -> None:
    host, _, port = server.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(b"POST /accounts/login/ HTTP/1.1\r\nHost: localhost\r\n" + length + b"\r\n\r\n")
        if b"chunked" in length:
            chunk = b"x" * 1_000_000
            with contextlib.suppress(ConnectionError):
                for _ in range(20):
                    wire.sendall(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        try:
            answer = wire.recv(100)
        except ConnectionError:
            answer = b""  # what the client had still to send can cost it the answer
        assert not answer or answer.startswith(b"HTTP/1.1 413 ")
    assert httpx.get(f"{server.url}/healthz").text == "ok"


@pytest.mark.parametrize("message", ['{"type": "ack", "n": 0}', '{"type":"ack","n":0}'], ids=["in full", "short"])
def test_a_socket_that_floods_is_cut_off(server: Server, message: str) -> None:
    def talk(messages: int) -> int:
        with connect(f"ws{server.url.removeprefix('http')}/ws/", additional_headers=cookies, origin=server.url) as wire:
            for _ in range(messages):
                wire.send(message)
            wire.send('{"type": "watch", "turn": 999999}')
            return len(wire.recv(10))

    with httpx.Client() as client:
        sign_in(client, server.signin_link("talkative"))
        cookies = {"Cookie": "; ".join(f"{name}={value}" for name, value in client.cookies.items())}
    assert talk(300)
    with pytest.raises(ConnectionClosedError):
        talk(20_000)
