"""Blocks that peers announce whole: the next one is verified, imported and passed on; later ones are claims for sync.

Seals are verified before the body is compared, and the body before anything is executed, so that a made-up block costs a
few signatures. Each peer has little room here, and a full place loses nothing: sync asks for the block. Must not let one
peer's announcements keep out those of another.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.evm.budget import ExecutionInterruptedError
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block
from lacnode.primitives.rlp import RlpError
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.sync.peer_trust import PeerFault
from lacnode.sync.synchronizer import Synchronizer

MAX_ANNOUNCED_BLOCKS_PER_PEER = 2
MAX_ANNOUNCED_BLOCKS = 32
MAX_ANNOUNCED_BYTES = 32 * 2**20
"""Of transactions in waiting blocks of all peers together. One block may wait whatever its size."""

MAX_BLOCKS_ABOVE_HEAD = 2
"""Above the head in which a block is kept; later ones are left to sync."""

MAX_EXTRA_DATA_BYTES = 256 * 1024
"""Of an announced header: seals of more than 2,000 validators."""

MAX_FALSE_BODIES = 16
"""In one session. An honest Besu may relay some: it passes blocks on before it looks at their bodies."""


@dataclass(frozen=True, slots=True)
class _Announced:
    peer: Peer
    block: Block
    hash: bytes
    size_bytes: int


class AnnouncedBlocks:
    """Works where `synchronizer` works. `relay` is called with each block that became the head, and its hash."""

    def __init__(self, chain: Blockchain, synchronizer: Synchronizer, *, relay: Callable[[Block, bytes], None]) -> None:
        self._chain = chain
        self._synchronizer = synchronizer
        self._worker = synchronizer.worker
        self._check_worker = synchronizer.check_worker
        self._relay = relay
        self._waiting: deque[_Announced] = deque()
        self._waiting_by_peer: Counter[bytes] = Counter()
        self._waiting_bytes = 0
        self._false_bodies: Counter[Peer] = Counter()
        self._not_empty = trio.Event()
        self._log = RateLimitedLog("sync", trio.current_time)

    # -- told by the node, on the event loop ----------------------------------------------------------------------

    def received(self, peer: Peer, block: Block) -> None:
        """`peer` announced `block` whole."""
        if len(block.header.extra_data) > MAX_EXTRA_DATA_BYTES:
            peer.report_useless_answer()
            return
        try:
            hash_ = on_chain_hash(block.header)
        except RlpError:
            peer.report_useless_answer()
            return
        peer.record_known_block(hash_, block.number)
        head = self._chain.head.header.number
        if block.number <= head:
            return
        size_bytes = sum(len(transaction.raw) for transaction in block.transactions)
        if block.number > head + MAX_BLOCKS_ABOVE_HEAD or not self._has_room(peer, size_bytes):
            self._synchronizer.wake()
            return
        self._waiting.append(_Announced(peer, block, hash_, size_bytes))
        self._waiting_by_peer[peer.id] += 1
        self._waiting_bytes += size_bytes
        self._not_empty.set()

    def hashes_received(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """`peer` announced blocks by hash and number."""
        for hash_, number in blocks:
            peer.record_known_block(hash_, number)
        self._synchronizer.wake()

    def peer_left(self, peer: Peer) -> None:
        """The session with `peer` has ended."""
        self._false_bodies.pop(peer, None)

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Take announced blocks, one after the other, until cancelled."""
        while True:
            while not self._waiting:
                self._not_empty = trio.Event()
                await self._not_empty.wait()
            announced = self._waiting.popleft()
            try:
                await self._take(announced)
            finally:
                self._forget(announced)

    def _has_room(self, peer: Peer, size_bytes: int) -> bool:
        if not self._waiting:
            return True
        return (
            len(self._waiting) < MAX_ANNOUNCED_BLOCKS
            and self._waiting_by_peer[peer.id] < MAX_ANNOUNCED_BLOCKS_PER_PEER
            and self._waiting_bytes + size_bytes <= MAX_ANNOUNCED_BYTES
        )

    def _forget(self, announced: _Announced) -> None:
        self._waiting_bytes -= announced.size_bytes
        self._waiting_by_peer[announced.peer.id] -= 1
        if not self._waiting_by_peer[announced.peer.id]:
            del self._waiting_by_peer[announced.peer.id]

    async def _take(self, announced: _Announced) -> None:
        block = announced.block
        if not self._is_next(block):
            if block.number > self._chain.head.header.number:
                self._synchronizer.wake()
            return
        if not await self._is_true(announced):
            return
        try:
            if await self._worker.run(partial(self._chain.import_block, block, self._synchronizer.budget)):
                self._relay(block, announced.hash)
        except ExecutionInterruptedError:
            await trio.sleep_forever()  # the node is stopping, so this is cancelled already
        except BlockRefusedError as refusal:
            # Consensus or sync may have brought this height meanwhile. Otherwise a quorum sealed what this node cannot
            # execute: sync finds the same, says so, and tries again later.
            if block.number > self._chain.head.header.number:
                self._note(announced, refusal)
                self._synchronizer.wake()

    async def _is_true(self, announced: _Announced) -> bool:
        """Whether a quorum sealed the block and the body is its header's; the peer is charged where it is not so."""
        try:
            sealed = await self._check_worker.run(partial(self._is_sealed, announced.block))
        except BlockRefusedError as refusal:
            # An honest node passes on no block whose seals it has not verified.
            self._note(announced, refusal)
            self._synchronizer.trust.failed(announced.peer, PeerFault.FALSE, trio.current_time())
            announced.peer.leave(DisconnectReason.BREACH_OF_PROTOCOL)
            return False
        if not sealed:
            return False
        try:
            await self._check_worker.run(partial(self._chain.check_body, announced.block))
        except BlockRefusedError as refusal:
            self._note(announced, refusal)
            self._false_bodies[announced.peer] += 1
            if self._false_bodies[announced.peer] >= MAX_FALSE_BODIES:
                announced.peer.leave(DisconnectReason.USELESS_PEER)
            return False
        return True

    def _is_sealed(self, block: Block) -> bool:
        """False where the head has moved on; BlockRefusedError where the header is not the next one."""
        chain = self._chain.header_chain()
        if block.header.parent_hash != chain.last_hash:
            return False
        chain.add_header(block.header)
        return True

    def _is_next(self, block: Block) -> bool:
        head = self._chain.head
        return block.number == head.header.number + 1 and block.header.parent_hash == head.hash

    def _note(self, announced: _Announced, refusal: BlockRefusedError) -> None:
        text = "announced block refused"
        self._log.warning(
            (text, announced.peer.id),
            text,
            peer=announced.peer.enode_text,
            number=announced.block.number,
            rule=refusal.rule,
            reason=str(refusal),
        )
