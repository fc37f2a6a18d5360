"""Who takes part, as far as this node sees: connected to it, and with the chain it has.

A validator that is connected but behind signs nothing, so it counts as away. Peers are asked at the moment of the
question, because what they once announced says nothing about a chain that was lost since.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import trio

from lacnode.consensus.block_hash import on_chain_hash
from lacnode.p2p.peer import Peer, RequestFailedError
from lacnode.rpc.services import RpcServices

VALIDATOR_LAG_BLOCKS = 3
"""Blocks below the head that a node which takes part surely has."""
ASK_SECONDS = 5.0
"""How long all peers together may take to answer."""


@dataclass(frozen=True, slots=True)
class ConnectedValidators:
    """Addresses: `connected` to this node, and of those the ones that have block `number`. This node is among both."""

    connected: frozenset[bytes]
    present: frozenset[bytes]
    number: int


def find_connected_validators(services: RpcServices, addresses: Collection[bytes]) -> ConnectedValidators:
    """Which of `addresses` are here now; from a method's thread, for at most `ASK_SECONDS`."""
    number = max(0, services.chain.head.header.number - VALIDATOR_LAG_BLOCKS)
    peers = [] if services.network is None else [peer for peer in services.network.peers if peer.address in addresses]
    connected = frozenset(peer.address for peer in peers)
    present = connected
    if services.event_loop.is_attached:
        hash_ = services.chain.hash_at(number)
        present = services.event_loop.run(_having_block, peers, number, hash_)
    itself = {services.coinbase}
    return ConnectedValidators(connected | itself, present | itself, number)


async def _having_block(peers: Sequence[Peer], number: int, hash_: bytes | None) -> frozenset[bytes]:
    having: set[bytes] = set()

    async def ask(peer: Peer) -> None:
        try:
            headers = await peer.headers(number, 1)
        except RequestFailedError:
            return
        if [on_chain_hash(header) for header in headers] == [hash_]:
            having.add(peer.address)

    with trio.move_on_after(ASK_SECONDS):
        async with trio.open_nursery() as nursery:
            for peer in peers:
                nursery.start_soon(ask, peer)
    return frozenset(having)
