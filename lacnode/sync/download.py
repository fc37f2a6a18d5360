"""Blocks from one peer: first the headers, verified with their seals, then the bodies of these headers.

The order is the defence. A header without the seals of a quorum is refused before its body is requested. A body is
compared with its header before it is executed. So every fault is known to be a fault of this peer. If a contract names
the validators, only the seals of the block after the head are verified here, and those of later blocks at their import
(`chain.header_chain`). This file must not import.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from lacnode.chain.block_errors import BlockRefusedError, InternalBlockError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.header_chain import VerifiedHeaderChain
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.sync.download_pace import DownloadPace, PeerFailedError, RequestSize
from lacnode.sync.peer_trust import PeerFault
from lacnode.workers.worker import Worker

FIRST_BATCH_BLOCKS, BATCH_BLOCKS = 24, 192
"""Headers of one request: the first, and the largest. Besu up to 24.3 serves at most 192."""

BODIES_PER_REQUEST = 128
"""Bodies of one request. Besu serves at most 128."""

FIRST_GAS_PER_REQUEST, GAS_PER_REQUEST = 250_000, 60_000_000
"""Gas of the blocks of one request for bodies: the first, and the largest (about 4 MB of call data). One block is always
requested, with any gas."""

_BREACH = DisconnectReason.BREACH_OF_PROTOCOL

T = TypeVar("T")


@dataclass(slots=True)
class BlockDownload:
    """Downloads and verifies the blocks of `peer` above the head of `chain`. It imports nothing.

    `pace` counts the time of the peer and its verified blocks. `check_worker` runs the verification. `on_verified` is
    called with the number of the last block of each batch of verified headers. `has_faster` says whether another peer
    may be faster.
    """

    chain: Blockchain
    peer: Peer
    pace: DownloadPace
    check_worker: Worker
    on_verified: Callable[[int], None]
    has_faster: Callable[[], bool] = lambda: False
    _headers_at_once: RequestSize = field(default_factory=lambda: RequestSize(FIRST_BATCH_BLOCKS, BATCH_BLOCKS))
    _gas_at_once: RequestSize = field(default_factory=lambda: RequestSize(FIRST_GAS_PER_REQUEST, GAS_PER_REQUEST))

    async def run(self, out: trio.MemorySendChannel[list[Block]]) -> None:
        """Send verified blocks to `out` in order, in lists, not yet executed, until the peer has no more, or is slow
        and another peer may be faster (`has_faster`). `out` is not closed here.

        The time that the reader of `out` takes does not count against the peer. Raises PeerFailedError if the peer
        fails, has used up its time (`pace`), or gives no block at all although it claims a higher head. Raises
        InternalBlockError if a check fails by a fault of this program. Blocks that were sent before an error are valid.
        """
        chain = await self.check_worker.run(self.chain.new_header_chain)
        # Not the chain's own head: the downloaded headers form a chain of their own until they are imported.
        while chain.last.number < self.peer.head.number:
            headers = await self._headers(chain)
            if not headers:
                return
            self.on_verified(headers[-1].number)
            # The headers carry seals of a quorum, so from now on this node knows that it is behind.
            done = 0
            while done < len(headers):
                blocks = await self._blocks(headers[done:])
                done += len(blocks)
                await out.send(blocks)
                # Only between two groups: the blocks that came are good, and are imported in any case.
                if self.pace.should_change_peer and self.has_faster():
                    return

    async def _headers(self, chain: VerifiedHeaderChain) -> Sequence[BlockHeader]:
        """The next headers, verified. Empty if the peer has no more."""
        start, count = chain.last.number + 1, self._headers_at_once.now
        headers = await self._wait_for_answer(self._headers_at_once, self.peer.requests.request_headers(start, count))
        if not headers:
            text = f"it claims block {self.peer.head.number} but gives no header from {start} on"
            # Its head is a claim. It is lowered here so that this peer is not chosen again for the same claim.
            self.peer.head.lower_to(start - 1)
            if not self.pace.blocks:
                raise PeerFailedError(text, PeerFault.LATE)
            # It has delivered before, and may have pruned or restarted. That is no fault.
            return ()
        if len(headers) > count:
            raise PeerFailedError(f"{len(headers)} headers came for {count}", PeerFault.FALSE, _BREACH)
        # In the other thread: each header costs the recovery of all its seals.
        await self.check_worker.run(partial(_add_headers, chain, headers))
        return headers

    async def _blocks(self, headers: Sequence[BlockHeader]) -> list[Block]:
        """The blocks of the first of `headers`, as many as one request brings. An empty block needs no request."""
        window = _next_window(headers, self._gas_at_once.now)
        wanted = [header for header in window if not _is_empty(header)]
        bodies = await self._bodies(wanted) if wanted else ()
        blocks = _join_bodies(window, bodies)
        await self.check_worker.run(partial(self._check_bodies, blocks))
        # Before they count: only verified blocks buy more time for the peer.
        self.pace.add_delivery(len(blocks), sum(_size_bytes(block) for block in blocks))
        return blocks

    async def _bodies(self, headers: Sequence[BlockHeader]) -> Sequence[BlockBody]:
        """Bodies for some of `headers`, from the first on. The peer may give fewer than requested."""
        block_hash = self.chain.protocols.block_hash
        hashes = await self.check_worker.run(lambda: [block_hash(header) for header in headers])
        bodies = await self._wait_for_answer(self._gas_at_once, self.peer.requests.request_bodies(hashes))
        if not bodies:
            # It gave the headers, so it has the bodies. It may be busy: this counts as late, and not as false.
            raise PeerFailedError(f"no body came for {len(headers)} headers that it gave itself", PeerFault.LATE)
        if len(bodies) > len(headers):
            raise PeerFailedError(f"{len(bodies)} bodies came for {len(headers)} headers", PeerFault.FALSE, _BREACH)
        return bodies

    async def _wait_for_answer(self, size: RequestSize, answer: Awaitable[T]) -> T:
        """Wait for the answer to a request of this size, and adapt the size of the next request."""
        began = trio.current_time()
        given = await self.pace.wait_for_answer(answer)
        size.adapt_to_answer(trio.current_time() - began)
        return given

    def _check_bodies(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            try:
                self.chain.check_body(block)
            except InternalBlockError:
                raise
            except BlockRefusedError as refusal:
                text = f"the body of block {block.number} is not its header's, by rule {refusal.rule}: {refusal}"
                raise PeerFailedError(text, PeerFault.FALSE, _BREACH) from None


def _add_headers(chain: VerifiedHeaderChain, headers: Sequence[BlockHeader]) -> None:
    """Add `headers` to `chain`. The first header that breaks a rule ends it, so invented headers cost one check.

    Raises PeerFailedError, and InternalBlockError, which is no fault of the peer.
    """
    start = chain.last.number + 1
    for number, header in enumerate(headers, start):
        if header.number != number:
            text = f"header {header.number} came where {number} was expected"
            raise PeerFailedError(text, PeerFault.FALSE, _BREACH)
        # Before the seals are checked, so that another chain is told apart from a forged header.
        if header.parent_hash != chain.last_hash:
            text = f"its block {number} does not follow from our block {number - 1}: another chain"
            # At the first header the peer follows another chain, which is legal. Later ones contradict the peer itself.
            reason = DisconnectReason.SUBPROTOCOL_REASON if number == start else _BREACH
            raise PeerFailedError(text, PeerFault.FALSE, reason)
        try:
            chain.verify_and_add_header(header)
        except InternalBlockError:
            raise
        except BlockRefusedError as refusal:
            text = f"its header {number} is refused by rule {refusal.rule}: {refusal}"
            raise PeerFailedError(text, PeerFault.FALSE, _BREACH) from None


def _next_window(headers: Sequence[BlockHeader], max_gas: int) -> Sequence[BlockHeader]:
    """The first of `headers` that one request for bodies may cover, up to `max_gas`. One header at least."""
    gas, asked = 0, 0
    for index, header in enumerate(headers):
        gas += header.gas_used
        asked += not _is_empty(header)
        if index and (gas > max_gas or asked > BODIES_PER_REQUEST):
            # A body can be as large as its gas allows. Gas is known before the body comes, and its size is not.
            return headers[:index]
    return headers


def _join_bodies(window: Sequence[BlockHeader], bodies: Iterable[BlockBody]) -> list[Block]:
    """Headers with their bodies, up to the first header without a body."""
    given = iter(bodies)
    blocks: list[Block] = []
    # Empty blocks have no body in the answer. Their place in the order is kept.
    for header in window:
        body = _empty_body(header) if _is_empty(header) else next(given, None)
        if body is None:
            break
        blocks.append(Block(header, body))
    return blocks


def _is_empty(header: BlockHeader) -> bool:
    return header.transactions_root == EMPTY_TRIE_ROOT and header.withdrawals_root in (None, EMPTY_TRIE_ROOT)


def _empty_body(header: BlockHeader) -> BlockBody:
    return BlockBody() if header.withdrawals_root is None else BlockBody(withdrawals=())


def _size_bytes(block: Block) -> int:
    return len(block.header.encode()) + sum(len(transaction.raw) for transaction in block.transactions)
