"""A WebSocket client on a bare socket: it can choose not to read."""

import os
import socket
from types import TracebackType

import trio

SMALL_BUFFER_BYTES = 4_096


TEXT = 1
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: c2llZ2UgYXR0YWNrIGtleQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
"""What a client begins with."""


def masked_frame(opcode: int, data: bytes) -> bytes:
    """One whole frame of a client."""
    mask, size = os.urandom(4), len(data)
    if size < 126:
        head = bytes([0x80 | opcode, 0x80 | size])
    elif size < 2**16:
        head = bytes([0x80 | opcode, 0xFE]) + size.to_bytes(2)
    else:
        head = bytes([0x80 | opcode, 0xFF]) + size.to_bytes(8)
    pattern = (mask * (size // 4 + 1))[:size]
    body = (int.from_bytes(data) ^ int.from_bytes(pattern)).to_bytes(size)
    return head + mask + body


class WebSocketClient:
    """One connection after its upgrade."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._unread = b""

    @classmethod
    async def connect(cls, port: int) -> "WebSocketClient":
        """OSError, EOFError or BrokenResourceError if the node does not take us."""
        plain = trio.socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL_BUFFER_BYTES)
        await plain.connect(("127.0.0.1", port))
        self = cls(trio.SocketStream(plain))
        await self._stream.send_all(UPGRADE)
        while b"\r\n\r\n" not in self._unread:
            await self._read()
        if not self._unread.startswith(b"HTTP/1.1 101"):
            raise EOFError(self._unread[:100].decode("latin-1"))
        self._unread = self._unread.partition(b"\r\n\r\n")[2]
        return self

    async def __aenter__(self) -> "WebSocketClient":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await trio.aclose_forcefully(self._stream)

    async def send_text(self, text: str) -> None:
        """Send one message."""
        await self._stream.send_all(masked_frame(TEXT, text.encode()))

    async def receive(self) -> bytes:
        """The payload of the next frame; EOFError when the node hangs up."""
        while True:
            frame = self._next_frame()
            if frame is not None:
                return frame
            await self._read()

    def _next_frame(self) -> bytes | None:
        data = self._unread
        if len(data) < 2:
            return None
        size, start = data[1] & 0x7F, 2
        if size >= 126:
            width = 2 if size == 126 else 8
            size, start = int.from_bytes(data[2 : 2 + width]), 2 + width
        if len(data) < start + size:
            return None
        self._unread = data[start + size :]
        return data[start : start + size]

    async def _read(self) -> None:
        data = await self._stream.receive_some(65_536)
        if not data:
            raise EOFError("the node hung up")
        self._unread += bytes(data)
