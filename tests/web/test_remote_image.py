"""The page of one foreign image: its policy admits that host, and no address can say more than a host."""

from __future__ import annotations

import pytest
from django.http import Http404
from django.test import Client
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from chat.web.remote_image import origin_of

pytestmark = pytest.mark.django_db


def policy_of(client: Client, url: str) -> dict[str, str]:
    page = client.get("/remote-image/", {"url": url})
    assert page.status_code == 200, url
    return dict(d.strip().partition(" ")[::2] for d in page.headers["Content-Security-Policy"].split(";"))


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://images.example/a.png", "https://images.example"),
        ("http://images.example:8080/a.png?x=1&y=2#z", "http://images.example:8080"),
        ("HTTPS://Images.Example/a.png", "https://images.example"),
        ("https://192.0.2.1/a.png", "https://192.0.2.1"),
        ("https://xn--bcher-kva.example/a.png", "https://xn--bcher-kva.example"),
        ("https://user:pass@images.example/a.png", "https://images.example"),
    ],
)
def test_only_the_host_of_the_image_is_admitted(alice_client: Client, url: str, origin: str) -> None:
    assert policy_of(alice_client, url) == {
        "default-src": "'none'",
        "img-src": origin,
        "style-src": "'self'",
        "frame-ancestors": "'self'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_no_other_page_admits_it(alice_client: Client) -> None:
    alice_client.get("/remote-image/", {"url": "https://images.example/a.png"})
    assert "images.example" not in alice_client.get("/").headers["Content-Security-Policy"]


def test_it_may_be_shown_in_a_frame_of_ours_and_tells_the_host_nothing(alice_client: Client) -> None:
    page = alice_client.get("/remote-image/", {"url": "https://images.example/a.png"})
    assert page.headers["X-Frame-Options"] == "SAMEORIGIN"
    assert page.headers["Referrer-Policy"] == "no-referrer"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    html = page.content.decode()
    assert (
        '<img src="https://images.example/a.png" alt="Image from images.example" referrerpolicy="no-referrer">' in html
    )
    assert "<script" not in html


@pytest.mark.parametrize(
    "url",
    [
        "",
        "a.png",
        "//images.example/a.png",
        "javascript:alert(1)",
        "java\nscript:alert(1)",
        "data:image/png;base64,AAAA",
        "data:text/html,<script>alert(1)</script>",
        "file:///etc/passwd",
        "ftp://images.example/a.png",
        "blob:https://images.example/x",
        "https://",
        "https:///a.png",
        "https:images.example/a.png",
        "https://images.example images.other/a.png",
        "https://images.example%20'unsafe-inline'/a.png",
        "https://images.example;script-src 'unsafe-inline'/a.png",
        "https://images.example,other/a.png",
        "https://'self'/a.png",
        'https://"images.example"/a.png',
        "https://*/a.png",
        "https://*.example/a.png",
        "https://images.example\\.other/a.png",
        "https://[::1]/a.png",
        "https://[::1]:80/a.png",
        "https://[oops/a.png",
        "https://images.example:x/a.png",
        "https://images.example:99999/a.png",
        "https://images.example:-1/a.png",
        "https://bücher.example/a.png",
        "https://ｉmages.example/a.png",
        "https://images.example\u2100/a.png",
        "https://images.example/" + "a" * 2000,
    ],
)
def test_what_is_no_plain_address_of_an_image_is_404(alice_client: Client, url: str) -> None:
    page = alice_client.get("/remote-image/", {"url": url})
    assert page.status_code == 404
    assert "img-src 'self'" in page.headers["Content-Security-Policy"], "the site's own policy"


@pytest.mark.parametrize("space", ["\n", "\r\n", "\t", " ", "\x00", "\x1f", "\x7f", "\u2028"])
@pytest.mark.parametrize("place", ["before", "host", "path", "after"])
def test_no_space_or_control_character_reaches_a_header(alice_client: Client, space: str, place: str) -> None:
    url = {
        "before": f"{space}https://images.example/a.png",
        "host": f"https://images.example{space}img-src{space}*/a.png",
        "path": f"https://images.example/{space}; script-src *",
        "after": f"https://images.example/a.png{space}",
    }[place]
    page = alice_client.get("/remote-image/", {"url": url})
    assert page.status_code in (200, 404)
    assert not {"\r", "\n", "*"} & set(page.headers["Content-Security-Policy"])
    assert "script-src *" not in page.headers["Content-Security-Policy"]


def test_an_address_cannot_leave_its_attribute(alice_client: Client) -> None:
    url = 'https://images.example/"><script>alert(1)</script>'
    html = alice_client.get("/remote-image/", {"url": url}).content.decode()
    assert "alert(1)" in html
    assert "<script" not in html


def test_where_browsers_and_python_read_a_host_differently_nothing_loads(alice_client: Client) -> None:
    """A browser takes a backslash for a slash and asks good.example; the policy admits what Python found."""
    assert policy_of(alice_client, "https://good.example\\@evil.example/a.png")["img-src"] == "https://evil.example"


HOSTS = st.text(st.sampled_from("ab.-:@/\\?#[]%;, '\"*()\t\n\x00ü\u3002"), max_size=12)


@given(url=st.builds("{}{}{}".format, st.sampled_from(["https://", "http://", "https:", "//", ""]), HOSTS, HOSTS))
@hypothesis_settings(max_examples=300)
def test_an_origin_is_a_scheme_a_plain_host_and_a_port_or_none(url: str) -> None:
    try:
        origin = origin_of(url)
    except Http404:
        return
    scheme, _, rest = origin.partition("://")
    host, _, port = rest.partition(":")
    assert scheme in ("http", "https")
    assert host
    assert set(host) <= set("ab.-")
    assert port == "" or port.isdecimal()


def test_a_stranger_is_sent_to_the_sign_in(client: Client) -> None:
    page = client.get("/remote-image/", {"url": "https://images.example/a.png"})
    assert page.status_code == 302


def test_it_is_only_looked_at(alice_client: Client) -> None:
    assert alice_client.post("/remote-image/", {"url": "https://images.example/a.png"}).status_code == 405
