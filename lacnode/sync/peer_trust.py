"""The order in which peers are asked for blocks, and the pause after a failure.

A peer's total difficulty and head are claims, and cost the peer nothing. So a claim only makes a peer a candidate. The
order of the candidates comes from what they delivered. The pause grows with each failure, from seconds to hours. A node id
costs nothing, so failures also count for the network of the address. They only lower the preference there: correct nodes
may share the address, and all nodes of a devnet do. This file must not send requests.
"""

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network
from typing import Protocol, TypeVar

from lacnode.p2p.peer_description import PeerDescription
from lacnode.p2p.peer_head import PeerHead

MAX_RECORDS = 4_096
"""Node ids and networks that are remembered. With one more, the entry that changed longest ago is deleted."""

RETRY_BACKOFF_FACTOR = 3
"""How much longer the pause is after each further failure."""

MAX_WAIT_SECONDS = 4 * 3600.0
NETWORK_PENALTY_SECONDS = 3600.0
"""How long the last failure of an address counts against other nodes in its network."""

MAX_FAILURES_IN_SESSION = 3
"""Failures in a row after which the session is ended."""

IPV4_PREFIX_BITS, IPV6_PREFIX_BITS = 24, 48


class PeerFault(Enum):
    """The kind of a failure. The value is the pause in seconds after the first failure."""

    LEFT = 2.0
    """The session ended during a download."""
    LATE = 20.0
    """No answer, an empty one, or a slow one. A correct peer under load may do it."""
    FALSE = 600.0
    """A proven fault, such as headers of another chain or without seals, or bodies that are not those of the headers."""


class SyncPeer(Protocol):
    """The properties of a peer that decide in which order peers are asked for blocks. `id` has 64 bytes, and `address`
    20.
    """

    id: bytes
    address: bytes
    description: PeerDescription
    head: PeerHead


P = TypeVar("P", bound=SyncPeer)


@dataclass(slots=True)
class _Record:
    failures: int = 0
    blocked_until: float = 0.0
    has_delivered: bool = False
    is_slow: bool = False


class PeerTrust:
    """How each peer has delivered and failed until now. The records outlive a session. Times are seconds on one
    monotonic clock. Use it from one thread."""

    def __init__(self) -> None:
        self._nodes: OrderedDict[bytes, _Record] = OrderedDict()
        self._failed_networks: OrderedDict[str, float] = OrderedDict()

    def may_be_asked(self, peer: SyncPeer, now: float) -> bool:
        """Whether `peer` may be asked at `now` (seconds). True for an unknown peer."""
        record = self._nodes.get(peer.id)
        return record is None or record.blocked_until <= now

    def record_failure(self, peer: SyncPeer, fault: PeerFault, now: float) -> int:
        """Record a failure of `peer` at `now` (seconds). It may not be asked for a time that depends on `fault` and
        grows with the failures that count, up to `MAX_WAIT_SECONDS`. Return how many of its failures count now: each
        delivery takes back one (`record_delivery`)."""
        record = self._record(peer.id)
        record.failures += 1
        # The exponent is bounded, so that the number stays a float for any count of failures.
        wait = fault.value * RETRY_BACKOFF_FACTOR ** min(record.failures - 1, 20)
        record.blocked_until = now + min(MAX_WAIT_SECONDS, wait)
        # A session that ends counts against the node only: a restart says nothing about its network.
        if fault is not PeerFault.LEFT:
            network = _network_of(peer)
            self._failed_networks[network] = now
            self._failed_networks.move_to_end(network)
            if len(self._failed_networks) > MAX_RECORDS:
                self._failed_networks.popitem(last=False)
        return record.failures

    def record_delivery(self, peer: SyncPeer, *, slow: bool) -> None:
        """Record that `peer` gave verified blocks. Each delivery, slow or not, takes back one failure. A pause after a
        failure goes on. `slow`: it gave them slowly. Other peers are asked first then, until a delivery of it that is
        not slow."""
        # A peer that alternates between one good block and one failure must not start again from zero.
        record = self._record(peer.id)
        record.failures = max(0, record.failures - 1)
        record.has_delivered = True
        record.is_slow = slow

    def choose_best(self, peers: Iterable[P], validators: frozenset[bytes], now: float) -> P | None:
        """The peer to ask first, or None if `peers` is empty. `validators` are addresses (20 bytes). `now` is in
        seconds. Whether a peer may be asked now (`may_be_asked`) is not tested.

        First come validators and peers that have delivered, the highest head first. Then come unknown peers, whose
        heads do not count: those in a network without a recent failure first, and of these the ones that this node
        dialled, because an attacker dials more easily than it is dialled. Peers that failed or were slow come last,
        even validators, the one with the fewest failures first.
        """
        return min(peers, key=lambda peer: self._rank(peer, peer.address in validators, now), default=None)

    def may_be_fast(self, peer: SyncPeer) -> bool:
        """Whether no failure of `peer` counts now (`record_failure`) and its last delivery was not slow. True for an
        unknown peer."""
        record = self._nodes.get(peer.id)
        return record is None or not (record.failures or record.is_slow)

    def seconds_until_peer_may_be_asked(self, now: float) -> float:
        """Seconds from `now` (on the clock of `PeerTrust`) until the first of the paused peers may be asked again.
        MAX_WAIT_SECONDS if no peer waits.
        """
        waits = (record.blocked_until - now for record in self._nodes.values() if record.blocked_until > now)
        return min(waits, default=MAX_WAIT_SECONDS)

    def _rank(self, peer: SyncPeer, is_validator: bool, now: float) -> tuple[int, int, int]:
        record = self._nodes.get(peer.id) or _Record()
        # Rank 3: it failed or was slow. Even then it is asked if there is no other peer.
        if record.failures or record.is_slow:
            return 3, record.failures, 0
        # Rank 0: proven. Only here the claimed head decides, because these peers have something to lose.
        if record.has_delivered or is_validator:
            return 0, 0, -peer.head.number
        # Rank 2: unknown, in a network where another node failed lately. Rank 1: unknown.
        struck_at = self._failed_networks.get(_network_of(peer))
        if struck_at is not None and now - struck_at < NETWORK_PENALTY_SECONDS:
            return 2, int(peer.description.inbound), 0
        return 1, int(peer.description.inbound), 0

    def _record(self, node_id: bytes) -> _Record:
        record = self._nodes.setdefault(node_id, _Record())
        self._nodes.move_to_end(node_id)
        if len(self._nodes) > MAX_RECORDS:
            # An attacker may come with any number of node ids.
            self._nodes.popitem(last=False)
        return record


def _network_of(peer: SyncPeer) -> str:
    """The network of the peer's address. One host can have many addresses."""
    address = ip_address(peer.description.remote_address[0])
    bits = IPV4_PREFIX_BITS if address.version == 4 else IPV6_PREFIX_BITS
    return str(ip_network((address, bits), strict=False))
