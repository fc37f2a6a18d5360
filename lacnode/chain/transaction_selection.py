"""Which transactions go into a block: Besu's selection, in the order the pool offers them.

Follows Besu's `BlockTransactionSelector` with its block-size rule; the price floor is the pool's. Must not choose an
order, and must not wait beyond its deadline.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from lacnode.evm.block_limits import MAX_BLOCK_BYTES
from lacnode.evm.budget import UNLIMITED, BudgetExceededError, ExecutionBudget, SizeExceededError
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives.receipt import Receipt
from lacnode.primitives.transaction import Transaction

MIN_TRANSACTION_GAS = 21_000
"""Gas that every transaction costs at least."""

TRANSIENT_REASONS = frozenset(
    {
        RejectionReason.NONCE_TOO_HIGH,
        RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,
        RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE,
    }
)
"""Reasons that may be gone by the next block: the transaction stays in the pool."""


class SelectionTarget(Protocol):
    """What transactions are added to: an open block, or something that guards one."""

    @property
    def gas_left(self) -> int: ...

    @property
    def closing_seconds(self) -> float:
        """About how long the roots of what was added will take."""
        ...

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """TransactionRejectedError if it cannot be in this block, ExecutionInterruptedError when `budget` says so; then
        nothing has changed."""
        ...


class TransactionCandidate(Protocol):
    """A transaction offered for a block. Exactly one of the four methods is called, unless it is never looked at."""

    @property
    def transaction(self) -> Transaction: ...

    @property
    def sender(self) -> bytes: ...

    @property
    def is_last(self) -> bool:
        """Whether it is offered after all others, for it is likely to take long."""
        ...

    def included(self) -> None:
        """It is in the block."""
        ...

    def skipped(self) -> None:
        """Not in this block; it may be in a later one."""
        ...

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        """It was executed for `seconds`, which is as much as one transaction gets, and did not end; or it exceeded another
        bound. `cause` says which. `was_held_up` says that the machine did other things for most of that time."""
        ...

    def dropped(self, reason: RejectionReason) -> None:
        """It is in no block that follows from this state."""
        ...


BLOCK_SHARE = 0.5
"""The part of the selection time that the chosen transactions may take together. The other validators take as long to
check the block, and a period must suffice for both."""

TRANSACTION_SHARE = 0.2
"""The part of the selection time that one transaction may take, and all those together that are offered last, light ones
aside. Blocks come as far apart as one is slower than the one before it, so a slow one now and then costs more than steady
load."""

LIGHT_SHARE = 0.02
"""The part of the selection time that each transaction that is offered last may take once these have used their share. The
rest of the block's time is theirs as long as they are light; the first one that is not ends the block."""

MIN_PROCESSOR_SHARE = 0.5
"""An execution that was given less than this part of its time on the processor was held up by others."""


@dataclass(frozen=True, slots=True)
class SelectionLimits:
    """When to stop: at `deadline` on the monotonic clock (seconds), or once a transaction does not fit and the block's
    gas is used up to `min_occupancy_ratio` (0 to 1). Cancelling `budget` stops at once. The transactions have `max_bytes`
    together at most; one that alone is longer may have a block for itself."""

    deadline: float
    min_occupancy_ratio: float = 0.8
    budget: ExecutionBudget = UNLIMITED
    max_bytes: int = MAX_BLOCK_BYTES


def select_transactions(
    block: SelectionTarget, gas_limit: int, candidates: Iterable[TransactionCandidate], limits: SelectionLimits
) -> tuple[Transaction, ...]:
    """Add to `block` what fits of `candidates`; the transactions added, in order."""
    selection = _Selection(block, limits)
    for candidate in candidates:
        limits.budget.check()
        if selection.is_over(candidate):
            break
        if candidate.transaction.gas_limit > block.gas_left:
            if _is_full_enough(block, gas_limit, limits.min_occupancy_ratio):
                break
            candidate.skipped()
        elif len(candidate.transaction.raw) > MAX_BLOCK_BYTES:
            candidate.dropped(RejectionReason.TX_TOO_LARGE)
        elif not selection.has_room(len(candidate.transaction.raw)):
            candidate.skipped()
        else:
            selection.add(candidate)
    return tuple(selection.chosen)


def _is_full_enough(block: SelectionTarget, gas_limit: int, ratio: float) -> bool:
    return block.gas_left < MIN_TRANSACTION_GAS or gas_limit - block.gas_left >= ratio * gas_limit


class _Selection:
    """What was chosen so far, and what time and room are left."""

    def __init__(self, block: SelectionTarget, limits: SelectionLimits) -> None:
        self.chosen: list[Transaction] = []
        self.has_interrupted = False
        """Whether a transaction took too long. Of those that are likely to, one a block is enough."""
        self._bytes_left = limits.max_bytes
        self._block = block
        self._budget = limits.budget.with_deadline(limits.deadline)
        seconds = max(0.0, limits.deadline - time.monotonic())
        self._transaction_seconds = TRANSACTION_SHARE * seconds
        self._block_seconds_left = BLOCK_SHARE * seconds
        self._last_seconds_left = TRANSACTION_SHARE * seconds
        self._light_seconds = LIGHT_SHARE * seconds

    def has_room(self, length: int) -> bool:
        """Whether a transaction of `length` bytes fits in."""
        return length <= self._bytes_left or not self.chosen

    def is_over(self, candidate: TransactionCandidate) -> bool:
        """Whether there is no time for `candidate` and those after it."""
        if candidate.is_last and self.has_interrupted:
            return True
        return self._block_seconds_left <= 0 or time.monotonic() >= self._budget.deadline_seconds

    def add(self, candidate: TransactionCandidate) -> None:
        started, started_processor, closing = time.monotonic(), time.thread_time(), self._block.closing_seconds
        budget = self._budget.with_deadline(started + self._share(candidate))
        try:
            self._block.add(candidate.transaction, candidate.sender, budget)
        except BudgetExceededError as exceeded:
            further = exceeded.further_seconds
            seconds, processor = time.monotonic() - started, time.thread_time() - started_processor
            self._interrupted(candidate, exceeded, seconds + further, processor + further)
        except TransactionRejectedError as rejected:
            if rejected.reason in TRANSIENT_REASONS:
                candidate.skipped()
            else:
                candidate.dropped(rejected.reason)
        else:
            taken = time.monotonic() - started + self._block.closing_seconds - closing
            self._block_seconds_left -= taken
            if candidate.is_last:
                self._last_seconds_left -= taken
            self._bytes_left -= len(candidate.transaction.raw)
            self.chosen.append(candidate.transaction)
            candidate.included()

    def _share(self, candidate: TransactionCandidate) -> float:
        """Seconds that `candidate` may take."""
        share = min(self._transaction_seconds, self._block_seconds_left)
        return min(share, max(self._last_seconds_left, self._light_seconds)) if candidate.is_last else share

    def _interrupted(
        self, candidate: TransactionCandidate, exceeded: BudgetExceededError, seconds: float, processor_seconds: float
    ) -> None:
        self.has_interrupted = True
        if isinstance(exceeded, SizeExceededError):
            candidate.interrupted(seconds, str(exceeded), was_held_up=False)
        elif seconds >= self._transaction_seconds:
            was_held_up = processor_seconds < MIN_PROCESSOR_SHARE * seconds
            candidate.interrupted(seconds, str(exceeded), was_held_up=was_held_up)
        else:
            # The block's time, or its place for logs, was over before the transaction's: that says nothing about it.
            candidate.skipped()
