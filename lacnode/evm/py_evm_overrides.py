"""State overrides put on a py-evm state before a call. The state belongs to that call alone, so nothing is stored."""

from collections.abc import Callable
from typing import Any

from lacnode.evm.budget import ExecutionBudget
from lacnode.evm.overrides import AccountOverride, OverrideError, Overrides
from lacnode.evm.py_evm_accounts import Accounts


def apply_overrides(state: Any, overrides: Overrides) -> None:
    """Apply `overrides` to the accounts of `state`, as if they were from before the transaction. OverrideError if a
    precompile cannot be moved, ExecutionInterruptedError if the budget of `state` is used up or cancelled."""
    accounts: Accounts = state._account_db
    for address, override in overrides:
        _apply(accounts, address, override, state.budget)
    # After this they count as values from before the transaction, on which SSTORE's price depends (EIP-2200).
    accounts.lock_changes()
    moves = {address: o.precompile_moved_to for address, o in overrides if o.precompile_moved_to is not None}
    if moves:
        base = state.computation_class
        members = {"_precompiles": _moved(base.get_precompiles(), moves)}
        state.computation_class = type(f"Moved{base.__name__}", (base,), members)


def _apply(accounts: Accounts, address: bytes, override: AccountOverride, budget: ExecutionBudget) -> None:
    # Besu makes the account exist for any override, also for an empty one.
    accounts.touch_account(address)
    if override.nonce is not None:
        accounts.set_nonce(address, override.nonce)
    if override.balance is not None:
        accounts.set_balance(address, override.balance)
    if override.code is not None:
        accounts.set_code(address, override.code)
    if override.clears_storage:
        accounts.delete_storage(address)
    for slot, value in override.storage:
        budget.check()  # the slot's value before is read from the database
        accounts.set_storage(address, slot, value)


def _moved(precompiles: dict[bytes, Callable[..., Any]], moves: dict[bytes, bytes]) -> dict[bytes, Callable[..., Any]]:
    """`precompiles` with those at the keys of `moves` at its values."""
    moved = {address: run for address, run in precompiles.items() if address not in moves}
    for source, target in moves.items():
        if source not in precompiles:
            raise OverrideError(f"there is no precompile at 0x{source.hex()}")
        if target in moved:
            raise OverrideError(f"two precompiles at 0x{target.hex()}")
        moved[target] = precompiles[source]
    return moved
