"""A transaction in the pool, and a transaction that is offered to a block."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.transaction import Transaction

LARGE_GAS = 300_000
"""The gas of an ordinary transaction: 0.15 s of the slowest instructions. A free transaction with more gas is offered last,
unless the chain knows its sender."""

ACCESS_LIST_FACTOR, ENTRY_BYTES = 4, 120
"""What a transaction with an access list takes for each byte of its encoding, and for each entry: an address and a storage
key are objects of their own."""

AUTHORIZATION_BYTES = 272
"""What an authorization (EIP-7702) takes besides its encoding: an object with an address and two long numbers."""

Rank = tuple[bool, int, int]
"""A smaller rank is more important. Two transactions of a pool never have the same rank."""


@dataclass(frozen=True, slots=True)
class PooledTransaction:
    """A transaction in the pool. `sender` is an address of 20 bytes.

    `local`: a user of this node sent it, by RPC or as a private marker. `priority`: it goes before others. `sequence`
    counts arrivals. `added_at` is in Unix seconds.
    """

    transaction: Transaction
    sender: bytes
    local: bool
    priority: bool
    sequence: int
    added_at: float

    @property
    def memory_bytes(self) -> int:
        """About the bytes that the transaction takes in memory. A long access list takes several times its encoding,
        and so do many authorizations."""
        encoded = len(self.transaction.raw)
        entries = len(self.transaction.access_list)
        authorizations = AUTHORIZATION_BYTES * len(self.transaction.authorizations)
        if entries:
            return ACCESS_LIST_FACTOR * encoded + ENTRY_BYTES * entries + authorizations
        # The data is kept a second time, beside the encoding.
        return encoded + len(self.transaction.data) + authorizations

    def pays_at_least(self, min_gas_price: int, min_priority_fee: int, base_fee: int | None) -> bool:
        """Whether it pays the lowest prices for a block (wei per gas). True for every priority transaction: it need not
        pay them.

        `min_gas_price` is for all of its price, and `min_priority_fee` for the part above `base_fee`. `base_fee` is
        None before London and then counts as 0.
        """
        if self.priority:
            return True
        price = self.transaction.effective_gas_price(base_fee)
        return price >= min_gas_price and price - (base_fee or 0) >= min_priority_fee

    def is_free_with_high_gas_limit(self, base_fee: int | None) -> bool:
        """Whether it pays 0 wei per gas at `base_fee` (wei, None before London) and its gas limit is above `LARGE_GAS`.
        Before the execution, the gas limit is the only known bound of its time."""
        return self.transaction.gas_limit > LARGE_GAS and self.transaction.effective_gas_price(base_fee) == 0

    def rank(self, base_fee: int | None) -> Rank:
        """The rank at `base_fee` (wei per gas, None before London): priority transactions (`priority`) first, then the
        higher effective price per gas, then the earlier arrival. A smaller rank is more important."""
        return (not self.priority, -self.transaction.effective_gas_price(base_fee), self.sequence)


class SelectionResult(Enum):
    """What the block builder did with a candidate. UNSEEN if it never came to it. INCLUDED: the block has it. SKIPPED:
    not in this block, and it stays in the pool. DROPPED: removed from the pool, because no block on this state can have
    it, or its execution took too much time, memory or logs."""

    UNSEEN = auto()
    INCLUDED = auto()
    SKIPPED = auto()
    DROPPED = auto()


class CandidateOwner(Protocol):
    """What a `PoolCandidate` tells the pool: to remove it, or that its execution was interrupted."""

    def drop(self, pooled: PooledTransaction, reason: RejectionReason) -> None:
        """Remove a transaction that cannot be in any block on this state, for `reason`. Nothing if it has left already."""

    def record_interruption(self, candidate: "PoolCandidate", seconds: float, cause: str, *, was_held_up: bool) -> None:
        """Record that the execution of `candidate` was interrupted after `seconds`. `cause` is a text that names the
        bound. `was_held_up`: the machine did other work for most of that time. If the pool drops the transaction for
        this, it calls `candidate.dropped`."""


class PoolCandidate:
    """A pooled transaction that is offered to a block builder (a `chain.transaction_selection.TransactionCandidate`).
    It tells the pool what the builder did with it.

    `sender` is an address of 20 bytes. `is_expected_slow`: it will probably take long, and is offered after the
    ordinary transactions. `result` is UNSEEN at first.
    """

    def __init__(self, pooled: PooledTransaction, pool: CandidateOwner, *, is_expected_slow: bool) -> None:
        self.transaction = pooled.transaction
        self.sender = pooled.sender
        self.pooled = pooled
        self.is_expected_slow = is_expected_slow
        self.result = SelectionResult.UNSEEN
        self._pool = pool

    def included(self) -> None:
        """The builder calls this when the transaction is in the block. It stays in the pool until the block is
        imported."""
        # Not removed here: the block may never be decided.
        self.result = SelectionResult.INCLUDED

    def skipped(self) -> None:
        """The builder calls this when the transaction is not in this block. It stays in the pool. The later ones of its
        sender are not offered for this block."""
        self.result = SelectionResult.SKIPPED

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        """The builder calls this when it ended the execution, because the transaction reached the time, the memory or
        the logs that one transaction may take. The transaction is not in this block. `cause` names the bound, in words.
        It was reached after `seconds`. `was_held_up`: the machine did other work for most of that time.

        From now on the pool offers all transactions of the sender after all others, for `SENDER_LAST_SECONDS`. It drops
        this one, and refuses it for `REFUSED_SECONDS`, if it was offered last (`is_expected_slow`) and was not held
        up, or after `MAX_TRIES` interruptions. `result` is then DROPPED, otherwise SKIPPED.
        """
        self.result = SelectionResult.SKIPPED
        self._pool.record_interruption(self, seconds, cause, was_held_up=was_held_up)

    def dropped(self, reason: RejectionReason) -> None:
        """Remove the transaction from the pool for `reason`. Nothing is removed if it has left already. The builder
        calls this when no block on the state of the head can have the transaction, and the pool when its execution took
        too much."""
        self.result = SelectionResult.DROPPED
        self._pool.drop(self.pooled, reason)
