"""Traces transactions and calls on py-evm, whose steps can be watched in Python.

It is the reference for traces, and makes those that `lacnode/evm/native_tracing_executor.py` leaves to it. This file must
not store anything.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import SignatureError
from lacnode.evm.budget import UNLIMITED, ExecutionBudget
from lacnode.evm.engine import AncestorHash, CallRequest, ExecutionError, NodeStore
from lacnode.evm.private_markers import sender_of
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_block import (
    BlockStart,
    PyEvmBlock,
    created_contract_address,
    gas_used_and_before_refund,
    new_py_evm_state,
    revert_reason,
    run_valid_transaction,
)
from lacnode.evm.py_evm_call_rules import checked_call
from lacnode.evm.py_evm_limits import limit_call_memory_and_logs
from lacnode.evm.py_evm_overrides import apply_overrides
from lacnode.evm.py_evm_recorder import TraceRecorder
from lacnode.evm.py_evm_state_changes import state_changes
from lacnode.evm.py_evm_traced_computation import make_traced_class
from lacnode.evm.py_evm_transaction import EvmTransaction
from lacnode.evm.rejection import TransactionRejectedError
from lacnode.evm.trace_record import RecordingOptions, TraceAllowance, TraceDetail, TracedTransaction
from lacnode.evm.tracing_executor import BlockToTrace
from lacnode.evm.transaction_validation import initcode_gas
from lacnode.evm.trie_range import trie_entries_from
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import Transaction


class PyEvmTracingExecutor:
    """Executes and records on py-evm and the states in `store`, by the rules of `spec` (a
    `tracing_executor.TracingExecutor`, with its errors). `ancestor_hash` gives hashes for BLOCKHASH. `allowance` None
    stands for a new one with the usual limits."""

    def __init__(
        self,
        spec: ChainSpec,
        store: NodeStore,
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget = UNLIMITED,
        allowance: TraceAllowance | None = None,
    ) -> None:
        self._spec = spec
        self._store = store
        self._ancestor_hash = ancestor_hash
        self._budget = budget
        self._allowance = TraceAllowance() if allowance is None else allowance

    def trace_block(
        self, block: BlockToTrace, options: RecordingOptions, first: int = 0
    ) -> Iterator[TracedTransaction]:
        """Execute the transactions of `block` again, and yield the records of those from the index `first` on, in
        order. The errors are those of `TracingExecutor.trace_block`."""
        opened = self._opened(block)
        for index, transaction in enumerate(block.transactions):
            recorder = TraceRecorder(options, self._allowance) if index >= first else None
            traced = opened.traced(index, transaction, recorder)
            if traced is not None:
                yield traced

    def accounts_after(self, block: BlockToTrace, count: int) -> Accounts:
        """Return the accounts after the first `count` transactions of `block`, which are executed again. The errors are
        those of `TracingExecutor.accounts_after`."""
        opened = self._opened(block)
        for index, transaction in enumerate(block.transactions[:count]):
            opened.traced(index, transaction, None)
        return opened.accounts

    def _opened(self, block: BlockToTrace) -> "_TracingBlock":
        root, header = block.parent_state_root, block.header
        return _TracingBlock(BlockStart(self._spec, self._store, root, header, self._ancestor_hash, self._budget))

    def state_entries(self, state_root: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the hashes (32 bytes) of the addresses in the state at `state_root` with their accounts in RLP,
        ascending, from the hash `start` on. MissingNodeError if the state is not whole."""
        return trie_entries_from(state_root, start, self._store.get)

    def trace_calls(
        self, header: BlockHeader, calls: Sequence[tuple[CallRequest, RecordingOptions]]
    ) -> Iterator[TracedTransaction]:
        """Execute `calls` on the state after `header`, each on the state that the call before left, and yield their
        records in order. Nothing is stored. The errors are those of `TracingExecutor.trace_calls`."""
        free = all(call.allow_exceeding_balance for call, _ in calls)
        base_fee = 0 if header.base_fee is not None and free else header.base_fee
        state = new_py_evm_state(
            self._spec, self._store, header.state_root, header, self._ancestor_hash, base_fee=base_fee
        )
        state.budget = self._budget
        held = limit_call_memory_and_logs(state)
        original = state.computation_class
        for call, options in calls:
            state.computation_class = original
            # Each call may take as much as one call, as with the native engine.
            held.memory = held.logs = 0
            yield self._call(state, header, call, base_fee, options)
            state._account_db.lock_changes()

    def _call(
        self, state: Any, header: BlockHeader, call: CallRequest, base_fee: int | None, options: RecordingOptions
    ) -> TracedTransaction:
        if call.overrides:
            apply_overrides(state, call.overrides)
        fork = self._spec.forks.fork_at(header.number, header.timestamp)
        accounts: Accounts = state._account_db
        # A free call may have a later nonce, as in Besu.
        transaction = checked_call(
            call, accounts, header, base_fee, self._spec, allows_nonce_gap=call.allow_exceeding_balance
        )
        recorder = TraceRecorder(options, self._allowance)
        computation = run_recorded(state, transaction, recorder, fork)
        used, _ = gas_used_and_before_refund(transaction, computation, fork)
        return traced_transaction(transaction, None, accounts, computation, used, recorder, state.coinbase)


class _TracingBlock(PyEvmBlock):
    """An open block that records its transactions."""

    def __init__(self, start: BlockStart) -> None:
        super().__init__(start)
        self._recorder: TraceRecorder | None = None
        self._traced: TracedTransaction | None = None
        self._original_class = self._state.computation_class

    @property
    def accounts(self) -> Accounts:
        """The accounts after the transactions so far."""
        return self._accounts

    def traced(self, index: int, transaction: Transaction, recorder: TraceRecorder | None) -> TracedTransaction | None:
        """Execute `transaction`. Return what `recorder` recorded of it, None without a recorder. ExecutionError if it
        cannot be in the block."""
        self._recorder, self._traced = recorder, None
        try:
            self.add(transaction, sender_of(transaction, self._spec))
        except (SignatureError, TransactionRejectedError) as error:
            raise ExecutionError(f"transaction {index} (0x{transaction.hash.hex()}): {error}") from None
        return self._traced

    def _run(self, transaction: Transaction, evm_transaction: EvmTransaction) -> Any:
        if self._recorder is None:
            return super()._run(transaction, evm_transaction)
        try:
            computation = run_recorded(self._state, evm_transaction, self._recorder, self._fork)
        finally:
            self._state.computation_class = self._original_class
        used, _ = gas_used_and_before_refund(evm_transaction, computation, self._fork)
        # Here and not after `add`: the changes can be told from those of earlier transactions only before they are
        # locked.
        self._traced = traced_transaction(
            evm_transaction, transaction.hash, self._accounts, computation, used, self._recorder, self._state.coinbase
        )
        return computation


def run_recorded(state: Any, transaction: EvmTransaction, recorder: TraceRecorder, fork: Fork) -> Any:
    """Execute `transaction`, which has been found valid, with `recorder`. Return the finished computation. The changes
    are not locked yet, and the class of computations of `state` stays replaced. TraceTooLargeError if more is recorded
    than may be, ExecutionInterruptedError if the budget of `state` is used up or cancelled."""
    if recorder.options.detail is not TraceDetail.STATE or recorder.options.reads:
        state.computation_class = make_traced_class(state.computation_class, recorder)
    if not transaction.to:
        # py-evm takes the gas for init code from the gas of the call. Besu takes it before the call begins, and so it is
        # shown.
        recorder.initcode_gas = initcode_gas(transaction.data, fork)
    computation = run_valid_transaction(state, transaction)
    if recorder.has_open_call:
        recorder.end_call(computation)
    return computation


def traced_transaction(
    transaction: EvmTransaction,
    hash_: bytes | None,
    accounts: Accounts,
    computation: Any,
    used: int,
    recorder: TraceRecorder,
    coinbase: bytes,
) -> TracedTransaction:
    """Return the record of a transaction whose changes are not locked yet. `hash_` (32 bytes) is None for a call.
    `used` is its gas after refunds."""
    message = computation.msg
    if message.sender != transaction.sender:
        # An impersonated call of a devnet was executed in the place of the transaction, and is what the record shows.
        transaction = replace(
            transaction, sender=message.sender, to=message.to, value=message.value, data=bytes(message.data)
        )
    read = recorder.reads
    if recorder.options.reads:
        read = {(coinbase, None): None, (transaction.sender, None): None, **read}
    return TracedTransaction(
        hash=hash_,
        sender=transaction.sender,
        to=transaction.to or None,
        nonce=transaction.nonce,
        value=transaction.value,
        gas_limit=transaction.gas,
        data=transaction.data,
        created=None if transaction.to else created_contract_address(transaction.sender, transaction.nonce),
        gas_used=used,
        is_success=computation.is_success,
        output=bytes(computation.output) if computation.is_success else b"",
        revert_reason=revert_reason(computation),
        call=recorder.root,
        steps=recorder.steps,
        changes=state_changes(accounts, read),
    )
