"""How long a private transaction may hold up the ones behind it.

Each has a slice of time. Time that was lost to transactions which did not end in theirs shortens the next slices, down to
`MIN_SLICE_SECONDS`; and then a group has a slice only if enough was carried out in it before, or if its sender is known.
What ends in its slice may be too much too: while newer blocks wait, a group that took more than its share lately without
changing its state has no slice either. Reading a payload counts like executing it. So one sender with many groups, or with
many markers of one payload, costs the others little. Must not decide what a transaction does: what has no slice is executed
apart, with the same result.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.privacy.state.group_use import GroupUse

SLICE_SECONDS = 2.0
"""What a private transaction may take before it is executed apart, and what a group may take without changing its state
before it has no slice while newer blocks wait."""

MIN_SLICE_SECONDS = 0.25
"""The same after others have taken too long."""

ORDINARY_SECONDS = 0.1
"""What a private transaction that changes its group's state may take before it counts to the group's use."""

USE_HALF_LIFE_SECONDS = 10.0
"""Time in which half of a group's use is forgotten."""

PUBLIC_BLOCK_SECONDS = 10.0
"""What executing a public block again, up to a marker, may take before its private transactions are executed apart."""

FORGIVEN_SHARE = 0.1
"""Seconds of lost time that are forgotten every second."""

MAX_CARRIED_OUT = 64
"""Blocks that changed a group, after which it has a slice however much time was lost."""


class TimeSlices:
    """For one thread. `clock` gives monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.use = GroupUse(clock, USE_HALF_LIFE_SECONDS)
        self._lost_seconds = 0.0
        self._updated_at = clock()

    def lost_seconds(self) -> float:
        """The time that was lost lately."""
        now = self.clock()
        self._lost_seconds = max(0.0, self._lost_seconds - FORGIVEN_SHARE * (now - self._updated_at))
        self._updated_at = now
        return self._lost_seconds

    @contextmanager
    def slice(self) -> Iterator[ExecutionBudget]:
        """The budget of one private transaction; BudgetExceededError goes through."""
        start = self.clock()
        try:
            yield ExecutionBudget(start + max(MIN_SLICE_SECONDS, SLICE_SECONDS - self.lost_seconds()))
        except BudgetExceededError:
            self._lost_seconds = self.lost_seconds() + self.clock() - start
            raise

    def public_budget(self) -> ExecutionBudget:
        """The budget of a public block that is executed again."""
        return ExecutionBudget(self.clock() + PUBLIC_BLOCK_SECONDS)


class PriorExecution(Protocol):
    """What is known of groups and senders before something of them is executed."""

    def waits(self, group_id: bytes) -> bool:
        """Whether the group's transactions wait for one that is executed apart."""

    def carried_out(self, group_id: bytes, at_most: int) -> int:
        """How many blocks have changed the group's state; `at_most` are counted."""

    def is_known_sender(self, private_from: bytes) -> bool:
        """Whether `private_from` is an own key, or a private transaction of this key was carried out in its slice, and none
        since has taken longer."""


class GroupSlices:
    """The same for the groups of one block. `is_behind` says that newer blocks wait, or late payloads of others."""

    def __init__(self, slices: TimeSlices, prior: PriorExecution, *, is_behind: bool) -> None:
        self.slices = slices
        self.prior = prior
        self._is_behind = is_behind
        self._waiting: set[bytes] = set()

    def admits(self, group_id: bytes, private_from: bytes) -> bool:
        """Whether the next transaction that the key `private_from` sends to the group is executed now."""
        if self.waits(group_id):
            return False
        lost, use = self.slices.lost_seconds(), self.slices.use
        if self._is_behind:
            used = use.of(group_id)
            lost += use.total() - used
            if used > max(MIN_SLICE_SECONDS, SLICE_SECONDS - lost):
                return False
        needed = min(int(lost / SLICE_SECONDS), MAX_CARRIED_OUT)
        if not needed or self.prior.is_known_sender(private_from):
            return True
        return self.prior.carried_out(group_id, needed) >= needed

    def waits(self, group_id: bytes) -> bool:
        """Whether the group waits for something that is executed apart."""
        return group_id in self._waiting or self.prior.waits(group_id)

    def used(self, group_id: bytes, seconds: float, *, has_changed: bool) -> None:
        """The group took so many seconds for one transaction, which changed its state or not."""
        beyond = seconds - ORDINARY_SECONDS if has_changed else seconds
        if beyond > 0:
            self.slices.use.add(group_id, beyond)

    def wait(self, group_id: bytes) -> None:
        """The group's next transactions wait."""
        self._waiting.add(group_id)
