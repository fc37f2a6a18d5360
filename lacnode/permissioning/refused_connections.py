"""The table of refused connections, for operators. It shows the node, the direction, the reason, the count and the times.

The table is bounded, because unknown nodes fill it. This module must not decide anything.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.decision import Decision

MAX_REFUSED_CONNECTIONS = 1000
"""Entries of about 1 kB each. Any node of the internet can cause one."""


@dataclass(frozen=True, slots=True)
class RefusedConnection:
    """A refused connection. With `inbound` the other node dialled this node. `times` counts its refusals for the same
    reason in a row. `first` and `last` are the times of the first and the last of these, in Unix seconds."""

    enode: Enode
    inbound: bool
    decision: Decision
    times: int
    first: float
    last: float

    def to_json(self) -> dict[str, object]:
        """Return the entry in the form of an RPC result: the enode URL, the direction (`inbound` or `outbound`), the
        fields of the decision, the count, and the times in whole Unix seconds."""
        return {
            "enode": str(self.enode),
            "direction": "inbound" if self.inbound else "outbound",
            **self.decision.to_json(),
            "times": self.times,
            "first": int(self.first),
            "last": int(self.last),
        }


class RefusedConnections:
    """The connections that were refused, one entry for each node and direction, at most `MAX_REFUSED_CONNECTIONS`.

    A full table drops the entry that was refused longest ago. `now` returns Unix seconds.
    """

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._refusals: OrderedDict[tuple[bytes, bool], RefusedConnection] = OrderedDict()

    def record_refusal(self, enode: Enode, inbound: bool, decision: Decision) -> bool:
        """Record a refusal now. Return True if it is new: there was none of this node and direction, or the last one
        had another reason. A new one begins with a count of 1."""
        key, now = (enode.id, inbound), self._now()
        # The result decides whether the refusal is logged. A peer that tries again every minute must not fill the log.
        known = self._refusals.pop(key, None)
        is_news = known is None or _compared_parts(known.decision) != _compared_parts(decision)
        if known is None or is_news:
            self._refusals[key] = RefusedConnection(enode, inbound, decision, 1, now, now)
        else:
            self._refusals[key] = replace(known, enode=enode, decision=decision, times=known.times + 1, last=now)
        # The entry was removed above and added again. The order is therefore by the last refusal, and the oldest is
        # the first.
        if len(self._refusals) > MAX_REFUSED_CONNECTIONS:
            self._refusals.popitem(last=False)
        return is_news

    def remove(self, id_: bytes) -> None:
        """Remove the entries of the node `id_` (64 bytes) in both directions, because it may connect now. No effect if
        there is none. No rule is asked."""
        for inbound in (False, True):
            self._refusals.pop((id_, inbound), None)

    def all(self) -> list[RefusedConnection]:
        """Return all entries, the latest refusal first."""
        return list(reversed(self._refusals.values()))


def _compared_parts(decision: Decision) -> tuple[str, str, str]:
    """The parts of a decision that say whether two refusals are the same. The block number is left out: it changes."""
    return decision.rule, decision.source, decision.reason
