"""Which peer to ask for blocks: what each has delivered, and how long one that failed is not asked.

A peer's total difficulty and head are claims, and cost the peer nothing. So a claim only makes a peer a candidate; the
order among candidates comes from what they did. The time without a question grows with each failure, from seconds to
hours. A node id is free, so failures also count for the network that the address is in. That count only lowers the
preference: honest nodes may share the address, and all nodes of a devnet do. Must not ask anything itself.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Protocol, TypeVar

MAX_RECORDS = 4_096
"""Node ids, and networks, that are remembered; the one that failed or delivered longest ago is forgotten."""

RETRY_BACKOFF_FACTOR = 3
"""By which the next failure's wait is longer than the last one's."""

MAX_WAIT_SECONDS = 4 * 3600.0
NETWORK_PENALTY_SECONDS = 3600.0
"""For which the last failure of an address counts against others in its network."""

MAX_FAILURES_IN_SESSION = 3
"""Failures in a row after which the session is of no use."""

IPV4_PREFIX_BITS, IPV6_PREFIX_BITS = 24, 48


class PeerFault(Enum):
    """How a peer failed; the value is the wait in seconds after the first failure."""

    LEFT = 2.0
    """The session ended in the middle."""
    LATE = 20.0
    """No answer, an empty one, or one too slow: an honest peer under load may do it."""
    FALSE = 600.0
    """Proven: headers without seals, bodies that do not belong to their headers."""


class SyncPeer(Protocol):
    """What is looked at of a peer."""

    id: bytes
    address: bytes
    inbound: bool
    head_number: int
    remote_address: tuple[str, int]


P = TypeVar("P", bound=SyncPeer)


@dataclass(slots=True)
class _Record:
    failures: int = 0
    blocked_until: float = 0.0
    has_delivered: bool = False
    is_slow: bool = False


class PeerTrust:
    """Times are seconds on one monotonic clock. For one thread."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[bytes, _Record] = OrderedDict()
        self._failed_networks: OrderedDict[str, float] = OrderedDict()

    def may_be_asked(self, peer: SyncPeer, now: float) -> bool:
        """Whether `peer` is not barred at `now`."""
        record = self._nodes.get(peer.id)
        return record is None or record.blocked_until <= now

    def failed(self, peer: SyncPeer, fault: PeerFault, now: float) -> int:
        """`peer` failed; its failures in a row."""
        record = self._record(peer.id)
        record.failures += 1
        wait = fault.value * RETRY_BACKOFF_FACTOR ** min(record.failures - 1, 20)
        record.blocked_until = now + min(MAX_WAIT_SECONDS, wait)
        if fault is not PeerFault.LEFT:
            network = _network_of(peer)
            self._failed_networks[network] = now
            self._failed_networks.move_to_end(network)
            if len(self._failed_networks) > MAX_RECORDS:
                self._failed_networks.popitem(last=False)
        return record.failures

    def delivered(self, peer: SyncPeer, *, slow: bool) -> None:
        """`peer` gave blocks that were verified. One delivery takes one failure back, not all of them."""
        record = self._record(peer.id)
        record.failures = max(0, record.failures - 1)
        record.has_delivered = True
        record.is_slow = slow

    def best(self, peers: Iterable[P], validators: frozenset[bytes], now: float) -> P | None:
        """The peer to ask first, None where `peers` is empty. `validators` are addresses.

        A validator, or a peer that has delivered, comes first; among them the highest head. Then strangers: first those
        that this node dialled, since an attacker more easily dials than is dialled; their heads do not count.
        """
        return min(peers, key=lambda peer: self._rank(peer, peer.address in validators, now), default=None)

    def may_be_fast(self, peer: SyncPeer) -> bool:
        """Whether `peer` has neither failed nor been slow, as far as is known."""
        record = self._nodes.get(peer.id)
        return record is None or not (record.failures or record.is_slow)

    def seconds_to_next_release(self, now: float) -> float:
        """Seconds until a barred peer may be asked again; MAX_WAIT_SECONDS where none is barred."""
        waits = (record.blocked_until - now for record in self._nodes.values() if record.blocked_until > now)
        return min(waits, default=MAX_WAIT_SECONDS)

    def _rank(self, peer: SyncPeer, is_validator: bool, now: float) -> tuple[int, int, int]:
        record = self._nodes.get(peer.id) or _Record()
        if record.failures or record.is_slow:
            return 3, record.failures, 0
        if record.has_delivered or is_validator:
            return 0, 0, -peer.head_number
        struck_at = self._failed_networks.get(_network_of(peer))
        if struck_at is not None and now - struck_at < NETWORK_PENALTY_SECONDS:
            return 2, int(peer.inbound), 0
        return 1, int(peer.inbound), 0

    def _record(self, node_id: bytes) -> _Record:
        record = self._nodes.setdefault(node_id, _Record())
        self._nodes.move_to_end(node_id)
        if len(self._nodes) > MAX_RECORDS:
            self._nodes.popitem(last=False)
        return record


def _network_of(peer: SyncPeer) -> str:
    """The network that the peer's address is in: one host can have many addresses."""
    address = ip_address(peer.remote_address[0])
    bits = IPV4_PREFIX_BITS if address.version == 4 else IPV6_PREFIX_BITS
    return str(ip_network((address, bits), strict=False))
