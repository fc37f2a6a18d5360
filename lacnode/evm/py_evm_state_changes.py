"""The accounts and slots that the current transaction changed on py-evm's accounts. This file must not change them.

It reads the list by which `Accounts` can undo the transaction: its first entry about an account has the account as it was
before.
"""

from collections.abc import Iterable

from lacnode.evm.py_evm_accounts import _ACCOUNT, _CLEARED, Accounts
from lacnode.evm.py_evm_trie_accounts import Account
from lacnode.evm.trace_record import AccountChange, AccountValues
from lacnode.primitives.keccak import EMPTY_KECCAK


def state_changes(accounts: Accounts, read: Iterable[tuple[bytes, int | None]] = ()) -> dict[bytes, AccountChange]:
    """Return the changes of the current transaction, which is not locked yet, by address (20 bytes), in the order of
    addresses. `read` are further accounts and slots (address, slot or None) that the result has too, changed or not. An
    account that was changed and changed back is in it."""
    first = _accounts_before(accounts)
    slots = {address: dict(before) for address, before in accounts._before.items()}
    cleared = _cleared_slots(accounts)
    for address, slot in read:
        first.setdefault(address, accounts._read(address))
        if slot is not None:
            # A contract that destroys itself loses its storage. The value that was read is in the entry about that.
            held = cleared.get(address, {}).get(slot)
            before = accounts.get_storage(address, slot, from_journal=False) if held is None else held
            slots.setdefault(address, {}).setdefault(slot, before)
    return {
        address: AccountChange(
            _values(accounts, before),
            _values(accounts, accounts._read(address)),
            {slot: (old, accounts.get_storage(address, slot)) for slot, old in sorted(slots.get(address, {}).items())},
        )
        for address, before in sorted(first.items())
    }


def _accounts_before(accounts: Accounts) -> dict[bytes, Account | None]:
    """Return the accounts that were written, undone or not, as they were before. Those with written slots too."""
    first: dict[bytes, Account | None] = {}
    for entry in accounts._undo:
        if entry[0] == _ACCOUNT:
            first.setdefault(entry[1], entry[2])
    for address in accounts._before:
        first.setdefault(address, accounts._read(address))
    return first


def _cleared_slots(accounts: Accounts) -> dict[bytes, dict[int, int]]:
    """Return the slots that were known of each account whose storage was cleared, as they were then."""
    cleared: dict[bytes, dict[int, int]] = {}
    for entry in accounts._undo:
        if entry[0] == _CLEARED:
            cleared.setdefault(entry[1], entry[2])
    return cleared


def _values(accounts: Accounts, account: Account | None) -> AccountValues | None:
    if account is None:
        return None
    code = b"" if account.code_hash == EMPTY_KECCAK else accounts.get(account.code_hash) or b""
    return AccountValues(account.nonce, account.balance, code, account.code_hash)
