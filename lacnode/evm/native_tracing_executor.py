"""Traces transactions and calls on the native library, with py-evm behind it.

The library records what py-evm would record. Where it cannot, it says so, and py-evm goes on from that transaction: this
file has no other rule about which engine traces. It must not store anything.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.crypto.secp256k1 import SignatureError, recover_senders
from lacnode.evm.budget import ExecutionBudget, SizeExceededError
from lacnode.evm.engine import AncestorHash, CallRequest, SystemCallError
from lacnode.evm.engine_differences import EngineDifferences
from lacnode.evm.native_call import NativeCallersAccounts, call_fits_library, native_call_arguments, override_accounts
from lacnode.evm.native_library import native_library
from lacnode.evm.native_rules import is_left_to_python, reason_for_py_evm
from lacnode.evm.native_state import CurrentBudget, open_native_block, store_parent_hash_natively
from lacnode.evm.native_trace import NativeSteps, decode_account_changes, decode_traced_calls, instructions_of
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.py_evm_block import created_contract_address
from lacnode.evm.py_evm_call_rules import checked_call
from lacnode.evm.py_evm_limits import MAX_CALL_MEMORY_BYTES
from lacnode.evm.py_evm_tracing_executor import PyEvmTracingExecutor
from lacnode.evm.py_evm_transaction import EvmTransaction, from_transaction
from lacnode.evm.trace_record import (
    RecordingOptions,
    TraceAllowance,
    TraceDetail,
    TracedTransaction,
    TraceTooLargeError,
)
from lacnode.evm.tracing_executor import BlockToTrace
from lacnode.primitives.header import BlockHeader


class _LeftToPythonError(Exception):
    """The library cannot record what comes next."""


class NativeTracingExecutor:
    """A `tracing_executor.TracingExecutor` on the states behind `nodes`, the library's cache. `python` traces on the same
    states what the library cannot, and counts in the same `allowance`. Panics of the library go to `differences`. The
    errors are those of `TracingExecutor`."""

    def __init__(
        self,
        spec: ChainSpec,
        nodes: Any,
        python: PyEvmTracingExecutor,
        ancestor_hash: AncestorHash,
        budget: ExecutionBudget,
        allowance: TraceAllowance,
        differences: EngineDifferences,
    ) -> None:
        self._spec = spec
        self._nodes = nodes
        self._python = python
        self._ancestor_hash = ancestor_hash
        self._budget = budget
        self._allowance = allowance
        self._differences = differences

    def accounts_after(self, block: BlockToTrace, count: int) -> Accounts:
        """Execute the first `count` transactions of `block` again, with py-evm, and return the accounts after them. The
        errors are those of `TracingExecutor.accounts_after`."""
        return self._python.accounts_after(block, count)

    def state_entries(self, state_root: bytes, start: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield the hashes (32 bytes) of the addresses in the state at `state_root` with their accounts in RLP,
        ascending, from the hash `start` on. MissingNodeError if the state is not whole."""
        return self._python.state_entries(state_root, start)

    # -- blocks ----------------------------------------------------------------------------------------------------------

    def trace_block(
        self, block: BlockToTrace, options: RecordingOptions, first: int = 0
    ) -> Iterator[TracedTransaction]:
        """Execute the transactions of `block` again, and yield the records of those from the index `first` on, in
        order. The errors are those of `TracingExecutor.trace_block`."""
        index = first
        try:
            for traced in self._block(block, options, first):
                yield traced
                index += 1
        except (_LeftToPythonError, SystemCallError, SignatureError):
            # py-evm goes on, and gives the error if it is a real one.
            yield from self._python.trace_block(block, options, index)

    def _block(self, block: BlockToTrace, options: RecordingOptions, first: int) -> Iterator[TracedTransaction]:
        self._check_fits(block.header, options)
        if is_left_to_python(block.transactions, self._spec):
            raise _LeftToPythonError
        header = block.header
        raws = [transaction.raw for transaction in block.transactions]
        with self._library_errors():
            senders = recover_senders(block.transactions, native_library().recover_senders)
            native, current = self._opened(block.parent_state_root, header, header.base_fee)
            store_parent_hash_natively(self._spec, native, header, current)
            native.run_all(raws[:first], senders[:first], current.check)
        fork = self._spec.forks.fork_at(header.number, header.timestamp)
        for transaction, sender in zip(block.transactions[first:], senders[first:], strict=True):
            with self._library_errors():
                record = native.trace(transaction.raw, sender, current.check, *self._arguments(options, fork))
                native.keep()
                traced = self._traced(from_transaction(transaction, sender, fork), transaction.hash, record, fork)
            yield traced

    def _check_fits(self, header: BlockHeader, options: RecordingOptions) -> None:
        if options.detail is TraceDetail.STATE or reason_for_py_evm(self._spec, header) is not None:
            raise _LeftToPythonError

    def _opened(self, root: bytes, header: BlockHeader, base_fee: int | None) -> tuple[Any, CurrentBudget]:
        current = CurrentBudget(self._budget)
        current.check()
        opened = open_native_block(
            self._spec, self._nodes, root, header, self._ancestor_hash, current, base_fee=base_fee
        )
        return opened, current

    def _arguments(self, options: RecordingOptions, fork: Fork) -> tuple[object, ...]:
        parts = (options.detail is TraceDetail.STEPS, options.memory, options.memory_before, options.reads)
        # A bound that is passed already is 0 for the library, which then refuses the next step.
        left = max(0, self._allowance.steps_left), max(0, self._allowance.bytes_left)
        return parts, list(instructions_of(fork).static_gas), *left

    def _traced(self, transaction: EvmTransaction, hash_: bytes | None, record: Any, fork: Fork) -> TracedTransaction:
        trace, is_success, output, reverted, gas_used, changes, steps_left, bytes_left = record
        self._allowance.steps_left, self._allowance.bytes_left = steps_left, bytes_left
        calls = decode_traced_calls(trace)
        return TracedTransaction(
            hash=hash_,
            sender=transaction.sender,
            to=transaction.to or None,
            nonce=transaction.nonce,
            value=transaction.value,
            gas_limit=transaction.gas,
            data=transaction.data,
            created=None if transaction.to else created_contract_address(transaction.sender, transaction.nonce),
            gas_used=gas_used,
            is_success=is_success,
            output=output,
            revert_reason=reverted,
            call=calls[0] if calls else None,
            steps=NativeSteps(trace, instructions_of(fork), calls),
            changes=decode_account_changes(changes),
        )

    # -- calls -----------------------------------------------------------------------------------------------------------

    def trace_calls(
        self, header: BlockHeader, calls: Sequence[tuple[CallRequest, RecordingOptions]]
    ) -> Iterator[TracedTransaction]:
        """Execute `calls` on the state after `header`, each on the state that the call before left, and yield their
        records in order. Nothing is stored. The errors are those of `TracingExecutor.trace_calls`."""
        begun_with, count = (self._allowance.steps_left, self._allowance.bytes_left), 0
        try:
            for traced in self._calls(header, calls):
                yield traced
                count += 1
        except _LeftToPythonError:
            # py-evm makes and counts all calls again: each is made on the state that the one before left.
            self._allowance.steps_left, self._allowance.bytes_left = begun_with
            yield from islice(self._python.trace_calls(header, calls), count, None)

    def _calls(
        self, header: BlockHeader, calls: Sequence[tuple[CallRequest, RecordingOptions]]
    ) -> Iterator[TracedTransaction]:
        # A free call has a gas price of 0. A base fee above 0 would refuse it.
        is_free = all(call.allow_exceeding_balance for call, _ in calls)
        base_fee = 0 if header.base_fee is not None and is_free else header.base_fee
        native = None
        for call, options in calls:
            self._check_fits(header, options)
            if not call_fits_library(call, self._spec):
                raise _LeftToPythonError
            if native is None:
                native, current = self._opened(header.state_root, header, base_fee)
            yield self._call(native, current, header, call, base_fee, options)

    def _call(
        self,
        native: Any,
        current: CurrentBudget,
        header: BlockHeader,
        call: CallRequest,
        base_fee: int | None,
        options: RecordingOptions,
    ) -> TracedTransaction:
        fork = self._spec.forks.fork_at(header.number, header.timestamp)
        with self._library_errors():
            override_accounts(native, call.overrides, current.budget)
            accounts = NativeCallersAccounts(native)
            # A free call may have a later nonce, as in Besu.
            transaction = checked_call(
                call, accounts, header, base_fee, self._spec, allows_nonce_gap=call.allow_exceeding_balance
            )
            # The new address of a creation hangs on the nonce, and the library takes that of the account.
            if not transaction.to and transaction.nonce != accounts.get_nonce(call.sender):
                raise _LeftToPythonError
            record = native.trace_call(
                *native_call_arguments(transaction, call),
                current.check,
                MAX_CALL_MEMORY_BYTES,
                *self._arguments(options, fork),
            )
            return self._traced(transaction, None, record, fork)

    @contextmanager
    def _library_errors(self) -> Iterator[None]:
        """Raise the library's errors within as those of a `TracingExecutor`."""
        library = native_library()
        try:
            yield
        except library.TooLargeError as large:
            what = str(large)
            if what in ("steps", "bytes"):
                raise TraceTooLargeError(f"the trace has too many {what}") from None
            if what == "memory":
                raise SizeExceededError(f"it needs more than {MAX_CALL_MEMORY_BYTES} bytes of memory") from None
            raise _LeftToPythonError from None
        except library.NativeError as error:
            self._differences.record_if_panic(error, "traces")
            raise _LeftToPythonError from None
