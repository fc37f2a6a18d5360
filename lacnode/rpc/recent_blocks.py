"""Blocks by hash, with a cache of the decoded ones. A client that fetches a block's receipts one by one causes only one
decoding of the block.

IBFT 2.0 blocks are final, so nothing here becomes outdated. Safe to use from several threads.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

from lacnode.chain.chain_history import ChainHistory
from lacnode.chain.receipt_record import ReceiptRecord
from lacnode.evm.block_limits import estimated_log_bytes
from lacnode.primitives.block import Block, BlockOutline

KEPT_BYTES, TRANSACTION_BYTES = 16 * 2**20, 800
"""Bytes of decoded blocks that are kept, and as many bytes of their outcomes. Then the estimated bytes of a
transaction besides its encoding. The last block is always kept."""

HASH_BYTES = 73
"""Bytes that a hash takes in memory."""

T = TypeVar("T")


class RecentBlocks:
    """The blocks of `history` by hash (32 bytes), and the records of their receipts. The last ones that were asked for
    are cached. All others are read from the database. Safe to use from several threads. The methods return None for a
    hash that no block of the chain has."""

    def __init__(self, history: ChainHistory) -> None:
        self._blocks = _Recent(history.block_of, _block_bytes)
        self._outcomes = _Recent(history.receipt_records_of, _outcomes_bytes)
        self._outlines = _Recent(lambda hash_: history.outline_of(hash_), _outline_bytes)

    def load_block(self, hash_: bytes) -> Block | None:
        """Return the block with this hash (32 bytes), from the cache or from the database. None for an unknown hash.
        StorageError if it cannot be read."""
        return self._blocks.get(hash_)

    def load_outline(self, hash_: bytes) -> BlockOutline | None:
        """Return the block with this hash (32 bytes) without its transactions, which are not decoded, from the cache or
        from the database. None for an unknown hash. StorageError if it cannot be read."""
        return self._outlines.get(hash_)

    def has_cached(self, hash_: bytes) -> bool:
        """Return True if both the block with this hash (32 bytes) and the records of its receipts are in the cache. The
        database is not read."""
        return self._blocks.has(hash_) and self._outcomes.has(hash_)

    def clear(self) -> None:
        """Empty the cache. Blocks can still be loaded."""
        for kept in (self._blocks, self._outcomes, self._outlines):
            kept.forget()

    def load_receipt_records(self, hash_: bytes) -> tuple[ReceiptRecord, ...] | None:
        """Return one record for each transaction of the block with this hash (32 bytes), in order, from the cache or
        from the database. None for an unknown hash. StorageError if they cannot be read."""
        return self._outcomes.get(hash_)


def _block_bytes(block: Block) -> int:
    # An empty block takes memory too, so a first amount is added. Otherwise the cache would keep any number of them.
    return TRANSACTION_BYTES + sum(TRANSACTION_BYTES + len(transaction.raw) for transaction in block.transactions)


def _outline_bytes(outline: BlockOutline) -> int:
    return TRANSACTION_BYTES + HASH_BYTES * len(outline.transaction_hashes)


def _outcomes_bytes(receipt_records: tuple[ReceiptRecord, ...]) -> int:
    return TRANSACTION_BYTES + sum(
        TRANSACTION_BYTES + len(outcome.revert_reason or b"") + _log_bytes(outcome) for outcome in receipt_records
    )


def _log_bytes(outcome: ReceiptRecord) -> int:
    return sum(estimated_log_bytes(len(log.topics), log.data) for log in outcome.receipt.logs)


class _Recent(Generic[T]):
    """The last used values, as many as their bytes allow. The rest is dropped, beginning with the value used least
    recently."""

    def __init__(self, load: Callable[[bytes], T | None], bytes_of: Callable[[T], int]) -> None:
        self._load = load
        self._bytes_of = bytes_of
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, T] = OrderedDict()
        self._size = 0

    def get(self, key: bytes) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        # The lock is not held while a block is decoded, because that can take a second. Two threads may decode the
        # same block at once. `_keep` then keeps the first of them.
        value = self._load(key)
        if value is not None:
            self._keep(key, value)
        return value

    def has(self, key: bytes) -> bool:
        return key in self._values

    def forget(self) -> None:
        with self._lock:
            self._values.clear()
            self._size = 0

    def _keep(self, key: bytes, value: T) -> None:
        with self._lock:
            if key in self._values:
                return
            self._values[key] = value
            self._size += self._bytes_of(value)
            while self._size > KEPT_BYTES and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._size -= self._bytes_of(oldest)
