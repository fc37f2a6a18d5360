"""Which transactions go into a block: Besu's selection, in the order the pool offers them.

Follows Besu's `BlockTransactionSelector` with its block-size rule; the price floor is the pool's. Must not choose an
order, and must not wait beyond its deadline.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget
from lacnode.evm.rejection import RejectionReason, TransactionRejected
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction

SMALLEST_TRANSACTION = 21_000
"""Gas that every transaction costs at least."""

TRANSIENT = frozenset(
    {
        RejectionReason.NONCE_TOO_HIGH,
        RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,
        RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE,
    }
)
"""Reasons that may be gone by the next block: the transaction stays in the pool."""


class Target(Protocol):
    """What transactions are added to: an open block, or something that guards one."""

    @property
    def gas_left(self) -> int: ...

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """TransactionRejected if it cannot be in this block, ExecutionInterruptedError when `budget` says so; then
        nothing has changed."""
        ...


class Candidate(Protocol):
    """A transaction offered for a block. Exactly one of the three methods is called, unless it is never looked at."""

    @property
    def transaction(self) -> Transaction: ...

    @property
    def sender(self) -> bytes: ...

    def included(self) -> None:
        """It is in the block."""
        ...

    def skipped(self) -> None:
        """Not in this block; it may be in a later one."""
        ...

    def dropped(self, reason: RejectionReason) -> None:
        """It is in no block that follows from this state."""
        ...


@dataclass(frozen=True, slots=True)
class SelectionLimits:
    """When to stop: at `deadline` on the monotonic clock (seconds), or once a transaction does not fit and the block's
    gas is used up to `min_occupancy_ratio` (0 to 1). Cancelling `budget` stops at once."""

    deadline: float
    min_occupancy_ratio: float = 0.8
    budget: ExecutionBudget = UNLIMITED


def select(
    block: Target, gas_limit: int, candidates: Iterable[Candidate], limits: SelectionLimits
) -> tuple[Transaction, ...]:
    """Add to `block` what fits of `candidates`; the transactions added, in order."""
    chosen: list[Transaction] = []
    for candidate in candidates:
        if time.monotonic() >= limits.deadline:
            break
        if candidate.transaction.gas_limit > block.gas_left:
            if _full_enough(block, gas_limit, limits.min_occupancy_ratio):
                break
            candidate.skipped()
        elif _add(block, candidate, limits.budget.with_deadline(limits.deadline)):
            chosen.append(candidate.transaction)
    return tuple(chosen)


def _full_enough(block: Target, gas_limit: int, ratio: float) -> bool:
    return block.gas_left < SMALLEST_TRANSACTION or gas_limit - block.gas_left >= ratio * gas_limit


def _add(block: Target, candidate: Candidate, budget: ExecutionBudget) -> bool:
    try:
        block.add(candidate.transaction, candidate.sender, budget)
    except BudgetExceededError:
        candidate.dropped(RejectionReason.TX_EVALUATION_TOO_LONG)
        return False
    except TransactionRejected as rejected:
        if rejected.reason in TRANSIENT:
            candidate.skipped()
        else:
            candidate.dropped(rejected.reason)
        return False
    candidate.included()
    return True
