"""The rules by which a call may begin. The order and the words are those of Besu's `MainnetTransactionValidator`."""

from typing import Protocol

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.engine import CallRequest
from lacnode.evm.py_evm_transaction import EvmTransaction, from_call
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.evm.transaction_validation import MAX_INITCODE_BYTES, MAX_NONCE, floor_gas, initcode_gas
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.transaction import LEGACY


class CallersAccounts(Protocol):
    """The nonces and balances of accounts on the state of a call, as the rules for its sender read them. Each method
    raises MissingNodeError if the store does not have the state."""

    def get_nonce(self, address: bytes) -> int:
        """Return the nonce of the account at `address` (20 bytes). 0 if there is none."""
        ...

    def get_balance(self, address: bytes) -> int:
        """Return the balance in wei of the account at `address` (20 bytes). 0 if there is none."""
        ...


def checked_call(
    call: CallRequest,
    accounts: CallersAccounts,
    header: BlockHeader,
    base_fee: int | None,
    spec: ChainSpec,
    *,
    allows_nonce_gap: bool = True,
) -> EvmTransaction:
    """Check `call` by the rules for calls, and return it as a transaction for py-evm, in the environment of `header`.
    `base_fee` is in wei per gas, None before London. TransactionRejectedError, with Besu's text, if the call could not
    begin. `allows_nonce_gap`: the nonce of the call may be above the account's, since calls are often made for a later
    moment."""
    fork = spec.forks.fork_at(header.number, header.timestamp)
    gas = header.gas_limit if call.gas is None else call.gas
    nonce = accounts.get_nonce(call.sender) if call.nonce is None else call.nonce
    transaction = from_call(call, gas, nonce, base_fee, fork)
    # Before the engine's own checks, which have other texts and another order.
    _check_call_chain(call, transaction, spec)
    _check_call(transaction, accounts, base_fee, fork)
    if not allows_nonce_gap:
        _check_no_gap(transaction, accounts)
    return transaction


def _check_call_chain(call: CallRequest, transaction: EvmTransaction, spec: ChainSpec) -> None:
    # Besu compares the chain id only of types that carry one.
    if call.chain_id not in (None, spec.chain_id) and transaction.type_id != LEGACY:
        raise TransactionRejectedError(
            RejectionReason.WRONG_CHAIN_ID,
            f"transaction was meant for chain id {call.chain_id} and not this chain id {spec.chain_id}",
        )


def _check_call(call: EvmTransaction, accounts: CallersAccounts, base_fee: int | None, fork: Fork) -> None:
    if call.nonce == MAX_NONCE:
        raise TransactionRejectedError(RejectionReason.NONCE_OVERFLOW, "Nonce must be less than 2^64-1")
    if not call.to and fork >= Fork.SHANGHAI and len(call.data) > MAX_INITCODE_BYTES:
        raise TransactionRejectedError(
            RejectionReason.INITCODE_TOO_LARGE,
            f"Initcode size of {len(call.data)} exceeds maximum size of {MAX_INITCODE_BYTES}",
        )
    _check_fees(call, base_fee)
    _check_gas(call, fork)
    _check_sender(call, accounts)


def _check_no_gap(call: EvmTransaction, accounts: CallersAccounts) -> None:
    next_nonce = accounts.get_nonce(call.sender)
    if call.nonce > next_nonce:
        raise TransactionRejectedError(
            RejectionReason.NONCE_TOO_HIGH,
            f"transaction nonce {call.nonce} does not match sender account nonce {next_nonce}",
        )


def _check_fees(call: EvmTransaction, base_fee: int | None) -> None:
    # There are no fees to compare before London.
    if base_fee is None:
        return
    if call.max_fee_per_gas < base_fee:
        raise TransactionRejectedError(
            RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE, "gasPrice is less than the current BaseFee"
        )
    if call.max_priority_fee_per_gas > call.max_fee_per_gas:
        raise TransactionRejectedError(
            RejectionReason.MAX_PRIORITY_FEE_PER_GAS_EXCEEDS_MAX_FEE_PER_GAS,
            "max priority fee per gas cannot be greater than max fee per gas",
        )


def _check_gas(call: EvmTransaction, fork: Fork) -> None:
    # `intrinsic_gas` leaves out the part for init code (see `EvmTransaction`). Besu's comparison has it.
    needed = call.intrinsic_gas + (0 if call.to else initcode_gas(call.data, fork))
    needed = max(needed, floor_gas(call.data, fork))
    if needed > call.gas:
        raise TransactionRejectedError(
            RejectionReason.INTRINSIC_GAS_EXCEEDS_GAS_LIMIT,
            f"intrinsic gas cost {needed} exceeds gas limit {call.gas}",
        )
    if call.gas * call.max_fee_per_gas >= 2**256:
        raise TransactionRejectedError(
            RejectionReason.UPFRONT_COST_EXCEEDS_UINT256, "Upfront gas cost cannot exceed 2^256 Wei"
        )


def _check_sender(call: EvmTransaction, accounts: CallersAccounts) -> None:
    cost, balance = call.gas * call.max_fee_per_gas + call.value, accounts.get_balance(call.sender)
    if cost > balance:
        raise TransactionRejectedError(
            RejectionReason.UPFRONT_COST_EXCEEDS_BALANCE,
            f"transaction up-front cost {cost:#x} exceeds transaction sender account balance {balance:#x}",
        )
    nonce = accounts.get_nonce(call.sender)
    if call.nonce < nonce:
        raise TransactionRejectedError(
            RejectionReason.NONCE_TOO_LOW, f"transaction nonce {call.nonce} below sender account nonce {nonce}"
        )
