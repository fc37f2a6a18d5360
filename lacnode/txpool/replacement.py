"""When a transaction may take the place of another with the same sender and nonce (Besu's
`TransactionReplacementHandler`)."""

from lacnode.primitives.transaction import FEE_MARKET, Transaction


def may_replace(new: Transaction, old: Transaction, price_bump: int, base_fee: int | None) -> bool:
    """Whether `new` pays `price_bump` percent more than `old`; on a free-gas network any does, and the last one wins."""
    if base_fee is None or FEE_MARKET not in (new.type, old.type):
        return new.max_gas_price >= old.max_gas_price * (100 + price_bump) // 100
    new_price, old_price = new.effective_gas_price(base_fee), old.effective_gas_price(base_fee)
    new_tip, old_tip = max(0, new_price - base_fee), max(0, old_price - base_fee)
    if new_price == old_price:
        return new_tip >= old_tip * (100 + price_bump) // 100
    return new_price >= old_price * (100 + price_bump) // 100 and new_tip >= old_tip
