"""Blocks and consensus messages between this node and its peers: what they announce, and what it sends them.

Must not decide whether a block is good, which is the chain's, nor what is missing, which is the synchronizer's.
"""

from collections.abc import Callable, Sequence

import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.p2p.peer import Peer
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError
from lacnode.sync.synchronizer import Synchronizer

ANNOUNCED_BLOCKS = 32
"""Announced blocks that wait to be imported; what comes beyond is synchronised."""

WINDOW_BLOCKS = 30
"""Blocks above the head that are kept when they are announced; later ones are synchronised."""


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
        self._announced, self._waiting = trio.open_memory_channel[tuple[Peer, Block, bytes]](ANNOUNCED_BLOCKS)

    async def run(self) -> None:
        """Import announced blocks and pass them on, until cancelled."""
        async for peer, block, hash_ in self._waiting:
            if await self._synchronizer.new_block(peer, block):
                self._announce(block, hash_)

    # -- what peers say ----------------------------------------------------------------------------------------------

    def block_received(self, peer: Peer, block: Block) -> None:
        """A block was announced whole."""
        try:
            hash_ = on_chain_hash(block.header)
        except RlpError:
            return
        peer.has_block(hash_, block.number)
        head = self._chain.head.header.number
        if head < block.number <= head + WINDOW_BLOCKS:
            try:
                self._announced.send_nowait((peer, block, hash_))
            except trio.WouldBlock:
                self._synchronizer.hint()
        elif block.number > head:
            self._synchronizer.hint()

    def block_hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Blocks were announced by hash."""
        for hash_, number in blocks:
            peer.has_block(hash_, number)
        self._synchronizer.hint()

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
                peer.reaches(number)
        self._synchronizer.hint()

    def announce(self, block: Block) -> None:
        """This node's consensus has made `block` final: tell every peer."""
        self._announce(block, on_chain_hash(block.header))

    def _announce(self, block: Block, hash_: bytes) -> None:
        total_difficulty = self._genesis_difficulty + block.number
        for peer in self._peers():
            peer.send_new_block(block, hash_, total_difficulty)
