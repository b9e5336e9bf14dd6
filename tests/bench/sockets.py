"""A WebSocket client that costs next to nothing, so that hundreds of them do not measure themselves.

Only what a page of ours needs: text frames from the server, short masked ones to it, ping and close.
"""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
from collections.abc import Callable, Mapping
from typing import Any

TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
FIN = 0x80
OPEN_SECONDS = 60.0


class Refused(Exception):
    """The server did not open the socket. Says what it answered."""


class Socket(asyncio.Protocol):
    """One open socket. `receive` gets it with each text frame's bytes; `closed` is set when it is over."""

    def __init__(self, request: bytes, receive: Callable[[Socket, bytes], None]) -> None:
        self._request = request
        self._receive = receive
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._is_open = False
        self.opened: asyncio.Future[None] = self._loop.create_future()
        self.closed = asyncio.Event()
        self.close_code = 1006

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.write(self._request)

    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set()
        if not self.opened.done():
            self.opened.set_exception(Refused(self._buffer[:200].decode(errors="replace") or str(error)))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._is_open and not self._shake_hands():
            return
        while (frame := self._next_frame()) is not None:
            self._take(*frame)

    def send(self, message: bytes) -> None:
        self._send(TEXT, message)

    def close(self) -> None:
        if not self.closed.is_set():
            self._send(CLOSE, struct.pack("!H", 1000))
            self.transport.close()

    def _shake_hands(self) -> bool:
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return False
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self.transport.abort()
            return False
        self._buffer = rest
        self._is_open = True
        if not self.opened.done():  # nobody waits for it any more
            self.opened.set_result(None)
        return True

    def _next_frame(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        length, start = buffer[1], 2
        if length == 126:
            length, start = int.from_bytes(buffer[2:4], "big"), 4
        elif length == 127:
            length, start = int.from_bytes(buffer[2:10], "big"), 10
        if len(buffer) < start or len(buffer) < start + length:
            return None
        assert buffer[0] & FIN, "daphne sends no frame in parts"
        kind, payload = buffer[0] & 0x0F, bytes(buffer[start : start + length])
        del buffer[: start + length]
        return kind, payload

    def _take(self, kind: int, payload: bytes) -> None:
        match kind:
            case 1:
                self._receive(self, payload)
            case 8:
                self.close_code = int.from_bytes(payload[:2], "big") if payload else 1005
                self.close()
            case 9:
                self._send(PONG, payload)

    def _send(self, kind: int, payload: bytes) -> None:
        # A client has to mask; with a key of zeros the payload stays as it is.
        length = len(payload)
        head = bytes((FIN | kind, 0x80 | length)) if length < 126 else struct.pack("!BBH", FIN | kind, 0xFE, length)
        self.transport.write(head + b"\0\0\0\0" + payload)


async def open_socket(
    port: int, path: str, headers: Mapping[str, str], receive: Callable[[Socket, bytes], None], *, buffer_bytes: int = 0
) -> Socket:
    """Raises Refused. `buffer_bytes` bounds what the system keeps for a reader that has stopped."""
    key = base64.b64encode(os.urandom(16)).decode()
    lines = {
        "Host": f"127.0.0.1:{port}",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": key,
        "Sec-WebSocket-Version": "13",
        **headers,
    }
    request = f"GET {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items()) + "\r\n"
    plain = socket.socket()
    if buffer_bytes:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
    plain.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(OPEN_SECONDS):
        await loop.sock_connect(plain, ("127.0.0.1", port))
        _, protocol = await loop.create_connection(lambda: Socket(request.encode(), receive), sock=plain)
        await protocol.opened
    return protocol
