"""Bytes that cost a client nothing and the event loop much: heads, JSON texts, Ping frames.

Found before, as times of the calm network's block interval: 5.1 with heads of 6,500 lines; 5.1 and half a gigabyte of memory
with JSON texts of 5 MB of empty objects; 1.8 with Ping frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import trio

from lacnode.devnet.manifest import DevnetNode, Manifest
from tests.siege.attack import LoadAttack, Sent
from tests.siege.http import post
from tests.siege.websocket import UPGRADE, masked_frame

CONNECTIONS = 60
"""At each validator."""

JSON_CONNECTIONS = 8
READ_BYTES = 2**18
RETURN_SECONDS = 0.2

HEAD_START = b"GET / HTTP/1.1\r\nHost: localhost\r\n"
HEAD_LINES = 6_500
HEADS = (HEAD_START + b"a:b\r\n" * HEAD_LINES + b"\r\n") * 3

EMPTY_OBJECTS = 1_700_000
PING = 9
PINGS_AT_ONCE = 2_000


@dataclass(frozen=True, slots=True)
class Flood:
    """Connections that send `data` over and over, after `greeting`, and throw away what they are answered."""

    kind: str
    connections: int
    data: bytes
    port_of: Callable[[DevnetNode], int]
    greeting: bytes = b""

    async def __call__(self, manifest: Manifest, sent: Sent) -> None:
        """At every validator."""
        async with trio.open_nursery() as nursery:
            for node in manifest.nodes:
                for _ in range(self.connections):
                    nursery.start_soon(self._keep_pouring, self.port_of(node), sent)

    async def _keep_pouring(self, port: int, sent: Sent) -> None:
        while True:
            try:
                async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
                    if self.greeting:  # frames that come with an upgrade are not read as frames
                        await stream.send_all(self.greeting)
                        await stream.receive_some(READ_BYTES)
                    await self._pour(stream, sent)
            except (OSError, trio.BrokenResourceError):
                pass
            sent.count(f"connections of {self.kind} ended")
            await trio.sleep(RETURN_SECONDS)

    async def _pour(self, stream: trio.SocketStream, sent: Sent) -> None:
        """Until the node hangs up."""
        async with trio.open_nursery() as nursery:

            async def read() -> None:
                try:
                    while await stream.receive_some(READ_BYTES):
                        pass
                except trio.BrokenResourceError:
                    pass
                nursery.cancel_scope.cancel()

            nursery.start_soon(read)
            try:
                while True:
                    await stream.send_all(self.data)
                    sent.count(self.kind)
            except trio.BrokenResourceError:
                nursery.cancel_scope.cancel()


def rpc_port(node: DevnetNode) -> int:
    return node.rpc_port


def ws_port(node: DevnetNode) -> int:
    return node.ws_port


ATTACKS = (
    LoadAttack(
        "http-heads",
        f"{CONNECTIONS} connections at each validator send heads of {HEAD_LINES} lines",
        Flood("heads of 32 KB, three at once", CONNECTIONS, HEADS, rpc_port),
    ),
    LoadAttack(
        "json-bombs",
        f"{JSON_CONNECTIONS} connections at each validator send JSON texts of 5 MB of empty objects",
        Flood("JSON texts", JSON_CONNECTIONS, post(b"[" + b"{}," * EMPTY_OBJECTS + b"{}]"), rpc_port),
    ),
    LoadAttack(
        "ws-pings",
        f"{CONNECTIONS} WebSocket connections at each validator send Ping frames",
        Flood("Ping frames, 2,000 at once", CONNECTIONS, masked_frame(PING, b"") * PINGS_AT_ONCE, ws_port, UPGRADE),
    ),
)
