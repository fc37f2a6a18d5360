"""Blocks that were asked for lately, decoded: a client that fetches a block's receipts one by one pays for the block once.

Final blocks do not change, so nothing here goes stale. Safe from any thread.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Sized
from typing import Generic, TypeVar

from lacnode.chain.history import History
from lacnode.chain.outcome import TransactionOutcome
from lacnode.primitives.block import Block

MAX_TRANSACTIONS = 20_000
"""How many transactions are kept decoded, over all blocks; the last block is kept whatever its size."""

T = TypeVar("T")


class RecentBlocks:
    """The blocks of `history` by hash, and what came of their transactions. None for unknown hashes."""

    def __init__(self, history: History) -> None:
        self._blocks = _Recent(history.block_of, lambda block: block.transactions)
        self._outcomes = _Recent[tuple[TransactionOutcome, ...]](history.outcomes_of, lambda outcomes: outcomes)

    def block(self, hash_: bytes) -> Block | None:
        return self._blocks.get(hash_)

    def outcomes(self, hash_: bytes) -> tuple[TransactionOutcome, ...] | None:
        return self._outcomes.get(hash_)


class _Recent(Generic[T]):
    """The values last used, as many as their parts allow."""

    def __init__(self, load: Callable[[bytes], T | None], parts: Callable[[T], Sized]) -> None:
        self._load = load
        self._parts = parts
        self._lock = threading.Lock()
        self._values: OrderedDict[bytes, T] = OrderedDict()
        self._size = 0

    def get(self, key: bytes) -> T | None:
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key]
        value = self._load(key)
        if value is not None:
            self._keep(key, value)
        return value

    def _keep(self, key: bytes, value: T) -> None:
        with self._lock:
            if key in self._values:
                return
            self._values[key] = value
            self._size += self._weight(value)
            while self._size > MAX_TRANSACTIONS and len(self._values) > 1:
                _, oldest = self._values.popitem(last=False)
                self._size -= self._weight(oldest)

    def _weight(self, value: T) -> int:
        """An empty block takes room too."""
        return 20 + len(self._parts(value))
