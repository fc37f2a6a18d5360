"""Who is dialled next, and when again after a failure.

Static nodes and bootnodes are dialled until they are connected, whatever it takes. Discovered nodes while there is room
for peers, and forgotten after some failures. The first retries come fast, since a network that starts or comes back is
worth a few refused connections. Later ones back off to half a minute, each with some jitter so that nodes that lost each
other together do not meet again together for ever.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

from lacnode.p2p.wire.enode import Enode

FIRST_RETRY_DELAY_SECONDS, MAX_RETRY_DELAY_SECONDS, RETRY_JITTER_RATIO = 0.2, 30.0, 0.25
"""Seconds before the second attempt, at most, and the part of a delay that is left to chance."""

MAX_DISCOVERED = 1000
MAX_FAILURES = 8
"""Failures after which a discovered node is forgotten."""


@dataclass(slots=True)
class _Target:
    enode: Enode
    is_permanent: bool
    failures: int = 0
    next_attempt: float = 0.0
    dialling: bool = False


class Dialer:
    """Keeps the list. The network does the dialling."""

    def __init__(self, rng: random.Random) -> None:
        self._targets: dict[bytes, _Target] = {}
        self._rng = rng

    def add(self, enode: Enode, *, is_permanent: bool) -> bool:
        """Dial `enode` from now on. `is_permanent` for ever. False if that was so already."""
        known = self._targets.get(enode.id)
        if known is not None:
            changed = is_permanent and not known.is_permanent
            known.is_permanent = known.is_permanent or is_permanent
            if is_permanent and known.enode != enode:
                known.enode, changed = enode, True
            return changed
        if not is_permanent and len(self._targets) >= MAX_DISCOVERED:
            return False
        self._targets[enode.id] = _Target(enode, is_permanent)
        return True

    def remove(self, id_: bytes) -> bool:
        """Do not dial this node any more. False if it was not on the list."""
        return self._targets.pop(id_, None) is not None

    def due(self, now: float, wanted: Callable[[Enode, bool], bool], free_slots: int) -> list[Enode]:
        """Nodes to dial at once, of those that are `wanted` (enode, kept): each kept one, and discovered ones until
        `free_slots` of them are being dialled. Each counts as being dialled until `finished`."""
        due = []
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
        """When another attempt becomes due, if nothing else changes."""
        waiting = (target for target in self._targets.values() if not target.dialling)
        return min((target.next_attempt for target in waiting if target.next_attempt > now), default=None)

    def finished(self, id_: bytes, now: float, *, was_lasting: bool) -> None:
        """An attempt, or the session it led to, is over. Only a `was_lasting` session was a success: a node that takes us
        and drops us again is not dialled faster than one that is not there."""
        target = self._targets.get(id_)
        if target is None:
            return
        target.dialling = False
        target.failures = 0 if was_lasting else target.failures + 1
        if target.failures > MAX_FAILURES and not target.is_permanent:
            del self._targets[id_]
            return
        delay = min(MAX_RETRY_DELAY_SECONDS, FIRST_RETRY_DELAY_SECONDS * 2 ** min(target.failures, 10))
        target.next_attempt = now + delay * (1 + RETRY_JITTER_RATIO * (2 * self._rng.random() - 1))

    def retry_soon(self, id_: bytes) -> None:
        """The node gave a sign of life: forget about earlier failures."""
        target = self._targets.get(id_)
        if target is not None:
            target.failures, target.next_attempt = 0, 0.0
