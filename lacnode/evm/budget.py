"""The time that an execution may take, and the way to stop it from another thread.

An execution asks its budget again and again (`check`). The longest time between two checks is
`CHECK_INTERVAL_SECONDS` for every execution: an opcode or a precompile that could run longer is cut into steps, or
runs in a process that can be killed. This file must not know what is executed.
"""

import math
import time
from dataclasses import dataclass

CHECK_INTERVAL_SECONDS = 0.1
"""The most seconds that an execution runs without a check of its budget."""

WORKING_SECONDS = 0.005
"""Seconds that an execution with a share of the time works before it pauses."""


class ExecutionInterruptedError(Exception):
    """An execution ended before it was finished. The error says nothing about the validity of the block or the
    transaction."""


class BudgetExceededError(ExecutionInterruptedError):
    """The execution took longer than it may. Or it was ended because it would take longer, or because its logs do not
    fit the block. `further_seconds` are the seconds of the work for which no time was left, 0 in the other cases."""

    further_seconds = 0.0


class SizeExceededError(BudgetExceededError):
    """The execution needs more memory, or writes more logs, than it may, however much time it has."""


class ExecutionCancelledError(ExecutionInterruptedError):
    """The execution was cancelled: its caller does not need the result any longer, or the node stops."""


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """Bounds on the execution of a block: `memory_bytes` of what one transaction holds, and `log_bytes` of all logs."""

    memory_bytes: int
    log_bytes: int


class _Cancellation:
    """A flag that several budgets share."""

    __slots__ = ("is_set",)

    def __init__(self) -> None:
        self.is_set = False


class ExecutionBudget:
    """What an execution may take. It may run until `deadline_seconds` on the monotonic clock (infinite for no deadline), or
    until the budget is cancelled. With a `share` below 1 the execution pauses again and again, so that it works for this
    share of the time at most and leaves the rest to other threads. `sizes` bound the execution of a whole block of another
    validator, None for no such bounds. Safe to use from several threads."""

    __slots__ = ("_cancellations", "_resumed_at", "deadline_seconds", "share", "sizes")

    def __init__(self, deadline_seconds: float = math.inf, share: float = 1.0) -> None:
        self.deadline_seconds = deadline_seconds
        self.share = share
        self.sizes: SizeLimits | None = None
        self._resumed_at = time.monotonic()
        self._cancellations: tuple[_Cancellation, ...] = (_Cancellation(),)

    def cancel(self) -> None:
        """Stop the execution at its next check. Budgets that share a cancellation with this one are cancelled, too: see
        `with_deadline`, `with_sizes` and `joined_with`. ValueError for `UNLIMITED`."""
        for cancellation in self._cancellations:
            cancellation.is_set = True

    @property
    def is_cancelled(self) -> bool:
        """Whether the execution is to stop because it was cancelled. A passed deadline does not count."""
        return any(cancellation.is_set for cancellation in self._cancellations)

    def check(self) -> None:
        """Return if the execution may go on. With a `share` below 1 it may sleep first, for `CHECK_INTERVAL_SECONDS` at
        most. BudgetExceededError after the deadline, ExecutionCancelledError if it was cancelled."""
        # Cancelling comes before the deadline: a cancelled execution is not a slow one, and no transaction is to blame
        # for it.
        for cancellation in self._cancellations:
            if cancellation.is_set:
                raise ExecutionCancelledError("the execution was cancelled")
        if time.monotonic() > self.deadline_seconds:
            raise BudgetExceededError("the execution takes too long")
        if self.share < 1:
            self._pause()

    def _pause(self) -> None:
        worked = time.monotonic() - self._resumed_at
        if worked >= WORKING_SECONDS:
            # The pause is bounded by the interval too: a cancelled execution may be asleep.
            time.sleep(min(CHECK_INTERVAL_SECONDS, worked / self.share - worked))
            self._resumed_at = time.monotonic()

    def check_time_for(self, seconds: float) -> None:
        """Return if there is time for `seconds` of further work that cannot be interrupted. BudgetExceededError if the
        deadline is passed or comes before the end of that work, ExecutionCancelledError if the budget is cancelled."""
        self.check()
        if time.monotonic() + seconds > self.deadline_seconds:
            exceeded = BudgetExceededError(f"the execution has no time for {seconds:.2f} s of further work")
            # The selection of transactions counts them together with the time that the execution took.
            exceeded.further_seconds = seconds
            raise exceeded

    def with_deadline(self, deadline_seconds: float) -> "ExecutionBudget":
        """Return a budget with the earlier of both deadlines (monotonic seconds), and the same share and sizes.
        Cancelling one cancels both. One made of `UNLIMITED` has a cancellation of its own."""
        budget = ExecutionBudget(min(self.deadline_seconds, deadline_seconds), self.share)
        budget.sizes = self.sizes
        # The flags themselves are shared, not copied: cancelling later must reach the budgets made before.
        budget._cancellations = self._cancellations
        return budget

    def with_sizes(self, sizes: SizeLimits) -> "ExecutionBudget":
        """Return a budget with the same deadline, share and cancellations, and these bounds on sizes. One made of
        `UNLIMITED` has a cancellation of its own."""
        budget = self.with_deadline(self.deadline_seconds)
        budget.sizes = sizes
        return budget

    def joined_with(self, other: "ExecutionBudget") -> "ExecutionBudget":
        """Return a new budget with the earlier of both deadlines, the smaller share, and the sizes of this one, or of
        `other` if this one has none. Cancelling one of the two also cancels the new budget, and not the other. Cancelling
        the new budget cancels both, except `UNLIMITED`."""
        budget = ExecutionBudget(min(self.deadline_seconds, other.deadline_seconds), min(self.share, other.share))
        budget.sizes = self.sizes or other.sizes
        # Budgets that were made of one another have flags in common. Each flag is kept once, so the check stays short.
        budget._cancellations = tuple(dict.fromkeys(self._cancellations + other._cancellations))
        return budget


class _Unlimited(ExecutionBudget):
    """The budget of an execution that must be finished. It is shared, so it cannot be cancelled."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__()
        # Without flags `joined_with` adds nothing, and no execution can stop another one through this object.
        self._cancellations = ()

    def cancel(self) -> None:
        raise ValueError("the unlimited budget cannot be cancelled")

    def with_deadline(self, deadline_seconds: float) -> ExecutionBudget:
        return ExecutionBudget(deadline_seconds)


UNLIMITED: ExecutionBudget = _Unlimited()
