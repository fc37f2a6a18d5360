"""Calls without a signature on the native library."""

from typing import Any

from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.budget import BudgetExceededError, ExecutionBudget, SizeExceededError
from lacnode.evm.engine import AncestorHash, CallLimitExceededError, CallRequest, CallResult
from lacnode.evm.native_halts import halt_and_explanation
from lacnode.evm.native_library import native_library
from lacnode.evm.native_state import CurrentBudget, open_native_block
from lacnode.evm.overrides import Overrides
from lacnode.evm.py_evm_call_rules import checked_call
from lacnode.evm.py_evm_limits import MAX_CALL_MEMORY_BYTES
from lacnode.evm.py_evm_transaction import EvmTransaction
from lacnode.evm.state_administration import is_administration_address
from lacnode.primitives.header import BlockHeader

MODEXP = (5).to_bytes(20)
_UINT64 = 2**64
_UINT256 = 2**256


class NativeCallersAccounts:
    """The nonces and balances in `native`, a block of the library, for the checks before a call (a
    `py_evm_call_rules.CallersAccounts`)."""

    def __init__(self, native: Any) -> None:
        self._native = native

    def get_nonce(self, address: bytes) -> int:
        """Return the nonce of the account at `address` (20 bytes). 0 if there is none."""
        account = self._native.account(address)
        return 0 if account is None else int(account[0])

    def get_balance(self, address: bytes) -> int:
        """Return the balance in wei of the account at `address` (20 bytes). 0 if there is none."""
        account = self._native.account(address)
        return 0 if account is None else int.from_bytes(account[1])


def call_fits_library(call: CallRequest, spec: ChainSpec) -> bool:
    """Return whether the library can make `call`: its numbers are small enough, it moves no precompile, and it does not
    go to an address of the administrator of a devnet. The block is not looked at (`reason_for_py_evm`)."""
    if is_administration_address(call.to, spec):
        return False
    prices = (call.gas_price, call.max_fee_per_gas, call.max_priority_fee_per_gas, call.gas)
    return (
        all(price is None or price < _UINT64 for price in prices)
        and call.value < _UINT256
        and all(
            override.precompile_moved_to is None
            and (override.nonce or 0) < _UINT64
            and (override.balance or 0) < _UINT256
            for _, override in call.overrides
        )
    )


def call_natively(
    spec: ChainSpec,
    nodes: Any,
    state_root: bytes,
    header: BlockHeader,
    call: CallRequest,
    ancestor_hash: AncestorHash,
    budget: ExecutionBudget,
) -> CallResult:
    """Return the library's outcome of `call` on the state at `state_root` (32 bytes), in the environment of `header`.
    `nodes` is the cache of `make_node_cache`. SizeExceededError if a call with a deadline needs more memory or writes
    more logs than a call may, other ExecutionInterruptedErrors if `budget` or the deadline of `call` has ended,
    TransactionRejectedError if it cannot begin, the library's `NativeError` if the library cannot make it."""
    # A free call has a gas price of 0. A base fee above 0 would refuse it.
    base_fee = 0 if header.base_fee is not None and call.allow_exceeding_balance else header.base_fee
    current = CurrentBudget(budget if call.deadline is None else budget.with_deadline(call.deadline))
    native = open_native_block(spec, nodes, state_root, header, ancestor_hash, current, base_fee=base_fee)
    # Overrides come before the first look at an account: the checks below see them.
    override_accounts(native, call.overrides, current.budget)
    fork = spec.forks.fork_at(header.number, header.timestamp)
    transaction = checked_call(call, NativeCallersAccounts(native), header, base_fee, spec)
    try:
        made = _made(native, transaction, call, current)
    except native_library().TooLargeError as large:
        what = "needs more than {} bytes of memory" if str(large) == "memory" else "writes more than {} bytes of logs"
        raise SizeExceededError(f"it {what.format(MAX_CALL_MEMORY_BYTES)}") from None
    success, output, used, before_refund, halt, last_opcode, touched, accessed_addresses, has_read_block = made
    if halt == "PrecompileError" and transaction.to == MODEXP:
        halt = "OutOfGas"  # MODEXP fails in no other way. revm has another name for lengths beyond 64 bits.
    halt, explanation = halt_and_explanation(halt, last_opcode, spec.max_contract_bytes_at(header.number), fork)
    return CallResult(
        success=success,
        output=output,
        gas_used=used,
        gas_before_refund=before_refund,
        halt=halt,
        explanation=explanation,
        touched=touched,
        accounts=frozenset(accessed_addresses),
        read_block=has_read_block,
    )


def _made(native: Any, transaction: EvmTransaction, call: CallRequest, current: CurrentBudget) -> Any:
    current.budget.check()
    return native.call(
        *native_call_arguments(transaction, call),
        current.check,
        None if call.deadline is None else MAX_CALL_MEMORY_BYTES,
    )


def native_call_arguments(transaction: EvmTransaction, call: CallRequest) -> tuple[object, ...]:
    """Return the first arguments of the library's functions `call` and `trace_call`: the members of `transaction`,
    which was made of `call`."""
    return (
        transaction.type_id,
        transaction.sender,
        transaction.to or None,
        transaction.gas,
        transaction.gas_price,
        transaction.max_priority_fee_per_gas,
        transaction.value.to_bytes(32),
        transaction.data,
        [(address, list(keys)) for address, keys in call.access_list],
    )


def override_accounts(native: Any, overrides: Overrides, budget: ExecutionBudget) -> None:
    """Apply `overrides` to the accounts of the library's block `native`. Moved precompiles are ignored (see
    `call_fits_library`). ExecutionInterruptedError if `budget` is used up or cancelled."""
    for address, override in overrides:
        balance = None if override.balance is None else override.balance.to_bytes(32)
        native.override_account(address, override.nonce, balance, override.code, override.clears_storage)
        for slot, value in override.storage:
            budget.check()
            native.override_slot(address, slot.to_bytes(32), value.to_bytes(32))


def to_call_limit_error(exceeded: BudgetExceededError) -> CallLimitExceededError:
    """Return, and do not raise, the error for a caller whose call took too long, or too much memory."""
    return CallLimitExceededError(str(exceeded))
