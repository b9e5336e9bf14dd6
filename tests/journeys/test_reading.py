"""Reading: the end is followed or left alone, long conversations, code to copy, images from elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.tab import PROSE, Tab, prose

pytestmark = pytest.mark.journey

DISTANCE = "(e => e.scrollHeight - e.clientHeight - e.scrollTop)(document.getElementById('scroller'))"
AT_END = f"() => {DISTANCE} < 40"

MAKE_TURNS = """
import uuid
from chat.models import Conversation, Deployment, Response, Turn, User
owner = User.objects.get(username="admin")
deployment = Deployment.objects.offered().first()
talk = Conversation.objects.create(id=uuid.UUID({pk!r}), owner=owner, title={title!r}, deployment=deployment)
parent = None
for number in range(1, {turns} + 1):
    parent = Turn.objects.create(
        conversation=talk, parent=parent, question=f"Question number {{number}}", deployment=deployment, status="completed")
    text = f"Answer number {{number}}. " + {prose!r}
    Response.objects.create(turn=parent, status="completed", provider_name=deployment.provider.name, text=text, output=[
        dict(id=f"msg_{{number}}", type="message", role="assistant", status="completed",
             content=[dict(type="output_text", text=text, annotations=[])])])
talk.head = parent
talk.save()
"""


def make_conversation(server: Server, turns: int) -> str:
    """Give the admin a conversation that took place long ago; its path."""
    pk = str(uuid.uuid4())
    code = MAKE_TURNS.format(pk=pk, title=f"{turns} turns", turns=turns, prose=PROSE[:300])
    done = server.manage("shell", "--no-imports", "-c", code)
    assert done.returncode == 0, done.stderr
    return f"/c/{pk}/"


MAKE_TALKS = """
from chat.models import Conversation, User
owner = User.objects.get(username="collector")
for number in range(90):
    Conversation.objects.create(owner=owner, title=f"Talk {number}")
"""


def top_of(page: Page, turn_id: str) -> float:
    return float(page.evaluate("(id) => document.getElementById(id).getBoundingClientRect().top", turn_id))


def test_the_end_is_followed_until_the_reader_scrolls_up_and_again_at_the_button(open_tab: Callable[..., Tab]) -> None:
    tab = open_tab(height=420)
    page = tab.page
    tab.begin(prose(4000))
    tab.wait_for_text(1100)
    page.wait_for_function(AT_END)
    page.locator("#scroller").hover()
    page.mouse.wheel(0, -400)
    page.wait_for_function(f"() => {DISTANCE} > 240")
    stays = page.evaluate("document.getElementById('scroller').scrollTop")
    tab.wait_for_text(len(tab.text()) + 400)
    assert page.evaluate("document.getElementById('scroller').scrollTop") == pytest.approx(stays, abs=2)
    page.get_by_role("button", name="Go to the newest message").click()
    page.wait_for_function(AT_END)
    tab.wait_for_text(len(tab.text()) + 300)
    page.wait_for_function(AT_END)
    expect(page.get_by_role("button", name="Go to the newest message")).to_be_hidden()
    tab.stop()


def test_a_long_conversation_opens_at_its_end_and_pages_upwards_without_a_jump(
    server: Server, open_tab: Callable[..., Tab]
) -> None:
    tab = open_tab(make_conversation(server, 60))
    page = tab.page
    expect(tab.last.locator(".question__text")).to_have_text("Question number 60")
    expect(tab.last).to_be_in_viewport()
    page.wait_for_function(AT_END)
    shown = tab.turns.count()
    assert shown == 20
    for _ in range(2):
        oldest = str(tab.turns.first.get_attribute("id"))
        before = page.evaluate(
            """(id) => {
              document.getElementById("scroller").scrollTop = 0;
              return document.getElementById(id).getBoundingClientRect().top;
            }""",
            oldest,
        )
        shown += 20
        expect(tab.turns).to_have_count(shown)
        page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        assert top_of(page, oldest) == pytest.approx(before, abs=4)
    expect(tab.turns.first.locator(".question__text")).to_have_text("Question number 1")
    expect(page.locator("[data-earlier]")).to_have_count(0)
    assert "Question number 60" in tab.ask("What did I say before this?")


def test_the_copy_button_puts_the_code_on_the_clipboard(tab: Tab) -> None:
    tab.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    code = 'def greet(name):\n    return f"Hello <{name}> & all"'
    tab.begin(f"repeat exactly: Here it is, with $\\frac{{a_1}}{{2}}$.\n\n```python\n{code}\n```")
    tab.finished()
    tab.answer.get_by_role("button", name="Copy").click()
    expect(tab.answer.get_by_role("button", name="Copied")).to_be_visible()
    assert tab.page.evaluate("navigator.clipboard.readText()") == code
    tab.last.get_by_role("button", name="Copy the answer").click()
    tab.page.wait_for_function("async () => (await navigator.clipboard.readText()).includes('Here it is')")
    assert "with $\\frac{a_1}{2}$." in tab.page.evaluate("navigator.clipboard.readText()")
    assert f"```python\n{code}\n```" in tab.page.evaluate("navigator.clipboard.readText()")


def test_an_image_from_elsewhere_is_not_fetched_before_the_person_asks_for_it(tab: Tab, server: Server) -> None:
    hosts: list[str] = []
    tab.page.context.on("request", lambda request: hosts.append(str(urlsplit(request.url).hostname)))
    tab.page.context.route(
        "https://example.org/**",
        lambda route: route.fulfill(
            status=200, content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>"
        ),
    )
    tab.begin("repeat exactly: Look: ![a secret shore](https://example.org/a.png?talk=secret) there.")
    tab.finished()
    tab.page.reload()
    placeholder = tab.answer.locator(".remote-image")
    expect(placeholder).to_contain_text("example.org")
    assert tab.answer.locator("img").count() == 0
    assert "example.org" not in hosts
    with tab.page.context.expect_event(
        "request", lambda request: request.url.startswith("https://example.org/")
    ) as fetched:
        placeholder.get_by_role("button").click()
    assert fetched.value.url == "https://example.org/a.png?talk=secret"
    assert "referer" not in fetched.value.all_headers()
    frame = tab.answer.locator("iframe")
    expect(frame).to_have_attribute("sandbox", "")
    source = str(frame.get_attribute("src"))
    assert source.startswith("/remote-image/?url=https%3A%2F%2Fexample.org%2Fa.png")
    assert set(hosts) <= {"127.0.0.1", "example.org"}


def test_hostile_markup_in_an_answer_does_nothing(tab: Tab) -> None:
    tab.begin(
        'repeat exactly: <img src=x onerror="window.broken=1"><script>window.broken=1</script>'
        ' [press](javascript:window.broken=1) <svg onload="window.broken=1"></svg> <b>end</b>'
    )
    tab.finished()
    expect(tab.answer).to_contain_text("end")
    assert tab.answer.locator("script, svg, img, [onerror], [onload], a[href^=javascript]").count() == 0
    assert tab.page.evaluate("window.broken") is None


def test_a_scrolled_list_stays_where_it_is_while_conversations_come_and_go(server: Server, browser: Browser) -> None:
    first = Tab.enter(browser.page(), server.signin_link("collector"))
    assert server.manage("shell", "--no-imports", "-v0", "-c", MAKE_TALKS).returncode == 0
    second = Tab(first.page.context.new_page())
    for tab in (first, second):
        tab.page.goto(server.url)
        lines = tab.page.locator(".conversation-item")
        expect(lines).to_have_count(40)
        lines.last.scroll_into_view_if_needed()
        expect(lines).to_have_count(80)
        line = tab.page.locator(".conversation-item", has_text="Talk 20")
        line.evaluate("line => line.scrollIntoView({ block: 'center' })")
    first.choose(str(line.get_attribute("id")).removeprefix("c-"), "Delete")
    for tab in (first, second):
        expect(tab.page.locator(".conversation-item", has_text="Talk 20")).to_have_count(0)
        expect(tab.page.locator(".conversation-item", has_text="Talk 18")).to_be_in_viewport()
        expect(tab.page.locator(".conversation-item")).to_have_count(80)
    # One that goes on moves up, in the other tab as well.
    first.page.locator(".conversation-item", has_text="Talk 18").get_by_role("link").click()
    expect(first.title).to_have_text("Talk 18")
    first.ask("repeat after me: once more")
    for tab in (first, second):
        expect(tab.page.locator(".conversation-item").first).to_have_id(f"c-{first.conversation_id}")
