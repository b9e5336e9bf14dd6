"""Debian's chromium, and what the pages complain about while it shows them."""

from __future__ import annotations

import asyncio
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Browser as Chromium
from playwright.sync_api import BrowserContext, ConsoleMessage, Page, Playwright, WebError, expect, sync_playwright

# How long a page may take for what a test waits for, in milliseconds: longer than live.js ever pauses, where browsers
# and servers share two cores with other tests. What comes sooner is not waited for; a promise of time is measured.
PATIENCE = 30_000
expect.set_options(timeout=PATIENCE)

ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    # One process for all of a person's pages, none in reserve, and no pages for an address bar that nobody sees: these
    # made half of what a visit cost.
    "--process-per-site",
    "--disable-features=SpareRendererForSitePerProcess,WebUIOmniboxPopup,WebUIOmniboxAimPopup",
    # The browser's own block on the network: a page that reaches out fails, and says so.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE localhost",
]
REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`CSP: ${event.effectiveDirective} blocked ${event.blockedURI} in ${event.sourceFile || "the page"}`));
"""


def chromium_path() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


class Browsers:
    """The chromium of this process: started when the first test asks for it, shared by all after it."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._playwright: Playwright | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._chromium: Chromium | None = None

    @contextmanager
    def browser(self) -> Iterator[Browser]:
        """A browser as if it were new: it has no pages, no cookies and nothing stored, and leaves none behind."""
        with self._open():
            browser = Browser(self._started())
            try:
                yield browser
            finally:
                browser.close()

    def stop(self) -> None:
        with self._open():
            if self._chromium:
                self._chromium.close()
            if self._playwright:
                self._playwright.stop()

    @contextmanager
    def _open(self) -> Iterator[None]:
        """Playwright's synchronous API rests in an event loop that counts as running in this thread for as long as
        it is open: no asynchronous test could run, nor Django ask the database. So it counts only while it is in use.
        """
        asyncio._set_running_loop(self._loop)
        try:
            yield
        finally:
            self._loop = asyncio._get_running_loop()
            asyncio._set_running_loop(None)

    def _started(self) -> Chromium:
        if self._playwright is None:
            self._playwright = sync_playwright().start()
        if self._chromium is None or not self._chromium.is_connected():
            self._chromium = self._playwright.chromium.launch(executable_path=self._path, args=ARGUMENTS)
        return self._chromium


class Browser:
    """One chromium. Each `page()` is another person's: its own cookies, its own storage."""

    def __init__(self, chromium: Chromium) -> None:
        self.chromium = chromium
        self.complaints: list[str] = []
        self.tolerated: list[re.Pattern[str]] = []

    def context(self, *, width: int = 1280, height: int = 800, **options: Any) -> BrowserContext:
        """A person's browser; `options` are those of Playwright's new_context."""
        context = self.chromium.new_context(viewport={"width": width, "height": height}, **options)
        context.set_default_timeout(PATIENCE)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._hear)
        context.on("weberror", self._hear_exception)
        return context

    def page(self, **options: Any) -> Page:
        """A page of a person who is not signed in yet. `page.context.new_page()` is the same person's next tab."""
        return self.context(**options).new_page()

    def close(self) -> None:
        """End everybody's visit: their pages, cookies and storage go."""
        for context in self.chromium.contexts:
            context.close()

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
