"""The time that a private transaction may take before the transactions after it.

Each transaction has a time slice. It is short unless its sender is an own key, or a punctual sender in a group that has
changed often. A punctual sender is a key whose private transaction changed a state in its slice, and of which none took
longer since. Time that was lost to transactions that did not end shortens the next slices, down to `MIN_SLICE_SECONDS`.
After a slice that was lost in a block, only the transactions with the longer slices have one there. After lost time, a
group has a slice only if enough was executed in it before. Punctual senders need that only after more lost time, own
keys never. Transactions that end may take too much, too. A group that took more than its share without a change of its
state has no slice. While newer blocks wait, the time of changes counts too, beyond `ORDINARY_SECONDS` each. Reading a
payload counts like executing it. So a sender with many groups, or with many markers of one payload, costs the other
groups little. This module must not decide the result of a transaction. A transaction without a slice is executed apart,
with the same result.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from lacnode.evm.budget import BudgetExceededError, ExecutionBudget
from lacnode.privacy.state.group_use import GroupUse

SLICE_SECONDS = 2.0
"""The time of a private transaction before it is executed apart. It is also the time that a group may use without a change
of its state before it has no slice."""

SHORT_SLICE_SECONDS = 0.5
"""The same for a sender that is neither own nor punctual, and in a group with few changes. It is also the lost time for
which a group must have changed once before."""

PUNCTUAL_LOST_SECONDS = 1.0
"""The lost time up to which a punctual sender has a slice in a new group. One cheap transaction makes any sender
punctual."""

MIN_SLICE_SECONDS, MIN_PUNCTUAL_SLICE_SECONDS = 0.25, 1.0
"""The time of a slice after others have lost much time, and the same for an own or a punctual sender. On a machine with
too much work an honest transaction that needs 20 ms of a processor takes half a second."""

ORDINARY_SECONDS = 0.1
"""The time of a transaction that changes its group's state, above which it counts to the group's use."""

USE_HALF_LIFE_SECONDS = 10.0
"""The time in which half of a group's use is forgotten."""

PUBLIC_BLOCK_SECONDS = 10.0
"""The time for the public transactions before a marker. If it is not enough, the private ones are executed apart."""

FORGIVEN_SHARE = 0.1
"""The seconds of lost time that are forgotten in each second."""

SETTLED_CHANGES = 8
"""The number of blocks that must have changed a group before its punctual senders have the longer slices."""

MAX_CARRIED_OUT = 64
"""The number of blocks that changed a group after which it has a slice, for any amount of lost time."""


class TimeSlices:
    """The time slices of one thread, and the time that was used and lost in them. `clock` returns monotonic seconds.
    `use` has the seconds of each group."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.use = GroupUse(clock, USE_HALF_LIFE_SECONDS)
        self.vain_use = GroupUse(clock, USE_HALF_LIFE_SECONDS)
        """The part of `use` that changed no state."""

        self._recently_lost_seconds = 0.0
        self._updated_at = clock()

    def recently_lost_seconds(self) -> float:
        """Return the seconds that were lost lately to transactions that did not end in their slice. In each second
        `FORGIVEN_SHARE` seconds of them are forgotten. 0 at the start."""
        now = self.clock()
        # Lost time is forgotten slowly, so that one slow transaction a minute costs nothing and many do.
        self._recently_lost_seconds = max(0.0, self._recently_lost_seconds - FORGIVEN_SHARE * (now - self._updated_at))
        self._updated_at = now
        return self._recently_lost_seconds

    @contextmanager
    def slice(
        self, full_seconds: float = SLICE_SECONDS, least_seconds: float = MIN_SLICE_SECONDS
    ) -> Iterator[ExecutionBudget]:
        """Give the budget of one private transaction, as a context manager: `full_seconds` from now if no time was
        lost, less by the lost time, and at least `least_seconds`.

        BudgetExceededError passes through, and the time then counts as lost.
        """
        start = self.clock()
        try:
            # A slice never falls below the minimum. An honest short transaction always has a chance to end in it.
            yield ExecutionBudget(start + max(least_seconds, full_seconds - self.recently_lost_seconds()))
        except BudgetExceededError:
            self._recently_lost_seconds = self.recently_lost_seconds() + self.clock() - start
            raise

    def public_budget(self) -> ExecutionBudget:
        """Return a budget for the public transactions of a block that is executed again: it ends `PUBLIC_BLOCK_SECONDS`
        from now."""
        # Public transactions were executed at the import already. A longer time means that this machine is overloaded.
        return ExecutionBudget(self.clock() + PUBLIC_BLOCK_SECONDS)


class PriorFacts(Protocol):
    """The facts about groups and senders that decide, before a private transaction is executed, whether it has a time
    slice and how long."""

    def is_waiting(self, group_id: bytes) -> bool:
        """Return True if the transactions of the group with this id (32 bytes) wait for one that is executed apart."""

    def count_changes(self, group_id: bytes, at_most: int) -> int:
        """Return the number of blocks that changed the state of the group `group_id` (32 bytes), at most `at_most`."""

    def is_own_or_punctual_sender(self, private_from: bytes) -> bool:
        """Return True if the key `private_from` (32 bytes) is of this node, or if it is punctual: a private transaction
        of it changed a state within its time slice, and none took longer since. False for an unknown key."""

    def is_own_key(self, private_from: bytes) -> bool:
        """Return True if `private_from` (32 bytes) is a key of this node."""


class GroupSlices:
    """The time slices of the groups in one block, for one thread. `is_behind` says that newer blocks, or other late
    payloads, wait."""

    def __init__(self, slices: TimeSlices, prior: PriorFacts, *, is_behind: bool) -> None:
        self.slices = slices
        self.prior = prior
        self._is_behind = is_behind
        self._waiting: set[bytes] = set()
        self._settled: dict[tuple[bytes, bytes], bool] = {}
        self._has_lost_slice = False
        """Whether a transaction of this block did not end in its slice."""

    def admits(self, group_id: bytes, private_from: bytes) -> bool:
        """Return True if the next transaction from the key `private_from` to the group `group_id` (32 bytes each) may
        be executed now, in a slice. False if it has to wait and to be executed apart."""
        if self.is_waiting(group_id):
            return False
        # A stranger can put transactions of many new groups into one block, each of which would lose a slice there.
        if self._has_lost_slice and not self._is_settled(group_id, private_from):
            return False
        # Work that changes the state costs the others nothing until newer blocks wait. Work without a result is cheap to
        # order: any number of markers of one payload that fails. It delays the others in the same block already.
        use = self.slices.use if self._is_behind else self.slices.vain_use
        # The group's own use shortens its slice. The use of all other groups counts as lost time.
        used = use.seconds_of(group_id)
        lost = self.slices.recently_lost_seconds() + use.total() - used
        full_seconds, least_seconds = self._bounds_of(group_id, private_from)
        if used > max(least_seconds, full_seconds - lost):
            return False
        # The groups with a history of real changes go on. A new group costs nothing, and an attacker can have
        # thousands.
        needed = min(int(lost / SHORT_SLICE_SECONDS), MAX_CARRIED_OUT)
        if not needed or self.prior.is_own_key(private_from):
            return True
        # A punctual sender has shown that its transactions end. It does not pay for a little time that others lost.
        # Much lost time shows that there are senders who became punctual for this.
        if lost < PUNCTUAL_LOST_SECONDS and self.prior.is_own_or_punctual_sender(private_from):
            return True
        return self.prior.count_changes(group_id, needed) >= needed

    @contextmanager
    def slice(self, group_id: bytes, private_from: bytes) -> Iterator[ExecutionBudget]:
        """Give the budget of one private transaction from the key `private_from` to the group (32 bytes each), as a
        context manager. It is short unless the sender is an own key, or a punctual one in a group with
        `SETTLED_CHANGES`. After lost time it is shorter. `admits` is not asked here. BudgetExceededError passes through
        and counts as lost time."""
        try:
            with self.slices.slice(*self._bounds_of(group_id, private_from)) as budget:
                yield budget
        except BudgetExceededError:
            self._has_lost_slice = True
            raise

    def _bounds_of(self, group_id: bytes, private_from: bytes) -> tuple[float, float]:
        """Return the seconds of a slice before any time was lost, and the least."""
        # The first endless transaction of a stranger is not known as such before its slice ends. So it is short.
        if self._is_settled(group_id, private_from):
            return SLICE_SECONDS, MIN_PUNCTUAL_SLICE_SECONDS
        return SHORT_SLICE_SECONDS, MIN_SLICE_SECONDS

    def _is_settled(self, group_id: bytes, private_from: bytes) -> bool:
        """Return True for an own key, and for a punctual sender in a group with `SETTLED_CHANGES`."""
        # The facts are those before the block, so they are read once. Each transaction asks for them twice.
        place = group_id, private_from
        if place not in self._settled:
            # One cheap transaction makes any sender punctual, so the group must have a history, too.
            self._settled[place] = self.prior.is_own_key(private_from) or (
                self.prior.is_own_or_punctual_sender(private_from)
                and self.prior.count_changes(group_id, SETTLED_CHANGES) >= SETTLED_CHANGES
            )
        return self._settled[place]

    def is_waiting(self, group_id: bytes) -> bool:
        """Return True if the group `group_id` (32 bytes) waits for a transaction that is executed apart, of this block
        or an earlier one."""
        return group_id in self._waiting or self.prior.is_waiting(group_id)

    def count_use(self, group_id: bytes, seconds: float, *, has_changed: bool, lost_seconds: float = 0.0) -> None:
        """Count `seconds` of one transaction to the use of the group `group_id` (32 bytes). A transaction that changes
        the state (`has_changed`) counts only beyond `ORDINARY_SECONDS`.

        `lost_seconds` of them count as lost time already.
        """
        beyond = seconds - ORDINARY_SECONDS if has_changed else seconds
        if beyond > 0:
            self.slices.use.add(group_id, beyond)
        if not has_changed:
            self.slices.vain_use.add(group_id, seconds - lost_seconds)

    def hold_group(self, group_id: bytes) -> None:
        """Let the next transactions of the group `group_id` (32 bytes) in this block wait: `admits` then refuses them."""
        self._waiting.add(group_id)
