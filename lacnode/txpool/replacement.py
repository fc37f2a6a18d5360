"""When a transaction may take the place of another with the same sender and nonce (Besu's
`TransactionPoolReplacementHandler` and its two rules)."""

from lacnode.primitives.transaction import Transaction


def may_replace(new: Transaction, old: Transaction, price_bump: int, base_fee: int | None) -> bool:
    """Whether `new` pays `price_bump` percent more than `old`; on a free-gas network any does, and the last one wins.

    The two rules round differently, as they do in Besu: a plain gas price is compared with a rounded threshold.
    """
    if new.gas_price is not None and old.gas_price is not None:
        return new.gas_price >= old.gas_price * (100 + price_bump) // 100
    if base_fee is None:
        return False
    new_price, old_price = new.effective_gas_price(base_fee), old.effective_gas_price(base_fee)
    new_tip, old_tip = max(0, new_price - base_fee), max(0, old_price - base_fee)
    if _bumped(old_price, new_price, price_bump):
        return new_tip >= old_tip
    return old_price == new_price and _bumped(old_tip, new_tip, price_bump)


def _bumped(old: int, new: int, price_bump: int) -> bool:
    return old * (100 + price_bump) <= new * 100
