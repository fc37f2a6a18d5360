"""Long messages where the protocol has short ones: a Disconnect before Hello, a Status, the header of an announced block.

Found before: any stranger could send a Disconnect of 250 KB in place of its Hello. It was decoded on the event loop, which
stood still for a third of a second each time.
"""

from collections.abc import Awaitable, Callable

import trio

from lacnode.crypto.node_key import NodeKey
from lacnode.devnet.manifest import DevnetNode, Manifest
from lacnode.p2p.rlpx import ConnectionFailedError, ConnectionTimeouts, RlpxConnection, open_rlpx
from lacnode.p2p.wire.capabilities import CapabilityTable
from lacnode.p2p.wire.eth_messages import NewBlock, Status
from lacnode.p2p.wire.p2p_messages import DISCONNECT, HELLO, P2P_VERSION, Hello
from lacnode.primitives.rlp import wrap_list
from tests.siege.attack import LoadAttack, Sent
from tests.siege.stranger import ETH_ONLY, Stranger

SESSIONS = 2
"""Of each kind, at each validator."""

EMPTY_LISTS = wrap_list(b"\xc0" * 250_000)
"""Decoding them takes long, and a message before the session may have 256 KB."""

BLOCK = wrap_list(wrap_list(EMPTY_LISTS + b"\xc0\xc0") + b"\x01")
"""A NewBlock with these lists as its header."""

RETURN_SECONDS, ANSWER_SECONDS = 0.2, 2.0

SessionKind = Callable[[DevnetNode], Awaitable[None]]


async def _connect(node: DevnetNode, key: NodeKey) -> RlpxConnection:
    """A connection after the handshake of RLPx, before Hello."""
    stream = await trio.open_tcp_stream("127.0.0.1", node.p2p_port)
    return await open_rlpx(stream, key, bytes.fromhex(node.node_id), ConnectionTimeouts())


async def _read_to_the_end(connection: RlpxConnection) -> None:
    """Until the node hangs up, or for a short while."""
    with trio.move_on_after(ANSWER_SECONDS):
        while True:
            await connection.receive()
    await connection.close(None)


async def send_long_disconnect(node: DevnetNode) -> None:
    """A Disconnect in place of the Hello."""
    connection = await _connect(node, NodeKey.generate())
    await connection.send(DISCONNECT, EMPTY_LISTS)
    await _read_to_the_end(connection)


async def send_long_hello(node: DevnetNode) -> None:
    """A Hello that is a list of empty lists."""
    connection = await _connect(node, NodeKey.generate())
    await connection.send(HELLO, EMPTY_LISTS)
    await _read_to_the_end(connection)


async def send_long_status(node: DevnetNode) -> None:
    """A true Hello, and then a Status that is a list of empty lists."""
    key = NodeKey.generate()
    connection = await _connect(node, key)
    hello = await connection.exchange_hellos(Hello(P2P_VERSION, "siege", ETH_ONLY, 0, key.public_key))
    table = CapabilityTable.negotiate(ETH_ONLY, hello.capabilities)
    await connection.send(table.message_id("eth", Status.CODE), EMPTY_LISTS)
    await _read_to_the_end(connection)


async def send_long_header(node: DevnetNode) -> None:
    """A peer that announces a block whose header is a list of empty lists."""
    stranger = await Stranger.meet(node, capabilities=ETH_ONLY)
    await stranger.send_raw(NewBlock.CODE, BLOCK)
    await _read_to_the_end(stranger.connection)


KINDS: dict[str, SessionKind] = {
    "long Disconnects before Hello": send_long_disconnect,
    "long Hellos": send_long_hello,
    "long Status messages": send_long_status,
    "long headers": send_long_header,
}


async def _keep_sending(node: DevnetNode, kind: str, sent: Sent) -> None:
    while True:
        try:
            await KINDS[kind](node)
            sent.count(kind)
        except (ConnectionFailedError, OSError):
            # The node ends each of these sessions, some before this side has read all.
            sent.count(f"sessions of {kind} ended")
        await trio.sleep(RETURN_SECONDS)


async def long_handshakes(manifest: Manifest, sent: Sent) -> None:
    """At every validator."""
    async with trio.open_nursery() as nursery:
        for node in manifest.nodes:
            for kind in KINDS:
                for _ in range(SESSIONS):
                    nursery.start_soon(_keep_sending, node, kind, sent)


ATTACKS = (
    LoadAttack(
        "long-handshakes", "strangers send Disconnects, Hellos, Status messages and headers of 250 KB", long_handshakes
    ),
)
