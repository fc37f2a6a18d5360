"""The speed with which this node executed the last blocks of other validators, and the gas of a block that it proposes.

Every validator has to execute a proposal before it is final. A proposer that filled blocks by its own time alone would be
ahead of slower hours of the same machine, and rounds would end without a block.
"""

import threading
from collections import deque

from lacnode.primitives.block import Block

REMEMBERED_BLOCKS = 16
"""Blocks whose speed is remembered."""

SPEED_PERCENTILE = 40
"""The percentile of the speeds of these blocks that counts, by weight: most of the weight was faster. It is above a third,
so that the blocks of faulty validators alone, which may be slow on purpose, do not decide it."""

EXECUTION_SHARE = 0.3
"""The part of the block period that the other validators may need to execute a proposal. Selecting, closing, importing and
the messages of the round need the rest."""

TELLING_SHARE = 0.1
"""A block tells the speed if it took this part of `EXECUTION_SHARE`. A shorter one tells it if it had at least half of the
gas of the budget: without these, a small budget would never grow again."""

MAX_SHORT_RISE = 2
"""A block that did not take `TELLING_SHARE` counts at most as this many times the speed that is known. Gas can be burnt in
no time, and says nothing about a block that is executed."""

LEAST_GAS = 2_000_000
"""The smallest budget in gas. A block with less gas than half of it tells nothing: what a block costs besides its gas, or a
moment in which the machine did other work, would count as slowness."""


class ExecutionSpeed:
    """The speeds of the last blocks, in gas a second. Safe to use from several threads.

    The weight of a block is the smaller one of two parts, at most 1: its part of the seconds that a proposal may take, and
    its part of the gas of the budget. Much gas in no time weighs little, and little gas that takes long weighs little.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._samples: deque[tuple[float, float]] = deque(maxlen=REMEMBERED_BLOCKS)
        """The speed and the weight of each block."""

    @property
    def percentile_gas_per_second(self) -> int | None:
        """The speed below which `SPEED_PERCENTILE` percent of the weight of the last blocks lies, in gas a second. None
        before a block counted."""
        with self._lock:
            samples = sorted(self._samples)
        left = sum(weight for _, weight in samples) * SPEED_PERCENTILE / 100
        for speed, weight in samples:
            left -= weight
            if left < 0:
                return int(speed)
        return None

    def gas_budget(self, period_seconds: float) -> int | None:
        """The gas after which a proposal takes no more transactions, for this block period: at least `LEAST_GAS`. None,
        for no bound, before a block counted."""
        speed = self.percentile_gas_per_second
        return None if speed is None else max(LEAST_GAS, int(speed * EXECUTION_SHARE * period_seconds))

    def count_executed(self, block: Block, seconds: float, period_seconds: float) -> None:
        """Record that the execution of `block` took `seconds`, in a chain with this block period. A block with less gas
        than half of `LEAST_GAS` is ignored. So is one that took less than `TELLING_SHARE` of the time that a proposal
        may take, unless it has at least half of the gas of the budget: then it counts with at most `MAX_SHORT_RISE`
        times the speed that is known."""
        gas_used, known, budget = block.header.gas_used, self.percentile_gas_per_second, self.gas_budget(period_seconds)
        share_seconds = EXECUTION_SHARE * period_seconds
        is_long = seconds >= TELLING_SHARE * share_seconds
        is_full = budget is not None and gas_used >= budget / 2
        if gas_used < LEAST_GAS / 2 or seconds <= 0 or not (is_long or is_full):
            return
        speed = gas_used / seconds
        if known is not None and not is_long:
            speed = min(speed, MAX_SHORT_RISE * known)
        weight = min(1.0, seconds / share_seconds, 1.0 if budget is None else gas_used / budget)
        with self._lock:
            self._samples.append((speed, weight))
