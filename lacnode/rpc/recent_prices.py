"""What the gas prices of the last blocks were, without reading the blocks again for every wallet that asks.

Counted by block number: final blocks do not change. Safe from any thread.
"""

import threading
from collections import Counter

from lacnode.chain.history import History
from lacnode.primitives.transaction import Transaction


class RecentPrices:
    """Prices of `history`'s transactions that name one: types 0 and 1."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._counts: dict[int, Counter[int]] = {}

    def counts(self, first: int, end: int) -> Counter[int]:
        """How often each price, in wei, occurs in the blocks from `first` up to, but without, `end`. Earlier blocks are
        forgotten."""
        with self._lock:
            self._counts = {number: counted for number, counted in self._counts.items() if number >= first}
            total: Counter[int] = Counter()
            for number in range(first, end):
                if number not in self._counts:
                    block = self._history.block_at(number)
                    self._counts[number] = _counted(() if block is None else block.transactions)
                total.update(self._counts[number])
            return total


def _counted(transactions: tuple[Transaction, ...]) -> Counter[int]:
    return Counter(transaction.gas_price for transaction in transactions if transaction.gas_price is not None)
