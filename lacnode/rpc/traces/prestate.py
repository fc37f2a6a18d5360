"""The accounts that a transaction touched, as geth's `prestateTracer` shows them."""

from lacnode.evm.trace_record import AccountChange, AccountValues, TracedTransaction
from lacnode.primitives.hexadecimal import to_hex
from lacnode.rpc.answer_size import AnswerSize
from lacnode.rpc.traces.state_diff import ACCOUNT_BYTES, SLOT_BYTES

Json = dict[str, object]


def prestate(traced: TracedTransaction, size: AnswerSize, *, is_diff: bool) -> Json:
    """Return the touched accounts before the transaction, by address in 0x-hexadecimal. With `is_diff`, return an object
    with two members instead: `pre` has the changed accounts before it, without those that it created, and `post` the
    values that it changed, without the accounts that it deleted.

    The reads must have been recorded. The bytes are added to `size`. RpcError if `size` is above its bound then.
    """
    for change in traced.changes.values():
        codes = sum(len(values.code) for values in (change.before, change.after) if values is not None)
        size.add(ACCOUNT_BYTES + SLOT_BYTES * len(change.storage) + 2 * codes)
    if is_diff:
        return _difference(traced)
    return {
        to_hex(address): _account(
            change.before or AccountValues(), {slot: before for slot, (before, _) in change.storage.items()}
        )
        for address, change in traced.changes.items()
    }


def _account(values: AccountValues, storage: dict[int, int]) -> Json:
    shown: Json = {"balance": hex(values.balance)}
    if values.code:
        shown["code"] = to_hex(values.code)
    if values.nonce:
        shown["nonce"] = values.nonce
    if storage:
        shown["storage"] = {_word(slot): _word(value) for slot, value in storage.items()}
    return shown


def _difference(traced: TracedTransaction) -> Json:
    before: Json = {}
    after: Json = {}
    for address, change in traced.changes.items():
        slots = {slot: values for slot, values in change.storage.items() if values[0] != values[1]}
        if change.before == change.after and not slots:
            continue
        name = to_hex(address)
        # An account that the transaction creates is in `post` alone, one that it deletes in `pre` alone.
        if change.before is not None:
            before[name] = _account(change.before, {slot: old for slot, (old, _) in slots.items() if old})
        if change.after is not None:
            after[name] = _changed(change, {slot: new for slot, (_, new) in slots.items() if new})
    return {"post": after, "pre": before}


def _changed(change: AccountChange, storage: dict[int, int]) -> Json:
    old, new = change.before or AccountValues(), change.after or AccountValues()
    shown: Json = {}
    if new.balance != old.balance:
        shown["balance"] = hex(new.balance)
    if new.code != old.code:
        shown["code"] = to_hex(new.code)
    if new.nonce != old.nonce:
        shown["nonce"] = new.nonce
    if storage:
        shown["storage"] = {_word(slot): _word(value) for slot, value in storage.items()}
    return shown


def _word(number: int) -> str:
    return to_hex(number.to_bytes(32))
