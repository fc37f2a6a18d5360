"""How long a private transaction may hold up the ones behind it.

Each has a slice of time. Time that was lost to transactions which did not end in theirs shortens the next slices, down to
`MIN_SLICE_SECONDS`; and then a group in which nothing was executed yet has no slice at all. So one sender with many groups
costs the others little. Must not decide what a transaction does: who has no slice is executed apart, with the same result.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget

SLICE_SECONDS = 2.0
"""What a private transaction may take before it is executed apart."""

MIN_SLICE_SECONDS = 0.25
"""The same after others have taken too long."""

PUBLIC_BLOCK_SECONDS = 10.0
"""What executing a public block again, up to a marker, may take before its private transactions are executed apart."""

FORGIVEN_SHARE = 0.1
"""Seconds of lost time that are forgotten every second."""


class TimeSlices:
    """For one thread. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lost_seconds = 0.0
        self._updated_at = clock()

    def lost_seconds(self) -> float:
        """The time that was lost lately."""
        now = self._clock()
        self._lost_seconds = max(0.0, self._lost_seconds - FORGIVEN_SHARE * (now - self._updated_at))
        self._updated_at = now
        return self._lost_seconds

    @contextmanager
    def slice(self) -> Iterator[ExecutionBudget]:
        """The budget of one private transaction; BudgetExceededError goes through."""
        start = self._clock()
        try:
            yield ExecutionBudget(start + max(MIN_SLICE_SECONDS, SLICE_SECONDS - self.lost_seconds()))
        except BudgetExceededError:
            self._lost_seconds = self.lost_seconds() + self._clock() - start
            raise

    def public_budget(self) -> ExecutionBudget:
        """The budget of a public block that is executed again."""
        return ExecutionBudget(self._clock() + PUBLIC_BLOCK_SECONDS)


class GroupSlices:
    """The same for the groups of one block. `waits` says whether a group's transactions wait for one that is executed
    apart, `is_new` whether nothing was executed in it yet."""

    def __init__(self, slices: TimeSlices, waits: Callable[[bytes], bool], is_new: Callable[[bytes], bool]) -> None:
        self.slices = slices
        self._waits = waits
        self._is_new = is_new
        self._waiting: set[bytes] = set()

    def admits(self, group_id: bytes) -> bool:
        """Whether the group's next transaction is executed now."""
        if group_id in self._waiting or self._waits(group_id):
            return False
        return self.slices.lost_seconds() < SLICE_SECONDS or not self._is_new(group_id)

    def wait(self, group_id: bytes) -> None:
        """The group's next transactions wait."""
        self._waiting.add(group_id)
