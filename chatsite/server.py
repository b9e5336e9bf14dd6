"""Daphne in this process, on uvloop, on a socket that is already ours, with an end that does not hang."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import time
from collections.abc import Callable
from typing import Any

# Daphne makes its event loop while it is imported: uvloop has to be in place before.
if sys.platform != "win32":
    import uvloop

    uvloop.install()

from autobahn.exception import Disconnected
from daphne.access import AccessLogGenerator
from daphne.http_protocol import WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from django.core.exceptions import RequestAborted
from twisted.internet import defer, reactor, tcp

from chat.turns import lifecycle, short
from chatsite.frames import short_text, text_frame

NEVER = -1
CLOSE_SECONDS = 2
REQUEST_SECONDS = 1

# Files come in slices of 1 MB and the longest message has less than 2: what is larger is no request of ours.
BODY_MAX_BYTES = 16 * 1024 * 1024
BODY_PIECE_BYTES = 1024 * 1024  # in which the application gets it: of daphne's own size a slice of a file has 128
TOO_LARGE = b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class BoundedRequest(WebRequest):
    """Refuses a body that is too large before it is on the disk: it is there before anybody asks who sent it."""

    body_bytes = 0
    is_refused = False

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        if length is not None and length > BODY_MAX_BYTES:
            self.refuse()

    def handleContentChunk(self, data: bytes) -> None:
        self.body_bytes += len(data)
        if self.body_bytes > BODY_MAX_BYTES:
            self.refuse()
        if not self.is_refused:
            super().handleContentChunk(data)

    def process(self) -> None:
        if self.server.is_ending:
            self.is_refused = True
            self.channel.loseConnection()  # as of a server that has gone: a proxy asks another one
        if not self.is_refused:
            self.requestHeaders.removeHeader(
                b"daphne-root-path"
            )  # where the site is mounted is not for a browser to say
            super().process()

    def refuse(self) -> None:
        if not self.is_refused:
            self.is_refused = True
            self.channel.transport.write(TOO_LARGE)
            self.channel.loseConnection()


# A page acknowledges some 22 frames a second and says little else.
MESSAGES_AT_ONCE = 500
MESSAGES_PER_SECOND = 100


class BoundedSocket(WebSocketProtocol):
    """Hangs up on whoever floods it: daphne keeps all that was said, and reading it makes everybody wait."""

    allowance = float(MESSAGES_AT_ONCE)
    heard_at = 0.0
    heard: Callable[[bytes], bool] | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.heard is not None and self.is_between_messages():
            text = short_text(data)
            if text is not None and self.heard(text):
                self.last_ping = time.time()
                self.count()
                return
        self._dataReceived(data)  # without the coloured line that autobahn makes of each for a log that is not kept

    def is_between_messages(self) -> bool:
        """Whether what comes now begins a message."""
        is_open: bool = self.state == self.STATE_OPEN
        return is_open and not (self.data or self.inside_message or self.current_frame)

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        if sync or chopsize or self.send_queue:
            super().sendData(data, sync, chopsize)
        else:
            self.transport.write(data)  # and no line for that log either

    def send_text(self, text: str) -> None:
        """Of the short way (`chat.turns.short`), as is `heard`."""
        if self.state != self.STATE_OPEN:
            raise Disconnected("the socket is closed")
        self.sendData(text_frame(text))

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.count()
        super().onMessage(payload, isBinary)

    def count(self) -> None:
        """Hang up on whoever has said too much."""
        now = time.monotonic()
        refill = (now - self.heard_at) * MESSAGES_PER_SECOND
        self.allowance, self.heard_at = min(self.allowance + refill, MESSAGES_AT_ONCE) - 1, now
        if self.allowance < 0:
            self.muted = True
            self.transport.abortConnection()


class Connection(tcp.Server):
    """Sends at once what can be sent, where nothing waits before it.

    Twisted's own puts all by, asks the system when it may be written, and then asks it for silence again: of a frame
    of a few words that is more than half of what it costs.
    """

    def write(self, data: bytes) -> None:
        if data and self.connected and not (self._writeDisconnected or self.dataBuffer or self._tempDataBuffer):
            sent = self.writeSomeData(data)
            if isinstance(sent, int):
                data = data[sent:]
        super().write(data)  # also of a connection that is lost: there it is noticed


class ChatServer(Server):
    """Serves `application` on `listener` until SIGINT or SIGTERM."""

    def __init__(
        self, application: Any, listener: socket.socket, *, on_ready: Callable[[], None], access_log: bool
    ) -> None:
        super().__init__(
            application,
            endpoints=["adopted"],  # Daphne refuses an empty list; `run` adopts the socket instead.
            # After its default of 24 hours daphne closes with code 1000, on which a page never reconnects.
            websocket_timeout=NEVER,
            application_close_timeout=CLOSE_SECONDS,
            action_logger=AccessLogGenerator(sys.stderr) if access_log else None,
            server_name="",
            request_buffer_size=BODY_PIECE_BYTES,
            ready_callable=self.adopt,
        )
        self.endpoints: list[str] = []
        self.listener = listener
        self.on_ready = on_ready
        self.is_ending = False
        lifecycle.before_end.append(self.end_requests)

    def create_application(self, protocol: Any, scope: dict[str, Any]) -> Any:
        if isinstance(protocol, BoundedSocket):
            scope["extensions"] = {short.NAME: protocol}
        return super().create_application(protocol, scope)

    def run(self) -> None:
        super().run()
        # The end is under way: an impatient second Ctrl-C must not turn it into a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_what_is_left(asyncio.get_event_loop())

    def adopt(self) -> None:
        build = self.http_factory.buildProtocol

        def bounded(address: Any) -> Any:
            protocol = build(address)
            protocol.requestFactory = BoundedRequest
            return protocol

        self.http_factory.buildProtocol = bounded
        self.ws_factory.protocol = BoundedSocket
        self.listener.setblocking(False)
        port = reactor.adoptStreamPort(self.listener.fileno(), self.listener.family, self.http_factory)
        port.transport = Connection
        # From inside the loop, when the signal handlers are in place.
        reactor.callLater(0, self.ready)

    def ready(self) -> None:
        # What a crash left behind is found at once, not with the first request.
        lifecycle.begin()
        self.on_ready()

    def kill_all_applications(self) -> Any:
        """Let requests come to their end, then cancel what runs, and wait for it a moment.

        Daphne's own looks up "application_instance", which a request that has just become a socket
        lacks, and then cancels nothing at all; and it waits without limit. Of a request that is cancelled,
        Django cancels only a part; the rest would go on, and ask a loop that stands still.
        """
        return defer.Deferred.fromFuture(asyncio.ensure_future(self.end_applications()))

    async def end_requests(self) -> None:
        """Take no more of them, and let those that are there come to their end."""
        self.is_ending = True
        if requests := self.running(WebRequest):
            await asyncio.wait(requests, timeout=REQUEST_SECONDS)

    async def end_applications(self) -> None:
        asyncio.get_running_loop().set_exception_handler(pass_over_who_left)
        await self.end_requests()
        running = self.running()
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running, timeout=CLOSE_SECONDS)

    def running(self, kind: type = object) -> list[asyncio.Task[Any]]:
        return [
            task
            for protocol, details in self.connections.items()
            if isinstance(protocol, kind)
            and (task := details.get("application_instance")) is not None
            and not task.done()
        ]


def pass_over_who_left(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Of a request that is cancelled, Django leaves the task that waits for the browser's leaving to itself."""
    if not isinstance(context.get("exception"), RequestAborted):
        loop.default_exception_handler(context)


def end_what_is_left(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the tasks of a loop that has stopped, and close it, as `asyncio.run` would.

    A thread that waits for a task there would otherwise wait for ever, and the process with it.
    """

    async def end() -> None:
        await lifecycle.end()  # for a question that came in since
        deadline = loop.time() + CLOSE_SECONDS
        while (left := asyncio.all_tasks() - {asyncio.current_task()}) and loop.time() < deadline:
            for task in left:
                task.cancel()
            await asyncio.wait(left, timeout=0.1)

    loop.run_until_complete(end())
    loop.close()
