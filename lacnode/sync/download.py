"""Blocks from one peer: headers first, verified with their seals; then the bodies that the headers name.

The order is the defence. A header without a quorum's seals is refused before a body is asked for, and a body is compared
with its header before anything is executed, so that whatever is wrong is known to be this peer's fault. Must not import.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

import trio

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.header_chain import VerifiedHeaderChain
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block, BlockBody
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.sync.download_pace import DownloadPace, PeerFailedError, QuestionSize
from lacnode.sync.peer_trust import PeerFault
from lacnode.workers.worker import Worker

FIRST_BATCH_BLOCKS, BATCH_BLOCKS = 24, 192
"""Headers asked for at once: at first, and at most. 192 are the most that Besu up to 24.3 serves."""

BODIES_PER_REQUEST = 128
"""The most that Besu serves."""

FIRST_GAS_PER_REQUEST, GAS_PER_REQUEST = 250_000, 60_000_000
"""Gas of the blocks whose bodies are asked for at once: at first, and at most (about 4 MB of call data). One block in
any case."""

_BREACH = DisconnectReason.BREACH_OF_PROTOCOL

T = TypeVar("T")


@dataclass(slots=True)
class BlockDownload:
    """What `peer` has above the head of `chain`. `check_worker` verifies; `on_verified` hears of each verified height.
    `has_faster` says whether another peer may be faster."""

    chain: Blockchain
    peer: Peer
    pace: DownloadPace
    check_worker: Worker
    on_verified: Callable[[int], None]
    has_faster: Callable[[], bool] = lambda: False
    _headers_at_once: QuestionSize = field(default_factory=lambda: QuestionSize(FIRST_BATCH_BLOCKS, BATCH_BLOCKS))
    _gas_at_once: QuestionSize = field(default_factory=lambda: QuestionSize(FIRST_GAS_PER_REQUEST, GAS_PER_REQUEST))

    async def run(self, out: trio.MemorySendChannel[list[Block]]) -> None:
        """Send verified blocks in order, not yet executed, until the peer has no more or gives way; PeerFailedError.

        Waiting for `out` is not the peer's time.
        """
        chain = await self.check_worker.run(self.chain.header_chain)
        while chain.last.number < self.peer.head_number:
            headers = await self._headers(chain)
            if not headers:
                return
            self.on_verified(headers[-1].number)
            at = 0
            while at < len(headers):
                blocks = await self._blocks(headers[at:])
                at += len(blocks)
                await out.send(blocks)
                if self.pace.gives_way and self.has_faster():
                    return

    async def _headers(self, chain: VerifiedHeaderChain) -> Sequence[BlockHeader]:
        """The next headers, verified; none where the peer has shown all that it has."""
        start, count = chain.last.number + 1, self._headers_at_once.now
        headers = await self._answer(self._headers_at_once, self.peer.headers(start, count))
        if not headers:
            text = f"it claims block {self.peer.head_number} but gives no header from {start} on"
            self.peer.lower_head_number(start - 1)
            if not self.pace.blocks:
                raise PeerFailedError(text, PeerFault.LATE)
            return ()
        if len(headers) > count:
            raise PeerFailedError(f"{len(headers)} headers came for {count}", PeerFault.FALSE, _BREACH)
        await self.check_worker.run(partial(_verify, chain, headers))
        return headers

    async def _blocks(self, headers: Sequence[BlockHeader]) -> list[Block]:
        """The blocks of the first of `headers`, as many as one question brings. An empty block needs no question."""
        window = _window(headers, self._gas_at_once.now)
        wanted = [header for header in window if not _is_empty(header)]
        bodies = await self._bodies(wanted) if wanted else ()
        blocks = _joined(window, bodies)
        await self.check_worker.run(partial(self._check_bodies, blocks))
        self.pace.add_delivery(len(blocks), sum(_size_bytes(block) for block in blocks))
        return blocks

    async def _bodies(self, headers: Sequence[BlockHeader]) -> Sequence[BlockBody]:
        """Bodies for some of `headers`, from the first on: the peer may give fewer than it was asked for."""
        hashes = await self.check_worker.run(lambda: [on_chain_hash(header) for header in headers])
        bodies = await self._answer(self._gas_at_once, self.peer.bodies(hashes))
        if not bodies:
            raise PeerFailedError(f"no body came for {len(headers)} headers that it gave itself", PeerFault.LATE)
        if len(bodies) > len(headers):
            raise PeerFailedError(f"{len(bodies)} bodies came for {len(headers)} headers", PeerFault.FALSE, _BREACH)
        return bodies

    async def _answer(self, size: QuestionSize, answer: Awaitable[T]) -> T:
        """The answer to a question of `size`, which the next one has a better size for."""
        began = trio.current_time()
        given = await self.pace.answer(answer)
        size.answered(trio.current_time() - began)
        return given

    def _check_bodies(self, blocks: Sequence[Block]) -> None:
        for block in blocks:
            try:
                self.chain.check_body(block)
            except BlockRefusedError as refusal:
                text = f"the body of block {block.number} is not its header's, by rule {refusal.rule}: {refusal}"
                raise PeerFailedError(text, PeerFault.FALSE, _BREACH) from None


def _verify(chain: VerifiedHeaderChain, headers: Sequence[BlockHeader]) -> None:
    """Take `headers`. The first one that breaks a rule ends it, so that invented headers cost one check."""
    start = chain.last.number + 1
    for number, header in enumerate(headers, start):
        if header.number != number:
            text = f"header {header.number} came where {number} was expected"
            raise PeerFailedError(text, PeerFault.FALSE, _BREACH)
        if header.parent_hash != chain.last_hash:
            text = f"its block {number} does not follow from our block {number - 1}: another chain"
            reason = DisconnectReason.SUBPROTOCOL_REASON if number == start else _BREACH
            raise PeerFailedError(text, PeerFault.FALSE, reason)
        try:
            chain.add_header(header)
        except BlockRefusedError as refusal:
            text = f"its header {number} is refused by rule {refusal.rule}: {refusal}"
            raise PeerFailedError(text, PeerFault.FALSE, _BREACH) from None


def _window(headers: Sequence[BlockHeader], max_gas: int) -> Sequence[BlockHeader]:
    """The first of `headers`, up to what one question for bodies of so much gas may cover. One header in any case."""
    gas, asked = 0, 0
    for index, header in enumerate(headers):
        gas += header.gas_used
        asked += not _is_empty(header)
        if index and (gas > max_gas or asked > BODIES_PER_REQUEST):
            return headers[:index]
    return headers


def _joined(window: Sequence[BlockHeader], bodies: Iterable[BlockBody]) -> list[Block]:
    """Headers with their bodies, up to the first one whose body is not there."""
    given = iter(bodies)
    blocks: list[Block] = []
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
