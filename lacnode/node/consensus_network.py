"""The outputs of consensus on the devp2p network (Besu: `ValidatorMulticaster`).

Must not decide who is a validator. The validator names the recipients.
"""

from collections.abc import Callable, Sequence

import trio

from lacnode.node.block_exchange import BlockExchange
from lacnode.node.peer_expulsion import PeerExpulsion
from lacnode.p2p.peer import Peer
from lacnode.p2p.rate_limits import RateLimits
from lacnode.primitives.block import Block
from lacnode.sync.synchronizer import Synchronizer

FAULTS_PER_SECOND, FAULTS_AT_ONCE = 1 / 3, 20
"""Messages of one validator that no correct validator sends. Beyond them its session ends."""


class PeerConsensusNetwork:
    """A `validator.ConsensusNetwork` over sessions with peers. Use on the event loop only.

    `peers` gives the connected peers.
    """

    def __init__(
        self,
        peers: Callable[[], Sequence[Peer]],
        synchronizer: Synchronizer,
        blocks: BlockExchange,
        expulsion: PeerExpulsion,
    ) -> None:
        self._peers = peers
        self._synchronizer = synchronizer
        self._blocks = blocks
        self._expulsion = expulsion
        self._faults = RateLimits(FAULTS_PER_SECOND, FAULTS_AT_ONCE)

    def send(self, code: int, data: bytes, recipients: frozenset[bytes], *, is_relayed: bool = False) -> None:
        """Send a consensus message to those of `recipients`, 20-byte addresses, that are peers. `code` is its message
        code, `data` its bytes without the code. `is_relayed`: another validator is its author, and it comes after this
        node's own messages."""
        for peer in self._peers():
            if peer.address in recipients:
                peer.send_consensus(code, data, is_relayed=is_relayed)

    def record_peer_ahead(self, address: bytes, number: int) -> None:
        """Record that the peer at `address` (20 bytes) has block `number`, and wake the synchronizer, which may ask
        this peer."""
        for peer in self._peers():
            if peer.address == address:
                # The number is a claim of the peer. The synchronizer verifies every block that it gets for it.
                peer.head.raise_to(number)
        self._synchronizer.wake()

    def announce_block(self, block: Block) -> None:
        """Announce `block` as a whole to every peer that is not known to have it. RlpError if its extra data is
        malformed."""
        self._blocks.announce(block)

    def count_fault(self, address: bytes, fault: str) -> bool:
        """Count a fault of the peer at `address` (20 bytes). `fault` is one sentence. If the faults are too many, end
        the session and refuse the node for a while (`PeerExpulsion.expel`). Return True if this call has ended it, else
        False, also if the peer is not connected.

        A validator relays messages of others, and it may relay any number of them. So only a fault that a correct
        validator finds before it relays counts here (`consensus.effects.BlamePeer`).
        """
        for peer in self._peers():
            if peer.address == address and not self._faults.try_spend(peer.id, trio.current_time()):
                self._expulsion.expel(peer, f"wrong consensus messages again and again, the last: {fault}")
                return True
        return False
