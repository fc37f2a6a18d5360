"""The gas prices of the last blocks, counted once, so that the blocks are not read again for every wallet that asks.

Counts are stored by block number, because final blocks do not change. Safe to use from several threads.
"""

import threading
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lacnode.chain.chain_history import ChainHistory
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class PriceCounts:
    """How often each price occurs, from wei per gas to its count. `gas_prices` are those of transactions of types 0 and
    1. `tips` are the maximum priority fees of later types."""

    gas_prices: Counter[int]
    tips: Counter[int]


class RecentPrices:
    """Counts the prices in the last blocks of `history`, for the price that is proposed to clients. Safe to use from
    several threads."""

    def __init__(self, history: ChainHistory) -> None:
        self._history = history
        self._lock = threading.Lock()
        self._counts: dict[int, PriceCounts] = {}

    def count_prices(self, first: int, end: int) -> PriceCounts:
        """Return the prices of the blocks with the numbers from `first` up to, but without, `end`. A number above the
        head counts as an empty block. Blocks that were counted before are not read again. The counts of blocks before
        `first` are dropped."""
        # The lock is held while blocks are read. A second caller would read the same blocks, so it waits instead.
        with self._lock:
            self._counts = {number: counted for number, counted in self._counts.items() if number >= first}
            total = PriceCounts(Counter(), Counter())
            for number in range(first, end):
                if number not in self._counts:
                    block = self._history.block_at(number)
                    self._counts[number] = _counted(() if block is None else block.transactions)
                total.gas_prices.update(self._counts[number].gas_prices)
                total.tips.update(self._counts[number].tips)
            return total


def price_at_percentile(counts: Mapping[int, int], percent: float) -> int | None:
    """Return the price at `percent` (0 to 100) of all prices in ascending order, or None if there is none. `counts`
    says how often each price occurs."""
    total = sum(counts.values())
    place = min(total - 1, int(total * percent / 100))
    # Many transactions name the same price, so the prices are counted and the counts are walked through.
    for price in sorted(counts):
        place -= counts[price]
        if place < 0:
            return price
    return None


def _counted(transactions: Iterable[Transaction]) -> PriceCounts:
    counts = PriceCounts(Counter(), Counter())
    for transaction in transactions:
        if transaction.gas_price is not None:
            counts.gas_prices[transaction.gas_price] += 1
        elif transaction.max_priority_fee_per_gas is not None:
            counts.tips[transaction.max_priority_fee_per_gas] += 1
    return counts
