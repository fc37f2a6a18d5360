"""What an operator may choose about the pool (Besu's `TransactionPoolConfiguration`)."""

import math
from dataclasses import dataclass

LAYERED_FUTURE_NONCES = 200

MIN_POOL_BYTES = 16 * 2**20
"""Bytes of all pooled transactions together in a pool of 4,096 or fewer. In memory they take twice as much."""

BYTES_OF_EACH = 4 * 1024
"""The part of a transaction in a pool of 4,096 or more. One that is not longer never makes room for a longer one: a few long
ones cannot keep it out."""

MAX_TRANSACTION_BYTES = 2**20
"""Besu puts no more bytes of transactions into one message, a single longer one aside; geth takes 128 KiB. The longest of
the public LACChain-style chain that we know has 23 KB."""


@dataclass(frozen=True, slots=True)
class PoolSettings:
    """Prices in wei. `sender_share` is the part of `max_size` (0 to 1) that limits how far a sender's nonce may run ahead;
    `layered` gives Besu's layered pool's own limit instead. `fee_cap` is the highest price per gas taken from RPC, 0 for
    any."""

    max_size: int = 4096
    sender_share: float = 0.001
    retention_hours: int = 13
    price_bump: int = 10
    min_gas_price: int = 1000
    """For a transaction to be pooled."""

    block_min_gas_price: int = 1000
    """For a transaction to be put into a block."""

    min_priority_fee: int = 0
    fee_cap: int = 10**18
    local_priority: bool = True
    priority_senders: frozenset[bytes] = frozenset()
    strict_replay_protection: bool = False
    layered: bool = False
    max_transaction_bytes: int = MAX_TRANSACTION_BYTES

    @property
    def max_bytes(self) -> int:
        """Bytes of all pooled transactions together."""
        return max(MIN_POOL_BYTES, BYTES_OF_EACH * self.max_size)

    @property
    def nonce_distance(self) -> int:
        """A nonce this far above the account's is too far."""
        if self.layered:
            return LAYERED_FUTURE_NONCES
        return max(1, math.ceil(self.sender_share * self.max_size))
