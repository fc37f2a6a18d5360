"""A peer with a key that no validator has: it speaks RLPx and `eth` by hand and may lie."""

from dataclasses import replace
from typing import Any

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode
from lacnode.p2p.rlpx import ConnectionTimeouts, PeerDisconnectedError, RlpxConnection, open_rlpx
from lacnode.p2p.wire.capabilities import Capability, CapabilityTable
from lacnode.p2p.wire.eth_messages import EthMessage, Status, decode_eth_message
from lacnode.p2p.wire.p2p_messages import DISCONNECT, EMPTY_LIST, P2P_VERSION, PING, PONG, Disconnect, Hello
from lacnode.primitives.rlp import RlpError
from tests.support.ibft2_blocks import CAPABILITIES

ETH_ONLY: tuple[Capability, ...] = tuple(each for each in CAPABILITIES if each.name == "eth")
"""What a peer offers that does not want consensus messages."""


class Stranger:
    """One session with one node after Hello and Status."""

    def __init__(self, connection: RlpxConnection, table: CapabilityTable, theirs: Status) -> None:
        self.connection = connection
        self.theirs = theirs
        """The Status of the node."""
        self._table = table

    @classmethod
    async def meet(
        cls,
        node: DevnetNode,
        *,
        key: NodeKey | None = None,
        capabilities: tuple[Capability, ...] = CAPABILITIES,
        **claims: Any,
    ) -> "Stranger":
        """Connect to `node`; `claims` are fields of our Status, which otherwise repeats the node's own.

        ConnectionFailedError or OSError if the node does not take us.
        """
        key = key or NodeKey.generate()
        stream = await trio.open_tcp_stream("127.0.0.1", node.p2p_port)
        connection = await open_rlpx(stream, key, bytes.fromhex(node.node_id), ConnectionTimeouts())
        hello = await connection.exchange_hellos(Hello(P2P_VERSION, "siege", capabilities, 0, key.public_key))
        table = CapabilityTable.negotiate(capabilities, hello.capabilities)
        self = cls(connection, table, Status(0, 0, 0, bytes(32), bytes(32), None))
        theirs = await self.receive()
        if not isinstance(theirs, Status):
            raise PeerDisconnectedError(f"{type(theirs).__name__} came before Status")
        self.theirs = theirs
        await self.send(replace(theirs, **claims))
        return self

    @property
    def eth_version(self) -> int:
        return self._table.version_of("eth") or 0

    async def send(self, message: EthMessage) -> None:
        """Send an `eth` message."""
        await self.connection.send(self._table.message_id("eth", message.CODE), message.encode(self.eth_version))

    async def send_raw(self, code: int, body: bytes) -> None:
        """Send an `eth` message with any body."""
        await self.connection.send(self._table.message_id("eth", code), body)

    async def send_consensus(self, code: int, data: bytes) -> None:
        """Send a message of the `IBF` protocol, whatever `data` is."""
        await self.connection.send(self._table.message_id("IBF", code), data)

    async def receive(self) -> EthMessage:
        """The next `eth` message that can be read; ConnectionFailedError when the session ends."""
        while True:
            frame = await self.connection.receive()
            if frame.message_id == DISCONNECT:
                reason = Disconnect.decode(frame.body).reason
                raise PeerDisconnectedError(f"the node disconnected: {reason}", reason)
            if frame.message_id == PING:
                await self.connection.send(PONG, EMPTY_LIST)
                continue
            route = self._table.resolve_message_id(frame.message_id)
            if route is not None and route.protocol == "eth":
                try:
                    return decode_eth_message(route.version, route.code, frame.body)
                except RlpError:
                    continue

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close(None)
