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
"""The percentile of the speeds of these blocks that counts: most blocks were faster. It is above a third, so that the blocks
of faulty validators alone, which may be slow on purpose, do not decide it."""

EXECUTION_SHARE = 0.3
"""The part of the block period that the other validators may need to execute a proposal. Selecting, closing, importing and
the messages of the round need the rest."""

TELLING_SHARE = 0.1
"""A block tells the speed if it took this part of `EXECUTION_SHARE`. A shorter one tells it if it had at least half of the
gas of the budget: without these, a small budget would never grow again."""

LEAST_GAS = 2_000_000
"""The smallest budget in gas. A block with less gas than half of it tells nothing: what a block costs besides its gas, or a
moment in which the machine did other work, would count as slowness."""


class ExecutionSpeed:
    """The speeds of the last blocks, in gas a second. Safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._speeds: deque[float] = deque(maxlen=REMEMBERED_BLOCKS)

    @property
    def gas_per_second(self) -> int | None:
        """The speed that `SPEED_PERCENTILE` of the last blocks did not reach. None before a block has told it."""
        with self._lock:
            speeds = sorted(self._speeds)
        return int(speeds[len(speeds) * SPEED_PERCENTILE // 100]) if speeds else None

    def gas_budget(self, period_seconds: float) -> int | None:
        """The gas after which a proposal takes no more transactions, for a block period. None if there is no bound."""
        speed = self.gas_per_second
        return None if speed is None else max(LEAST_GAS, int(speed * EXECUTION_SHARE * period_seconds))

    def count_executed(self, block: Block, seconds: float, period_seconds: float) -> None:
        """`block` was executed in `seconds`."""
        gas_used, budget = block.header.gas_used, self.gas_budget(period_seconds)
        is_long = seconds >= TELLING_SHARE * EXECUTION_SHARE * period_seconds
        is_full = budget is not None and gas_used >= budget / 2
        if gas_used >= LEAST_GAS / 2 and seconds > 0 and (is_long or is_full):
            with self._lock:
                self._speeds.append(gas_used / seconds)
