"""Both engines on the blocks and calls that the native one can execute: py-evm's outcome counts, and a different
outcome of the native engine is noted. Traces, private messages and executions of `with_nodes` are py-evm's alone.

It is slower than py-evm alone: it is for a node that watches the engines, not for a network's speed.
"""

from collections.abc import Callable, Mapping, Sequence

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.call_differences import CallOutcome, differing_call_fields
from lacnode.evm.engine import (
    BOTH,
    NATIVE,
    PYTHON,
    AncestorHash,
    CallRequest,
    CallResult,
    ExecutedBlock,
    ExecutionError,
    NodeStore,
    OpenBlock,
)
from lacnode.evm.engine_differences import EngineDifferences, Outcome, outcomes_differ
from lacnode.evm.native_engine import NativeEngine, make_reexecution
from lacnode.evm.private_message import PrivateMessage, PrivateResult
from lacnode.evm.py_evm_block import PyEvmBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.py_evm_tracing_executor import PyEvmTracingExecutor
from lacnode.evm.python_states import PythonStates
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.trace_record import TraceAllowance
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction


class CrossCheckedPyEvmEngine(PythonStates):
    """py-evm and the native library on the states in `store`, by the rules of `spec`.

    Every answer is py-evm's. A difference is recorded in `differences` and never raised.
    """

    def __init__(
        self, spec: ChainSpec, store: NodeStore, budget: ExecutionBudget, differences: EngineDifferences
    ) -> None:
        super().__init__(PyEvmEngine(spec, store, budget))
        self._spec = spec
        self._store = store
        self._native = NativeEngine(spec, store, budget, differences)
        self._differences = differences

    @property
    def name(self) -> str:
        """The word `both`, by which the option `--evm` names this engine."""
        return BOTH

    def with_nodes(self, nodes: Mapping[bytes, bytes]) -> PyEvmEngine:
        """An engine that finds `nodes` (trie nodes and codes by hash, 32 bytes) before those of its store. It is py-evm
        alone: its executions are not compared."""
        return self._python.with_nodes(nodes)

    def tracing_executor(
        self, ancestor_hash: AncestorHash, budget: ExecutionBudget = UNLIMITED, allowance: TraceAllowance | None = None
    ) -> PyEvmTracingExecutor:
        """An executor for the traces of one RPC call. It uses py-evm alone: traces are not compared. `budget` bounds its
        time, and `allowance` its steps and bytes. None stands for a new allowance with the usual limits."""
        return self._python.tracing_executor(ancestor_hash, budget, allowance)

    def execute(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Execute a whole block on the state at `parent_state_root` (32 bytes) on both engines, one after the other,
        and return py-evm's outcome. A difference is recorded. ExecutionError if py-evm refuses the block,
        ExecutionInterruptedError if `budget` ends while one of the two executes, MissingNodeError if the store does not
        have the state."""
        block = (parent_state_root, header, transactions, ancestor_hash)
        expected: Outcome
        try:
            expected = self._python.execute(*block, budget)
        except ExecutionError as error:
            # A refusal is an outcome too: the native engine must refuse the same block.
            expected = error
        # Compared before the error is raised: a block that py-evm alone refuses would otherwise go unnoticed.
        self._compare(*block, expected, budget)
        if isinstance(expected, ExecutionError):
            raise expected
        return expected

    def _compare(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        expected: Outcome,
        budget: ExecutionBudget,
    ) -> None:
        block = (parent_state_root, header, transactions, ancestor_hash)
        # `execute` would fall back to py-evm, and py-evm agrees with itself.
        found = self._native.execute_natively_or_none(*block, budget)
        if found is not None and outcomes_differ(expected, found):
            outcomes = {PYTHON: expected, NATIVE: found}
            self._differences.record_difference(
                self._spec, self._store, *block, outcomes, make_reexecution(self._spec, *block)
            )

    def outcome_of_contradicted_block(
        self,
        executed: ExecutedBlock,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Return `executed`. It decides about the block, because py-evm gave it, and only py-evm may refuse a block.
        The header is not compared here."""
        return executed

    def open_block(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        ancestor_hash: AncestorHash,
        *,
        within_limits: bool = False,
    ) -> OpenBlock:
        """Begin a block on py-evm and the state at `parent_state_root` (32 bytes), with the number, timestamp,
        coinbase, gas limit and base fee of `header`. When the block is closed, the native engine executes it too, and a
        difference is recorded. `within_limits` keeps the memory and the logs of its transactions within the limits for
        a block. SystemCallError if a call that begins every block fails."""

        def compare(transactions: Sequence[Transaction], executed: ExecutedBlock, budget: ExecutionBudget) -> None:
            self._compare(parent_state_root, header, transactions, ancestor_hash, executed, budget)

        block = self._python.open_block(parent_state_root, header, ancestor_hash, within_limits=within_limits)
        return _ComparedBlock(block, compare)

    def call(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallResult:
        """Return py-evm's outcome of `call` on the state at `state_root` (32 bytes), in the environment of `header`.
        The native engine makes the call too, and a difference is recorded. TransactionRejectedError if the call could
        not begin, OverrideError, CallLimitExceededError and ExecutionCancelledError as in `ExecutionEngine.call`."""
        outcome: CallOutcome
        try:
            outcome = self._python.call(state_root, header, call, ancestor_hash)
        except TransactionRejectedError as rejected:
            # A rejection is an outcome too. A call that was interrupted, or has wrong overrides, has none.
            outcome = rejected
        found = self._native.call_natively_or_none(state_root, header, call, ancestor_hash)
        if found is not None and (unlike := differing_call_fields(outcome, found)):
            self._differences.record_call_difference(header, call, unlike)
        if isinstance(outcome, TransactionRejectedError):
            raise outcome
        return outcome


class _ComparedBlock:
    """A block on py-evm (see `engine.OpenBlock`). `compare` is called with its outcome when it is closed."""

    def __init__(
        self,
        block: PyEvmBlock,
        compare: Callable[[Sequence[Transaction], ExecutedBlock, ExecutionBudget], None],
    ) -> None:
        self._block = block
        self._compare = compare
        self._transactions: list[Transaction] = []

    @property
    def gas_left(self) -> int:
        """Gas that transactions may still ask for."""
        return self._block.gas_left

    @property
    def estimated_closing_seconds(self) -> float:
        """About how long `close` will take on py-evm."""
        return self._block.estimated_closing_seconds

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """Execute `transaction` on py-evm."""
        receipt = self._block.add(transaction, sender, budget)
        # Only transactions that are in the block: py-evm has raised an error for the others.
        self._transactions.append(transaction)
        return receipt

    def close(self, budget: ExecutionBudget = UNLIMITED) -> ExecutedBlock:
        """Close the block, and return py-evm's outcome. The native engine executes the block too. The errors are those
        of `OpenBlock.close`: `budget` bounds both executions."""
        executed = self._block.close(budget)
        self._compare(self._transactions, executed, budget)
        return executed

    def execute_private(
        self,
        store: NodeStore,
        root: bytes,
        message: PrivateMessage,
        *,
        marker: tuple[Transaction, bytes] | None = None,
        deadline: float | None = None,
        budget: ExecutionBudget = UNLIMITED,
    ) -> PrivateResult:
        """Execute `message` on py-evm."""
        return self._block.execute_private(store, root, message, marker=marker, deadline=deadline, budget=budget)
