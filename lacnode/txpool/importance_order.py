"""The pooled transactions in order, from the most to the least important.

This class has no lock of its own. It is a sorted list: a pool has thousands of transactions, and moving their references
costs microseconds.
"""

from bisect import bisect_left, insort

from lacnode.txpool.pooled_transaction import PooledTransaction, Rank

Ranked = tuple[Rank, PooledTransaction]


class ImportanceOrder:
    """The pooled transactions by rank, for one base fee at a time. A new base fee ranks all transactions again. It has
    no lock."""

    def __init__(self) -> None:
        self.base_fee: int | None = None
        """The base fee by which the transactions are ranked now, in wei per gas. None before London."""
        self._ranked: list[Ranked] = []
        self.memory_bytes = 0
        """What all transactions together take in memory."""

    def add(self, pooled: PooledTransaction, base_fee: int | None) -> None:
        """Add `pooled`, which must not be in the order. `base_fee` is in wei per gas, None before London. If it differs
        from the one before, all transactions are ranked again."""
        # The price that a transaction pays depends on the base fee, so the old order may be wrong.
        if base_fee != self.base_fee:
            self.base_fee = base_fee
            self._ranked = sorted((_ranked(other, base_fee) for _, other in self._ranked), key=_rank)
        insort(self._ranked, _ranked(pooled, base_fee), key=_rank)
        self.memory_bytes += pooled.memory_bytes

    def remove(self, pooled: PooledTransaction) -> None:
        """Remove `pooled`, which must be in the order. Otherwise another transaction is removed, or IndexError is
        raised."""
        # By its rank: the ranks are unique, so a binary search finds it.
        del self._ranked[bisect_left(self._ranked, pooled.rank(self.base_fee), key=_rank)]
        self.memory_bytes -= pooled.memory_bytes

    def least_important(self, longer_than: int = 0) -> PooledTransaction:
        """Return the least important transaction that takes more than `longer_than` bytes of memory. It stays in the
        order. StopIteration if there is none."""
        return next(pooled for _, pooled in reversed(self._ranked) if pooled.memory_bytes > longer_than)


def _ranked(pooled: PooledTransaction, base_fee: int | None) -> Ranked:
    return pooled.rank(base_fee), pooled


def _rank(ranked: Ranked) -> Rank:
    return ranked[0]
