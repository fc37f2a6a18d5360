"""Chooses the nodes to dial next, and the time of the next attempt after a failure.

Static nodes and bootnodes are dialled until they are connected, without a limit of attempts. Discovered nodes are
dialled while the peer limit leaves free slots, and forgotten after more than `MAX_FAILURES` failures in a row. The
first retries come fast, because a network that starts costs only a few refused connections. Later retries back off to
half a minute. Each delay has jitter: nodes that lost their connections at the same moment must not retry at the same
moment for ever. Must not dial itself and must not read a clock.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from lacnode.p2p.wire.enode import Enode

FIRST_RETRY_DELAY_SECONDS, MAX_RETRY_DELAY_SECONDS, RETRY_JITTER_RATIO = 0.2, 30.0, 0.25
"""The delay before the second attempt, the longest delay, and the part of a delay that is random in both directions."""

MAX_DISCOVERED = 1000
MAX_FAILURES = 8
"""Failures in a row that a discovered node may have. At the next one it is forgotten."""


@dataclass(slots=True)
class _Target:
    enode: Enode
    is_permanent: bool
    failures: int = 0
    next_attempt: float = 0.0
    dialling: bool = False


class DialSchedule:
    """The list of nodes to dial, by node id, with the time of the next attempt for each. It dials nothing: the network
    does. All times are seconds of one clock that never goes back."""

    def __init__(self, rng: random.Random) -> None:
        self._targets: dict[bytes, _Target] = {}
        self._rng = rng

    def add(self, enode: Enode, *, is_permanent: bool) -> bool:
        """Put `enode` on the list. With `is_permanent` only `remove` takes it off, otherwise also its failures. Return
        True if that changed the list: the node was not on it, or became permanent, or a permanent node has another
        address now. False otherwise, also if the node is new and not permanent and `MAX_DISCOVERED` nodes are on the
        list. Only `is_permanent` replaces the address of a known node."""
        known = self._targets.get(enode.id)
        if known is not None:
            # An operator's word replaces the address that discovery found. Discovery never replaces the address that an
            # operator gave: a stranger could otherwise lead this node away from its static nodes.
            changed = is_permanent and not known.is_permanent
            known.is_permanent = known.is_permanent or is_permanent
            if is_permanent and known.enode != enode:
                known.enode, changed = enode, True
            return changed
        # Only discovered nodes can fill the list. Static nodes are always added.
        if not is_permanent and len(self._targets) >= MAX_DISCOVERED:
            return False
        self._targets[enode.id] = _Target(enode, is_permanent)
        return True

    def remove(self, id_: bytes) -> bool:
        """Take the node with this id (64 bytes) off the list. Return whether it was on the list."""
        return self._targets.pop(id_, None) is not None

    def mark_due_as_dialling(self, now: float, wanted: Callable[[Enode, bool], bool], free_slots: int) -> list[Enode]:
        """Return the nodes to dial at `now` (seconds), which stay on the list. `wanted(enode, is_permanent)` says
        whether a node may be dialled.

        Every permanent node that is due and wanted is returned. Discovered nodes are returned until `free_slots` of
        them are being dialled. Each returned node counts as being dialled until `record_end_of_attempt`.
        """
        due = []
        # Attempts that are under way may become peers and take slots. Without this, each call would dial `free_slots`
        # more.
        free_slots -= sum(target.dialling and not target.is_permanent for target in self._targets.values())
        for target in self._targets.values():
            if target.dialling or target.next_attempt > now or not (target.is_permanent or free_slots > 0):
                continue
            if wanted(target.enode, target.is_permanent):
                target.dialling = True
                free_slots -= not target.is_permanent
                due.append(target.enode)
        return due

    def next_attempt_time(self, now: float) -> float | None:
        """Return the time (seconds, on the clock of `now`) of the next attempt after `now`, None if no node waits for
        one.

        Nodes that are due but not wanted do not count: only a change, which wakes the network, makes them wanted.
        """
        waiting = (target for target in self._targets.values() if not target.dialling)
        return min((target.next_attempt for target in waiting if target.next_attempt > now), default=None)

    def record_end_of_attempt(self, id_: bytes, now: float, *, was_lasting: bool) -> None:
        """Record that an attempt to dial the node `id_` (64 bytes) is over at `now` (seconds): it has failed, or its
        session has ended. Call it once for each node that `mark_due_as_dialling` has returned. Only a session that
        `was_lasting` is a success: a node that accepts sessions and drops them at once is not dialled more often than an
        unreachable node. A discovered node is forgotten at the first failure after `MAX_FAILURES` in a row. Nothing for
        an unknown node."""
        target = self._targets.get(id_)
        if target is None:
            return
        target.dialling = False
        target.failures = 0 if was_lasting else target.failures + 1
        if target.failures > MAX_FAILURES and not target.is_permanent:
            del self._targets[id_]
            return
        # The exponent is bounded: the power of an unbounded count of failures would become too large for a float.
        delay = min(MAX_RETRY_DELAY_SECONDS, FIRST_RETRY_DELAY_SECONDS * 2 ** min(target.failures, 10))
        target.next_attempt = now + delay * (1 + RETRY_JITTER_RATIO * (2 * self._rng.random() - 1))

    def forget_failures(self, id_: bytes) -> None:
        """Forget the earlier failures of the node `id_` (64 bytes), which has answered discovery or has dialled this
        node. It is due at once, unless an attempt or a session is under way. Nothing for an unknown node."""
        target = self._targets.get(id_)
        if target is not None:
            target.failures, target.next_attempt = 0, 0.0
