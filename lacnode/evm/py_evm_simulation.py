"""A block of calls that is simulated on py-evm (`eth_simulateV1`). Nothing is stored.

Simulations always come from py-evm, as traces do: state overrides and transfers need its hooks.
"""

from dataclasses import dataclass, replace
from typing import Any

from lacnode.evm.engine import CallRequest
from lacnode.evm.overrides import Overrides
from lacnode.evm.py_evm_block import (
    BlockStart,
    PyEvmBlock,
    gas_used_and_before_refund,
    revert_reason,
    run_valid_transaction,
)
from lacnode.evm.py_evm_call_rules import checked_call
from lacnode.evm.py_evm_halts import failure_in_besu_words, halt_name_with_cause
from lacnode.evm.py_evm_limits import limit_call_memory_and_logs
from lacnode.evm.py_evm_overrides import apply_overrides
from lacnode.evm.py_evm_recorder import TraceRecorder
from lacnode.evm.py_evm_tracing_executor import run_recorded
from lacnode.evm.py_evm_transaction import EvmTransaction
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.trace_record import RecordingOptions, TraceAllowance, TraceDetail
from lacnode.evm.transfer_logs import logs_with_transfers
from lacnode.primitives import rlp
from lacnode.primitives.receipt import Log
from lacnode.primitives.rlp import RlpValue
from lacnode.primitives.transaction import ACCESS_LIST, LEGACY, Transaction, encode_signed_transaction

UNSIGNED_V = 27
"""The `v` of a legacy transaction without a signature, as in Besu: recovery id 0, before EIP-155."""


@dataclass(frozen=True, slots=True)
class SimulatedCall:
    """The outcome of one call. `transaction` is the call as a transaction without a signature, and `sender` has 20
    bytes.

    `output` is what the call returned, or the output of REVERT if `is_reverted`. `gas_used` is after refunds. `halt`
    and `explanation` are those of `CallResult`, None on success. `logs` have the transfers if they were asked for, and
    are empty for a call that failed.
    """

    transaction: Transaction
    sender: bytes
    is_success: bool
    is_reverted: bool
    output: bytes
    gas_used: int
    halt: str | None
    explanation: str | None
    logs: tuple[Log, ...]


class SimulatedBlock(PyEvmBlock):
    """An open block of calls, after `overrides`. With `validates` each call must have the next nonce of its sender, and pay
    its gas at no less than the base fee, as a transaction does. Its signature, and whether the sender is a contract, are
    not checked. Without `validates` the calls pay nothing, and a later nonce is allowed. `transfers` bounds the record of
    the transfers of ether, None for no record.

    The constructor raises OverrideError if the overrides cannot be applied, SystemCallError if a call that begins the
    block fails, ExecutionInterruptedError if the budget of `start` is used up or cancelled.
    """

    def __init__(
        self, start: BlockStart, overrides: Overrides, *, validates: bool, transfers: TraceAllowance | None
    ) -> None:
        self._overrides = overrides
        self._validates = validates
        self._transfers = transfers
        # Calls that are not validated have a price of 0. A base fee above 0 would refuse them.
        if not validates and start.header.base_fee is not None:
            start = replace(start, header=start.header.with_changes(base_fee=0))
        super().__init__(start)

    def _begin(self) -> None:
        self._held = limit_call_memory_and_logs(self._state)
        # Before the calls that begin a block: they see the overrides too, as in Besu.
        apply_overrides(self._state, self._overrides)
        super()._begin()

    def _pay_reward(self) -> None:
        """Pay nothing: Besu simulates no reward."""

    def call(self, call: CallRequest, gas: int) -> SimulatedCall:
        """Execute `call` with the gas limit `gas` (gas units) and keep its changes for the next call. A call that fails
        or reverts is an outcome, too. TransactionRejectedError if it could not begin, ExecutionInterruptedError if the
        budget is used up or cancelled, if the call takes more memory or logs than a call may, or if `transfers` is used
        up. The block cannot be used after an error."""
        accounts, base_fee = self._accounts, self._header.base_fee
        priced = replace(call, gas=gas, allow_exceeding_balance=not self._validates)
        evm_transaction = checked_call(
            priced, accounts, self._header, base_fee, self._spec, allows_nonce_gap=not self._validates
        )
        self._check_gas_left(evm_transaction)
        transaction = _unsigned(evm_transaction, call, self._spec.chain_id)
        self._held.memory = self._held.logs = 0
        computation, recorder = self._executed(evm_transaction)
        accounts.lock_changes()
        used, _ = gas_used_and_before_refund(evm_transaction, computation, self._fork)
        receipt = self._note(transaction, call.sender, used, computation)
        root = None if recorder is None else recorder.root
        return SimulatedCall(
            transaction=transaction,
            sender=call.sender,
            is_success=computation.is_success,
            is_reverted=revert_reason(computation) is not None,
            output=bytes(computation.output),
            gas_used=used,
            halt=failure_in_besu_words(computation),
            explanation=halt_name_with_cause(computation, self._fork),
            logs=receipt.logs if root is None else logs_with_transfers(root),
        )

    def _check_gas_left(self, evm_transaction: EvmTransaction) -> None:
        if evm_transaction.gas > self.gas_left:
            raise TransactionRejectedError(
                RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT,
                f"block gas limit reached: gas limit {evm_transaction.gas}, the block has {self.gas_left} left",
            )

    def _executed(self, evm_transaction: EvmTransaction) -> tuple[Any, TraceRecorder | None]:
        if self._transfers is None:
            return run_valid_transaction(self._state, evm_transaction), None
        recorder, original = (
            TraceRecorder(RecordingOptions(TraceDetail.CALLS), self._transfers),
            self._state.computation_class,
        )
        try:
            return run_recorded(self._state, evm_transaction, recorder, self._fork), recorder
        finally:
            self._state.computation_class = original


def _unsigned(evm_transaction: EvmTransaction, call: CallRequest, chain_id: int) -> Transaction:
    """Return a call as a transaction whose signature is 0, as in Besu."""
    type_ = evm_transaction.type_id
    nonce, gas = rlp.encode_scalar(evm_transaction.nonce), rlp.encode_scalar(evm_transaction.gas)
    body: list[RlpValue] = [gas, evm_transaction.to, rlp.encode_scalar(evm_transaction.value), evm_transaction.data]
    price = rlp.encode_scalar(evm_transaction.max_fee_per_gas)
    if type_ == LEGACY:
        return Transaction.decode(encode_signed_transaction(LEGACY, [nonce, price, *body], UNSIGNED_V, 0, 0))
    fees = [price] if type_ == ACCESS_LIST else [rlp.encode_scalar(evm_transaction.max_priority_fee_per_gas), price]
    access_list: list[RlpValue] = [[address, list(keys)] for address, keys in call.access_list]
    payload: list[RlpValue] = [rlp.encode_scalar(call.chain_id or chain_id), nonce, *fees, *body, access_list]
    return Transaction.decode(encode_signed_transaction(type_, payload, 0, 0, 0))
