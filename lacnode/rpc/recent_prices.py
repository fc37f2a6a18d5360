"""The gas prices of the last blocks, counted once, so that the blocks are not read again for every wallet that asks.

A block is counted when it is imported. Only after a start, blocks are read: a few in each call, the newest first, by one
caller at a time. Counts are stored by block number, because final blocks do not change. Safe to use from several threads.
"""

import threading
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from lacnode.chain.chain_history import ChainHistory
from lacnode.primitives.transaction import Transaction

if TYPE_CHECKING:
    # Reader processes load this module, and need no chain that imports blocks.
    from lacnode.chain.blockchain import NewHead

READ_SECONDS = 0.1
"""Processor time after which one call reads no further block. A block of 2 MiB alone takes half a second."""

MAX_BLOCK_PRICES = 256
"""Number of different prices that are kept of one block. A block may have ten thousand, and a hundred blocks are kept."""


@dataclass(frozen=True, slots=True)
class PriceCounts:
    """How often each price occurs, from wei per gas to its count. `gas_prices` are those of transactions of types 0 and
    1. `tips` are the maximum priority fees of later types."""

    gas_prices: Counter[int]
    tips: Counter[int]


class RecentPrices:
    """Counts the prices in the last `blocks` blocks of `history`, for the price that is proposed to clients. In a block
    with more than `MAX_BLOCK_PRICES` different prices, neighbouring prices count as one."""

    def __init__(self, history: ChainHistory, blocks: int) -> None:
        self._history = history
        self._blocks = blocks
        self._reading = threading.Lock()
        self._lock = threading.Lock()
        self._counts: dict[int, PriceCounts] = {}

    def block_imported(self, new_head: "NewHead") -> None:
        """Count the prices of an imported block, which then need not be read. The counts of blocks before the last
        `blocks` are dropped."""
        head, counted = new_head.header.number, _counted(new_head.block.transactions)
        with self._lock:
            self._counts = {
                number: counts for number, counts in self._counts.items() if head - self._blocks < number < head
            }
            self._counts[head] = counted

    def count_prices(self, head: int) -> PriceCounts:
        """Return the prices of the last `blocks` blocks up to number `head`, as far as they are counted. Blocks that
        are not counted yet are read now, the newest first, for about `READ_SECONDS` of processor time at most. While
        another caller reads blocks, none is read here. The counts of earlier blocks are dropped."""
        first = max(0, head - self._blocks + 1)
        self._read_missing(first, head)
        with self._lock:
            self._counts = {number: counts for number, counts in self._counts.items() if number >= first}
            counted = [counts for number, counts in self._counts.items() if number <= head]
        total = PriceCounts(Counter(), Counter())
        for counts in counted:
            total.gas_prices.update(counts.gas_prices)
            total.tips.update(counts.tips)
        return total

    def _read_missing(self, first: int, head: int) -> None:
        # A second caller does not wait: decoding a hundred full blocks takes most of a minute, and the callers would hold
        # all worker threads.
        if not self._reading.acquire(blocking=False):
            return
        try:
            until = time.thread_time() + READ_SECONDS
            for number in range(head, first - 1, -1):
                if number in self._counts:
                    continue
                block = self._history.block_at(number)
                counted = _counted(() if block is None else block.transactions)
                with self._lock:
                    self._counts[number] = counted
                if time.thread_time() > until:
                    return
        finally:
            self._reading.release()


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
    return PriceCounts(_thinned(counts.gas_prices), _thinned(counts.tips))


def _thinned(counts: Counter[int]) -> Counter[int]:
    """Return `counts` with at most `MAX_BLOCK_PRICES` prices: neighbouring prices count as the middle one of them."""
    if len(counts) <= MAX_BLOCK_PRICES:
        return counts
    prices = sorted(counts)
    together = -(-len(prices) // MAX_BLOCK_PRICES)
    runs = [prices[start : start + together] for start in range(0, len(prices), together)]
    return Counter({run[len(run) // 2]: sum(counts[price] for price in run) for run in runs})
