"""Counts of executed and imported blocks, for the metrics, and their speed. Must not decide anything."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from lacnode.chain.execution_speed import ExecutionSpeed
from lacnode.primitives.block import Block


class ExecutionCounters:
    """Counts since the start, all 0 before the first block. Written under the lock of the chain's writer, read by any
    thread.

    `executed_blocks`, `executed_gas` and `executed_seconds` are of the blocks that this node executed without building
    them: proposals of others, and imports. A block that is checked as a proposal and then imported counts once. `speed`
    is made of the same executions. The counts of imports have all imported blocks, also those that this node built.
    """

    def __init__(self) -> None:
        self.speed = ExecutionSpeed()
        self.executed_blocks = 0
        self.executed_gas = 0
        self.executed_seconds = 0.0
        self.imported_blocks = 0
        self.imported_gas = 0
        self.imported_transactions = 0
        self.head_transactions = 0
        """Transactions of the block that was imported last."""

    @contextmanager
    def count_execution(self, block: Block, block_period_ms: int) -> Iterator[None]:
        """Count the execution of `block` that happens inside this context, with the seconds that it takes, here and in
        `speed`. An execution that ends in an error is not counted."""
        began = time.monotonic()
        yield
        seconds = time.monotonic() - began
        self.executed_blocks += 1
        self.executed_gas += block.header.gas_used
        self.executed_seconds += seconds
        self.speed.count_executed(block, seconds, block_period_ms / 1000)

    def count_imported(self, block: Block) -> None:
        """Count an imported block with its transactions and the gas that it used."""
        self.imported_blocks += 1
        self.imported_gas += block.header.gas_used
        self.imported_transactions += len(block.transactions)
        self.head_transactions = len(block.transactions)
