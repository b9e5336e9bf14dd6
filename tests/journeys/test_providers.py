"""Providers that forget, refuse, or cannot be reached."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from tests.house.browsing import Browser
from tests.house.serving import Server
from tests.journeys.engines import Engine
from tests.journeys.tab import Tab

pytestmark = pytest.mark.journey

FORGOTTEN = "POST responses: 400 previous_response_not_found"
START_SERVER = Callable[..., Server]
START_ENGINE = Callable[..., Engine]


def test_a_provider_that_has_forgotten_the_conversation_is_told_it_again(
    start_engine: START_ENGINE, start_server: START_SERVER, browser: Browser
) -> None:
    engine = start_engine()
    server = start_server(**engine.variables())
    tab = Tab.enter(browser.page(), server.admin_link)
    tab.ask("My favourite colour is teal.")
    engine.forget()
    assert "My favourite colour is teal." in tab.ask("What was my first question?")
    assert server.output.count(FORGOTTEN) == 1
    expect(tab.page.locator(".problem")).to_have_count(0)
    expect(tab.problem).to_be_empty()
    expect(tab.page.locator(".toast")).to_have_count(0)
    # From here on the provider knows it again.
    assert "My favourite colour is teal." in tab.ask("And what was my first question?")
    assert server.output.count(FORGOTTEN) == 1


def says_so_and_goes_on(tab: Tab, server: Server, sentence: str, mend: Callable[[], None]) -> None:
    """The person reads a sentence; after the fault is mended, Try again brings the answer."""
    tab.begin("Repeat after me: here we are")
    tab.finished("failed")
    problem = tab.last.locator(".problem p")
    expect(problem).to_have_text(re.compile(sentence))
    expect(problem).not_to_contain_text("http")
    mend()
    tab.page.reload()
    expect(problem).to_have_text(re.compile(sentence))
    tab.last.get_by_role("button", name="Try again").click()
    assert tab.finished().startswith("here we are")
    expect(tab.turns).to_have_count(1)


@pytest.mark.seed("S3-15")
def test_a_wrong_key_is_said_in_a_sentence_and_logged_with_the_request_id(
    start_engine: START_ENGINE, start_server: START_SERVER, browser: Browser
) -> None:
    engine = start_engine(options=("--key", "the-right-key"))
    server = start_server(**engine.variables(RESPONSES_API_KEY="a-wrong-key"))
    tab = Tab.enter(browser.page(), server.signin_link("alice"))

    def mend() -> None:
        assert re.search(r"WARNING chat\.turns\S* response \d+: Unauthorized: .*req_\w+", server.output), server.output
        server.stop()
        server.env["RESPONSES_API_KEY"] = "the-right-key"
        server.start()

    browser.tolerate(r"WebSocket connection|\[object Event\]")  # while the server restarts
    says_so_and_goes_on(tab, server, "key", mend)
    assert "a-wrong-key" not in server.output
    assert "the-right-key" not in server.output


def test_a_model_that_the_provider_does_not_have_is_said_in_a_sentence(
    start_engine: START_ENGINE, start_server: START_SERVER, browser: Browser
) -> None:
    engine = start_engine(options=("--model", "other-model"))
    server = start_server(**engine.variables())
    tab = Tab.enter(browser.page(), server.signin_link("alice"))

    def mend() -> None:
        assert re.search(r"WARNING chat\.turns\S* response \d+: DeploymentMissing: .*req_\w+", server.output)
        engine.stop()
        engine.arguments = [*engine.arguments, "--model", "embedded-engine"]
        engine.start()

    says_so_and_goes_on(tab, server, "model", mend)


def test_a_provider_that_cannot_be_reached_is_said_in_a_sentence(
    start_engine: START_ENGINE, start_server: START_SERVER, browser: Browser
) -> None:
    engine = start_engine()
    server = start_server(**engine.variables())
    engine.stop()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(engine.port)))
    tab = Tab.enter(browser.page(), server.signin_link("alice"))

    def mend() -> None:
        assert re.search(r"WARNING chat\.turns\S* response \d+: Unreachable: ", server.output), server.output
        engine.start()

    says_so_and_goes_on(tab, server, "reach", mend)
