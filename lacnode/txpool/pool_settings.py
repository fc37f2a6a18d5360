"""The settings of the pool (Besu's `TransactionPoolConfiguration`)."""

import math
from dataclasses import dataclass

LAYERED_FUTURE_NONCES = 200

MIN_POOL_BYTES = 16 * 2**20
"""Bytes that all transactions in a pool of 4,096 or fewer take in memory."""

BYTES_OF_EACH = 4 * 1024
"""The share of one transaction in a pool of 4,096 or more. A transaction that is not longer is never removed for a longer
one, so a few long ones cannot keep it out."""

MAX_TRANSACTION_BYTES = 256 * 1024
"""geth accepts 128 KiB, and Besu any length. The longest transaction of the public LACChain-style chain that we know has
23 KB, and the longest init code from Shanghai on 48 KiB. A block of one second has so many bytes for the transactions of
new senders."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """The settings of the pool. Prices are in wei per gas.

    `max_size` is a number of transactions. `sender_share` (0 to 1) is the part of `max_size` that limits how far the
    nonce of a sender may run ahead. `layered` uses the limit of Besu's layered pool instead. A transaction is dropped
    after `retention_hours`. `price_bump` is the percentage that a replacement must pay more. `fee_cap` is the highest
    price of a local transaction, 0 for no limit. `min_priority_fee` is the lowest price above the base fee of a
    transaction without priority in a block of this node. `priority_senders` are 20-byte addresses. Their transactions
    have priority, and so have local ones with `local_priority`. `strict_replay_protection` refuses transactions with
    priority that name no chain id. Transactions with an encoding above `max_transaction_bytes` are refused.
    """

    max_size: int = 4096
    sender_share: float = 0.001
    retention_hours: int = 13
    price_bump: int = 10
    min_gas_price: int = 1000
    """The lowest price of a transaction without priority in the pool."""

    block_min_gas_price: int = 1000
    """The lowest price of a transaction without priority in a block of this node."""

    min_priority_fee: int = 0
    fee_cap: int = 10**18
    local_priority: bool = True
    priority_senders: frozenset[bytes] = frozenset()
    strict_replay_protection: bool = False
    layered: bool = False
    max_transaction_bytes: int = MAX_TRANSACTION_BYTES

    @property
    def max_bytes(self) -> int:
        """The largest memory of all pooled transactions together, in bytes: `BYTES_OF_EACH` times `max_size`, but at
        least `MIN_POOL_BYTES`."""
        return max(MIN_POOL_BYTES, BYTES_OF_EACH * self.max_size)

    @property
    def too_far_nonce_distance(self) -> int:
        """The least distance of a nonce from the account's nonce that is too far. At least 1. With 1, the account's
        nonce itself is the only one that may enter."""
        if self.layered:
            return LAYERED_FUTURE_NONCES
        return max(1, math.ceil(self.sender_share * self.max_size))
