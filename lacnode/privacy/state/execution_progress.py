"""How far private execution is: the cursor, the markers that wait above it, and whether the manager answers.

The working thread writes it. Readers in other threads wait for it. This module must not execute anything.
"""

import threading

import structlog

from lacnode.privacy.state.privacy_context import PrivacyContext
from lacnode.privacy.state.private_store import PrivateStoreReader, PrivateStoreWriter

log = structlog.get_logger("privacy")

BLOCKS_AWAITED = 32
"""The largest number of blocks that a read waits for."""

CURSOR_INTERVAL_BLOCKS = 256
"""The number of blocks without markers after which the cursor is stored. They may be read again after a crash."""


class ExecutionProgress:
    """How far this node has executed the private transactions of the chain. One thread writes. Every thread may read
    and wait."""

    def __init__(self, context: PrivacyContext) -> None:
        self._context = context
        with context.database.read() as snapshot:
            # A new database begins with block 1. The genesis block has no transactions.
            self._cursor = PrivateStoreReader(snapshot).last_executed_block() or 0
        self._saved = self._cursor
        self._moved = threading.Condition()
        self._is_waiting = False
        self._queued: dict[int, int] = {}
        self._scanned = self._cursor

    @property
    def last_executed_block(self) -> int:
        """The number of the last public block whose private transactions are executed, 0 before the first. A marker
        without its payload does not hold the number back: that transaction is executed once the payload is there. While
        the manager does not answer, the number stays below the next block with a marker."""
        return self._cursor

    @property
    def is_waiting_for_manager(self) -> bool:
        """Whether execution waits for the manager, which did not answer or failed. False before the first block."""
        return self._is_waiting

    @property
    def queued_markers(self) -> int:
        """The number of markers above the cursor that `update_queued_markers` has counted. They wait because the
        manager does not answer or fails. 0 while none was counted."""
        # A copy, because the working thread changes the dictionary while readers count.
        return sum(count for number, count in dict(self._queued).items() if number > self._cursor)

    def wait_for(self, number: int, seconds: float) -> bool:
        """Wait at most `seconds` until the private transactions of block `number` are executed. Return True if they
        are.

        If they are not, and the manager does not answer or more than `BLOCKS_AWAITED` blocks come before, False is
        returned at once.
        """
        if number - self._cursor > BLOCKS_AWAITED:
            return False
        with self._moved:
            # A processor that waits for the manager wakes the readers too. They answer with an error at once instead of
            # after the time limit.
            self._moved.wait_for(lambda: self._cursor >= number or self._is_waiting, seconds)
            return self._cursor >= number

    def save_cursor(self) -> None:
        """Store the cursor in the database if it changed since it was stored. StorageError if the database fails."""
        if self._cursor != self._saved:
            with self._context.database.write() as batch:
                PrivateStoreWriter(batch).write_cursor(self._cursor)
            self._saved = self._cursor

    def advance_to(self, number: int, *, save: bool) -> None:
        """Record that block `number` is executed, and let reads that wait for it go on. `save` stores the cursor too.
        StorageError if it cannot be stored."""
        with self._moved:
            self._cursor = number
            self._moved.notify_all()
        # The block was executed, so its markers do not wait any more.
        self._queued.pop(number, None)
        if save:
            self.save_cursor()

    def set_waiting_for_manager(self, is_waiting: bool) -> None:
        """Record whether execution waits for the manager. While it does, `wait_for` returns at once."""
        if is_waiting == self._is_waiting:
            return
        with self._moved:
            self._is_waiting = is_waiting
            self._moved.notify_all()
        if is_waiting:
            log.warning("private transactions wait for the transaction manager", block=self._cursor + 1)
        else:
            log.info("private transactions go on", block=self._cursor)

    def update_queued_markers(self) -> None:
        """Count the markers in the public blocks above the cursor that were not counted yet, up to the head or the
        first block that is missing. `queued_markers` then has their number."""
        # Each block is scanned once. While the manager is away for days, a scan from the cursor would grow every time.
        for number in range(max(self._scanned, self._cursor) + 1, self._context.head() + 1):
            block = self._context.history.block_at(number)
            if block is None:
                return
            count = sum(self._context.mode.may_be_marker(transaction) for transaction in block.transactions)
            if count:
                self._queued[number] = count
            self._scanned = number

    def record_cursor_saved(self, number: int) -> None:
        """Record that the commit of block `number` has stored the cursor, so that `save_cursor` need not. This writes
        nothing."""
        self._saved = number

    def is_save_due(self, number: int) -> bool:
        """Return True if block `number` is at least `CURSOR_INTERVAL_BLOCKS` after the block of the stored cursor."""
        return number - self._saved >= CURSOR_INTERVAL_BLOCKS
