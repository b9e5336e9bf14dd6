"""Somebody who chats without a browser: pages over HTTP, and tabs that hear the socket of any process."""

from __future__ import annotations

import asyncio
import json
import re
import time
from types import TracebackType

import httpx
from websockets.asyncio.client import ClientConnection, connect

from tests.bench.answers import WORD, Order
from tests.dom import Page
from tests.house.serving import Server

FIELD = re.compile(r'name="(csrfmiddlewaretoken|tab|key)" value="([^"]*)"')
LIVE = re.compile(r'data-live="(\d+)"')


class Person:
    """Somebody signed in; every process of the chat knows the session."""

    def __init__(self, server: Server, name: str) -> None:
        self.http = httpx.AsyncClient(timeout=30)
        self._server, self._name = server, name

    async def __aenter__(self) -> Person:
        link = await asyncio.to_thread(self._server.signin_link, self._name)
        token = dict(FIELD.findall((await self.http.get(link)).text))["csrfmiddlewaretoken"]
        done = await self.http.post(link, data={"csrfmiddlewaretoken": token}, headers={"Origin": self._server.url})
        assert done.status_code == 302
        return self

    async def __aexit__(self, kind: object, error: object, trace: TracebackType | None) -> None:
        await self.http.aclose()

    async def ask(self, server: Server, order: Order) -> int:
        """The turn that answers the question."""
        form = dict(FIELD.findall((await self.http.get(f"{server.url}/")).text))
        answer = await self.http.post(
            f"{server.url}/ask/",
            data={**form, "question": order.question},
            headers={"Origin": server.url, "HX-Request": "true"},
        )
        assert answer.status_code == 200, answer.text
        return int(LIVE.findall(answer.text)[-1])

    def tab(self, server: Server) -> Tab:
        cookies = "; ".join(f"{name}={value}" for name, value in self.http.cookies.items())
        return Tab(server, cookies)


class Tab:
    """An open page. Notes when each word of the bench's answers came."""

    def __init__(self, server: Server, cookies: str) -> None:
        self._connect = connect(
            f"{server.url.replace('http', 'ws', 1)}/ws/?tab=there",
            additional_headers={"Cookie": cookies, "Origin": server.url},
            proxy=None,
        )
        self.page = Page('<main><i id="toasts"></i><i id="errand"></i></main>')
        self.came: dict[int, int] = {}
        self.frames = 0
        self.socket: ClientConnection

    async def __aenter__(self) -> Tab:
        self.socket = await self._connect
        return self

    async def __aexit__(self, kind: object, error: object, trace: TracebackType | None) -> None:
        await self.socket.close()

    async def watch(self, pk: int) -> None:
        self.page = Page(
            f'<main><i id="toasts"></i><i id="errand"></i><article id="t{pk}"><div id="t{pk}-answer"></div>'
            f'<i id="t{pk}-foot"></i></article></main>'
        )
        await self.say(type="watch", turn=pk)

    async def say(self, **message: object) -> None:
        await self.socket.send(json.dumps(message))

    async def until(self, *words: str, seconds: float = 30) -> None:
        """Wait until the page says all of this."""
        async with asyncio.timeout(seconds):
            while not all(word in self.page.root.html() for word in words):
                frame = str(await self.socket.recv())
                now = time.monotonic_ns()
                self.frames += 1
                await self.say(type="ack", n=self.frames)
                for word in WORD.findall(frame.encode()):
                    self.came.setdefault(int(word), now)
                self.page.receive(frame)

    def answer(self, pk: int) -> str:
        return self.page.part(f"t{pk}-answer")

    def text(self, pk: int) -> str:
        return "".join(found.text() for found in self.page.root.walk() if found.attributes.get("id") == f"t{pk}-answer")


def words_in(text: str) -> list[str]:
    return re.findall(r"w\d{6}", text)
