"""Connections that were refused, for operators to look at: who, which way, why, how often, since when.

Bounded, since strangers fill it. Must not decide anything.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.decision import Decision

MAX_REFUSED_CONNECTIONS = 1000


@dataclass(frozen=True, slots=True)
class RefusedConnection:
    """`inbound`: the other node wanted to connect. Times are Unix seconds."""

    enode: Enode
    inbound: bool
    decision: Decision
    times: int
    first: float
    last: float

    def to_json(self) -> dict[str, object]:
        """For an RPC result."""
        return {
            "enode": str(self.enode),
            "direction": "inbound" if self.inbound else "outbound",
            **self.decision.to_json(),
            "times": self.times,
            "first": int(self.first),
            "last": int(self.last),
        }


class RefusedConnections:
    """One entry a node and direction; the longest unseen is forgotten first. `now` is the wall clock."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._refusals: OrderedDict[tuple[bytes, bool], RefusedConnection] = OrderedDict()

    def add(self, enode: Enode, inbound: bool, decision: Decision) -> bool:
        """Note a refusal; True if there was none before for this node and direction with the same rule and reason."""
        key, now = (enode.id, inbound), self._now()
        known = self._refusals.pop(key, None)
        is_news = known is None or _essence(known.decision) != _essence(decision)
        if known is None or is_news:
            self._refusals[key] = RefusedConnection(enode, inbound, decision, 1, now, now)
        else:
            self._refusals[key] = replace(known, enode=enode, decision=decision, times=known.times + 1, last=now)
        if len(self._refusals) > MAX_REFUSED_CONNECTIONS:
            self._refusals.popitem(last=False)
        return is_news

    def permitted(self, id_: bytes) -> None:
        """The node may connect now."""
        for inbound in (False, True):
            self._refusals.pop((id_, inbound), None)

    def all(self) -> list[RefusedConnection]:
        """The latest first."""
        return list(reversed(self._refusals.values()))


def _essence(decision: Decision) -> tuple[str, str, str]:
    """What makes a refusal the same one at a later block."""
    return decision.rule, decision.source, decision.reason
