"""Catching up: pick the peer that knows most, download what is missing, hand it to the chain in order.

An IBFT chain never reorganises, so the common ancestor of two honest nodes is the lower head: there is no search
backwards. A peer whose next block does not follow from our head is on another chain, and is told so.

The download is two stages with one batch between them: while a batch is imported, the next one is on its way. Must not
decide what a valid block is, and must not hold consensus up for a peer that promises blocks and does not deliver:
every wait has a bound, after which that peer's promise counts for nothing for a while.
"""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import structlog
import trio

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.refusal import BlockRefused
from lacnode.consensus.block_hash import on_chain_hash
from lacnode.p2p.peer import Peer, RequestFailed
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.workers.worker import Worker

log = structlog.get_logger("sync")

BATCH = 192
"""Headers asked for at once: the most that Besu up to 24.3 serves."""

GRACE = 0.4
"""Seconds a block may be missing before it is asked for: it is usually just being agreed on or on its way."""

DISTRUST = 15.0
"""Seconds during which a peer that failed to deliver is not asked again."""

FAR = 3
"""Blocks behind from which the node counts as syncing at once, without grace."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SyncStatus:
    """Block numbers: where this synchronisation began, where the chain is, and the highest that a peer claims."""

    starting_block: int
    current_block: int
    highest_block: int


class PeerFailed(Exception):
    """A peer did not deliver what it promised; the message says what, the reason is for the disconnect, if any."""

    def __init__(self, text: str, reason: DisconnectReason | None = None) -> None:
        super().__init__(text)
        self.reason = reason


class Synchronizer:
    """Keeps the chain at the height of its best peer.

    `peers` gives the live sessions; `worker` is the one thread that writes state. `on_syncing` is told True when the
    node turns out to be behind and False when it has caught up or nobody can help it; `on_caught_up` is called once, when
    the node has met peers and none is ahead of it.
    """

    def __init__(
        self,
        chain: Blockchain,
        peers: Callable[[], Iterable[Peer]],
        *,
        worker: Worker,
        on_syncing: Callable[[bool], None] = lambda syncing: None,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._chain = chain
        self._peers = peers
        self._worker = worker
        self._on_syncing = on_syncing
        self._on_caught_up = on_caught_up
        self.has_caught_up = False
        """Whether this node was, at any moment since its start, as far as all its peers."""
        self._wake = trio.Event()
        self._distrusted: dict[bytes, float] = {}
        self._behind_since: float | None = None
        self._started_at: int | None = None

    @property
    def status(self) -> SyncStatus | None:
        """Where synchronisation stands, or None when the node is not syncing."""
        if self._started_at is None:
            return None
        head = self._chain.head.header.number
        highest = max((peer.head_number for peer in self._peers()), default=head)
        return SyncStatus(self._started_at, head, max(head, highest))

    def hint(self) -> None:
        """Something changed: a peer joined, or is known to have more blocks. Call from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Follow the best peer until cancelled."""
        while True:
            self._see_whether_caught_up()
            peer = self._best_peer()
            wait = self._patience(peer)
            if peer is None or wait > 0:
                await self._rest(wait if peer is not None else DISTRUST)
                continue
            self._begin()
            try:
                await self._follow(peer)
            except PeerFailed as failure:
                await self._distrust(peer, failure)
            self._finish()

    async def new_block(self, peer: Peer, block: Block) -> bool:
        """Take a block that `peer` announced. True if it became the head and is worth relaying."""
        head = self._chain.head
        if block.number != head.header.number + 1 or block.header.parent_hash != head.hash:
            if block.number > head.header.number:
                self.hint()
            return False
        try:
            return await self._worker.run(partial(self._chain.import_block, block))
        except BlockRefused as refusal:
            log.warning("announced block refused", number=block.number, rule=refusal.rule, reason=str(refusal))
            return False

    # -- choosing ------------------------------------------------------------------------------------------------

    def _best_peer(self) -> Peer | None:
        now = trio.current_time()
        self._distrusted = {id_: until for id_, until in self._distrusted.items() if until > now}
        head = self._chain.head.header.number
        candidates = [p for p in self._peers() if p.head_number > head and p.id not in self._distrusted]
        return max(candidates, key=lambda p: (p.total_difficulty, p.head_number), default=None)

    def _see_whether_caught_up(self) -> None:
        heads = [peer.head_number for peer in self._peers()]
        if not self.has_caught_up and heads and max(heads) <= self._chain.head.header.number:
            self.has_caught_up = True
            self._on_caught_up()

    def _patience(self, peer: Peer | None) -> float:
        """Seconds to wait before `peer` is asked for what we lack."""
        if peer is None:
            self._behind_since = None
            return 0.0
        now = trio.current_time()
        if self._behind_since is None:
            self._behind_since = now
        head = self._chain.head.header.number
        if head == 0 or peer.head_number - head >= FAR:
            return 0.0
        return max(0.0, self._behind_since + GRACE - now)

    async def _rest(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._wake.wait()
        self._wake = trio.Event()

    def _begin(self) -> None:
        if self._started_at is None:
            self._started_at = self._chain.head.header.number
            self._on_syncing(True)

    def _finish(self) -> None:
        """Not syncing any more, unless another peer can take us further."""
        self._behind_since = None
        if self._started_at is not None and self._best_peer() is None:
            gained = self._chain.head.header.number - self._started_at
            if gained >= FAR:
                log.info("synchronised", head=self._chain.head.header.number, blocks=gained)
            self._started_at = None
            self._on_syncing(False)

    async def _distrust(self, peer: Peer, failure: PeerFailed) -> None:
        log.warning("sync peer failed", peer=peer.enode_text, reason=str(failure))
        self._distrusted[peer.id] = trio.current_time() + DISTRUST
        if failure.reason is not None:
            await peer.disconnect(failure.reason)

    # -- downloading ---------------------------------------------------------------------------------------------

    async def _follow(self, peer: Peer) -> None:
        """Import everything `peer` has above our head; PeerFailed if it does not deliver."""
        batches_in, batches_out = trio.open_memory_channel[list[Block]](0)
        failure: PeerFailed | None = None
        async with trio.open_nursery() as nursery:

            async def download() -> None:
                nonlocal failure
                async with batches_in:
                    try:
                        await self._download(peer, batches_in)
                    except PeerFailed as error:
                        failure = error

            nursery.start_soon(download)
            try:
                async for blocks in batches_out:
                    await self._import(blocks)
            except PeerFailed as error:
                failure = error
                nursery.cancel_scope.cancel()
        if failure is not None:
            raise failure

    async def _download(self, peer: Peer, batches: trio.MemorySendChannel[list[Block]]) -> None:
        number, parent = self._chain.head.header.number, self._chain.head.hash
        while number < peer.head_number:
            headers = await self._headers(peer, number + 1, parent)
            await batches.send(await self._blocks(peer, headers))
            number, parent = headers[-1].number, on_chain_hash(headers[-1])

    async def _headers(self, peer: Peer, start: int, parent: bytes) -> Sequence[BlockHeader]:
        """Headers from `start` on that follow from the block with hash `parent`."""
        headers = await _asked(peer.headers(start, BATCH))
        if not headers:
            raise PeerFailed(f"it claims block {peer.head_number} but gives no header from {start} on")
        for offset, header in enumerate(headers):
            if header.number != start + offset:
                raise PeerFailed(f"header {header.number} came where {start + offset} was expected", _BREACH)
            if header.parent_hash != parent:
                text = f"its block {header.number} does not follow from our block {header.number - 1}: another chain"
                raise PeerFailed(text, DisconnectReason.SUBPROTOCOL_REASON if not offset else _BREACH)
            parent = on_chain_hash(header)
        return headers

    async def _blocks(self, peer: Peer, headers: Sequence[BlockHeader]) -> list[Block]:
        blocks: list[Block] = []
        while len(blocks) < len(headers):
            wanted = [on_chain_hash(header) for header in headers[len(blocks) :]]
            bodies = await _asked(peer.bodies(wanted))
            if not bodies or len(bodies) > len(wanted):
                raise PeerFailed(f"{len(bodies)} bodies came for {len(wanted)} headers")
            blocks += [Block(header, body) for header, body in zip(headers[len(blocks) :], bodies, strict=False)]
        return blocks

    async def _import(self, blocks: list[Block]) -> None:
        """Import `blocks` in order, in slices, so that a block agreed on meanwhile does not wait for all of them."""
        for start in range(0, len(blocks), 32):
            part = blocks[start : start + 32]
            try:
                await self._worker.run(partial(self._import_now, part))
            except BlockRefused as refusal:
                raise PeerFailed(f"block refused by rule {refusal.rule}: {refusal}", _BREACH) from None

    def _import_now(self, blocks: list[Block]) -> None:
        with self._chain.bulk_import():
            for block in blocks:
                if block.number > self._chain.head.header.number:
                    self._chain.import_block(block)


_BREACH = DisconnectReason.BREACH_OF_PROTOCOL


async def _asked(answer: Awaitable[T]) -> T:
    """The peer's answer, with its failure as ours."""
    try:
        return await answer
    except RequestFailed as error:
        raise PeerFailed(str(error)) from None
