"""The bare relay, `python -m tests.bench.relay PROVIDER_URL`: the least that can stand between provider and page.

Daphne on uvloop, a consumer, httpx over our transport. A question comes over the socket, each delta goes back at once.
Nothing is stored, rendered, checked or held back: what the product costs above this is what it does for people. Prints
its port as the first line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from html import escape
from typing import Any

import uvloop

uvloop.install()

from channels.generic.websocket import AsyncWebsocketConsumer  # noqa: E402
from daphne.server import Server  # noqa: E402
from django.conf import settings  # noqa: E402

from chat.responses.transport import open_http  # noqa: E402

END = '<footer data-status="completed"></footer>'


class Relay(AsyncWebsocketConsumer):
    http: Any = None

    async def receive(self, text_data: str | None = None, bytes_data: bytes | None = None) -> None:
        self.task = asyncio.get_running_loop().create_task(self.answer(text_data or ""))

    async def answer(self, question: str) -> None:
        Relay.http = Relay.http or open_http()
        body = {"model": "bench", "input": question, "stream": True}
        async with self.http.stream("POST", f"{sys.argv[1]}responses", json=body) as response:
            rest = b""
            async for chunk in response.aiter_raw():
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    event = json.loads(line[6:]) if line.startswith(b"data: ") else {"type": ""}
                    if event["type"] == "response.output_text.delta":
                        await self.send(f'<p hx-swap-oob="beforeend:#answer">{escape(event["delta"])}</p>')
        await self.send(END)


def main(consumer: type[Relay] = Relay) -> None:
    settings.configure()
    server: Server = Server(
        consumer.as_asgi(),
        endpoints=["tcp:port=0:interface=127.0.0.1:backlog=4096"],
        ready_callable=lambda: print(json.dumps({"port": server.listening_addresses[0][1]}), flush=True),
    )
    server.run()


if __name__ == "__main__":
    main()
