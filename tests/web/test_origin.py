"""Which pages may open a socket: those that came from where the socket goes to."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings

from chat.web.origin import is_from_own_page


def socket(origin: str | None, host: str = "127.0.0.1:8000", **headers: str) -> dict[str, Any]:
    """The scope of a socket that a page of `origin` opens."""
    sent = {"host": host, **{name.replace("_", "-"): value for name, value in headers.items()}}
    if origin is not None:
        sent["origin"] = origin
    return {
        "type": "websocket",
        "path": "/ws/",
        "headers": [(name.encode(), value.encode("latin1")) for name, value in sent.items()],
    }


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://localhost", "localhost"),
        ("http://localhost", "localhost:80"),
        ("http://LOCALHOST:80", "localhost"),
        ("https://localhost", "localhost"),  # a proxy in front speaks TLS
        ("https://localhost", "localhost:443"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_its_own_pages_may(origin: str, host: str) -> None:
    assert is_from_own_page(socket(origin, host))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:9000", "127.0.0.1:8000"),
        ("http://127.0.0.1", "127.0.0.1:8000"),
        ("https://localhost:8443", "localhost"),
        ("http://localhost", "localhost:443"),
        ("http://localhost:8000", "127.0.0.1:8000"),
        ("http://evil.example:8000", "127.0.0.1:8000"),
        ("http://evil.example:8000", "evil.example:8000"),  # a name that was bent to this address
        ("http://127.0.0.1:8000@evil.example", "127.0.0.1:8000"),
        ("chrome-extension://127.0.0.1:8000", "127.0.0.1:8000"),
        ("file://", "127.0.0.1:8000"),
        ("null", "127.0.0.1:8000"),
        ("", "127.0.0.1:8000"),
        (None, "127.0.0.1:8000"),
        ("http://[::1", "127.0.0.1:8000"),
        ("http://127.0.0.1:port", "127.0.0.1:8000"),
        ("http://127.0.0.1:99999", "127.0.0.1:8000"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000, evil.example"),
        ("\xff\xfe", "\xff"),
    ],
)
def test_no_other_page_may(origin: str | None, host: str) -> None:
    assert not is_from_own_page(socket(origin, host))


@override_settings(ALLOWED_HOSTS=["chat.example.org"])
@pytest.mark.parametrize("believed", [True, False])
def test_the_proxys_word_counts_where_the_settings_say_so(believed: bool) -> None:
    forwarded = socket("https://chat.example.org", "chat.example.org:8000", x_forwarded_host="chat.example.org")
    with override_settings(USE_X_FORWARDED_HOST=believed):
        assert is_from_own_page(forwarded) == believed


@override_settings(CSRF_TRUSTED_ORIGINS=["https://chat.example.org", "https://*.example.net:8443"])
@pytest.mark.parametrize(
    ("origin", "may"),
    [
        ("https://chat.example.org", True),
        ("https://a.example.net:8443", True),
        ("http://chat.example.org", False),
        ("https://chat.example.org:8443", False),
        ("https://b.chat.example.org", False),
        ("https://a.example.net", False),
        ("https://example.org", False),
    ],
)
def test_trusted_sites_may_as_for_forms(origin: str, may: bool) -> None:
    assert is_from_own_page(socket(origin)) == may
