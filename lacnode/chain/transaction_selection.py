"""The selection of the transactions of a block, in the order in which the pool offers them.

It follows Besu's `BlockTransactionSelector` with its block-size rule. The pool applies the price floor. This file must not
choose an order, and must not wait beyond its deadline.
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
"""The least gas of a transaction."""

TRANSIENT_REASONS = frozenset(
    {
        RejectionReason.NONCE_TOO_HIGH,
        RejectionReason.GAS_PRICE_BELOW_CURRENT_BASE_FEE,
        RejectionReason.CHAIN_HEAD_WORLD_STATE_NOT_AVAILABLE,
    }
)
"""Reasons that may be gone in the next block. The transaction stays in the pool."""


class SelectionTarget(Protocol):
    """The block that transactions are added to: an open block (`engine.OpenBlock`), or a wrapper of one with more
    rules."""

    @property
    def gas_left(self) -> int:
        """The gas that further transactions may still ask for by their gas limits."""

    @property
    def estimated_closing_seconds(self) -> float:
        """The approximate seconds that the roots of the added transactions will take."""

    def add(self, transaction: Transaction, sender: bytes, budget: ExecutionBudget = UNLIMITED) -> Receipt:
        """Execute a transaction of `sender` (20 bytes), add it and return its receipt, also if it failed or reverted.

        Raises TransactionRejectedError if it cannot be in this block, and ExecutionInterruptedError if `budget` is used
        up or cancelled. Nothing has changed then.
        """
        ...


class TransactionCandidate(Protocol):
    """A transaction that is offered for a block. The builder calls exactly one of `included`, `skipped`, `interrupted`
    and `dropped`, to tell the owner what became of the candidate. It calls none if the candidate is never examined, or
    if an error ends the selection."""

    @property
    def transaction(self) -> Transaction:
        """The offered transaction."""

    @property
    def sender(self) -> bytes:
        """The address (20 bytes) that signed the transaction."""

    @property
    def is_expected_slow(self) -> bool:
        """Whether the transaction will probably take long. Such candidates are offered after all others, and stricter
        bounds hold for them."""

    def included(self) -> None:
        """The builder calls this when the transaction is in the block. The block may never be decided."""

    def skipped(self) -> None:
        """The builder calls this when the transaction does not fit into this block, or when the reason against it may
        be gone in the next one (`TRANSIENT_REASONS`). It may be offered for later blocks. What becomes of later
        transactions of the sender is the owner's matter."""

    def interrupted(self, seconds: float, cause: str, *, was_held_up: bool) -> None:
        """The builder calls this when it ended the execution, because the transaction reached the time, the memory or
        the logs that one transaction may take. The transaction is not in this block.

        `seconds` is the time that it took. `cause` names the bound, in words. `was_held_up`: the machine did other work
        for most of that time.
        """
        ...

    def dropped(self, reason: RejectionReason) -> None:
        """The builder calls this when, for `reason`, no block on this state can have the transaction. The owner should
        remove it: it must not offer it for later blocks either. If the transaction comes again, the owner decides
        again."""


BLOCK_SHARE = 0.5
"""The part of the selection time that the selected transactions may take together. The other validators need as long to
check the block, and one block period must be enough for both."""

TRANSACTION_SHARE = 0.2
"""The part of the selection time for one transaction. It is also the part for all those together that are offered last,
except light ones. A block that is slower than the one before delays the chain, so one slow transaction now and then costs
more than a steady load."""

LIGHT_SHARE = 0.02
"""The part of the selection time for each transaction that is offered last, once these have used their share. They get the
rest of the block's time while they are light. The first one that is not light ends the block."""

LAST_BYTES_SHARE = 0.25
"""The part of the bytes of a block that all transactions together may have that are offered last. The first of them may be
longer. A new account costs nothing, and its sender may fill every block with bytes that each validator has to handle."""

MIN_PROCESSOR_SHARE = 0.5
"""An execution that had the processor for less than this part of its time was delayed by other work."""


@dataclass(frozen=True, slots=True)
class SelectionLimits:
    """When the selection ends, and what the selected transactions may take.

    It ends at `deadline` (monotonic seconds), or before that when the selected transactions have taken `BLOCK_SHARE`
    of the time. It also ends at a transaction with a gas limit above the gas that is left, if the used gas has reached
    `min_occupancy_ratio` (0 to 1) of the block's gas limit. Cancelling `budget` ends it at once, with an error. The
    transactions have at most `max_bytes` together. A single longer transaction, up to `MAX_BLOCK_BYTES`, may have a
    block for itself. Once they have used `max_gas` (None for no bound), there are no more. The first transaction may
    use more than that.
    """

    deadline: float
    min_occupancy_ratio: float = 0.8
    budget: ExecutionBudget = UNLIMITED
    max_bytes: int = MAX_BLOCK_BYTES
    max_gas: int | None = None


def select_transactions(
    block: SelectionTarget, gas_limit: int, candidates: Iterable[TransactionCandidate], limits: SelectionLimits
) -> tuple[Transaction, ...]:
    """Add those of `candidates` that fit to `block`, whose gas limit is `gas_limit`, in the order in which they come.
    Return the added transactions in that order. Each candidate that is examined is told what became of it. The
    selection ends at the first limit that is reached (`SelectionLimits`), which is no error.

    Raises ExecutionInterruptedError if the budget of `limits` is used up or cancelled.
    """
    selection = _Selection(block, limits)
    for candidate in candidates:
        limits.budget.check()
        if selection.is_over(candidate) or (selection.chosen and _is_beyond(limits.max_gas, block, gas_limit)):
            break
        # By the gas limit and not by the used gas, which is unknown before the execution.
        if candidate.transaction.gas_limit > block.gas_left:
            if _is_full_enough(block, gas_limit, limits.min_occupancy_ratio):
                break
            candidate.skipped()
        elif len(candidate.transaction.raw) > MAX_BLOCK_BYTES:
            candidate.dropped(RejectionReason.TX_TOO_LARGE)
        elif not selection.fits(candidate):
            candidate.skipped()
        else:
            selection.add(candidate)
    return tuple(selection.chosen)


def _is_beyond(max_gas: int | None, block: SelectionTarget, gas_limit: int) -> bool:
    return max_gas is not None and gas_limit - block.gas_left >= max_gas


def _is_full_enough(block: SelectionTarget, gas_limit: int, ratio: float) -> bool:
    return block.gas_left < MIN_TRANSACTION_GAS or gas_limit - block.gas_left >= ratio * gas_limit


class _Selection:
    """The transactions that are selected so far, and the time and the bytes that are left."""

    def __init__(self, block: SelectionTarget, limits: SelectionLimits) -> None:
        self.chosen: list[Transaction] = []
        self.has_interrupted = False
        """Whether an execution was interrupted. After that no candidate is tried that is expected to be slow. The
        others still are."""
        self._bytes_left = limits.max_bytes
        self._has_last = False
        self._last_bytes_left = LAST_BYTES_SHARE * limits.max_bytes
        self._block = block
        self._budget = limits.budget.with_deadline(limits.deadline)
        seconds = max(0.0, limits.deadline - time.monotonic())
        self._transaction_seconds = TRANSACTION_SHARE * seconds
        self._block_seconds_left = BLOCK_SHARE * seconds
        self._last_seconds_left = TRANSACTION_SHARE * seconds
        self._light_seconds = LIGHT_SHARE * seconds

    def fits(self, candidate: TransactionCandidate) -> bool:
        """Whether the bytes of `candidate` fit into the block."""
        length = len(candidate.transaction.raw)
        if candidate.is_expected_slow and self._has_last and length > self._last_bytes_left:
            return False
        return length <= self._bytes_left or not self.chosen

    def is_over(self, candidate: TransactionCandidate) -> bool:
        """Whether no time is left for `candidate` and those after it."""
        if candidate.is_expected_slow and self.has_interrupted:
            return True
        return self._block_seconds_left <= 0 or time.monotonic() >= self._budget.deadline_seconds

    def add(self, candidate: TransactionCandidate) -> None:
        started, started_processor, closing = (
            time.monotonic(),
            time.thread_time(),
            self._block.estimated_closing_seconds,
        )
        # The processor time is measured, too: on a busy machine a light transaction may take long.
        budget = self._budget.with_deadline(started + self._share(candidate))
        try:
            self._block.add(candidate.transaction, candidate.sender, budget)
        except BudgetExceededError as exceeded:
            further = exceeded.further_seconds
            seconds, processor = time.monotonic() - started, time.thread_time() - started_processor
            self._interrupted(candidate, exceeded, seconds + further, processor + further)
        except TransactionRejectedError as rejected:
            if rejected.reason in TRANSIENT_REASONS:
                # The sender waits for another nonce, a lower fee or a readable contract. Dropping would lose it for good.
                candidate.skipped()
            else:
                candidate.dropped(rejected.reason)
        else:
            # The roots of what was added are computed at the end. Their time belongs to the transaction now.
            taken = time.monotonic() - started + self._block.estimated_closing_seconds - closing
            self._block_seconds_left -= taken
            if candidate.is_expected_slow:
                self._last_seconds_left -= taken
                self._has_last = True
                self._last_bytes_left -= len(candidate.transaction.raw)
            self._bytes_left -= len(candidate.transaction.raw)
            self.chosen.append(candidate.transaction)
            candidate.included()

    def _share(self, candidate: TransactionCandidate) -> float:
        """The seconds that `candidate` may take."""
        share = min(self._transaction_seconds, self._block_seconds_left)
        return min(share, max(self._last_seconds_left, self._light_seconds)) if candidate.is_expected_slow else share

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
            # The time of the block, or its space for logs, ended first. That says nothing about the transaction.
            candidate.skipped()
