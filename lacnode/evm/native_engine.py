"""The `ExecutionEngine` on the native library, with py-evm behind it.

py-evm executes what the library cannot (`native_rules`), and decides whether a block is refused: a block that the library
refuses, or for which it gives another outcome than the header, is executed by py-evm, and only py-evm's word counts. So no
validator votes against a block on the library's word alone.
"""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import SignatureError, recover_senders
from lacnode.evm.base_fee import blob_base_fee
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget
from lacnode.evm.call_differences import CallOutcome
from lacnode.evm.engine import (
    NATIVE,
    PYTHON,
    AncestorHash,
    CallRequest,
    CallResult,
    ExecutedBlock,
    ExecutionError,
    NodeStore,
    OpenBlock,
    OverlaidNodes,
    SystemCallError,
)
from lacnode.evm.engine_differences import EngineDifferences, Outcome, outcomes_differ
from lacnode.evm.native_block import NativeBlock
from lacnode.evm.native_call import call_fits_library, call_natively, to_call_limit_error
from lacnode.evm.native_library import native_library
from lacnode.evm.native_refusals import REFUSALS
from lacnode.evm.native_rules import is_left_to_python, reason_for_py_evm
from lacnode.evm.native_state import (
    NODE_CACHE_BYTES,
    OVERLAY_CACHE_BYTES,
    CurrentBudget,
    make_node_cache,
    open_native_block,
    store_parent_hash_natively,
)
from lacnode.evm.native_tracing_executor import NativeTracingExecutor
from lacnode.evm.py_evm_block import new_py_evm_state
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.py_evm_native_accounts import NativeAccounts
from lacnode.evm.py_evm_tracing_executor import PyEvmTracingExecutor
from lacnode.evm.python_states import PythonStates
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.trace_record import TraceAllowance
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


class NativeEngine(PythonStates):
    """Executes on the states in `store`, by the rules of `spec`. Cancelling `budget` stops every execution.
    NativeLibraryError if there is no library that fits."""

    def __init__(
        self,
        spec: ChainSpec,
        store: NodeStore,
        budget: ExecutionBudget = UNLIMITED,
        differences: EngineDifferences | None = None,
        *,
        cache_bytes: int = NODE_CACHE_BYTES,
    ) -> None:
        super().__init__(PyEvmEngine(spec, store, budget))
        self._differences = EngineDifferences() if differences is None else differences
        self._spec = spec
        self._store = store
        self._budget = budget
        self._nodes = make_node_cache(store, cache_bytes)

    @property
    def name(self) -> str:
        """The word `native`, by which the option `--evm` names this engine."""
        return NATIVE

    def with_nodes(self, nodes: Mapping[bytes, bytes]) -> "NativeEngine":
        """An engine that finds `nodes` (trie nodes and codes by hash, 32 bytes) before those of its store. It has a
        small cache of its own."""
        store = OverlaidNodes(nodes, self._store)
        return NativeEngine(self._spec, store, self._budget, self._differences, cache_bytes=OVERLAY_CACHE_BYTES)

    # -- blocks ----------------------------------------------------------------------------------------------------------

    def execute(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
    ) -> ExecutedBlock:
        """Execute a whole block on the state at `parent_state_root` (32 bytes) and return its outcome. The library
        executes it, or py-evm where the library cannot or refuses it, and for an empty block before Prague. The results
        in `header` are not compared. ExecutionError if py-evm refuses the block, ExecutionInterruptedError if `budget`
        is used up or cancelled, MissingNodeError if the store does not have the state."""
        block = (parent_state_root, header, transactions, ancestor_hash)
        found = self.execute_natively_or_none(*block, budget) if self._is_worth_it(header, transactions) else None
        # The caller compares it with the header, and asks `outcome_of_contradicted_block` before it refuses the block.
        if isinstance(found, ExecutedBlock):
            return found
        # The library refused the block, or could not execute it. Only py-evm's word refuses a block.
        executed = self._python.execute(*block, budget)
        if found is not None:
            self._note(*block, executed, found)
        return executed

    def _note(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        expected: Outcome,
        found: Outcome,
    ) -> None:
        block = (parent_state_root, header, transactions, ancestor_hash)
        if outcomes_differ(expected, found):
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
        """Return py-evm's outcome of a block whose header contradicts `executed`: the header is not compared here. The
        block is on the state at `parent_state_root` (32 bytes). py-evm executes it, unless it gave `executed` itself. A
        difference is recorded. ExecutionError if py-evm refuses the block, ExecutionInterruptedError if `budget` is
        used up or cancelled."""
        # py-evm has executed it already. A second run would give the same.
        if executed.executed_by == PYTHON:
            return executed
        block = (parent_state_root, header, transactions, ancestor_hash)
        try:
            judged = self._python.execute(*block, budget)
        except ExecutionError as error:
            # py-evm refuses what the library executed: the engines differ, and the header does not matter for that.
            self._note(*block, error, executed)
            raise
        self._note(*block, judged, executed)
        return judged

    def _is_worth_it(self, header: BlockHeader, transactions: Sequence[Transaction]) -> bool:
        fork = self._spec.forks.fork_at(header.number, header.timestamp)
        # py-evm sees at once that an empty block before Prague changes nothing. Opening a native block costs more.
        return (bool(transactions) or fork >= Fork.PRAGUE) and reason_for_py_evm(self._spec, header) is None

    def execute_natively_or_none(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        transactions: Sequence[Transaction],
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget,
    ) -> Outcome | None:
        """Return the library's outcome of a block on the state at `parent_state_root` (32 bytes), without py-evm. It
        may be an ExecutionError, returned and not raised, that refuses the block. None if the library cannot execute
        the block. ExecutionInterruptedError if `budget` is used up or cancelled."""
        if reason_for_py_evm(self._spec, header) is not None or is_left_to_python(transactions, self._spec):
            return None
        library = native_library()
        try:
            # All senders at once: the library recovers them on several threads, without Python's lock.
            senders = recover_senders(transactions, library.recover_senders)
            block = self._native_block(parent_state_root, header, ancestor_hash, budget, within_limits=False)
            block.execute_all(list(transactions), senders, budget)
            return block.close_natively(budget)
        # A refusal is an outcome, and not an error of the library. It must be caught before `NativeError`, its base
        # class.
        except library.RefusedError as refused:
            reason = REFUSALS.get(str(refused))
            return ExecutionError(str(refused) if reason is None else reason.name)
        except SignatureError as error:
            return ExecutionError(str(error))
        except ExecutionError as error:
            return error
        except library.NativeError as error:
            self._differences.record_if_panic(error, "executes the block")
        return None

    def open_block(
        self,
        parent_state_root: bytes,
        header: BlockHeader,
        ancestor_hash: AncestorHash,
        *,
        within_limits: bool = False,
    ) -> OpenBlock:
        """Begin a block on the state at `parent_state_root` (32 bytes), with the number, timestamp, coinbase, gas limit
        and base fee of `header`: on the library, or on py-evm where the library cannot. `within_limits` keeps the
        memory and the logs of its transactions within the limits for a block. SystemCallError if a call that begins
        every block fails."""
        if reason_for_py_evm(self._spec, header) is None:
            try:
                return self._native_block(
                    parent_state_root, header, ancestor_hash, UNLIMITED, within_limits=within_limits
                )
            # py-evm begins the block again, and gives the error if it is a real one.
            except native_library().NativeError as error:
                self._differences.record_if_panic(error, "executes the block")
            except SystemCallError:
                pass
        return self._python.open_block(parent_state_root, header, ancestor_hash, within_limits=within_limits)

    def _native_block(
        self,
        root: bytes,
        header: BlockHeader,
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget,
        *,
        within_limits: bool,
    ) -> NativeBlock:
        spec, current = self._spec, CurrentBudget(self._budget.joined_with(budget))
        native = open_native_block(spec, self._nodes, root, header, ancestor_hash, current, base_fee=header.base_fee)
        store_parent_hash_natively(spec, native, header, current)
        # Beginning the block is done. Each transaction brings a budget of its own.
        current.budget = self._budget

        def public_state() -> Any:
            state = new_py_evm_state(spec, self._store, root, header, ancestor_hash, base_fee=header.base_fee)
            # A private message reads the accounts as they are in the open block, which only the library has.
            state._account_db = NativeAccounts(native)
            return state

        return NativeBlock(
            spec,
            header,
            native,
            current,
            blob_base_fee(spec, header),
            lambda: self._python.open_block(root, header, ancestor_hash, within_limits=within_limits),
            public_state,
            self._differences,
            within_limits=within_limits,
        )

    # -- calls -----------------------------------------------------------------------------------------------------------

    def call(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallResult:
        """Return the outcome of `call` on the state at `state_root` (32 bytes), in the environment of `header`: the
        library's, or py-evm's where the library cannot make the call. TransactionRejectedError if the call could not
        begin, OverrideError if its overrides cannot be applied, CallLimitExceededError if it took too long or too much
        memory, ExecutionCancelledError when the engine is stopped."""
        try:
            made = self._called(state_root, header, call, ancestor_hash)
        # py-evm is slower and has the same limits. It would exceed them too, so the caller gets the error at once.
        except BudgetExceededError as exceeded:
            raise to_call_limit_error(exceeded) from None
        return self._python.call(state_root, header, call, ancestor_hash) if made is None else made

    def call_natively_or_none(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallOutcome | None:
        """Return the library's outcome of `call` on the state at `state_root` (32 bytes), without py-evm: a result, or
        the TransactionRejectedError of a call that could not begin, returned and not raised. None where the library
        cannot make the call, or not in the time and the memory that the call may take. ExecutionCancelledError when the
        engine is stopped."""
        try:
            return self._called(state_root, header, call, ancestor_hash)
        except TransactionRejectedError as rejected:
            return rejected
        except BudgetExceededError:
            return None

    def _called(
        self, state_root: bytes, header: BlockHeader, call: CallRequest, ancestor_hash: AncestorHash
    ) -> CallResult | None:
        if reason_for_py_evm(self._spec, header) is not None or not call_fits_library(call, self._spec):
            return None
        library = native_library()
        try:
            return call_natively(self._spec, self._nodes, state_root, header, call, ancestor_hash, self._budget)
        except library.NativeError as error:
            self._differences.record_if_panic(error, "makes the call")
        return None

    # -- traces ----------------------------------------------------------------------------------------------------------

    def tracing_executor(
        self, ancestor_hash: AncestorHash, budget: ExecutionBudget = UNLIMITED, allowance: TraceAllowance | None = None
    ) -> NativeTracingExecutor:
        """Return an executor for the traces of one RPC call. `budget` bounds its time, and `allowance` its steps and
        bytes. None stands for a new allowance with the usual limits."""
        counted, joined = TraceAllowance() if allowance is None else allowance, self._budget.joined_with(budget)
        python = PyEvmTracingExecutor(self._spec, self._store, ancestor_hash, joined, counted)
        return NativeTracingExecutor(self._spec, self._nodes, python, ancestor_hash, joined, counted, self._differences)


def make_reexecution(
    spec: ChainSpec,
    parent_state_root: bytes,
    header: BlockHeader,
    transactions: Sequence[Transaction],
    ancestor_hash: AncestorHash,
) -> Callable[[NodeStore], None]:
    """Return a function that executes a block on the state at `parent_state_root` (32 bytes) on both engines, on any
    store, and drops the outcome. A recording store then has the nodes that the block reads. ExecutionErrors are
    ignored."""

    def execute(store: NodeStore) -> None:
        block = (parent_state_root, header, transactions, ancestor_hash)
        with contextlib.suppress(ExecutionError):
            PyEvmEngine(spec, store).execute(*block)
        NativeEngine(spec, store).execute_natively_or_none(*block, UNLIMITED)

    return execute
