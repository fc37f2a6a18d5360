"""How py-evm executes the transactions of a devnet's administrator (`state_administration`).

A change of the state: the transaction itself is executed first, as one to an account without code, and then the change is
made. An impersonated call: it is executed in the place of the transaction. What is not possible has no effect, and the
transaction has reverted with the reason. Must not be used on a chain without administrator.
"""

from dataclasses import replace
from typing import Any

from eth.exceptions import Revert, VMError

from lacnode.chainspec.forks import Fork
from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.py_evm_accounts import Accounts
from lacnode.evm.state_administration import (
    ADMINISTRATION_ADDRESSES,
    HIGHEST_NONCE,
    STATE_CHANGE_ADDRESS,
    AccountUpdate,
    AdministrationRules,
    ImpersonatedCall,
    InvalidAdministrationError,
    decode_account_update,
    decode_impersonated_call,
)
from lacnode.evm.transaction_validation import is_delegation
from lacnode.primitives.keccak import EMPTY_KECCAK
from lacnode.primitives.revert_text import revert_output
from lacnode.primitives.transaction import LEGACY

PRECOMPILE_ADDRESSES = 0x100
"""The addresses below this number have no code and no storage of their own: they are for precompiles."""


def administered_executor(base: Any, rules: AdministrationRules) -> Any:
    """Return a subclass of `base`, py-evm's executor class of a fork, that treats transactions of the administrator by
    `rules`."""

    class AdministeredExecutor(base):  # type: ignore[misc]
        def build_computation(self, message: Any, transaction: Any) -> Any:
            if transaction.sender != rules.administrator or message.to not in ADMINISTRATION_ADDRESSES:
                return super().build_computation(message, transaction)
            if message.to == STATE_CHANGE_ADDRESS:
                return self._change_state(message, transaction)
            return self._impersonate(message, transaction)

        def _change_state(self, message: Any, transaction: Any) -> Any:
            accounts: Accounts = self.vm_state._account_db
            before = accounts.record()
            computation = super().build_computation(message, transaction)
            try:
                _check_has_no_value(message.value)
                update = decode_account_update(bytes(message.data))
                computation.consume_gas(update.gas, "state change")
                change_account(accounts, update, rules, self.vm_state.budget)
            except InvalidAdministrationError as invalid:
                accounts.discard(before)
                _fail(computation, invalid)
            except VMError as error:
                accounts.discard(before)
                computation.error = error
            return computation

        def _impersonate(self, message: Any, transaction: Any) -> Any:
            accounts: Accounts = self.vm_state._account_db
            try:
                _check_has_no_value(message.value)
                call = decode_impersonated_call(bytes(message.data))
                _check_call(call, accounts, rules)
                _check_is_free(transaction)
            except InvalidAdministrationError as invalid:
                before = accounts.record()
                computation = super().build_computation(message, transaction)
                accounts.discard(before)
                _fail(computation, invalid)
                return computation
            impersonated = _impersonated(transaction, call)
            # It counts the sender's nonce up, as for a transaction of its own, and finds the code of a delegation.
            return super().build_computation(self.build_evm_message(impersonated), impersonated)

    return AdministeredExecutor


def _impersonated(transaction: Any, call: ImpersonatedCall) -> Any:
    """Return the transaction in the place of `transaction`: the gas and the access list are those of the administrator's."""
    return replace(
        transaction,
        type_id=LEGACY,
        sender=call.sender,
        to=call.to,
        value=call.value,
        data=call.data,
        # The administrator's transaction has carried them out already.
        authorization_list=(),
        blob_versioned_hashes=(),
    )


def _check_call(call: ImpersonatedCall, accounts: Accounts, rules: AdministrationRules) -> None:
    if call.sender == rules.administrator:
        raise InvalidAdministrationError("the administrator cannot impersonate itself")
    if accounts.get_nonce(call.sender) > HIGHEST_NONCE:
        raise InvalidAdministrationError(f"0x{call.sender.hex()} has no nonce left")
    balance = accounts.get_balance(call.sender)
    if balance < call.value:
        raise InvalidAdministrationError(f"0x{call.sender.hex()} has {balance} wei, less than the value {call.value}")


def _check_is_free(transaction: Any) -> None:
    # py-evm pays what is left of the gas to the sender of the call, and the administrator has bought it.
    if transaction.max_fee_per_gas:
        raise InvalidAdministrationError("an impersonated call has a gas price of 0")


def _fail(computation: Any, invalid: InvalidAdministrationError) -> None:
    computation.error, computation.output = Revert(str(invalid)), revert_output(str(invalid))


def change_account(
    accounts: Accounts, change: AccountUpdate, rules: AdministrationRules, budget: ExecutionBudget
) -> None:
    """Make `change`, and delete the account if it is empty then. InvalidAdministrationError if the change is not
    possible, ExecutionInterruptedError if `budget` is used up or cancelled. After an error a part of the change may be
    made, and the caller must undo it."""
    _check_allowed(change, rules)
    address = change.address
    if change.balance is not None:
        accounts.set_balance(address, change.balance)
    if change.nonce is not None:
        _check_nonce(change.nonce, accounts.get_nonce(address))
        accounts.set_nonce(address, change.nonce)
    if change.code is not None:
        accounts.set_code(address, change.code)
    if change.storage and not accounts.get_nonce(address) and accounts.get_code_hash(address) == EMPTY_KECCAK:
        raise InvalidAdministrationError("an account without code and nonce has no storage: set its code first")
    for slot, value in change.storage:
        budget.check()  # the slot's value before is read from the database
        accounts.set_storage(address, slot, value)
    # No account of these forks is empty (EIP-161).
    if accounts.account_is_empty(address):
        accounts.delete_account(address)


def _check_allowed(change: AccountUpdate, rules: AdministrationRules) -> None:
    if change.address in rules.protected:
        raise InvalidAdministrationError(
            f"0x{change.address.hex()} belongs to the rules of the chain and cannot change"
        )
    is_precompile = int.from_bytes(change.address) < PRECOMPILE_ADDRESSES
    if is_precompile and (change.code is not None or change.storage):
        raise InvalidAdministrationError(
            f"0x{change.address.hex()} is an address of precompiles: it has no code to change"
        )
    if change.code is not None:
        _check_code(change.code, rules)


def _check_code(code: bytes, rules: AdministrationRules) -> None:
    if len(code) > rules.max_code_bytes:
        raise InvalidAdministrationError(
            f"the code has {len(code)} bytes, and contracts of this network have at most {rules.max_code_bytes}"
        )
    # The engines read other code with this byte in ways of their own. No transaction can deploy it (EIP-3541).
    if code[:1] == b"\xef" and not (rules.fork >= Fork.PRAGUE and is_delegation(code)):
        raise InvalidAdministrationError("code that begins with 0xEF cannot be deployed")


def _check_nonce(nonce: int, now: int) -> None:
    # A lower nonce would let a transaction be in the chain twice, with one hash.
    if nonce < now:
        raise InvalidAdministrationError(f"the nonce is {now} and cannot fall to {nonce}")
    if nonce > HIGHEST_NONCE:
        raise InvalidAdministrationError(f"a nonce is at most {HIGHEST_NONCE}")


def _check_has_no_value(value: int) -> None:
    if value:
        raise InvalidAdministrationError("ether sent with an order of the administrator would be lost")
