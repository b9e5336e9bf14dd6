"""Daphne in this process, on uvloop, on a socket that is already ours, with an end that does not hang."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from typing import Any

# Daphne makes its event loop while it is imported: uvloop has to be in place before.
if sys.platform != "win32":
    import uvloop

    uvloop.install()

from daphne.access import AccessLogGenerator
from daphne.server import Server
from twisted.internet import defer, reactor

from chat.turns import lifecycle

NEVER = -1
CLOSE_SECONDS = 2


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
            ready_callable=self.adopt,
        )
        self.endpoints: list[str] = []
        self.listener = listener
        self.on_ready = on_ready

    def run(self) -> None:
        super().run()
        # The end is under way: an impatient second Ctrl-C must not turn it into a traceback.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def adopt(self) -> None:
        self.listener.setblocking(False)
        reactor.adoptStreamPort(self.listener.fileno(), self.listener.family, self.http_factory)
        # From inside the loop, when the signal handlers are in place.
        reactor.callLater(0, self.ready)

    def ready(self) -> None:
        # What a crash left behind is found at once, not with the first request.
        lifecycle.begin()
        self.on_ready()

    def kill_all_applications(self) -> Any:
        """Cancel what runs, and wait for it a moment.

        Daphne's own looks up "application_instance", which a request that has just become a socket
        lacks, and then cancels nothing at all; and it waits without limit.
        """
        running = [
            task
            for details in self.connections.values()
            if (task := details.get("application_instance")) is not None and not task.done()
        ]
        if not running:
            return None
        for task in running:
            task.cancel()
        return defer.Deferred.fromFuture(asyncio.ensure_future(asyncio.wait(running, timeout=CLOSE_SECONDS)))
