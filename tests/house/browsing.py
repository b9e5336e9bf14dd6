"""Debian's chromium, and what the pages complain about while it shows them."""

from __future__ import annotations

import re
import shutil
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, WebError

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    # The browser's own block on the network: a page that reaches out fails, and says so.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.effectiveDirective} blocked ${event.blockedURI} in ${event.sourceFile || "the page"}`));
"""


def chromium_path() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browser:
    """One chromium. Each `page()` is another person's: its own cookies, its own storage."""

    def __init__(self, playwright: Playwright, path: str) -> None:
        self.chromium: Chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        self.complaints: list[str] = []
        self.tolerated: list[re.Pattern[str]] = []

    def context(self, *, width: int = 1280, height: int = 800, **options: Any) -> BrowserContext:
        """A person's browser; `options` are those of Playwright's new_context."""
        context = self.chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(15_000)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._hear)
        context.on("weberror", self._hear_exception)
        return context

    def page(self, **options: Any) -> Page:
        """A page of a person who is not signed in yet. `page.context.new_page()` is the same person's next tab."""
        return self.context(**options).new_page()

    def tolerate(self, pattern: str) -> None:
        """Let complaints that match pass, such as a socket's while the test keeps the server down."""
        self.tolerated.append(re.compile(pattern))

    def unexpected(self) -> list[str]:
        return [text for text in self.complaints if not any(pattern.search(text) for pattern in self.tolerated)]

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self.complaints.append(f"{message.text} ({message.location.get('url', '')})")

    def _hear_exception(self, error: WebError) -> None:
        self.complaints.append(f"uncaught: {error.error}")
