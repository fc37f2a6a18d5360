"""A transaction in the pool, and one offered to a block."""

from dataclasses import dataclass
from enum import Enum, auto
from typing import Protocol

from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.transaction import Transaction

LARGE_GAS = 300_000
"""Units of gas: 0.15 s of the slowest instructions. Transactions that pay nothing and announce more are offered last, unless
the chain knows their sender."""

Rank = tuple[bool, int, int]
"""Smaller is more important. No two transactions of a pool have the same."""


@dataclass(frozen=True, slots=True)
class PooledTransaction:
    """`local` if it came by RPC; `priority` if it goes before others; `sequence` counts arrivals; `added_at` is Unix
    seconds."""

    transaction: Transaction
    sender: bytes
    local: bool
    priority: bool
    sequence: int
    added_at: float

    def is_free_and_large(self, base_fee: int | None) -> bool:
        """Whether it pays nothing and announces more gas than ordinary transactions need. What it announces is all that is
        known of the time that it may take."""
        return self.transaction.gas_limit > LARGE_GAS and self.transaction.effective_gas_price(base_fee) == 0

    def rank(self, base_fee: int | None) -> Rank:
        """What goes first: priority, then price, then arrival."""
        return (not self.priority, -self.transaction.effective_gas_price(base_fee), self.sequence)


class SelectionResult(Enum):
    """What a block builder did with a candidate."""

    UNSEEN = auto()
    INCLUDED = auto()
    SKIPPED = auto()
    DROPPED = auto()


class CandidateOwner(Protocol):
    """The pool, as its candidates know it."""

    def drop(self, pooled: PooledTransaction, reason: RejectionReason) -> None: ...
    def interrupted(self, candidate: "PoolCandidate", seconds: float, cause: str, *, was_held_up: bool) -> None: ...


class PoolCandidate:
    """A transaction offered to a block builder (see `chain.selection.TransactionCandidate`)."""

    def __init__(self, pooled: PooledTransaction, pool: CandidateOwner, *, is_last: bool) -> None:
        self.transaction = pooled.transaction
        self.sender = pooled.sender
        self.pooled = pooled
        self.is_last = is_last
        self.result = SelectionResult.UNSEEN
        self._pool = pool

    def included(self) -> None:
        """It is in the block; the pool hears of it again when the block is imported."""
        self.result = SelectionResult.INCLUDED

    def skipped(self) -> None:
        """Not now."""
        self.result = SelectionResult.SKIPPED

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        """It took too long, or too much memory."""
        self.result = SelectionResult.SKIPPED
        self._pool.interrupted(self, seconds, cause, was_held_up=was_held_up)

    def dropped(self, reason: RejectionReason) -> None:
        """Never from this state: it leaves the pool."""
        self.result = SelectionResult.DROPPED
        self._pool.drop(self.pooled, reason)
