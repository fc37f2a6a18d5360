"""Counts of executed and imported blocks, for the metrics. Must not decide anything."""

from lacnode.primitives.block import Block


class ExecutionCounters:
    """Counts since the start. Written under the lock of the chain's writer, read by any thread.

    `gas` and `seconds` are of the blocks that this node executed without building them: proposals of others, and
    imports. A block is executed once.
    """

    def __init__(self) -> None:
        self.executed_blocks = 0
        self.executed_gas = 0
        self.executed_seconds = 0.0
        self.imported_blocks = 0
        self.imported_gas = 0
        self.imported_transactions = 0
        self.head_transactions = 0
        """Transactions of the block that was imported last."""

    def count_executed(self, block: Block, seconds: float) -> None:
        """The chain has executed `block` in `seconds`."""
        self.executed_blocks += 1
        self.executed_gas += block.header.gas_used
        self.executed_seconds += seconds

    def count_imported(self, block: Block) -> None:
        """`block` is the head now."""
        self.imported_blocks += 1
        self.imported_gas += block.header.gas_used
        self.imported_transactions += len(block.transactions)
        self.head_transactions = len(block.transactions)
