"""The changes of a transaction to the state, as Besu's TRACE methods show them (`stateDiff`)."""

from lacnode.evm.trace_record import AccountChange, AccountValues, TracedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.answer_size import AnswerSize

ACCOUNT_BYTES, SLOT_BYTES = 500, 250
"""Estimated bytes of JSON text for a changed account and for a changed slot. Code comes on top."""


def state_diff(traced: TracedTransaction, size: AnswerSize) -> dict[str, object] | None:
    """Return the changed accounts, by address in 0x-hexadecimal, with each value before and after. None for a
    transaction without a step, as in Besu. The bytes are added to `size`. RpcError if `size` is above its bound
    then."""
    if not traced.steps:
        return None
    for change in traced.changes.values():
        codes = sum(len(values.code) for values in (change.before, change.after) if values is not None)
        size.add(ACCOUNT_BYTES + SLOT_BYTES * len(change.storage) + 2 * codes)
    return {to_hex(address): _shown(change) for address, change in traced.changes.items() if _differs(change)}


def _differs(change: AccountChange) -> bool:
    if change.before != change.after:
        return True
    return change.after is not None and any(before != after for before, after in change.storage.values())


def _shown(change: AccountChange) -> dict[str, object]:
    before, after = change.before, change.after
    return {
        "balance": _node(_balance(before), _balance(after)),
        "code": _node(_code(before), _code(after)),
        "nonce": _node(_nonce(before), _nonce(after)),
        "storage": _storage(change),
    }


def _balance(account: AccountValues | None) -> str | None:
    return None if account is None else hex(account.balance)


def _code(account: AccountValues | None) -> str | None:
    return None if account is None else to_hex(account.code)


def _nonce(account: AccountValues | None) -> str | None:
    return None if account is None else hex(account.nonce)


def _storage(change: AccountChange) -> dict[str, object]:
    # The slots of an account that no longer exists are not shown.
    if change.after is None:
        return {}
    is_new = change.before is None
    return {
        _word(slot): _node(None if is_new else _word(before), _word(after))
        for slot, (before, after) in sorted(change.storage.items())
        if before != after
    }


def _word(number: int) -> str:
    return to_hex(number.to_bytes(32))


def _node(before: str | None, after: str | None) -> object:
    if before == after:
        return "="
    if before is None:
        return {"+": after}
    if after is None:
        return {"-": before}
    return {"*": {"from": before, "to": after}}
