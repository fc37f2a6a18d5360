"""The validators that take part, as far as this node sees: they are connected to it and have its chain.

A validator that is connected but behind signs nothing, so it counts as away. Peers are asked at the moment of the
question. What a peer announced earlier says nothing about a chain that the peer has lost since.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import trio

from lacnode.consensus.bft.protocol_schedule import ProtocolSchedule
from lacnode.p2p.peer import NoAnswerError, Peer
from lacnode.rpc.services import RpcServices

VALIDATOR_LAG_BLOCKS = 3
"""A node that takes part surely has the block that is so far below the head."""
ASK_SECONDS = 5.0
"""Time that all peers together may take to answer. Peers are asked at the same time."""


@dataclass(frozen=True, slots=True)
class ConnectedValidators:
    """Which of the asked addresses (20 bytes) take part. `connected` are those whose nodes are connected to this node.
    `having_block` are those of `connected` whose nodes have this node's block `number`. Both sets also contain this
    node's own address, even if it was not asked for or is no validator."""

    connected: frozenset[bytes]
    having_block: frozenset[bytes]
    number: int


def find_connected_validators(services: RpcServices, addresses: Collection[bytes]) -> ConnectedValidators:
    """Return which of `addresses` (20 bytes each) are connected, and which of those also have the block
    `VALIDATOR_LAG_BLOCKS` below the head.

    Must be called from a worker thread. It asks the peers, which takes at most `ASK_SECONDS`. A peer that does not
    answer counts as one without the block. While no event loop is attached, no peer can be asked, and every connected
    one counts as one with the block.
    """
    number = max(0, services.chain.head.header.number - VALIDATOR_LAG_BLOCKS)
    peers = [] if services.network is None else [peer for peer in services.network.peers if peer.address in addresses]
    connected = frozenset(peer.address for peer in peers)
    # No peer can be asked while no event loop is attached. Every connected peer counts as present then.
    having_block = connected
    if services.event_loop.is_attached:
        hash_ = services.chain.hash_at(number)
        having_block = services.event_loop.run(_having_block, peers, number, hash_, services.chain.protocols)
    # This node is no peer of itself. Without this line a quorum that needs its own vote would look too small.
    itself = {services.node.coinbase}
    return ConnectedValidators(connected | itself, having_block | itself, number)


async def _having_block(
    peers: Sequence[Peer], number: int, hash_: bytes | None, protocols: ProtocolSchedule
) -> frozenset[bytes]:
    having: set[bytes] = set()

    async def ask(peer: Peer) -> None:
        try:
            headers = await peer.requests.request_headers(number, 1)
        except NoAnswerError:
            return
        # The hash is compared, because a peer on another chain has a block of this number too.
        if [protocols.block_hash(header) for header in headers] == [hash_]:
            having.add(peer.address)

    with trio.move_on_after(ASK_SECONDS):
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(ask, peer)
    return frozenset(having)
