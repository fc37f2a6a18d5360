"""Endpoint proofs: the nodes that have answered a Ping at the address they claim, how long this counts, and the attempts
under way.

The schedule is Besu's: five Pings, with a wait of 2 seconds that grows by half each time. A proof is valid for 12 hours, as
in devp2p discv4.md, "Endpoint Proof". In Besu it never ends. Must not build packets. Both tables have a largest size.
"""

from dataclasses import dataclass, field

from lacnode.p2p.wire.enode import Enode

FIRST_PING_WAIT_SECONDS = 2.0
"""Seconds until the second Ping."""

PING_BACKOFF_FACTOR = 1.5
MAX_PINGS = 5
PROOF_LIFETIME_SECONDS = 12 * 3600.0
"""Seconds for which a Pong proves an endpoint."""

MAX_PROOFS = 4_096

Address = tuple[str, int]
"""An IP literal and a UDP port."""


@dataclass(slots=True)
class ProofAttempt:
    """An attempt to prove the endpoint of one node: the hashes of the Pings sent, and the time (Unix seconds) of the
    next one. `has_pinged` is True if the node has sent a Ping itself meanwhile. `waiting_enr_request` is the packet
    hash (32 bytes) of an ENRRequest that the node sent before its proof. It is answered after the proof. None if there
    is none."""

    enode: Enode
    hashes: list[bytes] = field(default_factory=list)
    due: float = 0.0
    has_pinged: bool = False
    waiting_enr_request: bytes | None = None

    @property
    def address(self) -> Address:
        """The address that the Pings are sent to."""
        return datagram_address(self.enode)

    def record_ping(self, ping_hash: bytes, now: float) -> None:
        """Record that a Ping with the packet hash `ping_hash` (32 bytes) was sent at `now` (Unix seconds), and set the
        time of the next one.
        """
        self.due = now + FIRST_PING_WAIT_SECONDS * PING_BACKOFF_FACTOR ** len(self.hashes)
        # All hashes are kept: the Pong to an earlier Ping may arrive after the next Ping.
        self.hashes.append(ping_hash)


@dataclass(frozen=True, slots=True)
class _EndpointProof:
    """The proof that a node answered from `address` at `since` (Unix seconds)."""

    address: Address
    since: float


class EndpointProofs:
    """The proofs and the attempts under way, at most one of each for a node id (64 bytes)."""

    def __init__(self) -> None:
        self._proofs: dict[bytes, _EndpointProof] = {}
        self._attempts: dict[bytes, ProofAttempt] = {}

    def is_proven(self, node_id: bytes, address: Address | None, now: float) -> bool:
        """Return whether the node with this id (64 bytes) answered from `address` (from any address if None) in the 12
        hours before `now` (Unix seconds).
        """
        proof = self._proofs.get(node_id)
        return (
            proof is not None
            and (address is None or proof.address == address)
            and now - proof.since < PROOF_LIFETIME_SECONDS
        )

    def proven_since(self, node_id: bytes) -> float:
        """Return the time (Unix seconds) of the last proof of the node with this id (64 bytes), 0.0 if there is none."""
        proof = self._proofs.get(node_id)
        return 0.0 if proof is None else proof.since

    def find_attempt(self, node_id: bytes) -> ProofAttempt | None:
        """Return the attempt under way for the node with this id (64 bytes), None if there is none."""
        return self._attempts.get(node_id)

    def attempted_nodes(self) -> list[Enode]:
        """Return the nodes of all attempts under way."""
        return [attempt.enode for attempt in self._attempts.values()]

    def begin_attempt(self, enode: Enode, limit: int) -> None:
        """Begin an attempt with `enode`, unless there is one, or `limit` attempts are under way. Its first Ping is due
        at once."""
        # A new attempt is due at once, since its time is 0.
        if enode.id not in self._attempts and len(self._attempts) < limit:
            self._attempts[enode.id] = ProofAttempt(enode)

    def ping_again_by(self, due: float) -> None:
        """Make the next Ping of every attempt due at `due` (Unix seconds), unless it is due earlier. Attempts that have
        sent `MAX_PINGS` do not change. A node that did not answer before may answer now."""
        for attempt in self._attempts.values():
            if len(attempt.hashes) < MAX_PINGS:
                attempt.due = min(attempt.due, due)

    def find_due_and_forget_failed(self, now: float) -> tuple[list[ProofAttempt], list[ProofAttempt]]:
        """Return two lists: the attempts whose next Ping the caller must send at `now` (Unix seconds), and the attempts
        that have failed. The due ones stay under way: call `record_ping` of each, otherwise it is due again at once. An
        attempt fails if the node has answered none of `MAX_PINGS` Pings in time. It is then forgotten, with a proof of
        the same address.

        An attempt whose node has a proof of another address is forgotten too, but is in neither list, and the proof
        stays. A stranger could otherwise delete a node's proof: it would replay one of the node's Pings from another
        address.
        """
        due = [attempt for attempt in self._attempts.values() if attempt.due <= now]
        ended = [attempt for attempt in due if len(attempt.hashes) >= MAX_PINGS]
        for attempt in ended:
            del self._attempts[attempt.enode.id]
        failed = [attempt for attempt in ended if self._is_at(attempt.enode.id, attempt.address)]
        for attempt in failed:
            self.forget(attempt.enode.id)
        return [attempt for attempt in due if len(attempt.hashes) < MAX_PINGS], failed

    def record_pong(self, node_id: bytes, ping_hash: bytes, address: Address, now: float) -> ProofAttempt | None:
        """Record a Pong of the node with this id (64 bytes) to the Ping with this packet hash (32 bytes), at `now`
        (Unix seconds). Return the attempt that it completes, None if it answers no Ping to that node at that address.
        """
        attempt = self._attempts.get(node_id)
        # The hash shows that the node has received a Ping at that address. A forged Pong cannot contain it.
        if attempt is None or ping_hash not in attempt.hashes or attempt.address != address:
            return None
        del self._attempts[node_id]
        # Taken out first, so that the new proof is the last in the dictionary. The first one is the oldest, and goes if
        # it is full.
        self._proofs.pop(node_id, None)
        if len(self._proofs) >= MAX_PROOFS:
            del self._proofs[next(iter(self._proofs))]
        self._proofs[node_id] = _EndpointProof(address, now)
        return attempt

    def forget(self, node_id: bytes) -> None:
        """Drop the proof and the attempt of the node with this id (64 bytes), if there are any."""
        self._proofs.pop(node_id, None)
        self._attempts.pop(node_id, None)

    def _is_at(self, node_id: bytes, address: Address) -> bool:
        proof = self._proofs.get(node_id)
        return proof is None or proof.address == address


def datagram_address(enode: Enode) -> Address:
    """Return the address for datagrams to `enode`: its host and its UDP port. The TCP port if it has no UDP port."""

    return (enode.host, enode.udp or enode.tcp)
