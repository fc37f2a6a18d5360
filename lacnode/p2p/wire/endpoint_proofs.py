"""Endpoint proofs: which nodes have answered a Ping at the address they claim, and which are being asked.

Besu's schedule: five Pings, waiting 2 seconds and half as much again each time. A proof holds for 12 hours, as the
specification (devp2p discv4.md, "Endpoint Proof") has it. Besu's never ends. Builds no packets. Both tables are bounded.
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
    """A node being asked: the hashes of the Pings sent, and when (Unix seconds) the next is due. `answered` tells that a
    Ping of its own got a Pong meanwhile. `wanted_record` is the hash of its ENRRequest that came before the proof, to be
    answered after it."""

    enode: Enode
    hashes: list[bytes] = field(default_factory=list)
    due: float = 0.0
    answered: bool = False
    wanted_record: bytes | None = None

    @property
    def address(self) -> Address:
        """Where the Pings go."""
        return address_of(self.enode)

    def sent(self, ping_hash: bytes, now: float) -> None:
        """A Ping went out."""
        self.due = now + FIRST_PING_WAIT_SECONDS * PING_BACKOFF_FACTOR ** len(self.hashes)
        self.hashes.append(ping_hash)


@dataclass(frozen=True, slots=True)
class EndpointProof:
    """That a node answered from `address` at `since` (Unix seconds)."""

    address: Address
    since: float


class EndpointProofs:
    """The proofs had and the attempts under way, one each for a node id."""

    def __init__(self) -> None:
        self._proofs: dict[bytes, EndpointProof] = {}
        self._attempts: dict[bytes, ProofAttempt] = {}

    def is_proven(self, node_id: bytes, address: Address | None, now: float) -> bool:
        """Whether the node answered from `address` (from anywhere, when None) in the last 12 hours."""
        proof = self._proofs.get(node_id)
        return (
            proof is not None
            and (address is None or proof.address == address)
            and now - proof.since < PROOF_LIFETIME_SECONDS
        )

    def proven_since(self, node_id: bytes) -> float:
        """When the node last proved its endpoint (Unix seconds). 0.0 if it never did."""
        proof = self._proofs.get(node_id)
        return 0.0 if proof is None else proof.since

    def find_attempt(self, node_id: bytes) -> ProofAttempt | None:
        """The attempt under way for that node."""
        return self._attempts.get(node_id)

    def begin(self, enode: Enode, limit: int) -> None:
        """Ask `enode` for a proof, unless it is being asked or `limit` nodes are."""
        if enode.id not in self._attempts and len(self._attempts) < limit:
            self._attempts[enode.id] = ProofAttempt(enode)

    def retry_soon(self, due: float) -> None:
        """Send the next Pings by `due`, where there are any left: who did not answer may do so now."""
        for attempt in self._attempts.values():
            if len(attempt.hashes) < MAX_PINGS:
                attempt.due = min(attempt.due, due)

    def take_due(self, now: float) -> tuple[list[ProofAttempt], list[ProofAttempt]]:
        """The attempts whose Ping is due, and the nodes that have now failed and are forgotten.

        A failure takes away the proof of the same address only: else anybody could have a node forgotten by replaying
        one of its Pings from elsewhere.
        """
        due = [attempt for attempt in self._attempts.values() if attempt.due <= now]
        ended = [attempt for attempt in due if len(attempt.hashes) >= MAX_PINGS]
        for attempt in ended:
            del self._attempts[attempt.enode.id]
        failed = [attempt for attempt in ended if self._is_at(attempt.enode.id, attempt.address)]
        for attempt in failed:
            self.forget(attempt.enode.id)
        return [attempt for attempt in due if len(attempt.hashes) < MAX_PINGS], failed

    def prove(self, node_id: bytes, ping_hash: bytes, address: Address, now: float) -> ProofAttempt | None:
        """Take a Pong: the attempt it completes, None if it answers no Ping to that node at that address."""
        attempt = self._attempts.get(node_id)
        if attempt is None or ping_hash not in attempt.hashes or attempt.address != address:
            return None
        del self._attempts[node_id]
        self._proofs.pop(node_id, None)
        if len(self._proofs) >= MAX_PROOFS:
            del self._proofs[next(iter(self._proofs))]
        self._proofs[node_id] = EndpointProof(address, now)
        return attempt

    def forget(self, node_id: bytes) -> None:
        """Drop the node's proof and attempt."""
        self._proofs.pop(node_id, None)
        self._attempts.pop(node_id, None)

    def _is_at(self, node_id: bytes, address: Address) -> bool:
        proof = self._proofs.get(node_id)
        return proof is None or proof.address == address


def address_of(enode: Enode) -> Address:
    """Where datagrams for `enode` go."""
    return (enode.host, enode.udp or enode.tcp)
