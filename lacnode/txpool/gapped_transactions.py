"""The pooled transactions that no block can have yet, because the pool lacks an earlier transaction of their sender.

They cost their sender nothing, so they leave a full pool before all others. Besu's layered pool does the same.
"""

from itertools import chain

from lacnode.txpool.pooled_transaction import PooledTransaction


class GappedTransactions:
    """Transactions with a nonce gap before them, in the order in which they leave a full pool: first those without priority,
    and of these the one that has waited longest. It has no lock of its own."""

    def __init__(self) -> None:
        # A dictionary keeps the order in which they came. A gap of an honest sender closes soon, so the newest stay.
        self._ordinary: dict[bytes, PooledTransaction] = {}
        self._with_priority: dict[bytes, PooledTransaction] = {}
        self.memory_bytes = 0
        """What all transactions together take in memory."""

    def __contains__(self, pooled: PooledTransaction) -> bool:
        return pooled.transaction.hash in self._those_like(pooled)

    def add(self, pooled: PooledTransaction) -> None:
        """Add `pooled`, which must not be here yet."""
        self._those_like(pooled)[pooled.transaction.hash] = pooled
        self.memory_bytes += pooled.memory_bytes

    def remove(self, pooled: PooledTransaction) -> None:
        """Remove `pooled`. KeyError if it is not here."""
        del self._those_like(pooled)[pooled.transaction.hash]
        self.memory_bytes -= pooled.memory_bytes

    def first_to_leave(self, longer_than: int = 0) -> PooledTransaction | None:
        """Return the first transaction that takes more than `longer_than` bytes of memory, None if there is none. It is
        not removed."""
        those = chain(self._ordinary.values(), self._with_priority.values())
        return next((pooled for pooled in those if pooled.memory_bytes > longer_than), None)

    def _those_like(self, pooled: PooledTransaction) -> dict[bytes, PooledTransaction]:
        return self._with_priority if pooled.priority else self._ordinary
