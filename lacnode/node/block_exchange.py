"""Blocks and consensus messages between this node and its peers: what they announce, and what it sends them.

Must not decide whether a block is good, which is the chain's, nor what is missing, which is the synchronizer's.
"""

from collections.abc import Callable, Sequence

from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block
from lacnode.sync.announced_blocks import AnnouncedBlocks
from lacnode.sync.synchronizer import Synchronizer


class BlockExchange:
    """Call everything on the event loop. `genesis_difficulty` is where total difficulty starts."""

    def __init__(
        self,
        chain: Blockchain,
        peers: Callable[[], Sequence[Peer]],
        synchronizer: Synchronizer,
        genesis_difficulty: int,
    ) -> None:
        self._chain = chain
        self._peers = peers
        self._synchronizer = synchronizer
        self._genesis_difficulty = genesis_difficulty
        self._announced = AnnouncedBlocks(chain, synchronizer, relay=self._announce)

    async def run(self) -> None:
        """Import announced blocks and pass them on, until cancelled."""
        await self._announced.run()

    # -- what peers say ----------------------------------------------------------------------------------------------

    def block_received(self, peer: Peer, block: Block) -> None:
        """A block was announced whole."""
        self._announced.received(peer, block)

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Blocks were announced by hash."""
        self._announced.hashes_received(peer, blocks)

    def peer_left(self, peer: Peer) -> None:
        """The session with `peer` has ended."""
        self._announced.peer_left(peer)

    # -- what consensus says (`validator.Outside`) ---------------------------------------------------------------------

    def send_consensus(self, code: int, data: bytes, recipients: frozenset[bytes]) -> None:
        """Send a consensus message to those of `recipients`, 20-byte addresses, that are peers."""
        for peer in self._peers():
            if peer.address in recipients:
                peer.send_consensus(code, data)

    def peer_is_ahead(self, address: bytes, number: int) -> None:
        """The peer at `address` speaks of heights above block `number`."""
        for peer in self._peers():
            if peer.address == address:
                peer.raise_head_number(number)
        self._synchronizer.wake()

    def announce(self, block: Block) -> None:
        """This node's consensus has made `block` final: tell every peer."""
        self._announce(block, on_chain_hash(block.header))

    def _announce(self, block: Block, hash_: bytes) -> None:
        total_difficulty = self._genesis_difficulty + block.number
        for peer in self._peers():
            peer.send_new_block(block, hash_, total_difficulty)
