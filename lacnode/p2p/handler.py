"""The calls of the network to the node, on the event loop. Each must return at once.

The network reads a peer's next message only after the handler has returned. There is no queue between them. A handler that
needs time must keep a bounded queue and document which messages it drops.
"""

from collections.abc import Sequence
from typing import Protocol

from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


class NetworkHandler(Protocol):
    """Receives the decoded messages of peers. `peer_joined` comes before all other calls about a peer, `peer_left` after
    them. `reads_consensus_from` returns True if the peer is a validator, `wants_block_body` if the block is worth decoding.
    `long_block_dropped` says that a whole block was announced that was too long to keep unasked."""

    def peer_joined(self, peer: Peer) -> None:
        """A session with `peer` has begun. No other call about this peer comes before."""

    def peer_left(self, peer: Peer, reason: str) -> None:
        """The session with `peer` has ended for `reason`, a sentence. No other call about this peer comes after."""

    def reads_consensus_from(self, peer: Peer) -> bool:
        """Return True if consensus messages of `peer` are read: this node runs its validator now, and `peer` is a
        validator too."""

    def consensus_received(self, peer: Peer, code: int, data: bytes) -> None:
        """`peer` sent a consensus message: its code in the sub-protocol, and its bytes without the code."""

    def wants_block_body(self, peer: Peer, header: BlockHeader) -> bool:
        """Return whether the body of a long block, which `peer` announced with `header`, is worth decoding. If not,
        `block_received` is not called. The network has not verified the header. Short blocks are not asked about."""

    def block_received(self, peer: Peer, block: Block) -> None:
        """`peer` announced a whole block. The network has decoded it, and has verified nothing of it, not even that the
        body fits the header. An error that this raises ends the session."""

    def long_block_dropped(self, peer: Peer) -> None:
        """`peer` announced a whole block that was too long to keep without a request for it. Neither its header nor its
        number was read."""

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """`peer` announced blocks by their hashes (32 bytes) and numbers."""

    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None:
        """`peer` sent whole transactions without a request."""

    def transaction_hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int]) -> None:
        """`peer` announced transactions by their hashes (32 bytes), with their sizes in bytes. `sizes` is empty before
        eth/68."""
