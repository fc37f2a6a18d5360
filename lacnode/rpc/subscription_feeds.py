"""What happens in the node, on its way to filters and subscribers.

Told on the event loop, which only notes it down; matching and formatting are done in one worker thread, in order. Where
that thread cannot keep up, listeners are cut off and filters forgotten, so that nobody takes a gap for silence.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice

import structlog
import trio

from lacnode.chain.blockchain import NewHead
from lacnode.privacy.state.processor import PrivateBlock
from lacnode.rpc.filters import PollingFilters
from lacnode.rpc.notice import Notice
from lacnode.rpc.private_filters import PrivateFilters
from lacnode.rpc.services import SyncView
from lacnode.rpc.subscriptions import (
    DROPPED,
    LOGS,
    NEW_HEADS,
    PENDING,
    PRIVATE_LOGS,
    SYNCING,
    Subscriptions,
)
from lacnode.rpc.time_share import TimeShare
from lacnode.txpool.pooled_transaction import PooledTransaction

log = structlog.get_logger("rpc")

MAX_WAITING_EVENTS = 10_000
"""Happenings that may wait to be told."""

EVENTS_AT_ONCE = 100
"""Happenings told in one go: a thread for each would cost more than the telling."""

NOTICES_PER_CHUNK = 500
"""Notices made, and then delivered, in one go."""

MAX_WAITING_FEED_BLOCKS = 64
"""Blocks that may wait to be told. Each is kept whole until then."""

MAX_WAITING_FEED_BYTES = 16 * 2**20
"""Bytes of transactions and logs of the blocks that may wait to be told, the last one aside."""

FEED_SHARE, FEED_BURST_SECONDS = 0.25, 1.0
"""What telling may take of one processor's time, and how much of it may be saved up."""

NoticeSource = Callable[[], Iterable[Notice]]


class SubscriptionFeeds:
    """The node calls the five methods on the event loop; `run` tells."""

    def __init__(self, filters: PollingFilters, subscriptions: Subscriptions, private_filters: PrivateFilters) -> None:
        self._filters = filters
        self._private_filters = private_filters
        self._subscriptions = subscriptions
        self._in, self._out = trio.open_memory_channel[NoticeSource](MAX_WAITING_EVENTS)
        self._noted_blocks = 0  # on the event loop
        self._told_blocks = 0  # in the worker thread
        self._noted_bytes = 0
        self._told_bytes = 0
        self._share = TimeShare(FEED_SHARE, FEED_BURST_SECONDS)

    def block_added(self, new_head: NewHead) -> None:
        """A block was imported."""
        if not len(self._filters) and not self._subscriptions.wanted(NEW_HEADS, LOGS):
            return
        size_bytes = _size_bytes(new_head)
        blocks, waiting_bytes = self._noted_blocks - self._told_blocks, self._noted_bytes - self._told_bytes
        if blocks >= MAX_WAITING_FEED_BLOCKS or (blocks and waiting_bytes + size_bytes > MAX_WAITING_FEED_BYTES):
            self._give_up()
        elif self._note(partial(self._block, new_head, size_bytes)):
            self._noted_blocks += 1
            self._noted_bytes += size_bytes

    def private_block_added(self, private_block: PrivateBlock) -> None:
        """A block was executed privately."""
        if len(self._private_filters) or self._subscriptions.wanted(PRIVATE_LOGS):
            self._note(partial(self._private_block, private_block))

    def pending_added(self, pooled: PooledTransaction) -> None:
        """A transaction entered the pool."""
        if len(self._filters) or self._subscriptions.wanted(PENDING):
            self._note(partial(self._pending, pooled))

    def pending_dropped(self, pooled: PooledTransaction) -> None:
        """A transaction left the pool without having been in a block."""
        if self._subscriptions.wanted(DROPPED):
            self._note(partial(self._subscriptions.notices_of_dropped, pooled))

    def sync_changed(self, status: SyncView | None) -> None:
        """Synchronisation began, moved on, or ended (None)."""
        if self._subscriptions.wanted(SYNCING):
            self._note(partial(self._subscriptions.notices_of_sync, status))

    def _note(self, telling: NoticeSource) -> bool:
        """Whether it will be told."""
        try:
            self._in.send_nowait(telling)
        except trio.WouldBlock:
            self._give_up()
            return False
        return True

    def _give_up(self) -> None:
        log.warning("filters and subscriptions cannot keep up: they are given up")
        self._subscriptions.cut_all()
        self._filters.forget_all()
        self._private_filters.forget_all()

    def _block(self, new_head: NewHead, size_bytes: int) -> Iterable[Notice]:
        self._told_blocks += 1
        self._told_bytes += size_bytes
        self._filters.block_added(new_head)
        return self._subscriptions.notices_of_block(new_head)

    def _private_block(self, private_block: PrivateBlock) -> Iterable[Notice]:
        self._private_filters.private_block_added(private_block)
        return self._subscriptions.notices_of_private_block(private_block)

    def _pending(self, pooled: PooledTransaction) -> Iterable[Notice]:
        self._filters.pending_added(pooled)
        return self._subscriptions.notices_of_pending(pooled)

    async def run(self) -> None:
        """Tell what was noted, until cancelled."""
        limiter = trio.CapacityLimiter(1)
        async for telling in self._out:
            notices = _told([telling, *self._more()])
            while chunk := await trio.to_thread.run_sync(self._chunk, notices, limiter=limiter):
                for notice in chunk:
                    notice.deliver()
                await trio.sleep(self._share.delay_seconds())

    def _chunk(self, notices: Iterator[Notice]) -> list[Notice]:
        """The next notices; in the worker thread."""
        begun = time.thread_time()
        try:
            return list(islice(notices, NOTICES_PER_CHUNK))
        finally:
            self._share.spend(time.thread_time() - begun)

    def _more(self) -> Iterator[NoticeSource]:
        """What else waits, up to what is told in one go."""
        for _ in range(EVENTS_AT_ONCE - 1):
            try:
                yield self._out.receive_nowait()
            except trio.WouldBlock:
                return


def _told(tellings: list[NoticeSource]) -> Iterator[Notice]:
    for telling in tellings:
        try:
            yield from telling()
        except Exception:
            log.exception("something could not be told to subscribers")


def _size_bytes(new_head: NewHead) -> int:
    transactions = sum(len(transaction.raw) for transaction in new_head.block.transactions)
    return transactions + sum(len(found.log.data) for found in new_head.logs)
