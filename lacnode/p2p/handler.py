"""What the network tells the node. Called on the event loop; each must return at once.

The network reads a peer's next message only after the handler has returned, and has no queue of its own between them:
whoever needs time keeps a bounded lane and says what it drops.
"""

from collections.abc import Sequence
from typing import Protocol

from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block
from lacnode.primitives.transaction import Transaction


class NetworkHandler(Protocol):
    """Receives what peers send, after decoding."""

    def peer_joined(self, peer: Peer) -> None: ...
    def peer_left(self, peer: Peer, reason: str) -> None: ...
    def consensus_received(self, peer: Peer, code: int, data: bytes) -> None: ...
    def block_received(self, peer: Peer, block: Block) -> None: ...
    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None: ...
    def transactions_received(self, peer: Peer, transactions: Sequence[Transaction]) -> None: ...
    def transaction_hashes_received(self, peer: Peer, hashes: Sequence[bytes], sizes: Sequence[int]) -> None: ...
