"""The rule that says when a transaction replaces another one with the same sender and nonce.

It follows Besu's `TransactionPoolReplacementHandler` and its two rules.
"""

from lacnode.primitives.transaction import Transaction


def may_replace(new: Transaction, old: Transaction, price_bump: int, base_fee: int | None) -> bool:
    """Whether `new` may replace `old`, because it pays at least `price_bump` percent more. `base_fee` is in wei per
    gas, None before London. The caller has compared sender and nonce.

    An old price of zero is no obstacle: of several free transactions the last one counts. Two plain gas prices are
    compared with a threshold that is rounded down, as in Besu. In every other pair the price at `base_fee` must be
    higher by `price_bump` percent and the tip not lower, or the price equal and the tip higher by `price_bump` percent.
    Without a base fee, such a pair is never replaced.
    """
    if new.gas_price is not None and old.gas_price is not None:
        return new.gas_price >= old.gas_price * (100 + price_bump) // 100
    # Without a base fee, the fees of a type 2 transaction cannot be compared with a plain price.
    if base_fee is None:
        return False
    new_price, old_price = new.effective_gas_price(base_fee), old.effective_gas_price(base_fee)
    new_tip, old_tip = max(0, new_price - base_fee), max(0, old_price - base_fee)
    # A higher total price must not come with a lower tip: the proposer would lose by the replacement.
    if _is_bumped(old_price, new_price, price_bump):
        return new_tip >= old_tip
    return old_price == new_price and _is_bumped(old_tip, new_tip, price_bump)


def _is_bumped(old: int, new: int, price_bump: int) -> bool:
    return old * (100 + price_bump) <= new * 100
