"""A public block that is executed again up to a marker. Private transactions see its state behind their own."""

from lacnode.chain.chain_history import ChainHistory
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import ExecutionEngine, NodeStore
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.primitives.block import Block


class PublicHistoryMissingError(Exception):
    """A block, its receipts, or the block before it is missing. A private transaction cannot be executed without it.
    The text names the block."""


class PublicBlockExecution:
    """The execution of the public block `block`, which has the hash `hash_` (32 bytes), up to a marker. Nothing of it
    is stored. PublicHistoryMissingError if its receipts or the block before it are missing."""

    def __init__(self, history: ChainHistory, engine: ExecutionEngine, block: Block, hash_: bytes) -> None:
        receipt_records, parent = history.receipt_records_of(hash_), history.header_of(block.header.parent_hash)
        if receipt_records is None:
            raise PublicHistoryMissingError(f"what came of block 0x{hash_.hex()} is not there")
        if parent is None:
            raise PublicHistoryMissingError(f"block {block.number - 1} is not there")
        self.block = block
        # The senders were recovered from the signatures at the import. To recover them again would cost most of the time.
        self._senders = tuple(outcome.sender for outcome in receipt_records)
        # The same header as at the import. In IBFT 1 the coinbase of the header itself is not the creator of the block, and
        # a transaction that succeeded could be invalid here.
        seen = history.protocols.execution_header(block.header)
        self._open = engine.open_block(parent.state_root, seen, history.hash_at)
        self._done = 0

    def execute_up_to(self, index: int, budget: ExecutionBudget = UNLIMITED) -> None:
        """Execute the transactions before `index` that were not executed yet. No effect if all were. After
        ExecutionInterruptedError (`budget` ended) the finished ones stay. MissingNodeError if the state before the
        block is not kept."""
        while self._done < index:
            self._open.add(self.block.transactions[self._done], self._senders[self._done], budget)
            self._done += 1

    def execute_private(
        self, store: NodeStore, root: bytes, message: PrivateMessage, index: int, budget: ExecutionBudget
    ) -> PrivateResult:
        """Execute `message` on the private state at `root` (32 bytes), whose nodes are in `store`, at the marker at
        `index` of the block, and return the result with the new nodes. Nothing is stored.

        The block must have been executed up to that marker. TransactionRejectedError if the message cannot begin, for
        example by its nonce. ExecutionInterruptedError if `budget` is used up or cancelled. MissingNodeError if a state
        is not whole.
        """
        # The marker is passed too: its nonce and its gas are used when the private transaction begins.
        marker = (self.block.transactions[index], self._senders[index])
        return self._open.execute_private(store, root, message, marker=marker, budget=budget)
