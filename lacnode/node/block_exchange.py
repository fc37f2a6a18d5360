"""Block announcements between this node and its peers.

Must not decide whether a block is valid, which the chain does, nor which blocks are missing, which the synchronizer does.
"""

from collections.abc import Callable, Sequence

from lacnode.chain.blockchain import Blockchain
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.eth_messages import EncodedNewBlock
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.sync.announced_blocks import AnnouncedBlocks
from lacnode.sync.synchronizer import Synchronizer


class BlockExchange:
    """Receives and sends announcements of blocks. Use on the event loop only.

    `peers` gives the connected peers. `genesis_difficulty` is the total difficulty of the genesis block.
    """

    def __init__(
        self,
        chain: Blockchain,
        peers: Callable[[], Sequence[Peer]],
        synchronizer: Synchronizer,
        genesis_difficulty: int,
    ) -> None:
        self._block_hash = chain.protocols.block_hash
        self._peers = peers
        self._genesis_difficulty = genesis_difficulty
        self._announced = AnnouncedBlocks(chain, synchronizer, relay=self._announce)

    async def run(self) -> None:
        """Import announced blocks and relay them, until cancelled. StorageError if the disk is full or fails."""
        await self._announced.run()

    def wants_block_body(self, peer: Peer, header: BlockHeader) -> bool:
        """Return whether the body of a long block that `peer` announces is needed: `header` is a child of the head, and
        a quorum sealed it. A child of the head that breaks a rule ends the session. Other headers are not checked: the
        synchronizer is woken, unless the number is not above the head. Unless the extra data is malformed or too long,
        `peer` counts as having the block from now on, also after False."""
        return self._announced.wants_body(peer, header)

    def block_received(self, peer: Peer, block: Block) -> None:
        """Queue `block`, which `peer` has announced as a whole, for verification, import and relay. A block that is not
        above the head is ignored. A block that is far above the head, or for which the queue has no space, is dropped,
        and the synchronizer is woken, which may download it."""
        self._announced.block_announced(peer, block)

    def long_block_dropped(self, peer: Peer) -> None:
        """Let the synchronizer ask for a block that `peer` has announced as a whole. It was not kept, because it was
        too long to keep without a request."""
        self._announced.long_block_dropped(peer)

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Record that `peer` has blocks, as pairs of a hash (32 bytes) and a number, and wake the synchronizer."""
        self._announced.hashes_announced(peer, blocks)

    def peer_left(self, peer: Peer) -> None:
        """Delete the counts of false bodies of `peer`, whose session has ended. Its queued blocks stay."""
        self._announced.peer_left(peer)

    def announce(self, block: Block) -> None:
        """Announce `block`, which is final, as a whole to every peer that is not known to have it. RlpError if its
        extra data is malformed."""
        self._announce(block, self._block_hash(block.header))

    def _announce(self, block: Block, hash_: bytes) -> None:
        # Every IBFT block has difficulty 1.
        message = EncodedNewBlock.from_block(block, self._genesis_difficulty + block.number)
        for peer in self._peers():
            peer.send_new_block(message, hash_)
