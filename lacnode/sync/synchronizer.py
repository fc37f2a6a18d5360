"""The synchronizer: chooses a peer that is ahead, downloads the missing blocks and imports them in order.

An IBFT chain never reorganises. So the common ancestor of two correct nodes is the lower head, and there is no search
backwards. A peer whose next block does not follow from our head is on another chain, and is disconnected.

The claims of a peer only influence which peer is asked. The node counts as syncing once it has verified headers, with the
seals of a quorum, above its head. Consensus pauses only while verified blocks with their bodies are imported, and never
while this node waits for a peer. Every wait has a bound (`download_pace`), and a peer that fails is not asked again for
some time (`peer_trust`).

The download has two stages with one group of blocks between them: one group is imported while the next one is downloaded.
This file must not decide which block is valid.
"""

from collections.abc import Callable, Iterable
from functools import partial

import structlog
import trio

from lacnode.chain.block_errors import (
    BlockRefusedError,
    InternalBlockError,
    InvalidSealedHeaderError,
    UnknownParentError,
)
from lacnode.chain.blockchain import Blockchain
from lacnode.evm.budget import ExecutionBudget
from lacnode.p2p.peer import Peer
from lacnode.p2p.wire.p2p_messages import DisconnectReason
from lacnode.primitives.block import Block
from lacnode.sync.download import BlockDownload
from lacnode.sync.download_pace import DownloadPace, PeerFailedError
from lacnode.sync.peer_trust import MAX_FAILURES_IN_SESSION, PeerFault, PeerTrust
from lacnode.sync.sliced_import import MIN_SYNC_BLOCKS, SlicedImport
from lacnode.sync.sync_status import SyncStatus
from lacnode.workers.worker import Worker

__all__ = ["SyncStatus", "Synchronizer"]

log = structlog.get_logger("sync")

MISSING_BLOCK_GRACE_SECONDS = 0.4
"""How long a block may be missing before it is requested. Usually it is being agreed on, or is on its way."""

PEER_CHECK_INTERVAL_SECONDS = 15.0
"""The time between two checks of the peers, if nothing happens."""

FIRST_PAUSE_SECONDS, MAX_PAUSE_SECONDS = 15.0, 600.0
"""The pause after a block that a quorum sealed and this node's own execution refuses: the first, and the longest."""


class Synchronizer:
    """Keeps the chain at the height of its peers.

    `peers` returns the open sessions, the oldest first. `worker` is the one thread that writes state, and
    `check_worker` another one for verification. `on_syncing` is called with True when verified headers are ahead, and
    with False when the node has caught up or no peer can help. `on_importing` is called with True before more than
    `MIN_SYNC_BLOCKS` verified blocks are imported, and with False after it. `on_caught_up` is called once, when there
    are peers that may be asked and none of these is ahead.
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
        """The budget of every import by synchronisation. It has no deadline, but ends with `run`, so that the node stops
        in time."""
        self._chain = chain
        self._peers = peers
        self.worker = worker
        self.check_worker = check_worker
        self._on_syncing = on_syncing
        self._import = SlicedImport(chain, self.budget, on_importing)
        self._on_caught_up = on_caught_up
        self.has_caught_up = False
        """Whether this node was as far as all peers that may be asked, at any moment since its start."""
        self._wake = trio.Event()
        self._behind_since: float | None = None
        self._started_at: int | None = None
        self._highest = 0
        self._paused_until, self._pause = 0.0, FIRST_PAUSE_SECONDS

    @property
    def status(self) -> SyncStatus | None:
        """The progress of the synchronisation, or None if the node is not syncing."""
        if self._started_at is None:
            return None
        head = self._chain.head.header.number
        # The head may pass the known height: consensus imports blocks at the same time.
        return SyncStatus(self._started_at, head, max(head, self._highest))

    def wake(self) -> None:
        """Let `run` look for a peer that is ahead, because one has joined or says that it has more blocks. If `run`
        waits, it looks at once, else after the download that is under way. Call this from the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Follow peers that are ahead until cancelled. A running execution is interrupted then. StorageError, in an
        exception group, if the disk is full or fails.
        """
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._cancel_budget_on_exit)
            await self._keep_following()

    async def _cancel_budget_on_exit(self) -> None:
        """Stop a running execution when this task is cancelled.

        A cancelled task waits for its thread, and a block may take minutes. Only the budget stops the thread."""
        try:
            await trio.sleep_forever()
        finally:
            self.budget.cancel()

    async def _keep_following(self) -> None:
        while True:
            # Before a peer is chosen: with all peers at our head there is none to choose.
            self._check_caught_up()
            peer = self._next_peer()
            wait = self._wait_seconds(peer)
            if peer is None or wait > 0:
                await self._wait(wait)
                continue
            try:
                await self._follow(peer)
            except PeerFailedError as failure:
                # Three ends. The first is a fault of the peer, the second a fault of this node, the third is success.
                await self._penalise_peer(peer, failure)
            except BlockRefusedError as refusal:
                self._pause_after_refusal(refusal)
            self._finish()
            # In every case: the state "syncing" must not stay when there is no one left to ask.

    # -- choosing ------------------------------------------------------------------------------------------------

    def _candidates(self) -> list[Peer]:
        """Peers that claim to be ahead and may be asked."""
        now, head = trio.current_time(), self._chain.head.header.number
        return [peer for peer in self._peers() if peer.head.number > head and self.trust.may_be_asked(peer, now)]

    def _next_peer(self) -> Peer | None:
        candidates = self._candidates()
        if not candidates:
            return None
        # The validators of our own head, since a peer cannot forge those.
        addresses = frozenset(self._chain.validators_after(self._chain.head.header))
        return self.trust.choose_best(candidates, addresses, trio.current_time())

    def _has_faster(self, slow: Peer) -> bool:
        """Whether a candidate other than `slow` has neither failed nor been slow."""
        return any(peer is not slow and self.trust.may_be_fast(peer) for peer in self._candidates())

    def _check_caught_up(self) -> None:
        """Call `on_caught_up` at the first moment when no peer is ahead. A peer that has failed does not count: it could
        keep this node from catching up by its claim alone."""
        now, head = trio.current_time(), self._chain.head.header.number
        heads = [peer.head.number for peer in self._peers() if self.trust.may_be_asked(peer, now)]
        if not self.has_caught_up and heads and max(heads) <= head:
            self.has_caught_up = True
            self._on_caught_up()

    def _wait_seconds(self, peer: Peer | None) -> float:
        """Seconds to wait before `peer` is asked for the missing blocks."""
        now = trio.current_time()
        if peer is None:
            # Woken by the end of the next pause, or by a new claim.
            self._behind_since = None
            return min(
                PEER_CHECK_INTERVAL_SECONDS,
                max(MISSING_BLOCK_GRACE_SECONDS, self.trust.seconds_until_peer_may_be_asked(now)),
            )
        if self._behind_since is None:
            self._behind_since = now
        head = self._chain.head.header.number
        # Far behind, or without any block: consensus does not bring these, so waiting would only cost time.
        if head == 0 or peer.head.number - head >= MIN_SYNC_BLOCKS:
            return max(0.0, self._paused_until - now)
        # One or two blocks: consensus or an announcement usually brings them within the grace.
        return max(0.0, self._paused_until - now, self._behind_since + MISSING_BLOCK_GRACE_SECONDS - now)

    async def _wait(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            # The event is replaced after the wait: a wake-up during the last round must not be lost.
            await self._wake.wait()
        self._wake = trio.Event()

    def _headers_verified(self, peer: Peer, number: int) -> None:
        """Headers up to `number` are verified, the first of them at least with the seals of a quorum. So this node is
        behind.

        The rest of the way is the claim of a peer that has shown this much.
        """
        self._highest = max(number, peer.head.number)
        if self._started_at is None:
            self._started_at = self._chain.head.header.number
            self._on_syncing(True)

    def _finish(self) -> None:
        """End the state "syncing", unless another peer can take us further."""
        self._behind_since = None
        if self._started_at is None or self._candidates():
            return
        gained = self._chain.head.header.number - self._started_at
        # One or two blocks are usual: logging them would hide the real synchronisations.
        if gained >= MIN_SYNC_BLOCKS:
            log.info("synchronised", head=self._chain.head.header.number, blocks=gained)
        self._started_at = None
        self._on_syncing(False)

    async def _penalise_peer(self, peer: Peer, failure: PeerFailedError) -> None:
        failures = self.trust.record_failure(peer, failure.fault, trio.current_time())
        log.warning("sync peer failed", peer=peer.enode_text, reason=str(failure), failures=failures)
        # Its claim is worth nothing now. A new claim of the peer raises it again.
        peer.head.lower_to(self._chain.head.header.number)
        if failure.reason is not None:
            await peer.end_session_and_wait(failure.reason)
        # A peer under load may be late sometimes, so it may fail a few times before its session ends.
        elif failures >= MAX_FAILURES_IN_SESSION and failure.fault is PeerFault.LATE:
            await peer.end_session_and_wait(DisconnectReason.USELESS_PEER)

    def _pause_after_refusal(self, refusal: BlockRefusedError) -> None:
        """Wait after a block that this node cannot execute, although a quorum sealed it.

        No peer is at fault: the body is the one of the header. The same block from another peer gives the same result.
        """
        log.error(
            "a block that a quorum of validators sealed is refused by this node's own execution",
            rule=refusal.rule,
            reason=str(refusal),
            next_try_seconds=self._pause,
        )
        self._paused_until = trio.current_time() + self._pause
        # The pause doubles: after an upgrade or a repair of this node, the block may pass.
        self._pause = min(MAX_PAUSE_SECONDS, 2 * self._pause)

    # -- following -----------------------------------------------------------------------------------------------

    async def _follow(self, peer: Peer) -> None:
        """Import every block that `peer` has above our head.

        Raises PeerFailedError if it does not deliver, and BlockRefusedError if this node cannot execute a sealed block.
        """
        pace = DownloadPace()
        download = BlockDownload(
            self._chain,
            peer,
            pace,
            self.check_worker,
            on_verified=partial(self._headers_verified, peer),
            has_faster=partial(self._has_faster, peer),
        )
        # No buffer: with a fast peer the memory would fill with blocks that wait for their import.
        into, groups = trio.open_memory_channel[list[Block]](0)
        failure: PeerFailedError | BlockRefusedError | None = None
        async with trio.open_nursery() as nursery:

            async def fetch() -> None:
                nonlocal failure
                # Kept and raised below: the blocks that came before the failure are still imported.
                async with into:
                    try:
                        await download.run(into)
                    except (PeerFailedError, InternalBlockError) as error:
                        failure = error

            nursery.start_soon(fetch)
            try:
                async for blocks in groups:
                    await self._import.run(blocks, self.worker)
                    # Success resets the pause: the next refusal is a new case.
                    self._pause = FIRST_PAUSE_SECONDS
            except (InvalidSealedHeaderError, UnknownParentError) as refusal:
                # If a contract names the validators, the seals of a header can be verified only after the block before it.
                # Meanwhile consensus may have imported another block of that height, so the parent is unknown.
                # The peer is at fault: a pause would let it keep this node from the true blocks of other peers.
                text = f"its block is refused by rule {refusal.rule}: {refusal}"
                failure = PeerFailedError(text, PeerFault.FALSE, DisconnectReason.BREACH_OF_PROTOCOL)
                nursery.cancel_scope.cancel()
            except BlockRefusedError as refusal:
                # The rest of the download is useless: no later block can be imported.
                failure = refusal
                nursery.cancel_scope.cancel()
        # Also after a failure. The peer has delivered this much, and deserves the credit.
        if pace.blocks:
            self.trust.record_delivery(peer, slow=pace.is_slow)
        if failure is not None:
            try:
                raise failure
            finally:
                # The error's traceback has this frame, and this frame has the downloaded blocks. They would refer to each
                # other, and stay in memory until the next complete garbage collection.
                failure = None
