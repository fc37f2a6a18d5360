"""Which sessions may exist: limits, duplicate connections, and denied nodes (Besu's `RlpxAgent` and
`PeerDenylistManager`).

Must not ask the policy and must not end sessions. It only answers. Used on the event loop.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass

import trio

from lacnode.p2p.peer import Peer
from lacnode.p2p.rate_limits import RateLimits
from lacnode.p2p.wire.p2p_messages import DisconnectReason

MAX_DENIED_NODES = 500

SESSIONS_PER_SECOND, SESSIONS_AT_ONCE = 0.5, 20
"""The sessions of one node that dials this one. Each session costs an announcement of the whole pool and a decision of the
policy."""


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """At most `max_peers` peers in all. At most the part `inbound_share` (0 to 1) of `max_peers` may have dialled this
    node. None sets no such limit. Static nodes and bootnodes are exempt from both, but they count for `max_peers`."""

    max_peers: int = 25
    inbound_share: float | None = 0.6


class PeerSet:
    """The peers with a session, by node id. `own_id` is this node's id. Ids have 64 bytes. Use it on the event loop."""

    def __init__(self, own_id: bytes, limits: PeerLimits) -> None:
        self.peers: dict[bytes, Peer] = {}
        self.exempt: set[bytes] = set()
        """Ids of static nodes and bootnodes. No limit and no denial applies to them."""
        self._own_id = own_id
        self._limits = limits
        self._denied: OrderedDict[bytes, tuple[str, float]] = OrderedDict()
        """By node id: the reason, and the end of the denial on the event loop's clock."""
        self._sessions = RateLimits(SESSIONS_PER_SECOND, SESSIONS_AT_ONCE)

    def connected_peers(self) -> list[Peer]:
        """The peers with a session, the oldest first, except those that are leaving."""
        return [peer for peer in list(self.peers.values()) if peer.end_reason is None]

    @property
    def free_slots(self) -> int:
        """The number of peers that may still be added until there are `max_peers`, static ones included. Never
        negative."""
        return max(0, self._limits.max_peers - len(self.peers))

    def refusal_reason(self, id_: bytes, inbound: bool) -> DisconnectReason | None:
        """Return why a new connection with the node `id_` (64 bytes) may not become a peer, None if it may. Denials are
        not looked at (`denial_reason`).

        Of two connections to one node, both sides must keep the same one. The rule is Besu's: if each side dialled, the
        connection that the side with the lower id dialled stays. Otherwise the older connection stays.
        """
        if id_ == self._own_id:
            return DisconnectReason.LOCAL_IDENTITY
        # Before the limits: a second connection replaces the first one and takes no further slot.
        existing = self.peers.get(id_)
        if existing is not None and existing.end_reason is None:
            return None if self._replaces(existing, inbound) else DisconnectReason.ALREADY_CONNECTED
        if id_ in self.exempt:
            return None
        if len(self.peers) >= self._limits.max_peers or (inbound and self._inbound_full()):
            return DisconnectReason.TOO_MANY_PEERS
        return None

    def record_session_and_exceeds_rate(self, id_: bytes) -> bool:
        """Record that the node `id_` (64 bytes) begins a session. Return True if it begins sessions too often, and
        False if it may go on. A static node or bootnode never begins too many. Must be called once for each session
        that the node begins."""
        return id_ not in self.exempt and not self._sessions.try_spend(id_, trio.current_time())

    def _replaces(self, existing: Peer, inbound: bool) -> bool:
        if existing.description.inbound == inbound:
            return False
        # Both sides compute the same initiator from the ids. They may see the two connections in different order.
        new_initiator = existing.id if inbound else self._own_id
        return new_initiator == min(existing.id, self._own_id)

    def _inbound_full(self) -> bool:
        if self._limits.inbound_share is None:
            return False
        # The share is of `max_peers`, not of the peers now: the first inbound peer of an empty node must be admitted.
        inbound = sum(peer.description.inbound and peer.id not in self.exempt for peer in self.peers.values())
        return inbound >= int(self._limits.max_peers * self._limits.inbound_share)

    def deny(self, id_: bytes, reason: str, seconds: float = math.inf) -> None:
        """Refuse sessions with the node `id_` (64 bytes) for `seconds`, or until restart if that is infinite. Static
        nodes and bootnodes are exempt. A running session is not ended. Beyond `MAX_DENIED_NODES` the oldest denial is
        forgotten."""
        if id_ not in self.exempt:
            until = seconds if seconds == math.inf else trio.current_time() + seconds
            self._denied[id_] = reason, until
            if len(self._denied) > MAX_DENIED_NODES:
                self._denied.popitem(last=False)

    def denial_reason(self, id_: bytes) -> str | None:
        """Return why the node `id_` (64 bytes) is denied, None if it is not."""
        reason, until = self._denied.get(id_, ("", -math.inf))
        if id_ in self.exempt or until == -math.inf:
            return None
        if until != math.inf and until <= trio.current_time():
            # Expired entries are deleted when they are read. `MAX_DENIED_NODES` bounds the others.
            del self._denied[id_]
            return None
        return reason
