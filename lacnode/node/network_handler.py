"""The reports of the devp2p network and the parts of the node that receive them.

Must not do work: the network reads a peer's next message only after the handler has returned.
"""

from collections.abc import Sequence

import structlog

from lacnode.node.block_exchange import BlockExchange
from lacnode.node.consensus_message_filter import ConsensusMessageFilter
from lacnode.node.node_events import NodeEvents
from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction
from lacnode.sync.transaction_gossip import TransactionGossip

log = structlog.get_logger("node")


class NodeNetworkHandler:
    """A `p2p.handler.NetworkHandler`. `gossip` is None for a node that does not relay transactions."""

    def __init__(
        self,
        events: NodeEvents,
        blocks: BlockExchange,
        consensus_filter: ConsensusMessageFilter,
        gossip: TransactionGossip | None,
    ) -> None:
        self._events = events
        self._blocks = blocks
        self._consensus_filter = consensus_filter
        self._gossip = gossip

    def peer_joined(self, peer: Peer) -> None:
        """Publish that a session has begun."""
        self._events.peer_joined.publish(peer)

    def peer_left(self, peer: Peer, reason: str) -> None:
        """Publish that a session has ended, and log `reason`, a sentence."""
        self._events.peer_left.publish(peer)
        log.debug("peer left", peer=peer.enode_text, reason=reason)

    def reads_consensus_from(self, peer: Peer) -> bool:
        """Return whether this node reads consensus messages of `peer`: this node runs its validator, and `peer` is a
        validator of the current height."""
        return self._consensus_filter.reads_messages_of(peer)

    def consensus_received(self, peer: Peer, code: int, data: bytes) -> None:
        """Pass a consensus message of `peer` on to the validator, or drop it (`ConsensusMessageFilter.receive`). `code`
        is its code in the sub-protocol, and `data` its bytes without the code."""
        self._consensus_filter.receive(peer, code, data)

    def wants_block_body(self, peer: Peer, header: BlockHeader) -> bool:
        """Return whether the body of a long block that `peer` announces is needed: `header` is a child of the head, and
        a quorum sealed it. A child of the head that breaks a rule ends the session. Unless the extra data is malformed
        or too long, `peer` counts as having the block from now on, also after False."""
        return self._blocks.wants_block_body(peer, header)

    def block_received(self, peer: Peer, block: Block) -> None:
        """Queue a whole block that `peer` has announced, for its import. It may be dropped
        (`BlockExchange.block_received`)."""
        self._blocks.block_received(peer, block)

    def long_block_dropped(self, peer: Peer) -> None:
        """Let the synchronizer ask for a block that `peer` has announced and that was too long to keep without a
        request."""
        self._blocks.long_block_dropped(peer)

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Record the blocks that `peer` has announced, as pairs of a hash (32 bytes) and a number."""
        self._blocks.block_hashes_received(peer, blocks)

    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        """Offer whole transactions of `peer` to the pool. They are dropped if this node does not relay transactions."""
        if self._gossip is not None:
            self._gossip.transactions_received(peer, transactions)

    def transaction_hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int]) -> None:
        """Request the transactions that `peer` has announced by their hashes (32 bytes), if this node relays
        transactions. `sizes` are in bytes, and empty before eth/68.
        """
        if self._gossip is not None:
            self._gossip.hashes_announced(peer, hashes, sizes)
