"""When each group is to be compared with its other members. This module must not compare."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass

MIN_COMPARE_INTERVAL_SECONDS = 10.0
"""The shortest pause between two comparisons of a group that changes all the time."""

GROUP_COMPARE_INTERVAL_SECONDS, DIVERGED_COMPARE_INTERVAL_SECONDS = 600.0, 60.0
"""The pauses after a comparison: when all members agreed, and when one did not."""

MAX_PLANNED_GROUPS = 10_000
"""The largest number of groups with a time for the next comparison. Above it, those whose members do not answer are dropped.
"""

LastChange = tuple[int, int]
"""The revision of a group and the number of the last block that changed its state."""


@dataclass(slots=True)
class _Plan:
    """When a group is to be compared (monotonic seconds). `last_change` is that of the time of planning."""

    last_change: LastChange
    due: float
    asked: float
    tries: int = 0


class ComparisonPlans:
    """The time of the next comparison of each group with its other members. Safe to use from any thread. `clock`
    returns monotonic seconds."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._plans: dict[bytes, _Plan] = {}

    def plan_and_find_due(self, last_changes: Mapping[bytes, LastChange]) -> list[bytes]:
        """Plan the groups in `last_changes`, by group id (32 bytes): a new group at once, a changed one soon. Return
        the ids of all planned groups to compare now, the one that has waited longest first. Above `MAX_PLANNED_GROUPS`
        at least a tenth of the plans is dropped: first those whose last comparisons failed most often, then those that
        are due last.

        A `LastChange` is the revision of a group and the number of the last block that changed its state.
        """
        with self._lock:
            now = self._clock()
            for group_id, last_change in last_changes.items():
                self._plan(group_id, last_change, now)
            self._forget()
            # The longest wait comes first, so that no group is left out when there are many.
            due = sorted((plan.due, group_id) for group_id, plan in self._plans.items() if plan.due <= now)
        return [group_id for _, group_id in due]

    def _forget(self) -> None:
        """Keep the plans of the groups whose members answer. A forgotten group is planned again when its turn comes."""
        if len(self._plans) > MAX_PLANNED_GROUPS:
            kept = sorted(self._plans.items(), key=lambda entry: (entry[1].tries, entry[1].due))
            self._plans = dict(kept[: MAX_PLANNED_GROUPS - MAX_PLANNED_GROUPS // 10])

    def _plan(self, group_id: bytes, last_change: LastChange, now: float) -> None:
        plan = self._plans.get(group_id)
        if plan is None:
            self._plans[group_id] = _Plan(last_change, now, now - MIN_COMPARE_INTERVAL_SECONDS)
        # A changed group is compared soon, but not after every block: its members may need a moment to execute it.
        elif plan.last_change != last_change:
            soon = max(now, plan.asked + MIN_COMPARE_INTERVAL_SECONDS)
            plan.last_change, plan.due, plan.tries = last_change, min(plan.due, soon), 0

    def bring_forward(self, group_id: bytes) -> None:
        """Bring the next comparison of the group `group_id` (32 bytes) forward, because a member asked. It stays at
        least `MIN_COMPARE_INTERVAL_SECONDS` after the last one, or `DIVERGED_COMPARE_INTERVAL_SECONDS` if that one
        failed, as `plan_after_comparison` says. No effect for a group that is not planned."""
        with self._lock:
            plan = self._plans.get(group_id)
            if plan is not None:
                # Two nodes, one of which lacks a payload, would otherwise cause comparisons of each other for ever.
                pause = DIVERGED_COMPARE_INTERVAL_SECONDS if plan.tries else MIN_COMPARE_INTERVAL_SECONDS
                # A member's question can only bring the comparison forward, and not below the pause since the last
                # one.
                plan.due = min(plan.due, max(self._clock(), plan.asked + pause))

    def plan_after_comparison(self, group_id: bytes, seconds: float, *, failed: bool) -> None:
        """Record that the group `group_id` (32 bytes) was compared now, and plan its next comparison in `seconds`. It
        `failed` if it found neither agreement nor divergence, because of an error or of members that did not answer. The
        next one comes sooner then, with pauses that double up to `seconds`. KeyError if the group is not planned."""
        with self._lock:
            plan = self._plans[group_id]
            plan.asked = self._clock()
            # The pause doubles with each failure, up to the usual one. A silent member costs few calls.
            plan.due = plan.asked + (min(seconds, MIN_COMPARE_INTERVAL_SECONDS * 2**plan.tries) if failed else seconds)
            plan.tries = min(plan.tries + 1, 16) if failed else 0
