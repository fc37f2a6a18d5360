"""The border between the RPC methods that show traces and the engines that make them.

A tracing executor executes blocks and calls again, and returns what they did as data (`lacnode/evm/trace_record.py`).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import AncestorHash, CallRequest, ExecutionEngine
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.trace_record import RecordingOptions, TraceAllowance, TracedTransaction
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


@dataclass(frozen=True, slots=True)
class BlockToTrace:
    """A block to trace: its header, its transactions in order, and the root (32 bytes) of the state before it."""

    parent_state_root: bytes
    header: BlockHeader
    transactions: Sequence[Transaction]


class TracingExecutor(Protocol):
    """Executes blocks and calls for one RPC call, and yields records of what they did. A record is yielded when its
    transaction or call is over: nothing is called for a single step. All executions share one budget and one
    `TraceAllowance`. Nothing is stored."""

    def trace_block(
        self, block: BlockToTrace, options: RecordingOptions, first: int = 0
    ) -> Iterator[TracedTransaction]:
        """Execute the transactions of `block` again and yield the records of those from the index `first` on, in order.
        Those before it are executed, but not recorded. The results are not compared with the header.

        Raises ExecutionError if a transaction cannot be in the block, TraceTooLargeError if more is recorded than may
        be, ExecutionInterruptedError if the budget is used up or cancelled. MissingNodeError if the store does not have
        the state.
        """
        ...

    def trace_calls(
        self, header: BlockHeader, calls: Sequence[tuple[CallRequest, RecordingOptions]]
    ) -> Iterator[TracedTransaction]:
        """Execute `calls` on the state after `header`, each on the state that the call before left, and yield their
        records in order. Nothing is stored. Raises TransactionRejectedError if one could not begin, OverrideError if
        its overrides cannot be applied, TraceTooLargeError if more is recorded than may be, ExecutionInterruptedError
        if the budget is used up or cancelled, or if a call takes too much memory. MissingNodeError if the store does
        not have the state."""
        ...

    def accounts_after(self, block: BlockToTrace, count: int) -> Accounts:
        """Execute the first `count` transactions of `block` again, and return the accounts after them. Raises
        ExecutionError if one of them cannot be in the block, ExecutionInterruptedError if the budget is used up or
        cancelled. MissingNodeError if the store does not have the state."""
        ...

    def state_entries(self, state_root: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the accounts of the state at `state_root` (32 bytes), ascending by the hash of the address, from the
        hash `start` (32 bytes) on: each as the hash of its address (32 bytes) and the account in RLP. Nothing is
        executed. MissingNodeError, when the iteration comes to it, if the store does not have the whole state."""
        ...


class TracingEngine(ExecutionEngine, Protocol):
    """An execution engine that can also record what it executes."""

    def tracing_executor(
        self, ancestor_hash: AncestorHash, budget: ExecutionBudget = UNLIMITED, allowance: TraceAllowance | None = None
    ) -> TracingExecutor:
        """An executor for the traces of one RPC call, within `budget` and `allowance`. None stands for a new allowance
        with the usual limits. `ancestor_hash` gives the hashes for BLOCKHASH."""
        ...
