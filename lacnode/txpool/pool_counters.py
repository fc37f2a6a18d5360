"""Counts of transactions that entered, left or were rejected, for the metrics. Must not decide anything.

A key is made of this node's own names, so a sender cannot add keys.
"""

import threading
from collections import Counter
from enum import Enum

from lacnode.evm.rejection import RejectionReason
from lacnode.txpool.pooled_transaction import PooledTransaction


class Removal(Enum):
    """Why a transaction left the pool. The value is Besu's name of the operation. EVICTED: the pool was full. REPLACED:
    another one with its sender and nonce took its place (`may_replace`)."""

    CONFIRMED = "confirmed"
    """A block has it."""
    INVALIDATED = "invalidated"
    """The chain has used its nonce for something else."""
    REPLACED = "replaced"
    EVICTED = "evicted"
    DROPPED = "dropped"
    """It is too old, a user removed it, its execution took too much, or no block on this state can have it."""


PoolKey = tuple[bool, bool]
"""Whether the transaction is local, and whether it has priority."""


class PoolCounters:
    """Counts of transactions since the start of the node. They do not fall. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._added: Counter[PoolKey] = Counter()
        self._removed: Counter[tuple[PoolKey, Removal]] = Counter()
        self._rejected: Counter[tuple[bool, RejectionReason]] = Counter()

    def count_added(self, pooled: PooledTransaction) -> None:
        """Count a transaction that the pool has taken, by whether it is local and has priority."""
        with self._lock:
            self._added[pooled.local, pooled.priority] += 1

    def count_removed(self, pooled: PooledTransaction, removal: Removal) -> None:
        """Count a transaction that has left the pool, and why. A transaction that came into a block counts too."""
        with self._lock:
            self._removed[(pooled.local, pooled.priority), removal] += 1

    def count_rejected(self, local: bool, reason: RejectionReason) -> None:
        """Count a transaction that the pool has rejected, and why. `local`: a user of this node sent it."""
        with self._lock:
            self._rejected[local, reason] += 1

    def added_counts(self) -> Counter[PoolKey]:
        """Return a copy of the counts of added transactions. A key is the pair (local, priority). A key that never came
        counts 0."""
        with self._lock:
            return self._added.copy()

    def removed_counts(self) -> Counter[tuple[PoolKey, Removal]]:
        """Return a copy of the counts of removed transactions. A key is the pair (local, priority) and the reason. A
        key that never came counts 0."""
        with self._lock:
            return self._removed.copy()

    def rejected_counts(self) -> Counter[tuple[bool, RejectionReason]]:
        """Return a copy of the counts of rejected transactions. A key is whether the transaction was local, and the
        reason. A key that never came counts 0."""
        with self._lock:
            return self._rejected.copy()
