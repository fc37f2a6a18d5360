"""Which sessions may exist: limits, duplicates, and who misbehaved (Besu's `RlpxAgent` and `PeerDenylistManager`)."""

import math
from collections import OrderedDict
from dataclasses import dataclass

import trio

from lacnode.p2p.peer import Peer
from lacnode.p2p.rate_limits import RateLimits
from lacnode.p2p.wire.p2p_messages import DisconnectReason

MAX_DENIED_NODES = 500

SESSIONS_PER_SECOND, SESSIONS_AT_ONCE = 0.5, 20
"""Of one node that dials this one: each session costs an announcement of the pool and a look at the rules."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """`max_peers` in all. At most `inbound_share` (0 to 1) of them may have dialled us, if that is limited at all."""

    max_peers: int = 25
    inbound_share: float | None = 0.6


class PeerSet:
    """The live peers by node id. `own_id` decides between two connections to the same node."""

    def __init__(self, own_id: bytes, limits: PeerLimits) -> None:
        self.peers: dict[bytes, Peer] = {}
        self.exempt: set[bytes] = set()
        """Ids of static nodes: they count for no limit."""
        self._own_id = own_id
        self._limits = limits
        self._denied: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """By node id: why, and until when on the event loop's clock."""
        self._sessions = RateLimits(SESSIONS_PER_SECOND, SESSIONS_AT_ONCE)

    def connected(self) -> list[Peer]:
        """The peers with a session, the oldest first, except those that are leaving."""
        return [peer for peer in list(self.peers.values()) if peer.leaving is None]

    @property
    def free_slots(self) -> int:
        """How many more peers of our own choice there may be."""
        return max(0, self._limits.max_peers - len(self.peers))

    def refusal(self, id_: bytes, inbound: bool) -> DisconnectReason | None:
        """Why a new connection with node `id_` may not become a peer, None if it may.

        A second connection to a node is judged as Besu judges it, so that both sides keep the same one: if each side
        dialled, the connection of the side with the lower id stays. Otherwise the older one.
        """
        if id_ == self._own_id:
            return DisconnectReason.LOCAL_IDENTITY
        existing = self.peers.get(id_)
        if existing is not None and existing.leaving is None:
            return None if self._replaces(existing, inbound) else DisconnectReason.ALREADY_CONNECTED
        if id_ in self.exempt:
            return None
        if len(self.peers) >= self._limits.max_peers or (inbound and self._inbound_full()):
            return DisconnectReason.TOO_MANY_PEERS
        return None

    def exceeds_session_rate(self, id_: bytes) -> bool:
        """Whether this node dials this one again and again. Call once for each session that it begins."""
        return id_ not in self.exempt and not self._sessions.allow(id_, trio.current_time())

    def _replaces(self, existing: Peer, inbound: bool) -> bool:
        if existing.inbound == inbound:
            return False
        new_initiator = existing.id if inbound else self._own_id
        return new_initiator == min(existing.id, self._own_id)

    def _inbound_full(self) -> bool:
        if self._limits.inbound_share is None:
            return False
        inbound = sum(peer.inbound and peer.id not in self.exempt for peer in self.peers.values())
        return inbound >= int(self._limits.max_peers * self._limits.inbound_share)

    def deny(self, id_: bytes, reason: str, seconds: float = math.inf) -> None:
        """Do not talk to this node again for `seconds`, or until restart, unless it is a static one."""
        if id_ not in self.exempt:
            until = seconds if seconds == math.inf else trio.current_time() + seconds
            self._denied[id_] = reason, until
            if len(self._denied) > MAX_DENIED_NODES:
                self._denied.popitem(last=False)

    def denial_reason(self, id_: bytes) -> str | None:
        """Why this node is denied, None if it is not."""
        reason, until = self._denied.get(id_, ("", -math.inf))
        if id_ in self.exempt or until == -math.inf:
            return None
        if until != math.inf and until <= trio.current_time():
            del self._denied[id_]
            return None
        return reason
