"""The time that each group lately occupied a thread. Half of it is forgotten again and again.

This module must not know what was executed.
"""

from collections.abc import Callable

MAX_COUNTED_GROUPS = 1_024
"""The largest number of groups that are kept. Above it, the groups with the least time are forgotten."""


class GroupUse:
    """The seconds for which each group used one thread lately. Older use counts less: half of it is forgotten in
    `half_life_seconds`. `clock` returns monotonic seconds. Above `MAX_COUNTED_GROUPS` the groups with the least use are
    forgotten."""

    def __init__(self, clock: Callable[[], float], half_life_seconds: float) -> None:
        self._clock = clock
        self._half_life_seconds = half_life_seconds
        self._seconds: dict[bytes, float] = {}
        self._updated_at = clock()

    def add(self, group_id: bytes, seconds: float) -> None:
        """Add `seconds` to the use of the group with this id (32 bytes)."""
        self._forget()
        self._seconds[group_id] = self._seconds.get(group_id, 0.0) + seconds
        if len(self._seconds) > MAX_COUNTED_GROUPS:
            # Half is dropped at once, so that sorting is rare. The dropped groups have the least use and lose almost
            # nothing.
            kept = sorted(self._seconds.items(), key=lambda entry: entry[1])[MAX_COUNTED_GROUPS // 2 :]
            self._seconds = dict(kept)

    def seconds_of(self, group_id: bytes) -> float:
        """Return the seconds for which the group with this id (32 bytes) used the thread lately. Older use counts less
        (`half_life_seconds`). 0 for an unknown group."""
        self._forget()
        return self._seconds.get(group_id, 0.0)

    def total(self) -> float:
        """Return the sum of `seconds_of` for all groups."""
        self._forget()
        return sum(self._seconds.values())

    def _forget(self) -> None:
        passed = self._clock() - self._updated_at
        # A tenth of the half-life is exact enough, and a block may have thousands of markers.
        if passed < self._half_life_seconds / 10:
            return
        # Groups with less than a millisecond are dropped, so that the table stays small by itself.
        left = 0.5 ** (passed / self._half_life_seconds)
        self._seconds = {group: used * left for group, used in self._seconds.items() if used * left > 0.001}
        self._updated_at += passed
