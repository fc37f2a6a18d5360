"""The way of the node's events to filters and subscriptions.

The node reports events on the event loop, which only puts them into a queue. One worker thread matches and formats them, in
order. If this thread cannot keep up, all connections with subscriptions end and all filters are deleted. A client then
notices that events are missing.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import structlog
import trio

from lacnode.chain.blockchain import NewHead
from lacnode.chain.receipt_record import LogWithMetadata
from lacnode.evm.block_limits import estimated_log_bytes
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
"""Number of events that may wait in the queue."""

EVENTS_AT_ONCE = 100
"""Number of events that are handled together. A thread for each event would cost more than the event."""

NOTICES_PER_CHUNK = 500
"""Number of notices that are made in the worker thread and then delivered together."""

MAX_WAITING_FEED_BLOCKS = 64
"""Number of blocks that may wait in the queue. Each is kept whole until it is handled."""

MAX_WAITING_FEED_BYTES = 16 * 2**20
"""Bytes of the transactions and the logs of all blocks in the queue. A single block may be larger."""

CHUNK_SECONDS = 0.05
"""Processor time after which the worker thread pauses, however few notices it has made: filters may match nothing."""

FEED_SHARE, FEED_BURST_SECONDS = 0.25, 1.0
"""The share of one processor's time that the worker thread may take, and how much of it may be saved up."""

NoticeSource = Callable[[], Iterable[Notice | None]]
"""Makes the notices of an event. None stands where the worker thread may pause."""


class SubscriptionFeeds:
    """Queues the events that the node reports by the five methods, and handles them in `run`. Must be used on the event
    loop.

    If too many events wait, all connections with subscriptions end and all filters are deleted.
    """

    def __init__(self, filters: PollingFilters, subscriptions: Subscriptions, private_filters: PrivateFilters) -> None:
        self._filters = filters
        self._private_filters = private_filters
        self._subscriptions = subscriptions
        self._in, self._out = trio.open_memory_channel[NoticeSource](MAX_WAITING_EVENTS)
        # The queued blocks are counted by two numbers, each written by one thread alone, so no lock is needed: the first
        # on the event loop, the second in the worker thread.
        self._noted_blocks = 0
        self._told_blocks = 0
        self._noted_bytes = 0
        self._told_bytes = 0
        self._share = TimeShare(FEED_SHARE, FEED_BURST_SECONDS)

    def block_added(self, new_head: NewHead) -> None:
        """Queue an imported block, and return at once. `run` makes the notices about it, and adds it to polling
        filters. Nothing is queued if there is neither a polling filter (of any kind) nor a subscription to blocks or
        logs."""
        # Without a listener nothing is queued. The filters' and subscriptions' counts are read without their locks: a
        # subscription that is made at this moment begins with the next block.
        if not len(self._filters) and not self._subscriptions.has_any(NEW_HEADS, LOGS):
            return
        transaction_bytes = sum(len(transaction.raw) for transaction in new_head.block.transactions)
        self._note_block(1, transaction_bytes + _log_bytes(new_head.logs), partial(self._block, new_head))

    def private_block_added(self, private_block: PrivateBlock) -> None:
        """Queue the private logs of a block for filters and subscriptions, and return at once. Nothing is queued if
        there is neither a filter for private logs nor a subscription to them."""
        if len(self._private_filters) or self._subscriptions.has_any(PRIVATE_LOGS):
            size_bytes = sum(_log_bytes(logs) for logs in private_block.logs.values())
            self._note_block(0, size_bytes, partial(self._private_block, private_block))

    def pending_added(self, pooled: PooledTransaction) -> None:
        """Queue a transaction that entered the pool for filters and subscriptions, and return at once. Nothing is
        queued if there is neither a polling filter (of any kind) nor a subscription to pending transactions."""
        if len(self._filters) or self._subscriptions.has_any(PENDING):
            self._note(partial(self._pending, pooled))

    def pending_dropped(self, pooled: PooledTransaction) -> None:
        """Queue a transaction that left the pool without a block for subscriptions, and return at once. Nothing is
        queued without a subscription to dropped transactions."""
        if self._subscriptions.has_any(DROPPED):
            self._note(partial(self._subscriptions.notices_of_dropped, pooled))

    def sync_changed(self, status: SyncView | None) -> None:
        """Queue a new state of the synchronisation for subscriptions, and return at once. `status` is None if it has
        ended. Nothing is queued without a subscription to it."""
        if self._subscriptions.has_any(SYNCING):
            self._note(partial(self._subscriptions.notices_of_sync, status))

    def _note_block(self, blocks: int, size_bytes: int, telling: NoticeSource) -> None:
        """Queue what is told of a block. `blocks` is 1 if the whole block waits, and 0 if only its private logs do."""
        waiting_blocks, waiting_bytes = self._noted_blocks - self._told_blocks, self._noted_bytes - self._told_bytes
        # A block is as large as its gas limit allows, so blocks are bounded by bytes too. The first one
        # may have any size.
        is_full = waiting_blocks + blocks > MAX_WAITING_FEED_BLOCKS
        if is_full or (waiting_bytes and waiting_bytes + size_bytes > MAX_WAITING_FEED_BYTES):
            self._give_up()
        elif self._note(partial(self._counted, blocks, size_bytes, telling)):
            self._noted_blocks += blocks
            self._noted_bytes += size_bytes

    def _note(self, telling: NoticeSource) -> bool:
        """Queue an event. Returns False if the queue is full. Then all listeners have been given up."""
        # The node must not wait for subscribers, so a full queue is no reason to block.
        try:
            self._in.send_nowait(telling)
        except trio.WouldBlock:
            self._give_up()
            return False
        return True

    def _give_up(self) -> None:
        # All three end together. A listener that stayed would take the missing events for silence.
        log.warning("filters and subscriptions cannot keep up: they are given up")
        self._subscriptions.cut_all()
        self._filters.delete_all()
        self._private_filters.delete_all()

    def _counted(self, blocks: int, size_bytes: int, telling: NoticeSource) -> Iterable[Notice | None]:
        # The counts go up before the work, as the block has left the queue. An error below must not leave them behind.
        self._told_blocks += blocks
        self._told_bytes += size_bytes
        yield from telling()

    def _block(self, new_head: NewHead) -> Iterable[Notice | None]:
        yield from self._filters.add_block_in_steps(new_head)
        yield from self._subscriptions.notices_of_block(new_head)

    def _private_block(self, private_block: PrivateBlock) -> Iterable[Notice | None]:
        yield from self._private_filters.add_private_block_in_steps(private_block)
        yield from self._subscriptions.notices_of_private_block(private_block)

    def _pending(self, pooled: PooledTransaction) -> Iterable[Notice]:
        self._filters.pending_added(pooled)
        return self._subscriptions.notices_of_pending(pooled)

    async def run(self) -> None:
        """Handle the queued events in their order until cancelled, in one worker thread at a time. An event that fails
        is logged and skipped."""
        # One thread at a time keeps the order of events.
        limiter = trio.CapacityLimiter(1)
        async for telling in self._out:
            notices = _told([telling, *self._more()])
            # `notices` is lazy: each round in the thread matches and formats the next few notices. A block
            # with a hundred thousand notices never has all of them in memory, and the event loop gets its
            # turn between the rounds.
            is_over = False
            while not is_over:
                chunk, is_over = await trio.to_thread.run_sync(self._chunk, notices, limiter=limiter)
                for notice in chunk:
                    notice.deliver()
                await trio.sleep(self._share.delay_seconds())

    def _chunk(self, notices: Iterator[Notice | None]) -> tuple[list[Notice], bool]:
        """Make the next notices. Return them, and whether they were the last ones. Called in the worker thread."""
        begun = time.thread_time()
        chunk: list[Notice] = []
        try:
            for notice in notices:
                if notice is not None:
                    chunk.append(notice)
                if len(chunk) == NOTICES_PER_CHUNK or time.thread_time() - begun > CHUNK_SECONDS:
                    return chunk, False
            return chunk, True
        finally:
            self._share.spend(time.thread_time() - begun)

    def _more(self) -> Iterator[NoticeSource]:
        """Yield further events that wait, up to `EVENTS_AT_ONCE` with the first one."""
        for _ in range(EVENTS_AT_ONCE - 1):
            try:
                yield self._out.receive_nowait()
            except trio.WouldBlock:
                return


def _told(tellings: list[NoticeSource]) -> Iterator[Notice | None]:
    for telling in tellings:
        try:
            yield from telling()
        except Exception:
            # One faulty event must not end the feed of all later ones.
            log.exception("something could not be told to subscribers")


def _log_bytes(logs: Sequence[LogWithMetadata]) -> int:
    return sum(estimated_log_bytes(len(found.log.topics), found.log.data) for found in logs)
