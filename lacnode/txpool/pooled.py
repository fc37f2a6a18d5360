"""A transaction in the pool, and one offered to a block."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from lacnode.evm.rejection import RejectionReason
from lacnode.primitives.transaction import Transaction

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

    def rank(self, base_fee: int | None) -> Rank:
        """What goes first: priority, then price, then arrival."""
        return (not self.priority, -self.transaction.effective_gas_price(base_fee), self.sequence)


class Verdict(Enum):
    """What a block builder did with a candidate."""

    UNSEEN = auto()
    INCLUDED = auto()
    SKIPPED = auto()
    DROPPED = auto()


class PoolCandidate:
    """A transaction offered to a block builder (see `chain.selection.Candidate`)."""

    def __init__(self, pooled: PooledTransaction, drop: Callable[[PooledTransaction, RejectionReason], None]) -> None:
        self.transaction = pooled.transaction
        self.sender = pooled.sender
        self.verdict = Verdict.UNSEEN
        self._pooled = pooled
        self._drop = drop

    def included(self) -> None:
        """It is in the block; the pool hears of it again when the block is imported."""
        self.verdict = Verdict.INCLUDED

    def skipped(self) -> None:
        """Not now."""
        self.verdict = Verdict.SKIPPED

    def dropped(self, reason: RejectionReason) -> None:
        """Never from this state: it leaves the pool."""
        self.verdict = Verdict.DROPPED
        self._drop(self._pooled, reason)
