"""Catching up: choose a peer that is ahead, download what is missing, hand it to the chain in order.

An IBFT chain never reorganises, so the common ancestor of two honest nodes is the lower head: there is no search
backwards. A peer whose next block does not follow from our head is on another chain, and is told so.

What a peer says of its chain moves nothing but the choice of whom to ask. The node counts as syncing once headers ahead of
its head are verified with a quorum's seals, and consensus is passed over only while verified blocks, bodies included, are
being imported: never while this node waits for a peer. Every wait has a bound (`pace`), and a peer that fails is not
asked again for a while (`peer_trust`).

The download is two stages with one group of blocks between them: while one is imported, the next is on its way. Must not
decide what a valid block is.
"""

import time
from collections.abc import Callable, Iterable
from functools import partial

import structlog
import trio

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.evm.budget import ExecutionBudget, ExecutionInterruptedError
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block
from lacnode.sync.download import BlockDownload
from lacnode.sync.download_pace import DownloadPace, PeerFailedError
from lacnode.sync.peer_trust import MAX_FAILURES_IN_SESSION, PeerFault, PeerTrust
from lacnode.sync.sync_status import SyncStatus
from lacnode.workers.worker import Worker

__all__ = ["SyncStatus", "Synchronizer"]

log = structlog.get_logger("sync")

MISSING_BLOCK_GRACE_SECONDS = 0.4
"""For which a block may be missing before it is asked for: it is usually just being agreed on or on its way."""

PEER_CHECK_INTERVAL_SECONDS = 15.0
"""Between two looks at the peers where nothing happens."""

MIN_SYNC_BLOCKS = 3
"""Blocks behind from which the node asks at once, and blocks to import from which consensus is passed over."""

SLICE_SECONDS = 0.2
"""For which verified blocks are imported before the thread that writes state is free for consensus again."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 15.0, 600.0
"""After a block that a quorum sealed and this node's own execution refuses."""


class Synchronizer:
    """Keeps the chain at the height of its peers.

    `peers` gives the live sessions, the oldest first; `worker` is the one thread that writes state, `check_worker` another
    for what is verified before. `on_syncing` is told True when verified headers are ahead and False when the node has
    caught up or no peer can help it. `on_importing` is told True while several verified blocks are imported.
    `on_caught_up` is called once, when the node has met peers and none is ahead of it.
    """

    def __init__(
        self,
        chain: Blockchain,
        peers: Callable[[], Iterable[Peer]],
        *,
        worker: Worker,
        check_worker: Worker,
        on_syncing: Callable[[bool], None] = lambda syncing: None,
        on_importing: Callable[[bool], None] = lambda importing: None,
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        self.trust = PeerTrust()
        self.budget = ExecutionBudget()
        """Of every import by synchronisation: no deadline, but it ends with `run`, so that a node stops in time."""
        self._chain = chain
        self._peers = peers
        self.worker = worker
        self.check_worker = check_worker
        self._on_syncing = on_syncing
        self._on_importing = on_importing
        self._on_caught_up = on_caught_up
        self.has_caught_up = False
        """Whether this node was, at any moment since its start, as far as all its peers."""
        self._wake = trio.Event()
        self._behind_since: float | None = None
        self._started_at: int | None = None
        self._highest = 0
        self._paused_until, self._pause = 0.0, FIRST_PAUSE_SECONDS

    @property
    def status(self) -> SyncStatus | None:
        """Where synchronisation stands, or None when the node is not syncing."""
        if self._started_at is None:
            return None
        head = self._chain.head.header.number
        return SyncStatus(self._started_at, head, max(head, self._highest))

    def wake(self) -> None:
        """Something changed: a peer joined, or says that it has more blocks. Call from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Follow peers that are ahead until cancelled. An execution that goes on then is interrupted."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_budget_on_exit)
            await self._keep_following()

    async def _cancel_budget_on_exit(self) -> None:
        """A cancelled task waits for its thread, and a block may take minutes: the thread has to be told."""
        try:
            await trio.sleep_forever()
        finally:
            self.budget.cancel()

    async def _keep_following(self) -> None:
        while True:
            self._check_caught_up()
            peer = self._next_peer()
            wait = self._wait_seconds(peer)
            if peer is None or wait > 0:
                await self._wait(wait)
                continue
            try:
                await self._follow(peer)
            except PeerFailedError as failure:
                await self._penalise_peer(peer, failure)
            except BlockRefusedError as refusal:
                self._pause_after_refusal(refusal)
            self._finish()

    # -- choosing ------------------------------------------------------------------------------------------------

    def _candidates(self) -> list[Peer]:
        """Peers that say that they are ahead, and may be asked."""
        now, head = trio.current_time(), self._chain.head.header.number
        return [peer for peer in self._peers() if peer.head_number > head and self.trust.may_be_asked(peer, now)]

    def _next_peer(self) -> Peer | None:
        candidates = self._candidates()
        if not candidates:
            return None
        addresses = frozenset(self._chain.validators_after(self._chain.head.header))
        return self.trust.best(candidates, addresses, trio.current_time())

    def _has_faster(self, slow: Peer) -> bool:
        """Whether a candidate besides `slow` has neither failed nor been slow."""
        return any(peer is not slow and self.trust.may_be_fast(peer) for peer in self._candidates())

    def _check_caught_up(self) -> None:
        """A peer that has failed cannot keep the node from counting as caught up."""
        now, head = trio.current_time(), self._chain.head.header.number
        heads = [peer.head_number for peer in self._peers() if self.trust.may_be_asked(peer, now)]
        if not self.has_caught_up and heads and max(heads) <= head:
            self.has_caught_up = True
            self._on_caught_up()

    def _wait_seconds(self, peer: Peer | None) -> float:
        """Seconds to wait before `peer` is asked for what we lack."""
        now = trio.current_time()
        if peer is None:
            self._behind_since = None
            return min(
                PEER_CHECK_INTERVAL_SECONDS, max(MISSING_BLOCK_GRACE_SECONDS, self.trust.seconds_to_next_release(now))
            )
        if self._behind_since is None:
            self._behind_since = now
        head = self._chain.head.header.number
        if head == 0 or peer.head_number - head >= MIN_SYNC_BLOCKS:
            return max(0.0, self._paused_until - now)
        return max(0.0, self._paused_until - now, self._behind_since + MISSING_BLOCK_GRACE_SECONDS - now)

    async def _wait(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._wake.wait()
        self._wake = trio.Event()

    def _verified(self, peer: Peer, number: int) -> None:
        """Headers up to `number` carry a quorum's seals: the node is behind indeed. The rest of the way is the claim of a
        peer that has shown this much."""
        self._highest = max(number, peer.head_number)
        if self._started_at is None:
            self._started_at = self._chain.head.header.number
            self._on_syncing(True)

    def _finish(self) -> None:
        """Not syncing any more, unless another peer can take us further."""
        self._behind_since = None
        if self._started_at is None or self._candidates():
            return
        gained = self._chain.head.header.number - self._started_at
        if gained >= MIN_SYNC_BLOCKS:
            log.info("synchronised", head=self._chain.head.header.number, blocks=gained)
        self._started_at = None
        self._on_syncing(False)

    async def _penalise_peer(self, peer: Peer, failure: PeerFailedError) -> None:
        failures = self.trust.failed(peer, failure.fault, trio.current_time())
        log.warning("sync peer failed", peer=peer.enode_text, reason=str(failure), failures=failures)
        peer.lower_head_number(self._chain.head.header.number)
        if failure.reason is not None:
            await peer.disconnect(failure.reason)
        elif failures >= MAX_FAILURES_IN_SESSION and failure.fault is PeerFault.LATE:
            await peer.disconnect(DisconnectReason.USELESS_PEER)

    def _pause_after_refusal(self, refusal: BlockRefusedError) -> None:
        """A quorum sealed this block, and its body is its header's: no peer is to blame. Trying again at once, or with
        another peer, would give the same answer."""
        log.error(
            "a block that a quorum of validators sealed is refused by this node's own execution",
            rule=refusal.rule,
            reason=str(refusal),
            next_try_seconds=self._pause,
        )
        self._paused_until = trio.current_time() + self._pause
        self._pause = min(MAX_PAUSE_SECONDS, 2 * self._pause)

    # -- following -----------------------------------------------------------------------------------------------

    async def _follow(self, peer: Peer) -> None:
        """Import everything `peer` has above our head. PeerFailedError if it does not deliver, BlockRefusedError if
        this node
        cannot execute what a quorum sealed."""
        pace = DownloadPace()
        download = BlockDownload(
            self._chain,
            peer,
            pace,
            self.check_worker,
            on_verified=partial(self._verified, peer),
            has_faster=partial(self._has_faster, peer),
        )
        into, groups = trio.open_memory_channel[list[Block]](0)
        failure: PeerFailedError | BlockRefusedError | None = None
        async with trio.open_nursery() as nursery:

            async def fetch() -> None:
                nonlocal failure
                async with into:
                    try:
                        await download.run(into)
                    except PeerFailedError as error:
                        failure = error

            nursery.start_soon(fetch)
            try:
                async for blocks in groups:
                    await self._import(blocks)
            except BlockRefusedError as refusal:
                failure = refusal
                nursery.cancel_scope.cancel()
        if pace.blocks:
            self.trust.delivered(peer, slow=pace.is_slow)
        if failure is not None:
            raise failure

    async def _import(self, blocks: list[Block]) -> None:
        """Import `blocks`, all of them here and verified, in slices: between two the thread is consensus' first.

        Heads on the way are of no use to consensus, since a quorum has decided the blocks above them. It hears of the
        last one; nothing remote can hold that up, as nothing is waited for.
        """
        many = len(blocks) > MIN_SYNC_BLOCKS
        if many:
            self._on_importing(True)
        try:
            done = 0
            while done < len(blocks):
                done = await self.worker.run(partial(self._import_slice, blocks, done))
        except ExecutionInterruptedError:
            await trio.sleep_forever()  # the node is stopping, so this is cancelled already
        finally:
            if many:
                self._on_importing(False)
        self._pause = FIRST_PAUSE_SECONDS

    def _import_slice(self, blocks: list[Block], start: int) -> int:
        """Import from index `start` on for a while; the index of the first block that is left."""
        ends = time.monotonic() + SLICE_SECONDS
        with self._chain.bulk_import():
            for index in range(start, len(blocks)):
                # Consensus may have imported it meanwhile.
                if blocks[index].number > self._chain.head.header.number:
                    self._chain.import_block(blocks[index], self.budget)
                if time.monotonic() >= ends:
                    return index + 1
        return len(blocks)
