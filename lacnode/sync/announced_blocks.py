"""Blocks that peers announce in full. The next block is verified, imported and relayed. Later blocks start a download.
A peer that announces too many false blocks must leave.

Seals are verified before the body is compared, and the body before anything is executed. So an invented block costs only a
few recoveries of signatures. Each peer may have few blocks in the queue. A block that does not fit is not lost: the
synchronizer downloads it. The announcements of one peer must not keep out those of another.
"""

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import trio

from lacnode.chain.block_errors import BlockRefusedError, InternalBlockError
from lacnode.chain.blockchain import Blockchain
from lacnode.evm.budget import ExecutionInterruptedError
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.rlp import RlpError
from lacnode.rate_limited_log import RateLimitedLog
from lacnode.sync.peer_trust import PeerFault
from lacnode.sync.synchronizer import Synchronizer

MAX_ANNOUNCED_BLOCKS_PER_PEER = 2
MAX_ANNOUNCED_BLOCKS = 32
MAX_ANNOUNCED_BYTES = 16 * 2**20
"""Bytes of the transactions in waiting blocks of all peers together. One block may wait alone, with any size."""

MAX_BLOCKS_ABOVE_HEAD = 2
"""Blocks above the head that are kept. The synchronizer downloads later ones."""

MAX_EXTRA_DATA_BYTES = 256 * 1024
"""The largest extra data of an announced header. It has the seals of more than 2,000 validators."""

MAX_FALSE_BODIES = 16
"""False bodies in one session. A correct Besu node may relay some: it relays blocks before it compares their bodies."""


@dataclass(frozen=True, slots=True)
class _Announced:
    peer: Peer
    block: Block
    hash: bytes
    size_bytes: int


class AnnouncedBlocks:
    """Imports and relays announced blocks. It works on the same chain as `synchronizer`, with the same threads.

    `relay` is called with each announced block that was imported here as the new head, and with its hash (32 bytes).
    """

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

    # -- events of the node, on the event loop ---------------------------------------------------------------------

    def wants_body(self, peer: Peer, header: BlockHeader) -> bool:
        """Whether the body of a long block that `peer` announces is needed: `header` is a child of the head, and a quorum
        sealed it. The seals are verified here, in the caller's thread. A child of the head that breaks a rule ends the
        session of `peer`. Other headers are not checked: the synchronizer is woken, unless the number is not above the
        head. Malformed or too long extra data counts as a useless answer. In every other case `peer` counts as having
        the block from now on, also after False."""
        if self._hash_if_near(peer, header) is None:
            return False
        try:
            # Before the body: a false one of 15 MiB takes 75 MiB until it is found to be false.
            is_next = self._is_sealed(header)
        except BlockRefusedError as refusal:
            self._end_for_false_header(peer, header, refusal)
            return False
        if not is_next:
            self._synchronizer.wake()
        return is_next

    def block_announced(self, peer: Peer, block: Block) -> None:
        """Queue `block`, which `peer` announced in full, for verification, import and relay. A block that is not above
        the head is ignored. A block that is more than `MAX_BLOCKS_ABOVE_HEAD` above it, or does not fit into the queue,
        is dropped, and the synchronizer is woken, which may download it. Malformed or too long extra data counts as a
        useless answer of the peer. In every other case the peer counts as having the block from now on."""
        hash_ = self._hash_if_near(peer, block.header)
        if hash_ is None:
            return
        size_bytes = sum(len(transaction.raw) for transaction in block.transactions)
        # The header is not counted: its largest field is bounded above.
        if not self._fits(peer, size_bytes):
            self._synchronizer.wake()
            return
        self._waiting.append(_Announced(peer, block, hash_, size_bytes))
        self._waiting_by_peer[peer.id] += 1
        self._waiting_bytes += size_bytes
        self._not_empty.set()

    def hashes_announced(self, peer: Peer, blocks: Sequence[tuple[bytes, int]]) -> None:
        """Record that `peer` has blocks, as pairs of a hash (32 bytes) and a number, and wake the synchronizer."""
        for hash_, number in blocks:
            peer.record_known_block(hash_, number)
        self._synchronizer.wake()

    def long_block_dropped(self, peer: Peer) -> None:
        """Record that a block that `peer` announced was dropped, because it was too long to keep without a request. Its
        number is unknown: the peer counts as having the block after this node's head, unless it counts as having a
        later one. The synchronizer is woken, which may request the block."""
        # The number of the block is unknown. The peer has at least the next one, if the block was news.
        peer.head.raise_to(self._chain.head.header.number + 1)
        self._synchronizer.wake()

    def peer_left(self, peer: Peer) -> None:
        """Forget the false bodies of `peer`, whose session has ended. Its queued blocks stay."""
        self._false_bodies.pop(peer, None)

    # -- the loop --------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Verify, import and relay the queued blocks, one after the other, until cancelled. A block that is refused, or
        does not follow the head any longer, is dropped without an error. StorageError if the disk is full or fails.
        """
        while True:
            while not self._waiting:
                self._not_empty = trio.Event()
                await self._not_empty.wait()
            announced = self._waiting.popleft()
            try:
                await self._process(announced)
            finally:
                self._release(announced)

    def _hash_if_near(self, peer: Peer, header: BlockHeader) -> bytes | None:
        """The hash (32 bytes) of an announced block that may be imported soon. None for another block."""
        # Before the hash: the extra data has no bound by the rules, and decoding a large one costs time.
        if len(header.extra_data) > MAX_EXTRA_DATA_BYTES:
            peer.requests.report_useless_answer()
            return None
        try:
            hash_ = self._chain.protocols.block_hash(header)
        except RlpError:
            peer.requests.report_useless_answer()
            return None
        # From here on the peer counts as having the block, so it is not sent back to the peer.
        peer.record_known_block(hash_, header.number)
        head = self._chain.head.header.number
        if header.number > head + MAX_BLOCKS_ABOVE_HEAD:
            # The claim still counts: the peer says that it has this block, so the synchronizer may ask for it.
            self._synchronizer.wake()
        return hash_ if head < header.number <= head + MAX_BLOCKS_ABOVE_HEAD else None

    def _fits(self, peer: Peer, size_bytes: int) -> bool:
        # An empty queue takes a block of any size. Otherwise a legal block above the limit could never be announced.
        if not self._waiting:
            return True
        # Three bounds: the number of blocks, the share of each peer, and the memory of all.
        return (
            len(self._waiting) < MAX_ANNOUNCED_BLOCKS
            and self._waiting_by_peer[peer.id] < MAX_ANNOUNCED_BLOCKS_PER_PEER
            and self._waiting_bytes + size_bytes <= MAX_ANNOUNCED_BYTES
        )

    def _release(self, announced: _Announced) -> None:
        self._waiting_bytes -= announced.size_bytes
        self._waiting_by_peer[announced.peer.id] -= 1
        if not self._waiting_by_peer[announced.peer.id]:
            # Peers come and go. Their entries would stay forever.
            del self._waiting_by_peer[announced.peer.id]

    async def _process(self, announced: _Announced) -> None:
        block = announced.block
        if not self._is_next(block):
            # The head may have moved while the block waited: consensus imports the same blocks.
            if block.number > self._chain.head.header.number:
                self._synchronizer.wake()
            return
        # Verified in the other thread, before the thread that writes state is needed.
        if not await self._is_valid(announced):
            return
        try:
            if await self._worker.run(partial(self._chain.import_block, block, self._synchronizer.budget)):
                self._relay(block, announced.hash)
        except ExecutionInterruptedError:
            await trio.sleep_forever()  # The node stops, so this task is cancelled already.
        except BlockRefusedError as refusal:
            # Consensus or the synchronizer may have imported this height in the meantime. Otherwise a quorum sealed a
            # block that this node cannot execute. The synchronizer finds the same, logs it, and tries again later.
            if block.number > self._chain.head.header.number:
                self._log_refusal(announced.peer, block.header, refusal)
                self._synchronizer.wake()

    async def _is_valid(self, announced: _Announced) -> bool:
        """Whether a quorum sealed the block as the next one, and the body is the one of the header. Penalises the peer
        for a false header or a false body."""
        try:
            sealed = await self._check_worker.run(partial(self._is_sealed, announced.block.header))
        except BlockRefusedError as refusal:
            self._end_for_false_header(announced.peer, announced.block.header, refusal)
            return False
        if not sealed:
            # Sealed, but not for our head any longer. The peer did nothing wrong.
            return False
        try:
            await self._check_worker.run(partial(self._chain.check_body, announced.block))
        except BlockRefusedError as refusal:
            # Some false bodies are forgiven: the peer may be a Besu node that relays them without a check.
            self._log_refusal(announced.peer, announced.block.header, refusal)
            self._false_bodies[announced.peer] += not isinstance(refusal, InternalBlockError)
            if self._false_bodies[announced.peer] >= MAX_FALSE_BODIES:
                announced.peer.end_session(DisconnectReason.USELESS_PEER)
            return False
        return True

    def _is_sealed(self, header: BlockHeader) -> bool:
        """False if the header follows another head. Raises BlockRefusedError if it is not a valid next one."""
        chain = self._chain.new_header_chain()
        if header.parent_hash != chain.last_hash:
            return False
        chain.verify_and_add_header(header)
        return True

    def _end_for_false_header(self, peer: Peer, header: BlockHeader, refusal: BlockRefusedError) -> None:
        self._log_refusal(peer, header, refusal)
        if isinstance(refusal, InternalBlockError):
            return
        # A correct node verifies the seals of a block before it relays it. So the peer is at fault.
        self._synchronizer.trust.record_failure(peer, PeerFault.FALSE, trio.current_time())
        peer.end_session(DisconnectReason.BREACH_OF_PROTOCOL)

    def _is_next(self, block: Block) -> bool:
        head = self._chain.head
        return block.number == head.header.number + 1 and block.header.parent_hash == head.hash

    def _log_refusal(self, peer: Peer, header: BlockHeader, refusal: BlockRefusedError) -> None:
        # At a limited rate for each peer: a peer may announce any number of such blocks.
        text = "announced block refused"
        self._log.warning(
            (text, peer.id),
            text,
            peer=peer.enode_text,
            number=header.number,
            rule=refusal.rule,
            reason=str(refusal),
        )
