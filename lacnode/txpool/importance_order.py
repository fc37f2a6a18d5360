"""The pool's transactions from the most to the least important, kept in order as they come and go.

Holds no lock of its own. A sorted list: the pool holds thousands, and moving their references costs microseconds.
"""

from bisect import bisect_left, insort

from lacnode.txpool.pooled_transaction import PooledTransaction, Rank

Ranked = tuple[Rank, PooledTransaction]


class ImportanceOrder:
    """Ranks under one base fee at a time; a new one ranks everything anew."""

    def __init__(self) -> None:
        self._base_fee: int | None = None
        self._ranked: list[Ranked] = []
        self.raw_bytes = 0
        """Bytes of all the transactions together."""

    def add(self, pooled: PooledTransaction, base_fee: int | None) -> None:
        if base_fee != self._base_fee:
            self._base_fee = base_fee
            self._ranked = sorted((_ranked(other, base_fee) for _, other in self._ranked), key=_rank)
        insort(self._ranked, _ranked(pooled, base_fee), key=_rank)
        self.raw_bytes += len(pooled.transaction.raw)

    def remove(self, pooled: PooledTransaction) -> None:
        """Take out `pooled`, which is in the order."""
        del self._ranked[bisect_left(self._ranked, pooled.rank(self._base_fee), key=_rank)]
        self.raw_bytes -= len(pooled.transaction.raw)

    def least(self, longer_than: int = 0) -> PooledTransaction:
        """The first to go when there is no room, of those with more than `longer_than` bytes. There must be one."""
        return next(pooled for _, pooled in reversed(self._ranked) if len(pooled.transaction.raw) > longer_than)


def _ranked(pooled: PooledTransaction, base_fee: int | None) -> Ranked:
    return pooled.rank(base_fee), pooled


def _rank(ranked: Ranked) -> Rank:
    return ranked[0]
