"""The admin in a real browser: under the strict policy, on a phone, in the dark."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.house.browsing import Browser
from tests.house.serving import Server

pytestmark = pytest.mark.journey

STORE = """
from chat.models import Conversation, Response, Turn, User
text = "## Tides\\n\\n| a | b |\\n|---|---|\\n| 1 | 2 |\\n\\n```python\\n" + "x = 1; " * 60 + "\\n```\\n\\n![x](https://evil.example/x.png)"
conversation = Conversation.objects.create(owner=User.objects.get(username="admin"), title="Tides")
turn = Turn.objects.create(conversation=conversation, question="<script>alert(1)</script>", status="completed")
output = [{"type": "message", "content": [{"type": "output_text", "text": text}]}]
Response.objects.create(turn=turn, output=output, response_id="resp_" + "0" * 60, status="completed")
Conversation.objects.update(head=turn)
"""


def sign_in(page: Page, server: Server) -> None:
    page.goto(server.signin_link("admin", admin=True))
    page.get_by_role("button", name="Sign in as admin").click()
    page.wait_for_url(lambda address: "/signin/" not in address)


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (390, "dark")])
def test_the_admin_keeps_to_the_policy_and_the_width(server: Server, browser: Browser, width: int, scheme: str) -> None:
    """The browser fixture fails the test for each violation of the policy and each error in a console."""
    stored = server.manage("shell", "-v0", "-c", STORE)
    assert stored.returncode == 0, stored.stderr
    page = browser.page(width=width, color_scheme=scheme)
    sign_in(page, server)
    for address in ("", "chat/conversation/?q=tides", "chat/provider/add/", "chat/provider/", "chat/user/add/"):
        page.goto(f"{server.url}/admin/{address}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), address
    page.goto(f"{server.url}/admin/chat/conversation/?q=tides")
    page.get_by_role("link", name="Tides").first.click()
    expect(page.get_by_role("heading", name="Tides").first).to_be_visible()
    expect(page.get_by_text("<script>alert(1)</script>")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert urlsplit(page.url).path.endswith("/change/")
    lightness = re.match(r"oklch\(([\d.]+)", page.evaluate("getComputedStyle(document.querySelector('.answer')).color"))
    assert lightness
    assert (float(lightness[1]) > 0.5) == (scheme == "dark")


@pytest.mark.parametrize(("width", "scheme"), [(1280, "dark"), (390, "light")])
def test_a_connection_is_tested_while_the_page_is_edited(
    server: Server, browser: Browser, width: int, scheme: str
) -> None:
    page = browser.page(width=width, color_scheme=scheme)
    sign_in(page, server)
    page.goto(f"{server.url}/admin/chat/provider/")
    page.locator("#result_list").get_by_role("link", name="Embedded engine").click()
    page.get_by_label("Label").fill("Not saved yet")
    page.get_by_role("button", name="Test connection").click()
    expect(page.get_by_text("It works.")).to_be_visible()
    expect(page.get_by_label("Label")).to_have_value("Not saved yet")
    page.get_by_text(re.compile(r"All \d+ capabilities")).click()
    expect(page.get_by_text("previous_response_id")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    page.reload()
    expect(page.get_by_text("It works.")).to_be_visible()
