"""The time that a private transaction may take before the transactions after it.

Each transaction has a time slice. Time that was lost to transactions that did not end shortens the next slices, down to
`MIN_SLICE_SECONDS`. After much lost time, a group has a slice only if enough was executed in it before, or if its sender is
known. Transactions that end may take too much, too. While newer blocks wait, a group that took more than its share without
changing its state has no slice. Reading a payload counts like executing it. So a sender with many groups, or with many
markers of one payload, costs the other groups little. This module must not decide the result of a transaction. A transaction
without a slice is executed apart, with the same result.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.privacy.state.group_use import GroupUse

SLICE_SECONDS = 2.0
"""The time of a private transaction before it is executed apart. It is also the time that a group may use without a change
of its state before it has no slice while newer blocks wait."""

MIN_SLICE_SECONDS = 0.25
"""The time of a slice after others have lost much time."""

ORDINARY_SECONDS = 0.1
"""The time of a transaction that changes its group's state, above which it counts to the group's use."""

USE_HALF_LIFE_SECONDS = 10.0
"""The time in which half of a group's use is forgotten."""

PUBLIC_BLOCK_SECONDS = 10.0
"""The time for the public transactions before a marker. If it is not enough, the private ones are executed apart."""

FORGIVEN_SHARE = 0.1
"""The seconds of lost time that are forgotten in each second."""

MAX_CARRIED_OUT = 64
"""The number of blocks that changed a group after which it has a slice, for any amount of lost time."""


class TimeSlices:
    """The time slices of one thread. `clock` returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.use = GroupUse(clock, USE_HALF_LIFE_SECONDS)
        self._lost_seconds = 0.0
        self._updated_at = clock()

    def lost_seconds(self) -> float:
        """Return the time that was lost lately."""
        now = self.clock()
        # Lost time is forgotten slowly, so that one slow transaction a minute costs nothing and many do.
        self._lost_seconds = max(0.0, self._lost_seconds - FORGIVEN_SHARE * (now - self._updated_at))
        self._updated_at = now
        return self._lost_seconds

    @contextmanager
    def slice(self) -> Iterator[ExecutionBudget]:
        """Give the budget of one private transaction. BudgetExceededError passes through and counts as lost time."""
        start = self.clock()
        try:
            # A slice never falls below the minimum. An honest short transaction always has a chance to end in it.
            yield ExecutionBudget(start + max(MIN_SLICE_SECONDS, SLICE_SECONDS - self.lost_seconds()))
        except BudgetExceededError:
            self._lost_seconds = self.lost_seconds() + self.clock() - start
            raise

    def public_budget(self) -> ExecutionBudget:
        """Return the budget of a public block that is executed again."""
        # Public transactions were executed at the import already. A longer time means that this machine is overloaded.
        return ExecutionBudget(self.clock() + PUBLIC_BLOCK_SECONDS)


class PriorExecution(Protocol):
    """The facts about groups and senders before one of their transactions is executed."""

    def is_waiting(self, group_id: bytes) -> bool:
        """Return True if the group's transactions wait for one that is executed apart."""

    def count_changes(self, group_id: bytes, at_most: int) -> int:
        """Return the number of blocks that changed the group's state. It is counted up to `at_most`."""

    def is_known_sender(self, private_from: bytes) -> bool:
        """Return True if `private_from` is an own key, or if its last private transaction ended in its time slice."""


class GroupSlices:
    """The time slices of the groups in one block. `is_behind` says that newer blocks, or other late payloads, wait."""

    def __init__(self, slices: TimeSlices, prior: PriorExecution, *, is_behind: bool) -> None:
        self.slices = slices
        self.prior = prior
        self._is_behind = is_behind
        self._waiting: set[bytes] = set()

    def admits(self, group_id: bytes, private_from: bytes) -> bool:
        """Return True if the next transaction from the key `private_from` to the group is executed now."""
        if self.is_waiting(group_id):
            return False
        lost, use = self.slices.lost_seconds(), self.slices.use
        # Only while newer blocks wait. Otherwise no other group loses anything by this one.
        if self._is_behind:
            # The group's own use shortens its slice. The use of all other groups counts as lost time.
            used = use.seconds_of(group_id)
            lost += use.total() - used
            if used > max(MIN_SLICE_SECONDS, SLICE_SECONDS - lost):
                return False
        # The groups with a history of real changes go on. A new group costs nothing, and an attacker can have thousands.
        needed = min(int(lost / SLICE_SECONDS), MAX_CARRIED_OUT)
        # A known sender has shown that its transactions end. It does not pay for the time that others lost.
        if not needed or self.prior.is_known_sender(private_from):
            return True
        return self.prior.count_changes(group_id, needed) >= needed

    def is_waiting(self, group_id: bytes) -> bool:
        """Return True if the group waits for a transaction that is executed apart."""
        return group_id in self._waiting or self.prior.is_waiting(group_id)

    def count_use(self, group_id: bytes, seconds: float, *, has_changed: bool) -> None:
        """Count `seconds` of one transaction to the group's use. A transaction that changes the state counts less."""
        beyond = seconds - ORDINARY_SECONDS if has_changed else seconds
        if beyond > 0:
            self.slices.use.add(group_id, beyond)

    def hold(self, group_id: bytes) -> None:
        """Let the group's next transactions wait."""
        self._waiting.add(group_id)
