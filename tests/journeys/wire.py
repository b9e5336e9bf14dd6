"""A wire between the browser and the server that a test can cut, or let fall silent."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

RESET_AT_CLOSE = struct.pack("ii", 1, 0)


class Wire:
    """Forwards TCP connections to `port` of this machine."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._deaf: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self._is_refusing = False
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> int:
        """Break every connection, as a proxy that is killed does; the number of them."""
        with self._lock:
            cut = list(self._open)
            self._open.clear()
        for end in cut:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_AT_CLOSE)
                end.shutdown(socket.SHUT_RDWR)
        return len(cut) // 2

    def fall_silent(self) -> None:
        """Let nothing through any more on the connections that there are, and leave them open."""
        with self._lock:
            self._deaf |= self._open

    def refuse(self) -> None:
        """Break each new connection at once, as a proxy does behind which no server is."""
        self._is_refusing = True

    def accept(self) -> None:
        self._is_refusing = False

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            if self._is_refusing:
                near.close()
                continue
            try:
                far = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                near.close()
                continue
            with self._lock:
                self.connections += 1
                self._open |= {near, far}
            for source, target in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._forward, args=[source, target], daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                if source not in self._deaf:
                    target.sendall(data)
            if source not in self._deaf:
                target.shutdown(socket.SHUT_WR)
        # Each end is closed by the thread that reads from it: nobody else may be using its number.
        with self._lock:
            self._open.discard(source)
            self._deaf.discard(source)
        source.close()


@contextmanager
def wire_to(port: int) -> Iterator[Wire]:
    wire = Wire(port)
    try:
        yield wire
    finally:
        wire.close()
